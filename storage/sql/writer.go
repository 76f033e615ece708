package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxInbox bounds the payloads that wait for the writer, in bytes.
	maxInbox = 64 << 20
	// maxBatch bounds the changes of one transaction.
	maxBatch = 512
	// commitTimeout bounds one transaction of a queue or a cache.
	commitTimeout = 20 * time.Second
)

// writer is the one goroutine that changes an SQLite file for its driver. It takes
// all changes that wait and commits them together, so that many callers share
// one sync of the disk.
type writer struct {
	db    *stdsql.DB
	place string
	limit atomic.Int64 // of one transaction, a time.Duration

	mu     sync.Mutex
	wake   sync.Cond
	inbox  []*change
	bytes  int64
	closed bool
	done   chan struct{}
}

// change is a part of a transaction.
type change struct {
	// do makes the change. It may return an error of the caller's only before it has
	// written anything; an error of the database undoes the whole transaction.
	do func(tx *transaction) error
	// committed is called in the writer's goroutine when the change is on disk.
	committed func()
	size      int64
	state     atomic.Int32 // waiting, taken or withdrawn
	done      chan error
}

const (
	changeWaiting = iota
	changeTaken
	changeWithdrawn
)

// refused is an error of a change that leaves the transaction as it is.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func startWriter(db *stdsql.DB, place string, limit time.Duration) *writer {
	w := &writer{db: db, place: place, done: make(chan struct{})}
	w.limit.Store(int64(limit))
	w.wake.L = &w.mu
	go w.run()
	return w
}

// change makes a change and returns when it is on disk.
func (w *writer) change(ctx context.Context, size int64, do func(tx *transaction) error, committed func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{do: do, committed: committed, size: size, done: make(chan error, 1)}
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return fmt.Errorf("%s: %w", w.place, storage.ErrClosed)
	case w.bytes+size > maxInbox:
		w.mu.Unlock()
		return fmt.Errorf("%s: %d bytes wait to be written: %w", w.place, w.bytes, storage.ErrFull)
	}
	w.inbox = append(w.inbox, c)
	w.bytes += size
	w.mu.Unlock()
	w.wake.Signal()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if c.state.CompareAndSwap(changeWaiting, changeWithdrawn) {
			return ctx.Err()
		}
		return <-c.done // too late to withdraw; the commit is bounded
	}
}

// close ends the writer when what waits has been written.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Signal()
	<-w.done
}

func (w *writer) run() {
	defer close(w.done)
	for {
		batch, ok := w.next()
		if !ok {
			return
		}
		w.write(batch)
	}
}

// next waits for changes. ok is false when the writer is closed and nothing waits.
func (w *writer) next() (batch []*change, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.inbox) == 0 && !w.closed {
		w.wake.Wait()
	}
	n := min(len(w.inbox), maxBatch)
	for _, c := range w.inbox[:n] {
		w.bytes -= c.size
		if c.state.CompareAndSwap(changeWaiting, changeTaken) {
			batch = append(batch, c)
		}
	}
	if w.inbox = w.inbox[n:]; len(w.inbox) == 0 {
		w.inbox = nil
	}
	return batch, n > 0
}

// write commits a batch. A change that the database cannot make must not take the
// others with it: they are tried one by one then.
func (w *writer) write(batch []*change) {
	if len(batch) == 0 {
		return
	}
	outcomes, err := w.commit(batch)
	if err != nil && len(batch) > 1 {
		for _, c := range batch {
			w.write([]*change{c})
		}
		return
	}
	for i, c := range batch {
		switch {
		case err != nil:
			c.done <- fmt.Errorf("%s: %w", w.place, err)
		default:
			if outcomes[i] == nil && c.committed != nil {
				c.committed()
			}
			c.done <- outcomes[i]
		}
	}
}

func (w *writer) commit(batch []*change) (outcomes []error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.limit.Load()))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	t := &transaction{ctx: ctx, tx: tx}
	outcomes = make([]error, len(batch))
	for i, c := range batch {
		err := c.do(t)
		r, ok := errors.AsType[refused](err)
		if err != nil && !ok {
			return nil, err
		}
		if ok {
			outcomes[i] = r.error
		}
	}
	return outcomes, tx.Commit()
}

// executor is a transaction of the standard library, or a connection that is within
// one.
type executor interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *stdsql.Row
}

// transaction is what a change writes to.
type transaction struct {
	ctx context.Context //nolint:containedctx // one transaction is one call
	tx  executor

	// jobs and bytes are what changes of this transaction have added to a queue.
	jobs  int
	bytes int64
}

// exec changes rows and tells how many.
func (t *transaction) exec(statement string, args ...any) (int, error) {
	result, err := t.tx.ExecContext(t.ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// query reads rows, which f scans one by one.
func (t *transaction) query(f func(scan func(...any) error) error, statement string, args ...any) error {
	rows, err := t.tx.QueryContext(t.ctx, statement, args...)
	return eachRow(rows, err, f)
}

// one reads one row. ok is false if there is none.
func (t *transaction) one(to []any, statement string, args ...any) (ok bool, err error) {
	err = t.tx.QueryRowContext(t.ctx, statement, args...).Scan(to...)
	if errors.Is(err, stdsql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func eachRow(rows *stdsql.Rows, err error, f func(scan func(...any) error) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
