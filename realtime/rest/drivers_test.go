package rest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// brokenCache fails the calls that its switches say.
type brokenCache struct {
	storage.Cache
	claims, reads, writes atomic.Bool
	// sets counts what was stored under a claim.
	sets atomic.Int32
	// given are the values of those, wanted what they were at the time.
	given  [][]byte
	wanted []string
}

func (c *brokenCache) SetIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if c.claims.Load() {
		return false, errBackend
	}
	return c.Cache.SetIfAbsent(ctx, key, value, ttl)
}

func (c *brokenCache) Get(ctx context.Context, key string) ([]byte, error) {
	if c.reads.Load() {
		return nil, errBackend
	}
	return c.Cache.Get(ctx, key)
}

func (c *brokenCache) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	c.sets.Add(1)
	c.given = append(c.given, value)
	c.wanted = append(c.wanted, string(value))
	if c.writes.Load() {
		return false, errBackend
	}
	return c.Cache.CompareAndSwap(ctx, key, old, value, ttl)
}

// gate is an adapter that can fail, or hold publishes until it is opened.
type gate struct {
	storage.Adapter
	fail  atomic.Bool
	held  chan struct{} // nil lets everything pass
	count atomic.Int32
}

func (g *gate) Publish(ctx context.Context, e *protocol.Envelope) error {
	g.count.Add(1)
	if g.held != nil {
		<-g.held
	}
	if g.fail.Load() {
		return errBackend
	}
	return g.Adapter.Publish(ctx, e)
}

// brokenApps cannot tell whether an app exists.
type brokenApps struct{ storage.AppManager }

func (brokenApps) AppByKey(context.Context, string) (*storage.App, error) { return nil, errBackend }
func (brokenApps) AppByID(context.Context, string) (*storage.App, error)  { return nil, errBackend }
func (brokenApps) Apps(context.Context) ([]*storage.App, error)           { return nil, errBackend }

// brokenLimiter is a rate limiter whose store is down.
type brokenLimiter struct{ storage.RateLimiter }

func (brokenLimiter) Allow(context.Context, string, int, int, time.Duration) (storage.RateDecision, error) {
	return storage.RateDecision{}, errBackend
}

// longWindows makes seconds minutes, so that a slow machine sees the same limits.
type longWindows struct{ storage.RateLimiter }

func (l longWindows) Allow(ctx context.Context, key string, n, limit int, window time.Duration) (storage.RateDecision, error) {
	return l.RateLimiter.Allow(ctx, key, n, limit, window*60)
}

// The checked drivers answer Check with check.
type (
	checkedAdapter struct {
		storage.Adapter
		check func(context.Context) error
	}
	checkedCache struct {
		storage.Cache
		check func(context.Context) error
	}
	checkedQueue struct {
		storage.Queue
		check func(context.Context) error
	}
	checkedApps struct {
		storage.AppManager
		check func(context.Context) error
	}
)

func (d checkedAdapter) Check(ctx context.Context) error { return d.check(ctx) }
func (d checkedCache) Check(ctx context.Context) error   { return d.check(ctx) }
func (d checkedQueue) Check(ctx context.Context) error   { return d.check(ctx) }
func (d checkedApps) Check(ctx context.Context) error    { return d.check(ctx) }

// checkedLimiter is a rate limiter that answers Check with an error.
type checkedLimiter struct{ storage.RateLimiter }

func (checkedLimiter) Check(context.Context) error { return errBackend }

// keeper keeps the envelopes that it has carried.
type keeper struct {
	storage.Adapter
	kept []*protocol.Envelope
}

func (k *keeper) Publish(ctx context.Context, e *protocol.Envelope) error {
	k.kept = append(k.kept, e)
	return k.Adapter.Publish(ctx, e)
}
