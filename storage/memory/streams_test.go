package memory

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// bounds are ample.
var bounds = storage.StreamBounds{Entries: 1000, Bytes: 1 << 20, TTL: time.Minute, StreamTTL: time.Hour}

func add(t *testing.T, c *Cache, key string, entries ...string) (at storage.StreamPosition) {
	t.Helper()
	for _, entry := range entries {
		var err error
		if at, err = c.Append(t.Context(), key, "id", []byte(entry), bounds); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// wantSerials checks where a stream stands, and which entries it has.
func wantSerials(t *testing.T, c *Cache, key string, first, last uint64) {
	t.Helper()
	page, err := c.After(t.Context(), key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	if first > 0 {
		kept = int(last - first + 1)
	}
	if page.Head.Serial != last || page.First != first || len(page.Entries) != kept {
		t.Errorf("stream %s: head %v, first %d, %d entries; want entries %d to %d", key, page.Head, page.First, len(page.Entries), first, last)
	}
}

// A stream is one entry of the cache, whose use is to append, to ask where it stands
// and to read.
func TestStreamsAreEvicted(t *testing.T) {
	c := NewCache(CacheOptions{MaxEntries: 3})
	add(t, c, "A", "1", "2", "3", "4")
	set(t, c, "b", "1", time.Hour)
	add(t, c, "C", "1")
	holds(t, c, "bAC")
	add(t, c, "A", "5")
	add(t, c, "D", "1") // in place of b
	holds(t, c, "ACD")
	if _, err := c.Head(t.Context(), "C", "other", bounds); err != nil {
		t.Fatal(err)
	}
	wantSerials(t, c, "A", 1, 5)
	set(t, c, "e", "1", time.Hour) // in place of D
	holds(t, c, "eAC")
	set(t, c, "f", "1", time.Hour) // in place of C
	holds(t, c, "efA")
	if at, err := c.Head(t.Context(), "C", "new", bounds); err != nil || at != (storage.StreamPosition{Stream: "new"}) {
		t.Errorf("Head of a stream that was dropped: %v, %v", at, err)
	}
	holds(t, c, "efC")
	if err := c.Reset(t.Context(), "C", "new"); err != nil {
		t.Fatal(err)
	}
	holds(t, c, "ef")
}

func TestStreamsCountBytes(t *testing.T) {
	const each = entryCost + 10
	c := NewCache(CacheOptions{MaxBytes: 3 + 5*each}) // "A", "id" and five entries
	set(t, c, "b", "", time.Hour)
	add(t, c, "A", strings.Repeat("x", 10), strings.Repeat("x", 10), strings.Repeat("x", 10))
	holds(t, c, "bA")
	set(t, c, "c", strings.Repeat("x", 2*each-2), time.Hour)
	holds(t, c, "bcA")
	add(t, c, "A", "") // in place of b and c
	holds(t, c, "A")
	add(t, c, "A", strings.Repeat("x", 10))
	wantSerials(t, c, "A", 1, 5)
	// A stream alone keeps to the bound of the cache too.
	add(t, c, "A", strings.Repeat("x", 20))
	holds(t, c, "A")
	wantSerials(t, c, "A", 2, 6)
	add(t, c, "A", strings.Repeat("x", 5*each-entryCost))
	holds(t, c, "A")
	wantSerials(t, c, "A", 7, 7)
	for _, key := range []string{"A", "B"} {
		if _, err := c.Append(t.Context(), key, "id", make([]byte, 5*each-entryCost+1), bounds); !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("Append of an entry that does not fit: %v", err)
		}
	}
	if _, err := c.Head(t.Context(), "B", strings.Repeat("i", 5*each+3), bounds); !errors.Is(err, storage.ErrFull) {
		t.Errorf("Head of a stream that does not fit: %v", err)
	}
	holds(t, c, "A")
	wantSerials(t, c, "A", 7, 7)
}

func TestStreamsSetOptions(t *testing.T) {
	c := NewCache(CacheOptions{})
	for i := range 100 {
		add(t, c, "A", fmt.Sprint(i))
	}
	add(t, c, "B", "1")
	c.SetOptions(CacheOptions{MaxBytes: 100})
	holds(t, c, "B")
	add(t, c, "A", "1")
	wantSerials(t, c, "A", 1, 1)
	c.SetOptions(CacheOptions{MaxEntries: 1})
	holds(t, c, "A")
}

// Entries and streams end exactly in time, and what has ended is no longer held even
// if nobody asks for it.
func TestStreamExpiryIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheOptions{})
		add(t, c, "A", "1", "2")
		time.Sleep(time.Minute - 1)
		wantSerials(t, c, "A", 1, 2)
		time.Sleep(1 * time.Nanosecond)
		set(t, c, "b", "1", 24*time.Hour)
		holds(t, c, "bA")
		if size := c.streams["A"].size(); size != int64(len("A")+len("id")) {
			t.Errorf("a stream without entries takes %d bytes", size)
		}
		wantSerials(t, c, "A", 0, 2)
		add(t, c, "A", "3")
		time.Sleep(time.Minute)
		wantSerials(t, c, "A", 0, 3)
		time.Sleep(time.Hour - time.Minute - 1)
		wantSerials(t, c, "A", 0, 3)
		holds(t, c, "bA")
		time.Sleep(1 * time.Nanosecond)
		if _, err := c.After(t.Context(), "A", 0, 1); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("After of an expired stream: %v", err)
		}
		holds(t, c, "b")
	})
}

// Expired entries of a stream go before anything that lives.
func TestStreamsEvictExpiredEntriesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheOptions{MaxBytes: 1000})
		set(t, c, "b", strings.Repeat("x", 400), time.Hour)
		add(t, c, "A", strings.Repeat("x", 400))
		time.Sleep(time.Minute)
		set(t, c, "c", strings.Repeat("x", 400), time.Hour)
		holds(t, c, "bcA")
		c.SetOptions(CacheOptions{MaxBytes: 900})
		holds(t, c, "bcA")
		wantSerials(t, c, "A", 0, 1)
		time.Sleep(time.Hour)
		set(t, c, "d", "", time.Hour)
		holds(t, c, "d")
	})
}

func TestStreamsOfClosedCache(t *testing.T) {
	c := NewCache(CacheOptions{})
	add(t, c, "A", "1")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, c, "")
}

func benchStream(b *testing.B) *Cache {
	b.Helper()
	c := NewCache(CacheOptions{})
	bounds := bounds
	bounds.Entries = 100
	for range 200 {
		if _, err := c.Append(b.Context(), "k", "id", make([]byte, 300), bounds); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// BenchmarkStreamAppend adds entries of 300 bytes to a stream that keeps 100.
func BenchmarkStreamAppend(b *testing.B) {
	c, entry, bounds := benchStream(b), make([]byte, 300), bounds
	bounds.Entries = 100
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Append(b.Context(), "k", "id", entry, bounds); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreamAfter reads 100 entries of 300 bytes.
func BenchmarkStreamAfter(b *testing.B) {
	c := benchStream(b)
	b.ReportAllocs()
	for b.Loop() {
		if page, err := c.After(b.Context(), "k", 0, 100); err != nil || len(page.Entries) != 100 {
			b.Fatal(len(page.Entries), err)
		}
	}
}
