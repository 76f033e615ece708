package memory

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	defaultCacheEntries = 10000
	defaultCacheBytes   = 64 << 20

	// maxCacheKey is the longest key, in bytes, that the contract admits.
	maxCacheKey = 1024
	// sweepPerWrite is how many expired entries one write removes at most. Anything
	// above one outpaces the writes; more would make one caller pay for all.
	sweepPerWrite = 16
)

// CacheOptions bounds a Cache.
type CacheOptions struct {
	// MaxEntries is the number of keys, of values and of streams. Zero means 10000.
	MaxEntries int
	// MaxBytes is the size of all keys, values and streams, in bytes. Zero means 64 MiB.
	// One value that does not fit is ErrFull.
	MaxBytes int64
}

func (o CacheOptions) withDefaults() CacheOptions {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultCacheEntries
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultCacheBytes
	}
	return o
}

// Cache is a bounded map with a time to live per entry. An entry is a value or a
// stream.
//
// A full cache first drops what has expired, then the least recently used entry.
// Dropping what expires soonest instead would hit the short-lived entries that
// matter most: among last events kept for an hour, the marker of an idempotent
// publish would be the next victim the moment it is written.
type Cache struct {
	mu      sync.Mutex
	options CacheOptions
	entries map[string]*cacheEntry // the values
	streams map[string]*cacheEntry
	expiry  deadlines[*cacheEntry]
	recent  *list.List // of *cacheEntry, the most recently used first
	bytes   int64
	closed  bool
}

type cacheEntry struct {
	deadline
	key    string
	value  []byte
	stream *stream // in place of a value
	place  *list.Element
}

func (e *cacheEntry) size() int64 {
	size := int64(len(e.key) + len(e.value))
	if e.stream != nil {
		size += e.stream.size()
	}
	return size
}

// NewCache makes an empty cache.
func NewCache(options CacheOptions) *Cache {
	return &Cache{
		options: options.withDefaults(),
		entries: map[string]*cacheEntry{},
		streams: map[string]*cacheEntry{},
		recent:  list.New(),
	}
}

// SetOptions changes the bounds. Entries above them are dropped.
func (c *Cache) SetOptions(options CacheOptions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options = options.withDefaults()
	c.evictLocked()
}

// MaxSize is the size above which a value is refused, in bytes.
func (c *Cache) MaxSize() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options.MaxBytes
}

// Get returns a copy of the value of key.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	if err := c.lock(ctx, key); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	e := c.findLocked(key, time.Now())
	if e == nil {
		return nil, storage.ErrNotFound
	}
	c.recent.MoveToFront(e.place)
	return bytes.Clone(e.value), nil
}

// TTL is the time left before key expires. Asking is no use of the entry.
func (c *Cache) TTL(ctx context.Context, key string) (time.Duration, error) {
	if err := c.lock(ctx, key); err != nil {
		return 0, err
	}
	defer c.mu.Unlock()
	now := time.Now()
	e := c.findLocked(key, now)
	if e == nil {
		return 0, storage.ErrNotFound
	}
	return e.at.Sub(now), nil
}

// Set stores a copy of value.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := c.write(ctx, key, value, ttl, func(*cacheEntry) bool { return true })
	return err
}

// SetIfAbsent stores a copy of value if key is missing.
func (c *Cache) SetIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	return c.write(ctx, key, value, ttl, func(e *cacheEntry) bool { return e == nil })
}

// CompareAndSwap stores a copy of value if the current one equals old. A missing
// key equals nothing.
func (c *Cache) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	return c.write(ctx, key, value, ttl, func(e *cacheEntry) bool { return e != nil && bytes.Equal(e.value, old) })
}

// CompareAndDelete removes key if its value equals old.
func (c *Cache) CompareAndDelete(ctx context.Context, key string, old []byte) (bool, error) {
	if err := c.lock(ctx, key); err != nil {
		return false, err
	}
	defer c.mu.Unlock()
	e := c.findLocked(key, time.Now())
	if e == nil || !bytes.Equal(e.value, old) {
		return false, nil
	}
	c.expiry.remove(e)
	c.dropLocked(e)
	return true, nil
}

