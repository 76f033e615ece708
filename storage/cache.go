package storage

import (
	"context"
	"time"
)

// Cache keeps values for a bounded time. Every call honours its own ttl, and an
// implementation is bounded in bytes or entries. Keys are at most 1 KiB.
//
// A missing or expired key is ErrNotFound.
type Cache interface {
	Get(ctx context.Context, key string) ([]byte, error)
	// TTL is the time left before key expires.
	TTL(ctx context.Context, key string) (time.Duration, error)
	// Set stores value, whatever was there. ttl must be positive.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// SetIfAbsent stores value and reports true, or changes nothing and reports false.
	SetIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	// CompareAndSwap stores value if the current one equals old, and reports whether it did.
	CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error)
	// CompareAndDelete removes key if its value equals old, and reports whether it did.
	CompareAndDelete(ctx context.Context, key string, old []byte) (bool, error)
	// Delete removes key. A missing key is no error.
	Delete(ctx context.Context, key string) error
	Close() error
}
