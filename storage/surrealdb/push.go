package surrealdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushTable is the name of the table unless another is written.
const pushTable = "sockudo_push"

// PushStore keeps the records of push notifications in one table of SurrealDB: each is a
// record whose id is made of its key, and an Apply is one transaction. Two indexes find
// what is listed and what is due. Nodes may only share one whose server keeps transactions
// apart that meet, as it does on RocksDB and TiKV; on memory and surrealkv it does not
// (surrealdb issue 7303).
type PushStore struct {
	link  *link
	place string // for errors
	table string // needs no quoting
	latches
}

// OpenPushStore connects, signs in, makes the table if there is none, and tries to write.
// The logger may be nil.
func OpenPushStore(ctx context.Context, o Options, logger *zap.Logger) (*PushStore, error) {
	o = ofPush(o).withDefaults()
	if err := checkPush(o); err != nil {
		return nil, err
	}
	l, err := newLink(o)
	if err != nil {
		return nil, err
	}
	s := &PushStore{link: l, place: o.place(), table: o.Table, latches: newLatches()}
	if o.TLS != nil && o.TLS.SkipVerify && logger != nil {
		logger.Warn("insecure_skip_verify is on: anybody may pose as the server", zap.String("store", s.place), zap.String("in", "tls"))
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(s.fail(ctx, err), s.Close())
	}
	return s, nil
}

// ofPush are options whose table is that of push notifications if none is named.
func ofPush(o Options) Options {
	o.Table = cmp.Or(o.Table, pushTable)
	return o
}

// checkPush refuses options that could not work. It shows no secret.
func checkPush(o Options) error {
	o = ofPush(o)
	if len(o.Table) > maxPrefix {
		return fmt.Errorf("table_name %q is longer than %d characters", o.Table, maxPrefix)
	}
	return o.check()
}

// begin begins a call, or a step of one, which ends with the context of the caller, after
// callTimeout and with Close.
func (s *PushStore) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := errors.Join(s.link.open.Err(), ctx.Err()); err != nil {
		return nil, nil, s.fail(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(s.link.open, cancel)
	return ctx, func() {
		stop()
		cancel()
	}, nil
}

// ask reads something within callTimeout.
func (s *PushStore) ask(ctx context.Context, text string, vars map[string]any, to any) error {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.fail(ctx, s.link.query(ctx, true, text, vars, to))
}

// fail names the place of an error, or says that it is not the store's.
func (s *PushStore) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case s.link.open.Err() != nil:
		return fmt.Errorf("push store: %w", storage.ErrClosed)
	case ctx.Err() != nil && errors.Is(err, errBusy):
		return fmt.Errorf("%s: %w, until %w", s.place, err, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time: %w", s.place, ctx.Err())
	}
	return fmt.Errorf("%s: %w", s.place, err)
}

// Check reads one record, which needs reading rights only.
func (s *PushStore) Check(ctx context.Context) error {
	return s.ask(ctx, "SELECT VALUE version FROM `"+s.table+"` LIMIT 1", nil, nil)
}

// Close ends the connection, and the calls that are under way. Later calls are ErrClosed.
func (s *PushStore) Close() error {
	s.link.close()
	return nil
}

var (
	_ storage.PushStore = (*PushStore)(nil)
	_ storage.Checker   = (*PushStore)(nil)
)
