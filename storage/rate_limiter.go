package storage

import (
	"context"
	"time"
)

// RateLimiter counts events per key in fixed windows and holds leases of
// concurrent use.
type RateLimiter interface {
	// Allow counts n events on key against limit in a window that starts with its
	// first event. The limit-th event is allowed, the next is not. A refused call
	// counts nothing.
	Allow(ctx context.Context, key string, n, limit int, window time.Duration) (RateDecision, error)
	// Acquire takes one of limit slots on key. holder names the slot; taking it
	// again changes nothing. ok is false when all slots are taken.
	Acquire(ctx context.Context, key, holder string, limit int) (ok bool, err error)
	// Release gives the slot of holder back. An unknown holder is no error.
	Release(ctx context.Context, key, holder string) error
	Close() error
}

// RateDecision is the answer of RateLimiter.Allow.
type RateDecision struct {
	Allowed bool
	// Limit is the limit that was asked for.
	Limit int
	// Remaining is what is left in the window after this call.
	Remaining int
	// Reset is the time until the window ends.
	Reset time.Duration
}
