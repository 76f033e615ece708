package storage

import (
	"context"
	"time"
)

// RateLimiter counts events per key in windows and holds slots of concurrent use.
//
// The windows of a driver either are fixed or slide, and it says which. A fixed
// window starts with its first event and ends after its length, so that twice the
// limit may pass in little time around its end. A sliding window is the time before
// now: no more events than the limit pass in any time of its length. An event may
// count for up to a 64th of the length longer than that.
type RateLimiter interface {
	// Allow counts n events on key against limit in a window. The limit-th event is
	// allowed, the next is not. A refused call counts nothing.
	Allow(ctx context.Context, key string, n, limit int, window time.Duration) (RateDecision, error)
	// Acquire takes one of limit slots on key. holder names the slot; taking it
	// again changes nothing. ok is false when all slots are taken. A slot is held until
	// it is given back. Where nodes share slots, those of a node that is gone without a
	// word are free again after a while, and those of one that lives never.
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
	// Reset is the time until there is more, if nobody else comes: after a refused call
	// until it would be allowed, or if it never will be, and after an allowed one, until
	// nothing is counted any more.
	Reset time.Duration
}
