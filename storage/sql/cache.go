package sql

import (
	"cmp"
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxCacheKey is the longest key, in bytes, that the contract admits.
const maxCacheKey = 1024

// CacheOptions bounds a Cache.
type CacheOptions struct {
	// MaxEntries is the number of values; above it those that would expire soonest
	// are dropped. Zero means 100000.
	MaxEntries int
	// MaxBytes is the size of all keys and values, in bytes. Zero means 64 MiB.
	MaxBytes int64
}

func (o CacheOptions) withDefaults() CacheOptions {
	o.MaxEntries, o.MaxBytes = cmp.Or(o.MaxEntries, 100000), cmp.Or(o.MaxBytes, 64<<20)
	return o
}

// Cache keeps values in an SQLite file, so that they outlive the process. Expired
// ones are removed by the calls that follow.
type Cache struct {
	db     *stdsql.DB
	writer *writer
	place  string
	now    func() time.Time

	mu      sync.Mutex
	options CacheOptions
	closed  bool

	// What follows is the writer's.
	entries int
	bytes   int64
}

// OpenCache opens the cache in an SQLite file, which is made if there is none.
func OpenCache(ctx context.Context, path string, options CacheOptions) (*Cache, error) {
	// A value that is lost with the power is no worse than one that has expired.
	o := Options{Dialect: SQLite, Path: path, Relaxed: true}.withDefaults()
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Cache{db: db, place: o.place(), now: time.Now, options: options.withDefaults()}
	if err := upgrade(ctx, db, "cache"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.place, err), db.Close())
	}
	err = db.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(LENGTH(CAST(key AS BLOB)) + LENGTH(value)), 0) FROM cache_values").Scan(&c.entries, &c.bytes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.place, err), db.Close())
	}
	c.writer = startWriter(db, c.place, commitTimeout)
	return c, nil
}

// SetOptions changes the bounds.
func (c *Cache) SetOptions(options CacheOptions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options = options.withDefaults()
}

func (c *Cache) optionsNow() CacheOptions {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options
}

// MaxSize is the size above which a value is refused, in bytes.
func (c *Cache) MaxSize() int64 { return c.optionsNow().MaxBytes - maxCacheKey }

func (c *Cache) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("cache: %w", storage.ErrClosed)
	}
	return nil
}

// Get reads a value.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	value, _, err := c.read(ctx, key)
	return value, err
}

// TTL is the time left before key expires.
func (c *Cache) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, left, err := c.read(ctx, key)
	return left, err
}

func (c *Cache) read(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	if err := c.usable(ctx); err != nil {
		return nil, 0, err
	}
	now := c.now()
	var expires int64
	err = c.db.QueryRowContext(ctx, "SELECT value, expires FROM cache_values WHERE key = ? AND expires > ?", key, now.UnixMilli()).Scan(&value, &expires)
	switch {
	case errors.Is(err, stdsql.ErrNoRows):
		return nil, 0, fmt.Errorf("key %q: %w", key, storage.ErrNotFound)
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case err != nil:
		return nil, 0, errors.Join(c.usable(ctx), fmt.Errorf("%s: %w", c.place, err))
	}
	return value, time.UnixMilli(expires).Sub(now), nil
}

// Set stores value, whatever was there.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := c.store(ctx, key, value, ttl, func([]byte, bool) bool { return true })
	return err
}

// SetIfAbsent stores value and reports true, or changes nothing.
func (c *Cache) SetIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	return c.store(ctx, key, value, ttl, func(_ []byte, there bool) bool { return !there })
}

// CompareAndSwap stores value if the current one equals old.
func (c *Cache) CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (bool, error) {
	return c.store(ctx, key, value, ttl, func(current []byte, there bool) bool { return there && string(current) == string(old) })
}

