package sql

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// rollbackTimeout bounds the end of a transaction that has failed.
	rollbackTimeout = time.Second
	// maxTries is how often a transaction is tried again because of others. Each time
	// another one has been successful, so that many who change the same need many.
	maxTries = 100
)

var (
	// errAgain says that another node was faster, and that the transaction is worth
	// another try.
	errAgain = errors.New("another node changed the same at the same time")
	// errStale says that a transaction did not begin.
	errStale = errors.New("the connection is stale")
)

// change makes a change in a transaction: one of its own on a server, or with others in
// SQLite. do may be called several times, and must begin anew each time. The change is
// as durable as the database makes anything when there is no error; if there is one, it
// may have been made all the same.
func (t *tables) change(ctx context.Context, size int64, do func(tx *transaction) error) error {
	return t.changeBy(ctx, size, do, t.transact)
}

// changeBy makes a change on a server by another kind of transaction.
func (t *tables) changeBy(ctx context.Context, size int64, do func(tx *transaction) error, transact func(context.Context, func(*transaction) error) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, t.limit())
	defer cancel()
	try := func() error { return transact(bounded, do) }
	if t.writer != nil {
		try = func() error { return t.writer.change(bounded, size, do, nil) }
	}
	err := try()
	for n := 1; isWorthAnother(err, n) && wait.For(bounded, time.Duration(rand.IntN(min(n, maxDeadlocks)*10))*time.Millisecond); n++ {
		err = try()
	}
	return t.fail(ctx, err)
}

// isWorthAnother reports whether nothing was changed because of another transaction, and
// n tries are not too many.
func isWorthAnother(err error, n int) bool {
	if errors.Is(err, errStale) {
		return n <= maxDeadlocks
	}
	return n <= maxTries && (isDeadlock(err) || isDuplicate(err) || errors.Is(err, errAgain))
}

// transact makes a change on a server. It has a connection and no stdsql.Tx, whose
// Commit would wait for MySQL without any bound.
func (t *tables) transact(ctx context.Context, do func(tx *transaction) error) error {
	conn, err := t.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	begin := "BEGIN ISOLATION LEVEL READ COMMITTED"
	if t.dialect == MySQL {
		begin = "START TRANSACTION" // the session says the rest
	}
	ended := false
	defer func() {
		if !ended {
			undo(conn)
		}
	}()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return errors.Join(errStale, err)
	}
	if err := do(&transaction{ctx: ctx, tx: conn}); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return err
	}
	ended = true
	return nil
}

// undo ends a transaction without a change. A connection that does not do so is given
// up, since its transaction must not become that of the next user.
func undo(conn *stdsql.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}