// Delete removes key.
func (c *Cache) Delete(ctx context.Context, key string) error {
	if err := c.lock(ctx, key); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.expiry.remove(e)
		c.dropLocked(e)
	}
	return nil
}

// Close drops everything. Later calls are ErrClosed.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.entries, c.streams, c.expiry.items, c.bytes = nil, nil, nil, 0
	c.recent.Init()
	return nil
}

// lock takes the mutex unless it returns an error.
func (c *Cache) lock(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(key) > maxCacheKey {
		return fmt.Errorf("cache key of %d bytes is longer than %d", len(key), maxCacheKey)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("cache: %w", storage.ErrClosed)
	}
	return nil
}

// write stores value if the current entry, nil for none, passes the condition.
func (c *Cache) write(ctx context.Context, key string, value []byte, ttl time.Duration, condition func(*cacheEntry) bool) (bool, error) {
	if ttl <= 0 {
		return false, fmt.Errorf("cache ttl %v must be positive", ttl)
	}
	if err := c.lock(ctx, key); err != nil {
		return false, err
	}
	defer c.mu.Unlock()
	now := time.Now()
	e := c.findLocked(key, now)
	if !condition(e) {
		return false, nil
	}
	size := int64(len(key) + len(value))
	if size > c.options.MaxBytes {
		return false, fmt.Errorf("cache value of %d bytes: %w", len(value), storage.ErrFull)
	}
	c.sweepLocked(now)
	if e == nil {
		e = &cacheEntry{deadline: deadline{at: now.Add(ttl)}, key: key}
		e.place = c.recent.PushFront(e)
		c.entries[key] = e
		c.expiry.add(e)
		c.bytes += e.size()
	} else {
		c.expiry.move(e, now.Add(ttl))
		c.recent.MoveToFront(e.place)
	}
	c.bytes += size - e.size()
	e.value = append(make([]byte, 0, len(value)), value...)
	c.evictLocked()
	return true, nil
}

// findLocked is the live entry of key, or nil. It removes an expired one.
func (c *Cache) findLocked(key string, now time.Time) *cacheEntry {
	e := c.entries[key]
	if e == nil || !e.past(now) {
		return e
	}
	c.expiry.remove(e)
	c.dropLocked(e)
	return nil
}

func (c *Cache) sweepLocked(now time.Time) {
	for range sweepPerWrite {
		e, ok := c.expiry.takePast(now)
		if !ok {
			return
		}
		c.lapseLocked(e, now)
	}
}

// lapseLocked does what the deadline of e is about, which has come and is no longer
// in expiry: the entries of a stream end before it does.
func (c *Cache) lapseLocked(e *cacheEntry, now time.Time) {
	if s := e.stream; s != nil && s.end.After(now) {
		before := e.size()
		s.clear()
		c.bytes += e.size() - before
		e.at = s.end
		c.expiry.add(e)
		return
	}
	c.dropLocked(e)
}

// evictLocked brings the cache within its bounds. The entry written last goes
// last, and always fits by itself.
func (c *Cache) evictLocked() {
	for len(c.entries)+len(c.streams) > c.options.MaxEntries || c.bytes > c.options.MaxBytes {
		// Expired entries go first, beyond what one write sweeps.
		now := time.Now()
		if e, ok := c.expiry.takePast(now); ok {
			c.lapseLocked(e, now)
			continue
		}
		e := c.recent.Back().Value.(*cacheEntry)
		c.expiry.remove(e)
		c.dropLocked(e)
	}
}

// dropLocked forgets an entry that is no longer in expiry.
func (c *Cache) dropLocked(e *cacheEntry) {
	if e.stream != nil {
		delete(c.streams, e.key)
	} else {
		delete(c.entries, e.key)
	}
	c.recent.Remove(e.place)
	c.bytes -= e.size()
}