// store writes a value if the one that is there lets it.
func (c *Cache) store(ctx context.Context, key string, value []byte, ttl time.Duration, let func(current []byte, there bool) bool) (stored bool, err error) {
	size := int64(len(key) + len(value))
	switch {
	case ttl <= 0:
		return false, fmt.Errorf("key %q: time to live %v is not positive", key, ttl)
	case len(key) > maxCacheKey:
		return false, fmt.Errorf("key of %d bytes is longer than %d", len(key), maxCacheKey)
	case int64(len(value)) > c.MaxSize():
		return false, fmt.Errorf("value of %d bytes: %w", len(value), storage.ErrFull)
	}
	entries, bytes := 0, int64(0)
	err = c.change(ctx, size, func(tx *transaction) error {
		stored, entries, bytes = false, 0, 0
		now := c.now()
		current, expires, there, err := currentValue(tx, key)
		if err != nil || !let(current, there && expires > now.UnixMilli()) {
			return err
		}
		stored, entries, bytes = true, 1, size
		if there {
			entries, bytes = 0, size-int64(len(key)+len(current))
		}
		_, err = tx.exec("INSERT OR REPLACE INTO cache_values (key, value, expires) VALUES (?, ?, ?)", key, blob(value), now.Add(ttl).UnixMilli())
		if err != nil {
			return err
		}
		dropped, freed, err := c.makeRoom(tx, key, now, c.entries+tx.jobs+entries, c.bytes+tx.bytes+bytes)
		entries, bytes = entries-dropped, bytes-freed
		tx.jobs, tx.bytes = tx.jobs+entries, tx.bytes+bytes
		return err
	}, func() { c.entries, c.bytes = c.entries+entries, c.bytes+bytes })
	return stored && err == nil, err
}

func currentValue(tx *transaction, key string) (value []byte, expires int64, there bool, err error) {
	there, err = tx.one([]any{&value, &expires}, "SELECT value, expires FROM cache_values WHERE key = ?", key)
	return value, expires, there, err
}

// makeRoom drops some expired values, and others while there are too many: those
// that would expire soonest, but not the one of key.
func (c *Cache) makeRoom(tx *transaction, key string, now time.Time, entries int, bytes int64) (dropped int, freed int64, err error) {
	drop := func(where string, args ...any) (n int, err error) {
		err = tx.query(func(scan func(...any) error) error {
			var size int64
			err := scan(&size)
			dropped, n, freed = dropped+1, n+1, freed+size
			return err
		}, "DELETE FROM cache_values WHERE key IN (SELECT key FROM cache_values WHERE "+where+") RETURNING LENGTH(CAST(key AS BLOB)) + LENGTH(value)", args...)
		return n, err
	}
	if _, err = drop("expires <= ? AND key <> ? ORDER BY expires LIMIT 4", now.UnixMilli(), key); err != nil {
		return dropped, freed, err
	}
	for o := c.optionsNow(); entries-dropped > o.MaxEntries || bytes-freed > o.MaxBytes; {
		n, err := drop("key <> ? ORDER BY expires LIMIT 8", key)
		if err != nil || n == 0 {
			return dropped, freed, err
		}
	}
	return dropped, freed, nil
}

// CompareAndDelete removes key if its value equals old.
func (c *Cache) CompareAndDelete(ctx context.Context, key string, old []byte) (bool, error) {
	return c.remove(ctx, key, func(current []byte) bool { return string(current) == string(old) })
}

// Delete removes key. A missing key is no error.
func (c *Cache) Delete(ctx context.Context, key string) error {
	_, err := c.remove(ctx, key, func([]byte) bool { return true })
	return err
}

func (c *Cache) remove(ctx context.Context, key string, let func(current []byte) bool) (removed bool, err error) {
	var size int64
	gone := 0
	err = c.change(ctx, int64(len(key)), func(tx *transaction) error {
		removed, gone, size = false, 0, 0
		current, expires, there, err := currentValue(tx, key)
		alive := there && expires > c.now().UnixMilli()
		if err != nil || !there || alive && !let(current) {
			return err
		}
		removed, gone, size = alive, 1, int64(len(key)+len(current))
		tx.jobs, tx.bytes = tx.jobs-1, tx.bytes-size
		_, err = tx.exec("DELETE FROM cache_values WHERE key = ?", key)
		return err
	}, func() { c.entries, c.bytes = c.entries-gone, c.bytes-size })
	return removed && err == nil, err
}

func (c *Cache) change(ctx context.Context, size int64, do func(*transaction) error, committed func()) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	return c.writer.change(ctx, size, do, committed)
}

// Check asks the file.
func (c *Cache) Check(ctx context.Context) error {
	_, _, err := c.read(ctx, "")
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// Close lets go of the file. The values stay in it.
func (c *Cache) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.writer.close()
	return c.db.Close()
}

var (
	_ storage.Cache   = (*Cache)(nil)
	_ storage.Checker = (*Cache)(nil)
)
