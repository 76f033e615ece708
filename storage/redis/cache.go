package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxCacheKey is the longest key, in bytes, that the contract admits.
	maxCacheKey = 1024
	// defaultValueSize is the largest value unless the options say otherwise.
	defaultValueSize = 16 << 20
)

// CacheOptions say how values are kept.
type CacheOptions struct {
	// Prefix stands before a colon and the key. Empty means "sockudo_cache".
	Prefix string
	// MaxValueSize is the size of the largest value, in bytes. Zero means 16 MiB.
	MaxValueSize int64
}

// Cache keeps each value under a key of its own, which the server lets expire, and
// each stream under two. How much there is in all is bounded by the server's maxmemory.
type Cache struct {
	client *Client
	prefix string
	size   atomic.Int64
}

// OpenCache connects to a server. The logger may be nil.
func OpenCache(ctx context.Context, o Options, c CacheOptions, log *zap.Logger) (*Cache, error) {
	if err := checkTag(c.Prefix); err != nil {
		return nil, err
	}
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	cache := &Cache{client: client, prefix: cmp.Or(c.Prefix, "sockudo_cache") + ":"}
	cache.SetMaxValueSize(c.MaxValueSize)
	if _, err := cache.Get(ctx, ""); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, errors.Join(err, client.Close())
	}
	return cache, nil
}

// SetMaxValueSize changes the size of the largest value. Zero means 16 MiB.
func (c *Cache) SetMaxValueSize(size int64) { c.size.Store(cmp.Or(size, defaultValueSize)) }

// MaxSize is the size above which a value is refused, in bytes.
func (c *Cache) MaxSize() int64 { return c.size.Load() }

// swapValue stores a value if the current one is the one given, and deleteValue
// removes it.
var (
	swapValue = newScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
	deleteValue = newScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

func missingValue(key string) error { return fmt.Errorf("key %q: %w", key, storage.ErrNotFound) }

// Get reads a value.
func (c *Cache) Get(ctx context.Context, key string) (value []byte, err error) {
	err = c.client.call(ctx, func(ctx context.Context) error {
		value, err = c.client.Get(ctx, c.prefix+key).Bytes()
		if errors.Is(err, redis.Nil) {
			return missingValue(key)
		}
		return err
	})
	return value, err
}

// TTL is the time left before key expires.
func (c *Cache) TTL(ctx context.Context, key string) (left time.Duration, err error) {
	err = c.client.call(ctx, func(ctx context.Context) error {
		left, err = c.client.PTTL(ctx, c.prefix+key).Result()
		if err == nil && left < 0 { // there is none, or somebody else's, which never expires
			return missingValue(key)
		}
		return err
	})
	return max(left, 0), err
}

// Set stores value, whatever was there.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.store(ctx, key, value, ttl, func(ctx context.Context) error {
		return c.client.write(ctx, "set", c.prefix+key, value, "px", milliseconds(ttl))
	})
}

// SetIfAbsent stores value and reports true, or changes nothing.
func (c *Cache) SetIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (stored bool, err error) {
	err = c.store(ctx, key, value, ttl, func(ctx context.Context) error {
		err := c.client.write(ctx, "set", c.prefix+key, value, "px", milliseconds(ttl), "nx")
		if errors.Is(err, redis.Nil) {
			return nil
		}
		stored = err == nil
		return err
	})
	return stored && err == nil, err
}

// CompareAndSwap stores value if the current one equals old.
func (c *Cache) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (swapped bool, err error) {
	err = c.store(ctx, key, value, ttl, func(ctx context.Context) error {
		n, err := c.client.run(ctx, swapValue, []string{c.prefix + key}, old, value, milliseconds(ttl))
		swapped = n == int64(1)
		return err
	})
	return swapped && err == nil, err
}

// CompareAndDelete removes key if its value equals old.
func (c *Cache) CompareAndDelete(ctx context.Context, key string, old []byte) (deleted bool, err error) {
	err = c.client.call(ctx, func(ctx context.Context) error {
		n, err := c.client.run(ctx, deleteValue, []string{c.prefix + key}, old)
		deleted = n == int64(1)
		return err
	})
	return deleted && err == nil, err
}

// Delete removes key. A missing key is no error.
func (c *Cache) Delete(ctx context.Context, key string) error {
	return c.client.call(ctx, func(ctx context.Context) error {
		return c.client.write(ctx, "del", c.prefix+key)
	})
}

// store checks what is to be stored. A server without memory is a store that is
// full.
func (c *Cache) store(ctx context.Context, key string, value []byte, ttl time.Duration, do func(ctx context.Context) error) error {
	if ttl <= 0 {
		return fmt.Errorf("key %q: time to live %v is not positive", key, ttl)
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if int64(len(value)) > c.MaxSize() {
		return fmt.Errorf("value of %d bytes: %w", len(value), storage.ErrFull)
	}
	return c.client.call(ctx, do)
}

func checkKey(key string) error {
	if len(key) > maxCacheKey {
		return fmt.Errorf("key of %d bytes is longer than %d", len(key), maxCacheKey)
	}
	return nil
}

// milliseconds is a time to live in the server's unit, of which there is at least
// one.
func milliseconds(d time.Duration) int64 { return max(1, d.Milliseconds()) }

// Check asks the server, of a cluster every master.
func (c *Cache) Check(ctx context.Context) error { return c.client.check(ctx, c.prefix) }

// Close gives the connections back. The values stay.
func (c *Cache) Close() error { return c.client.Close() }

var (
	_ storage.Cache   = (*Cache)(nil)
	_ storage.Checker = (*Cache)(nil)
)
