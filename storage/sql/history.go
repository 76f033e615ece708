package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// historyPrefix begins the names of the tables unless another is written.
const historyPrefix = "sockudo_history"

// HistoryOptions tune a History.
type HistoryOptions struct {
	// TablePrefix begins the names of the two tables, PREFIX_logs and
	// PREFIX_log_entries. Default: sockudo_history.
	TablePrefix string
	// Timeout bounds one transaction, and one read. Zero means 5s.
	Timeout time.Duration
}

// History keeps logs in two tables: one with a row for each log, which says where it
// stands and is locked by whoever changes it, and one with the entries. A server commits
// an Append by itself; SQLite commits those of many callers together.
type History struct {
	tables
	maxSize int64
}

// OpenHistory connects to a database and makes the tables if there are none. Several
// may use the same tables, also the same SQLite file.
func OpenHistory(ctx context.Context, o Options, tuning HistoryOptions) (*History, error) {
	o, prefix := o.withDefaults(), cmp.Or(tuning.TablePrefix, historyPrefix)
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	db, err := openForLogs(ctx, o)
	if err != nil {
		return nil, err
	}
	h := &History{maxSize: storage.MaxLogPayload}
	h.of(db, o, "history", strings.NewReplacer("{logs}", o.Dialect.quote(prefix+"_logs"), "{entries}", o.Dialect.quote(prefix+"_log_entries"), "{prefix}", prefix))
	h.SetTimeout(tuning.Timeout)
	if err := errors.Join(h.migrate(ctx, prefix), h.measure(ctx)); err != nil {
		return nil, errors.Join(h.fail(ctx, err), db.Close())
	}
	h.begun()
	return h, nil
}

// MaxSize is the size above which a payload is refused, in bytes.
func (h *History) MaxSize() int64 { return h.maxSize }

// Head implements storage.History. It is one indexed read.
func (h *History) Head(ctx context.Context, key storage.LogKey) (head storage.LogHead, err error) {
	found := false
	sum := sumOf(key)
	err = h.ask(ctx, func(scan func(...any) error) error {
		found = true
		var stream, name, reason, node []byte
		err := scan(&stream, &head.Serial, &head.Row, &head.At, &head.Total, &head.First, &name, &reason, &node, &head.State.Since)
		head.Stream, head.State.Name, head.State.Reason, head.State.Node = string(stream), string(name), string(reason), string(node)
		return err
	}, `SELECT stream, last_serial, last_row, last_at, last_total, first_serial, state_name, state_reason, state_node, state_since
		FROM {logs} WHERE key_sum = ?`, sum[:])
	if err == nil && !found {
		err = fmt.Errorf("log of %q of app %q: %w", key.Channel, key.App, storage.ErrNotFound)
	}
	return head, err
}

// Check asks the tables, which needs reading rights only.
func (h *History) Check(ctx context.Context) error {
	return h.ask(ctx, func(func(...any) error) error { return nil }, "SELECT id FROM {logs} WHERE 1 = 0")
}

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
)
