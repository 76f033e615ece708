package sql

import (
	"cmp"
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// tablesTimeout bounds a transaction, and a read, unless another limit is written.
const tablesTimeout = 5 * time.Second

// tables are tables of one driver in a database, which are changed in transactions: a
// server commits each by itself, and SQLite those of many callers together.
type tables struct {
	db      *stdsql.DB
	dialect Dialect
	what    string // is in them, for errors
	place   string // for errors
	names   *strings.Replacer
	timeout atomic.Int64 // a time.Duration
	writer  *writer      // of SQLite, and nil of a server
	closed  atomic.Bool
}

// of says which tables they are. The replacer puts their names into statements.
func (t *tables) of(db *stdsql.DB, o Options, what string, names *strings.Replacer) {
	t.db, t.dialect, t.what, t.place, t.names = db, o.Dialect, what, o.place(), names
}

// begun is called when the tables are there.
func (t *tables) begun() {
	if t.dialect == SQLite {
		t.writer = startWriter(t.db, t.place, t.limit())
	}
}

// limit bounds a transaction.
func (t *tables) limit() time.Duration { return time.Duration(t.timeout.Load()) }

// SetTimeout changes the bound of a transaction. Zero means 5s.
func (t *tables) SetTimeout(limit time.Duration) {
	t.timeout.Store(int64(cmp.Or(limit, tablesTimeout)))
	if t.writer != nil {
		t.writer.limit.Store(t.timeout.Load())
	}
}

// text is a statement with the names of the tables and the placeholders of the dialect.
func (t *tables) text(statement string) string { return t.dialect.bind(t.names.Replace(statement)) }

func (t *tables) usable(ctx context.Context) error {
	if t.closed.Load() {
		return fmt.Errorf("%s: %w", t.what, storage.ErrClosed)
	}
	return ctx.Err()
}

// fail names the place of an error, or says that it is not the store's.
func (t *tables) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case t.closed.Load():
		return fmt.Errorf("%s: %w", t.what, storage.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", t.place, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %v: %w", t.place, t.limit(), err)
	case t.writer != nil && strings.HasPrefix(err.Error(), t.place): // the writer has named it
		return err
	}
	return fmt.Errorf("%s: %w", t.place, err)
}

// ask reads rows, which f scans one by one.
func (t *tables) ask(ctx context.Context, f func(scan func(...any) error) error, statement string, args ...any) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, t.limit())
	defer cancel()
	rows, err := t.db.QueryContext(bounded, t.text(statement), args...)
	return t.fail(ctx, eachRow(rows, err, f))
}

// Close ends all connections, when SQLite has written what waits. Later calls are
// ErrClosed.
func (t *tables) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	if t.writer != nil {
		t.writer.close()
	}
	return t.db.Close()
}
