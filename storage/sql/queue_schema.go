package sql

import (
	"context"
	stdsql "database/sql"
	"fmt"
)

// The states of a job in the table.
const (
	stateWaiting = 0 // ready when due has come, delayed before
	stateActive  = 1 // claimed by owner until lease
	stateDead    = 2 // failed for good
)

// components are the parts of an SQLite file that have a schema, each a list of
// steps. The number of steps that were taken is the version that the file has.
// Times are Unix milliseconds.
var components = map[string][]string{
	"queue": {
		`
		CREATE TABLE queue_jobs (
			seq          INTEGER PRIMARY KEY AUTOINCREMENT,
			queue        TEXT NOT NULL,
			id           TEXT NOT NULL,
			payload      BLOB NOT NULL,
			state        INTEGER NOT NULL,
			due          INTEGER NOT NULL,
			attempt      INTEGER NOT NULL,
			max_attempts INTEGER NOT NULL,
			pushed       INTEGER NOT NULL,
			owner        TEXT NOT NULL DEFAULT '',
			lease        INTEGER NOT NULL DEFAULT 0,
			reason       TEXT NOT NULL DEFAULT '',
			failed       INTEGER NOT NULL DEFAULT 0
		);
		CREATE INDEX queue_jobs_line ON queue_jobs (queue, state, due, seq);
		CREATE INDEX queue_jobs_active ON queue_jobs (lease) WHERE state = 1;
		CREATE TABLE queue_ids (
			queue   TEXT NOT NULL,
			id      TEXT NOT NULL,
			sum     BLOB NOT NULL,
			job     INTEGER NOT NULL, -- seq, or 0 when that is gone or dead
			expires INTEGER NOT NULL, -- for job 0
			PRIMARY KEY (queue, id)
		) WITHOUT ROWID;
		CREATE INDEX queue_ids_expires ON queue_ids (expires) WHERE job = 0`,
	},
	"cache": {
		`
		CREATE TABLE cache_values (
			key     TEXT PRIMARY KEY,
			value   BLOB NOT NULL,
			expires INTEGER NOT NULL
		) WITHOUT ROWID;
		CREATE INDEX cache_values_expires ON cache_values (expires)`,
	},
}

// upgrade takes the steps of a component that a file lacks.
func upgrade(ctx context.Context, db *stdsql.DB, component string) error {
	return upgradeBy(ctx, db, component, components[component])
}

// upgradeBy takes the steps that a file lacks. Two processes that open it at once
// wait for each other. A file of a later version is refused.
func upgradeBy(ctx context.Context, db *stdsql.DB, component string, steps []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS sockudo_schema (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"); err != nil {
		return err
	}
	version := 0
	err = tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM sockudo_schema WHERE component = ?", component).Scan(&version)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("the file was written by a later version of this program: its %s has schema %d, and %d is the latest known here", component, version, len(steps))
	}
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("making the tables of the %s: %w", component, err)
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO sockudo_schema VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version", component, len(steps))
	if err != nil {
		return err
	}
	return tx.Commit()
}
