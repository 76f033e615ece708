package memory

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func set(t *testing.T, c *Cache, key, value string, ttl time.Duration) {
	t.Helper()
	if err := c.Set(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatal(err)
	}
}

// holds checks which keys are there, those of streams in capitals, without using them,
// and that the books are right.
func holds(t *testing.T, c *Cache, want string) {
	t.Helper()
	var got []string
	for key := range strings.SplitSeq("abcdefghABCDEFGH", "") {
		if c.entries[key] != nil || c.streams[key] != nil {
			got = append(got, key)
		}
	}
	if text := strings.Join(got, ""); text != want {
		t.Errorf("cache holds %q, want %q", text, want)
	}
	var size int64
	for _, e := range c.expiry.items {
		size += e.size()
		if s := e.stream; s != nil {
			if !e.at.Equal(s.next()) {
				t.Errorf("stream %s ends at %v, and its deadline is %v", e.key, s.next(), e.at)
			}
			sum := 0
			for _, entry := range s.entries {
				sum += len(entry)
			}
			if sum != s.bytes {
				t.Errorf("stream %s has %d bytes, but counted %d", e.key, sum, s.bytes)
			}
		}
	}
	if n := len(c.entries) + len(c.streams); c.bytes != size || c.expiry.Len() != n || c.recent.Len() != n {
		t.Errorf("%d entries of %d bytes, but counted %d bytes, %d deadlines, %d in use", n, size, c.bytes, c.expiry.Len(), c.recent.Len())
	}
}

func TestCacheEvictsLeastRecentlyUsed(t *testing.T) {
	c := NewCache(CacheOptions{MaxEntries: 3})
	set(t, c, "a", "1", time.Hour)
	set(t, c, "b", "1", time.Minute) // expires sooner than a, but is used
	set(t, c, "c", "1", time.Hour)
	if _, err := c.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	set(t, c, "b", "2", time.Minute)
	set(t, c, "d", "1", time.Second)
	holds(t, c, "abd")
	if _, err := c.TTL(t.Context(), "a"); err != nil { // no use
		t.Fatal(err)
	}
	set(t, c, "e", "1", time.Hour)
	holds(t, c, "bde")
}

func TestCacheEvictsExpiredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheOptions{MaxEntries: 3})
		set(t, c, "a", "1", time.Hour)
		set(t, c, "b", "1", time.Minute)
		set(t, c, "c", "1", time.Hour)
		time.Sleep(time.Minute)
		set(t, c, "d", "1", time.Hour)
		holds(t, c, "acd")
	})
}

func TestCacheBoundsBytes(t *testing.T) {
	c := NewCache(CacheOptions{MaxBytes: 10})
	set(t, c, "a", "12", time.Hour)
	set(t, c, "b", "12", time.Hour)
	set(t, c, "c", "12", time.Hour)
	holds(t, c, "abc")
	set(t, c, "b", "1234567", time.Hour) // grows by 5, so that a and c must go
	holds(t, c, "b")
	set(t, c, "b", "", time.Hour)
	set(t, c, "d", "12345678", time.Hour)
	holds(t, c, "bd")
	set(t, c, "e", "123456789", time.Hour)
	holds(t, c, "e")
	if err := c.Set(t.Context(), "f", []byte("1234567890"), time.Hour); !errors.Is(err, storage.ErrFull) {
		t.Errorf("a value that does not fit: %v", err)
	}
	holds(t, c, "e")
	if err := c.Delete(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	holds(t, c, "")
}

func TestCacheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheOptions{})
		for i := range 1000 {
			set(t, c, fmt.Sprint(i), "1", time.Second)
		}
		time.Sleep(time.Second)
		for i := range 1000/sweepPerWrite + 1 {
			set(t, c, "a", fmt.Sprint(i), time.Hour)
		}
		if len(c.entries) != 1 {
			t.Errorf("%d entries are left, want 1", len(c.entries))
		}
		holds(t, c, "a")
	})
}

// The time to live is exact when nothing is rounded.
func TestCacheExpiryIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheOptions{})
		set(t, c, "a", "1", time.Second)
		time.Sleep(time.Second - 1)
		if left, err := c.TTL(t.Context(), "a"); left != 1 || err != nil {
			t.Errorf("TTL = %v, %v; want 1ns", left, err)
		}
		time.Sleep(1 * time.Nanosecond)
		if _, err := c.Get(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Get of an expired key: %v", err)
		}
		holds(t, c, "")
	})
}

func TestCacheSetOptions(t *testing.T) {
	c := NewCache(CacheOptions{})
	for _, key := range []string{"a", "b", "c", "d"} {
		set(t, c, key, "1", time.Hour)
	}
	c.SetOptions(CacheOptions{MaxEntries: 3})
	holds(t, c, "bcd")
	c.SetOptions(CacheOptions{MaxBytes: 4})
	holds(t, c, "cd")
}

func TestCacheRefusesLongKeys(t *testing.T) {
	c := NewCache(CacheOptions{})
	key := strings.Repeat("k", maxCacheKey+1)
	if err := c.Set(t.Context(), key, nil, time.Hour); err == nil {
		t.Error("Set of a key of 1025 bytes: no error")
	}
	if _, err := c.Get(t.Context(), key); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get of a key of 1025 bytes: %v", err)
	}
}

func TestCacheDefaults(t *testing.T) {
	c := NewCache(CacheOptions{})
	value := bytes.Repeat([]byte("v"), 1<<20)
	for i := range 80 {
		if err := c.Set(t.Context(), fmt.Sprint(i), value, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if c.bytes > 64<<20 || c.bytes < 62<<20 {
		t.Errorf("cache holds %d bytes, want about 64 MiB", c.bytes)
	}
	for i := range 11000 {
		set(t, c, fmt.Sprint(i), "v", time.Hour)
	}
	if len(c.entries) != 10000 {
		t.Errorf("cache holds %d entries, want 10000", len(c.entries))
	}
}
