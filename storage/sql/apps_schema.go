package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

type column struct {
	name string
	kind kind
}

// columns are those of the table of apps, as Sockudo has them.
var columns = []column{
	{"id", name},
	{"key", name},
	{"secret", name},
	{"max_connections", required},
	{"enable_client_messages", flag},
	{"enabled", flag},
	{"max_backend_events_per_second", optional},
	{"max_client_events_per_second", required},
	{"max_read_requests_per_second", optional},
	{"max_presence_members_per_channel", optional},
	{"max_presence_member_size_in_kb", optional},
	{"max_channel_name_length", optional},
	{"max_event_channels_at_once", optional},
	{"max_event_name_length", optional},
	{"max_event_payload_in_kb", optional},
	{"max_event_batch_size", optional},
	{"enable_user_authentication", optionalFlag},
	{"enable_watchlist_events", optionalFlag},
	{"policy", document},
	{"webhooks", document},
	{"allowed_origins", document},
	{"channel_delta_compression", document},
	{"idempotency", document},
	{"connection_recovery", document},
	{"created_at", timestamp},
	{"updated_at", timestamp},
}

// data are the columns that are read and written: all but the timestamps.
var data = columns[:len(columns)-2]

func namesOf(columns []column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_]{1,63}$`)

// checkTable refuses what could be more than the name of a table.
func checkTable(table string) error {
	if !tableName.MatchString(table) {
		return fmt.Errorf("table_name %q may hold letters, digits and _ only, 63 at most", table)
	}
	return nil
}

// migrate makes the table if there is none and adds the columns it lacks. A table
// that has everything is not touched, so that reading rights are enough for it.
func (m *AppManager) migrate(ctx context.Context) error {
	have, err := m.existing(ctx, m.db)
	if err == nil && len(lacking(have)) == 0 {
		return nil
	}
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if m.dialect == Postgres { // two nodes may start at once
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "sockudo:"+m.table); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, m.create()); err != nil {
		return fmt.Errorf("making table %s: %w", m.table, err)
	}
	if have, err = m.existing(ctx, tx); err != nil {
		return fmt.Errorf("reading table %s: %w", m.table, err)
	}
	for _, c := range lacking(have) {
		statement := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", m.quoted, m.dialect.quote(c.name), m.typeOf(c, true))
		if _, err := tx.ExecContext(ctx, statement); err != nil && !isMySQL(err, mysqlDuplicateColumn) {
			return fmt.Errorf("adding column %s to table %s: %w", c.name, m.table, err)
		}
	}
	return tx.Commit()
}

func (m *AppManager) create() string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = m.dialect.quote(c.name) + " " + m.typeOf(c, false)
	}
	end := ")"
	if m.dialect == MySQL {
		end = ") CHARACTER SET utf8mb4"
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, PRIMARY KEY (%s), UNIQUE (%s)%s", m.quoted, strings.Join(parts, ", "),
		m.dialect.quote("id"), m.dialect.quote("key"), end)
}

// typeOf is the type of a column. SQLite adds no column whose default is the time.
func (m *AppManager) typeOf(c column, added bool) string {
	if added && c.kind == timestamp {
		return "TIMESTAMP NULL"
	}
	text := types[m.dialect][c.kind]
	if c.name == "enabled" {
		text = strings.Replace(text, "FALSE", "TRUE", 1)
	}
	return text
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*stdsql.Rows, error)
}

// existing are the columns that the table has.
func (m *AppManager) existing(ctx context.Context, q querier) (names []string, err error) {
	rows, err := q.QueryContext(ctx, "SELECT * FROM "+m.quoted+" WHERE 1 = 0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close(), rows.Err()) }()
	return rows.Columns()
}

func lacking(have []string) []column {
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return slices.Contains(have, c.name) })
}
