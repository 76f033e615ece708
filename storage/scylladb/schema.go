package scylladb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// OpenTimeout is how long a cluster may take to be reached, and to make what is
	// missing.
	OpenTimeout = 45 * time.Second
	// maxMigrations is how often what is missing is looked for again, because another
	// node may be making it at the same time.
	maxMigrations = 5
)

// kind is what a column holds, by its name in CQL.
type kind string

const (
	text   kind = "text"
	number kind = "int"
	flag   kind = "boolean"
	moment kind = "timestamp"
)

type column struct {
	name string
	kind kind
}

// columns are those of the table of apps, as Sockudo has them. The first one is the
// primary key.
var columns = []column{
	{"id", text},
	{"key", text},
	{"secret", text},
	{"max_connections", number},
	{"enable_client_messages", flag},
	{"enabled", flag},
	{"max_backend_events_per_second", number},
	{"max_client_events_per_second", number},
	{"max_read_requests_per_second", number},
	{"max_presence_members_per_channel", number},
	{"max_presence_member_size_in_kb", number},
	{"max_channel_name_length", number},
	{"max_event_channels_at_once", number},
	{"max_event_name_length", number},
	{"max_event_payload_in_kb", number},
	{"max_event_batch_size", number},
	{"enable_user_authentication", flag},
	{"enable_watchlist_events", flag},
	{"policy", text},
	{"webhooks", text},
	{"allowed_origins", text},
	{"channel_delta_compression", text},
	{"created_at", moment},
	{"updated_at", moment},
}

// further are columns of some tables of Sockudo. They are used where they are.
var further = []column{{"idempotency", text}, {"connection_recovery", text}}

// likewise are types that hold the same as those above.
var likewise = map[string]kind{
	"text": text, "varchar": text, "ascii": text, "int": number, "bigint": number, "smallint": number, "varint": number,
	"boolean": flag, "timestamp": moment,
}

// schema is what there is of what an app manager needs.
type schema struct {
	keyspace bool
	columns  map[string]string // types of the table's columns, none if there is no table
	indexed  bool              // there is an index on the keys
	keys     bool              // there is a table of keys
}

// complete reports whether apps can be read.
func (s *schema) complete() bool { return s.indexed && len(s.lacking()) == 0 }

func (s *schema) lacking() []column {
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return s.columns[c.name] != "" })
}

// check refuses a table whose columns are something else.
func (s *schema) check() error {
	for _, c := range slices.Concat(columns, further) {
		if is := s.columns[c.name]; is != "" && likewise[is] != c.kind {
			return fmt.Errorf("its column %s is of the type %s, not %s", c.name, is, c.kind)
		}
	}
	return nil
}

// inspect looks at what there is. Everybody may who can log in.
func (m *AppManager) inspect(ctx context.Context) (*schema, error) {
	s := &schema{columns: map[string]string{}}
	keyspace, table := strings.ToLower(m.options.Keyspace), strings.ToLower(m.options.Table)
	var name, is string
	var options map[string]string
	for _, q := range []struct {
		statement string
		args, to  []any
		take      func()
	}{
		{
			"SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?",
			[]any{keyspace},
			[]any{&name},
			func() { s.keyspace = true },
		},
		{
			"SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
			[]any{keyspace, table},
			[]any{&name, &is},
			func() { s.columns[name] = is },
		},
		{
			"SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?",
			[]any{keyspace, table},
			[]any{&options},
			func() { s.indexed = s.indexed || strings.Trim(options["target"], `"`) == "key" },
		},
		{
			"SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
			[]any{keyspace, table + keysEnding},
			[]any{&name},
			func() { s.keys = s.keys || name == "nonce" },
		},
	} {
		// These tables are each node's own.
		rows := m.session.Query(q.statement, q.args...).Consistency(gocql.One).Idempotent(true).IterContext(ctx)
		for rows.Scan(q.to...) {
			q.take()
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// prepare makes what is missing. A table that is complete is not touched, so that
// reading rights are enough for it; then there may be no table of keys, without
// which no app can be changed.
func (m *AppManager) prepare(ctx context.Context) error {
	var made error
	for n := 0; ; n++ {
		s, err := m.inspect(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("looking for the table: %w", err)
		case s.check() != nil:
			return fmt.Errorf("table %s: %w", m.options.Table, s.check())
		case s.complete() && (s.keys || isCode(made, gocql.ErrCodeUnauthorized)):
			if m.claimed.Store(s.keys); !s.keys && m.Log != nil {
				m.Log.Warn("there is no table of keys and no right to make it, so keys are looked up by the index and apps cannot be changed here", zap.String("store", m.Store))
			}
			m.prepared(s)
			return nil
		case isCode(made, gocql.ErrCodeUnauthorized), made != nil && n == maxMigrations:
			return made
		case n == maxMigrations:
			return fmt.Errorf("table %s has been made and is not there", m.options.Table)
		}
		if made = m.migrate(ctx, s); made != nil && !wait.For(ctx, time.Duration(rand.IntN(n*200+50))*time.Millisecond) {
			return made
		}
	}
}

// migrate makes what a schema lacks.
func (m *AppManager) migrate(ctx context.Context, s *schema) error {
	if !s.keyspace {
		statement := fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': '%s', 'replication_factor': %d}",
			quote(m.options.Keyspace), m.options.ReplicationClass, m.options.ReplicationFactor)
		if err := m.define(ctx, statement); err != nil {
			return fmt.Errorf("making keyspace %s: %w", m.options.Keyspace, err)
		}
	}
	if len(s.columns) == 0 {
		if err := m.define(ctx, m.creation()); err != nil {
			return fmt.Errorf("making table %s: %w", m.options.Table, err)
		}
	} else {
		for _, c := range s.lacking() {
			if err := m.define(ctx, fmt.Sprintf("ALTER TABLE %s ADD %s %s", m.table, quote(c.name), c.kind)); err != nil {
				return fmt.Errorf("adding column %s to table %s: %w", c.name, m.options.Table, err)
			}
		}
	}
	if !s.indexed {
		if err := m.define(ctx, fmt.Sprintf("CREATE INDEX IF NOT EXISTS ON %s (%s)", m.table, quote("key"))); err != nil {
			return fmt.Errorf("making an index on the keys of table %s: %w", m.options.Table, err)
		}
	}
	if !s.keys {
		return m.makeKeys(ctx)
	}
	return nil
}

// makeKeys makes the table of keys.
func (m *AppManager) makeKeys(ctx context.Context) error {
	if err := m.define(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (key text PRIMARY KEY, app_id text, nonce text)", m.keys)); err != nil {
		return fmt.Errorf("making table %s: %w", m.options.Table+keysEnding, err)
	}
	return nil
}

func (m *AppManager) creation() string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = quote(c.name) + " " + string(c.kind)
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, PRIMARY KEY (%s))", m.table, strings.Join(parts, ", "), quote(columns[0].name))
}

// define changes the schema, and waits until all nodes know.
func (m *AppManager) define(ctx context.Context, statement string) error {
	return m.session.Query(statement).Consistency(gocql.One).ExecContext(ctx)
}

// prepared makes the statements for the columns that there are.
func (m *AppManager) prepared(s *schema) {
	m.columns = slices.Clone(columns)
	for _, c := range further {
		if _, ok := s.columns[c.name]; ok {
			m.columns = append(m.columns, c)
		}
	}
	names := make([]string, len(m.columns))
	for i, c := range m.columns {
		names[i] = quote(c.name)
	}
	m.selection = "SELECT " + strings.Join(names, ", ") + " FROM " + m.table
}
