package surrealdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// HistoryOptions say where logs are kept, and as whom. Options.Table is not used.
type HistoryOptions struct {
	Options
	// TablePrefix is what the names of the tables begin with. Default:
	// sockudo_history.
	TablePrefix string
}

func (o HistoryOptions) withDefaults() HistoryOptions {
	o.Options, o.TablePrefix = o.Options.withDefaults(), cmp.Or(o.TablePrefix, "sockudo_history")
	return o
}

// maxPrefix leaves room for what the names of tables and indexes end with.
const maxPrefix = 100

// check refuses options that could not work. It shows no secret.
func (o HistoryOptions) check() error {
	o = o.withDefaults()
	if !tableName.MatchString(o.TablePrefix) || len(o.TablePrefix) > maxPrefix {
		return fmt.Errorf("table_prefix %q may hold up to %d letters, digits and _ only, and not begin with a digit", o.TablePrefix, maxPrefix)
	}
	return o.Options.check()
}

// History keeps logs in four tables of SurrealDB. That of logs says where each one
// stands, with a version that every change of its entries moves on: a change is one
// transaction that is made if the version is still the one it was planned from. That
// of entries, that of what is there once and that of subjects have arrays as ids, so
// that what is read is a range of ids, and no index has to be believed. Nodes may only
// share one whose server keeps transactions apart that meet, as it does on RocksDB and
// TiKV; on memory and surrealkv it does not (surrealdb issue 7303).
type History struct {
	link  *link
	place string // for errors
	names tables

	loops sync.WaitGroup // lanes that write

	mu     sync.Mutex
	closed bool
	lanes  map[string]*lane     // by log, those that are in use
	heads  map[string]headState // as they were left by the last change from here
}

// OpenHistory connects, signs in, and makes the tables if there are none. The logger
// may be nil.
func OpenHistory(ctx context.Context, o HistoryOptions, logger *zap.Logger) (*History, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	l, err := newLink(o.Options)
	if err != nil {
		return nil, err
	}
	h := &History{link: l, place: o.place(), names: tables(o.TablePrefix), lanes: map[string]*lane{}, heads: map[string]headState{}}
	if o.TLS != nil && o.TLS.SkipVerify && logger != nil {
		logger.Warn("insecure_skip_verify is on: anybody may pose as the server", zap.String("store", h.place), zap.String("in", "tls"))
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	if err := h.prepare(ctx); err != nil {
		return nil, errors.Join(h.fail(ctx, err), h.Close())
	}
	return h, nil
}

// admit begins a call, which ends with the context of the caller and with Close.
func (h *History) admit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := errors.Join(h.link.open.Err(), ctx.Err()); err != nil {
		return nil, nil, h.fail(ctx, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.link.open, cancel)
	return ctx, func() {
		stop()
		cancel()
	}, nil
}

// begin begins a call, or a step of one, which ends after callTimeout at the latest.
func (h *History) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, done, err := h.admit(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	return ctx, func() {
		cancel()
		done()
	}, nil
}

// ask reads something, within callTimeout.
func (h *History) ask(ctx context.Context, text string, vars map[string]any, to any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return h.link.query(ctx, true, text, vars, to)
}

// fail names the place of an error, or says that it is not the store's.
func (h *History) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case h.link.open.Err() != nil:
		return fmt.Errorf("history: %w", storage.ErrClosed)
	case ctx.Err() != nil && errors.Is(err, errStale):
		return fmt.Errorf("%s: %w, until %w", h.place, err, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time: %w", h.place, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer in time: %w", h.place, err)
	}
	return fmt.Errorf("%s: %w", h.place, err)
}

// Check reads one log, which needs reading rights only.
func (h *History) Check(ctx context.Context) error {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return h.fail(ctx, h.link.query(ctx, true, "SELECT VALUE version FROM `"+h.names.logs()+"` LIMIT 1", nil, nil))
}

// Close ends the connection, and the calls that are under way. Later calls are
// ErrClosed.
func (h *History) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.link.close()
	h.loops.Wait()
	return nil
}

// Due implements storage.History.
func (h *History) Due(ctx context.Context, now time.Time, limit int) ([]storage.LogKey, error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if limit <= 0 {
		return nil, nil
	}
	var found []dueRecord
	vars := map[string]any{"now": now.UnixMilli(), "limit": limit}
	if err := h.link.query(ctx, true, h.whereDue(), vars, &found); err != nil {
		return nil, h.fail(ctx, err)
	}
	var due []storage.LogKey
	for _, r := range found {
		if r.Due < now.UnixMilli() { // the record has the last word, not the index
			due = append(due, storage.LogKey{App: string(r.App), Channel: string(r.Channel)})
		}
	}
	return due, nil
}

func (h *History) whereDue() string {
	return "SELECT app, channel, due FROM `" + h.names.logs() + "` WHERE due < $now LIMIT $limit"
}

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
)
