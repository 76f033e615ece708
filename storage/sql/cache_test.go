package sql

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openCache(t *testing.T, path string, o CacheOptions) *Cache {
	t.Helper()
	c, err := OpenCache(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCacheSuite(t *testing.T) {
	storagetest.Engine(t, engineOf(t, servers(t)[SQLite]))
	storagetest.TestCache(t, func(t *testing.T) storage.Cache {
		return openCache(t, filepath.Join(t.TempDir(), "cache.db"), CacheOptions{MaxBytes: 1 << 20})
	})
}

func TestCacheOutlivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	c := openCache(t, path, CacheOptions{})
	if err := errors.Join(c.Set(t.Context(), "a", []byte("1"), time.Hour), c.Set(t.Context(), "b", []byte("2"), 20*time.Millisecond), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, path, CacheOptions{})
	if v, err := c.Get(t.Context(), "a"); err != nil || string(v) != "1" {
		t.Errorf("after opening again: %q, %v", v, err)
	}
	until(t, "expiry", func() bool {
		_, err := c.Get(t.Context(), "b")
		return errors.Is(err, storage.ErrNotFound)
	})
}

func TestCacheIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	c := openCache(t, path, CacheOptions{MaxEntries: 50, MaxBytes: 2000})
	for n := range 200 {
		if err := c.Set(t.Context(), fmt.Sprint("key-", n), make([]byte, 10+n%20), time.Duration(n+1)*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var entries int
	var bytes int64
	if err := c.db.QueryRow("SELECT COUNT(*), SUM(LENGTH(key) + LENGTH(value)) FROM cache_values").Scan(&entries, &bytes); err != nil {
		t.Fatal(err)
	}
	if entries > 50 || bytes > 2000 || entries < 20 {
		t.Errorf("%d values of %d bytes are kept", entries, bytes)
	}
	if _, err := c.Get(t.Context(), "key-199"); err != nil {
		t.Errorf("the one that lives longest is gone: %v", err)
	}
	if c.entries != entries || c.bytes != bytes {
		t.Errorf("counted are %d values of %d bytes, there are %d of %d", c.entries, c.bytes, entries, bytes)
	}
}
