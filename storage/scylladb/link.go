package scylladb

import (
	"context"
	"errors"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// link is a cluster with tables whose names begin alike, and the way to it.
type link struct {
	session *session
	options HistoryOptions
	what    string // keeps something in the tables
	place   string // for errors
	open    context.Context
	end     context.CancelFunc
}

// open connects to a cluster and makes what is missing: the keyspace and the tables. The
// options have their defaults.
func (o HistoryOptions) open(ctx context.Context, what string, tables []relation, logger *zap.Logger) (*link, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.TLS != nil && o.TLS.SkipVerify && logger != nil {
		logger.Warn("any certificate of the server is accepted, so anybody can pose as it", zap.String("store", o.place()))
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	s, err := o.connect(ctx, logger)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	l := &link{session: s, options: o, what: what, place: o.place()}
	l.open, l.end = context.WithCancel(context.Background())
	if err := l.prepare(ctx, tables); err != nil {
		err = l.fail(ctx, err)
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// named is a table with its keyspace, as statements have it.
func (l *link) named(ending string) string {
	return quote(l.options.Keyspace) + "." + quote(l.options.Prefix+ending)
}

// begin begins a call, which ends with the context of the caller, after limit and
// with Close. It is an error if that makes no sense any more.
func (l *link) begin(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc, error) {
	if l.open.Err() != nil || ctx.Err() != nil {
		return nil, nil, l.fail(ctx, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(l.open, cancel)
	return ctx, func() {
		stop()
		cancel()
	}, nil
}

// fail names the place of an error, or says that it is not the store's.
func (l *link) fail(ctx context.Context, err error) error {
	switch {
	case l.open.Err() != nil:
		return fmt.Errorf("%s: %w", l.what, storage.ErrClosed)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", l.place, ctx.Err())
	case errors.Is(err, gocql.ErrNoConnections):
		return fmt.Errorf("%s: %w", l.place, l.session.faults.explain(err))
	}
	return fmt.Errorf("%s: %w", l.place, cause(err))
}

// Close ends all connections, and the calls that are under way. Later calls are
// ErrClosed.
func (l *link) Close() error {
	if l.open.Err() == nil {
		l.end()
		l.session.Close()
	}
	return nil
}
