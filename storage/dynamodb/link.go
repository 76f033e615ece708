package dynamodb

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// callTimeout bounds one call with all that it asks for, but for those that go
// through many items, where it bounds each step.
const callTimeout = 10 * time.Second

// link is a table of DynamoDB, and the way to it.
type link struct {
	client *dynamodb.Client
	http   *http.Client
	what   string // keeps something in the table
	place  string // for errors
	table  string
	closed context.Context // ends with Close
	end    context.CancelFunc
}

// open finds the table, or makes it if there is none, and waits until it can be used,
// at most for OpenTimeout. The options have their defaults.
func (o Options) open(ctx context.Context, what string, s shape) (*link, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	client, connections, err := o.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	l := &link{client: client, http: connections, what: what, place: o.place(), table: o.Table}
	l.closed, l.end = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	if err := l.prepare(ctx, s); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	return l, nil
}

// bounded is the context of something that is asked for: it ends with that of the
// caller, after callTimeout and with Close.
func (l *link) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(l.closed, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// begin begins a call. It is an error if that makes no sense any more.
func (l *link) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if l.closed.Err() != nil || ctx.Err() != nil {
		return nil, nil, l.fail(ctx, ctx.Err())
	}
	ctx, cancel := l.bounded(ctx)
	return ctx, cancel, nil
}

// fail names the place of an error, or says that it is not the store's.
func (l *link) fail(ctx context.Context, err error) error {
	switch {
	case l.closed.Err() != nil:
		return fmt.Errorf("%s: %w", l.what, storage.ErrClosed)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", l.place, ctx.Err())
	}
	return fmt.Errorf("%s: %w", l.place, cause(err))
}

// Check asks about the table, which needs no right to its content.
func (l *link) Check(ctx context.Context) error {
	if l.closed.Err() != nil || ctx.Err() != nil {
		return l.fail(ctx, ctx.Err())
	}
	table, err := l.describe(ctx)
	if err != nil {
		return l.fail(ctx, err)
	}
	switch {
	case table == nil:
		return fmt.Errorf("%s: the table is gone", l.place)
	case table.TableStatus != types.TableStatusActive && table.TableStatus != types.TableStatusUpdating:
		return fmt.Errorf("%s: the table is %s", l.place, table.TableStatus)
	}
	return nil
}

// Close ends all connections, and the calls that are under way. Later calls are
// ErrClosed.
func (l *link) Close() error {
	l.end()
	l.http.CloseIdleConnections()
	return nil
}
