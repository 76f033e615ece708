package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
)

// pushSchema is the version of the tables. It changes with their columns and with what is
// in them.
const pushSchema = 1

// All texts are bytes, since they are ordered as such and nothing may be taken for the same
// that is not. due is zero for never.
const (
	sqlitePush = `
		CREATE TABLE IF NOT EXISTS {records} (
			app     BLOB NOT NULL,
			tbl     BLOB NOT NULL,
			grp     BLOB NOT NULL,
			name    BLOB NOT NULL,
			version INTEGER NOT NULL,
			due     INTEGER NOT NULL,
			value   BLOB NOT NULL,
			{counts},
			PRIMARY KEY (app, tbl, grp, name)
		);
		CREATE INDEX IF NOT EXISTS "{prefix}_due" ON {records} (tbl, due) WHERE due > 0;
		CREATE TABLE IF NOT EXISTS {schema} (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`

	// Counters are updated all the time: a row stays in its page if that has room.
	postgresPush = `
		CREATE TABLE IF NOT EXISTS {records} (
			app     BYTEA NOT NULL,
			tbl     BYTEA NOT NULL,
			grp     BYTEA NOT NULL,
			name    BYTEA NOT NULL,
			version BIGINT NOT NULL,
			due     BIGINT NOT NULL,
			value   BYTEA NOT NULL,
			{counts},
			PRIMARY KEY (app, tbl, grp, name)
		) WITH (fillfactor = 80);
		CREATE INDEX IF NOT EXISTS "{prefix}_due" ON {records} (tbl, due) WHERE due > 0;
		CREATE TABLE IF NOT EXISTS {schema} (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`

	mysqlPush = `
		CREATE TABLE IF NOT EXISTS {records} (
			app     VARBINARY(128) NOT NULL,
			tbl     VARBINARY(32) NOT NULL,
			grp     VARBINARY(512) NOT NULL,
			name    VARBINARY(512) NOT NULL,
			version BIGINT NOT NULL,
			due     BIGINT NOT NULL,
			value   MEDIUMBLOB NOT NULL,
			{counts},
			PRIMARY KEY (app, tbl, grp, name),
			INDEX due (tbl, due)
		) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`
	mysqlPushSchema = `CREATE TABLE IF NOT EXISTS {schema} (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) ENGINE=InnoDB`
)

// migrate makes the tables if there are none, and refuses those of another version. What is
// there is not touched, so that the right to make tables is not needed for it.
func (s *PushStore) migrate(ctx context.Context, prefix string) error {
	if version, err := s.schema(ctx); err == nil && version != 0 {
		return s.isKnown(ctx, prefix, version)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if s.dialect == Postgres { // two nodes may start at once
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "sockudo:push:"+prefix); err != nil {
			return err
		}
	}
	steps, again := map[Dialect][]string{SQLite: {sqlitePush}, Postgres: {postgresPush}, MySQL: {mysqlPush, mysqlPushSchema}}[s.dialect], " ON CONFLICT (id) DO NOTHING"
	if s.dialect == MySQL {
		again = " ON DUPLICATE KEY UPDATE id = id"
	}
	for _, step := range steps {
		step = strings.ReplaceAll(step, "{counts}", eachCount("% BIGINT NOT NULL"))
		if _, err := tx.ExecContext(ctx, s.names.Replace(step)); err != nil {
			return fmt.Errorf("making the tables %s and %s_schema: %w", prefix, prefix, err)
		}
	}
	if _, err := tx.ExecContext(ctx, s.text("INSERT INTO {schema} (id, version) VALUES (1, ?)"+again), pushSchema); err != nil {
		return fmt.Errorf("writing the table %s_schema: %w", prefix, err)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	version, err := s.schema(ctx)
	if err != nil {
		return fmt.Errorf("reading the table %s_schema: %w", prefix, err)
	}
	return s.isKnown(ctx, prefix, version)
}

// schema reads the version of the tables, which is zero if there is none.
func (s *PushStore) schema(ctx context.Context) (version int, err error) {
	err = s.db.QueryRowContext(ctx, s.text("SELECT version FROM {schema} WHERE id = 1")).Scan(&version)
	if errors.Is(err, stdsql.ErrNoRows) {
		err = nil
	}
	return version, err
}

// isKnown is no error if the tables can be used.
func (s *PushStore) isKnown(ctx context.Context, prefix string, version int) error {
	if version != pushSchema {
		return fmt.Errorf("the table %s is of schema version %d, and this program works with version %d only; use the program that has made it, or another table_prefix", prefix, version, pushSchema)
	}
	rows, err := s.db.QueryContext(ctx, s.text("SELECT "+pushRowColumns+" FROM {records} WHERE 1 = 0"))
	if err := eachRow(rows, err, func(func(...any) error) error { return nil }); err != nil {
		return fmt.Errorf("reading the table %s: %w", prefix, err)
	}
	return nil
}
