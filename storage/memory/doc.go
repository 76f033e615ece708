// Package memory keeps everything in the memory of this process. It is the
// reference implementation of the contracts in package storage, and the default
// on one box for the adapter, the cache and the rate limiter. What it holds is
// gone when the process ends, and every store is bounded.
//
// Nothing here runs while nothing happens: expired entries are removed by the
// calls that follow, and waiting jobs share one timer.
package memory

import "github.com/sockudo/caddy-sockudo/storage"

var (
	_ storage.AppManager  = (*AppManager)(nil)
	_ storage.Adapter     = (*Local)(nil)
	_ storage.Cache       = (*Cache)(nil)
	_ storage.RateLimiter = (*RateLimiter)(nil)
	_ storage.Queue       = (*Queue)(nil)
	_ storage.Enqueuer    = (*Queue)(nil)
	_ storage.DeadLetters = (*Queue)(nil)
	_ storage.Drainer     = (*Queue)(nil)
	_ storage.Handover    = (*Queue)(nil)
	_ storage.Adopter     = (*Queue)(nil)
	_ storage.PushStore   = (*PushStore)(nil)
)
