package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// brief is a time to live that tests wait for.
const brief = 300 * time.Millisecond

// wantLife waits until something is over, and checks that it took the brief time.
func wantLife(t *testing.T, what string, start time.Time, over func() bool) {
	t.Helper()
	eventually(t, "end of "+what, over)
	if lived := time.Since(start); lived < brief-rounding || lived > brief+patience/2 {
		t.Errorf("%s lived %v, want %v", what, lived, brief)
	}
}

// inTime does something within the brief time, on another key if it took longer.
func inTime(t *testing.T, do func(key string)) (key string, start time.Time) {
	t.Helper()
	for range 20 {
		key, start = unique(), time.Now()
		do(key)
		if time.Since(start) < brief-rounding {
			return key, start
		}
	}
	t.Fatalf("two calls take longer than %v", brief)
	return "", start
}

// first is the oldest serial that is kept.
func (n nodes) first(t *testing.T, key string) uint64 {
	t.Helper()
	page, err := n.there.After(t.Context(), key, 0, 0)
	must(t, err)
	return page.First
}

func (n nodes) missing(t *testing.T, key string) bool {
	t.Helper()
	_, err := n.there.After(t.Context(), key, 0, 0)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	return err != nil
}

// Entries go before their stream, whose serials go on.
func streamEntriesExpire(t *testing.T, n nodes) {
	key, b := unique(), ample
	b.TTL = brief
	n.append(t, key, "id", b, "a", "b")
	start := time.Now()
	n.append(t, key, "id", b, "c")
	wantLife(t, "entries", start, func() bool { return n.first(t, key) == 0 })
	n.wantPage(t, key, 0, 10, "id", 3, 0, 0)
	n.wantPage(t, key, 2, 10, "id", 3, 0, 0)
	n.wantHead(t, key, "other", ample, "id", 3)
	// What has expired no longer counts, nor does it come back.
	b.TTL, b.Bytes = time.Minute, 2
	n.append(t, key, "other", b, "d", "e")
	n.wantPage(t, key, 0, 10, "id", 5, 4, 4, "d", "e")
	n.wantPage(t, key, 4, 10, "id", 5, 4, 5, "e")
}

func streamAppendProlongs(t *testing.T, n nodes) {
	b := ample
	b.TTL = brief
	key, start := inTime(t, func(key string) {
		n.append(t, key, "id", b, "a")
		n.append(t, key, "id", ample, "b")
	})
	time.Sleep(time.Until(start.Add(brief + grace)))
	n.wantPage(t, key, 0, 10, "id", 2, 1, 1, "a", "b")
}

// Who reads again and again sees the end all the same.
func streamReadingProlongs(t *testing.T, n nodes) {
	key, b := unique(), ample
	b.TTL, b.StreamTTL = brief, brief
	start := time.Now()
	n.append(t, key, "id", b, "a")
	wantLife(t, "a stream that is read", start, func() bool {
		page, err := n.there.After(t.Context(), key, 0, 10)
		if err == nil && page.Head.Stream != "id" {
			t.Fatalf("the stream has become %v", page.Head)
		}
		return errors.Is(err, storage.ErrNotFound)
	})
}

// A stream that has ended leaves nothing to the next one.
func streamExpires(t *testing.T, n nodes) {
	key, b := unique(), ample
	b.TTL, b.StreamTTL = brief, brief
	start := time.Now()
	n.append(t, key, "one", b, "a", "b", "c")
	n.wantHead(t, key+"unused", "one", b, "one", 0)
	wantLife(t, "a stream", start, func() bool { return n.missing(t, key) })
	wantLife(t, "a stream without entries", start, func() bool { return n.missing(t, key+"unused") })
	n.append(t, key, "two", ample, "d")
	n.wantPage(t, key, 0, 10, "two", 1, 1, 1, "d")
	n.wantHead(t, key+"unused", "two", ample, "two", 0)
}

// Head prolongs the stream, or shortens its life, and does nothing to its entries.
func streamHeadProlongs(t *testing.T, n nodes) {
	b := ample
	b.TTL, b.StreamTTL = brief, brief
	key, start := inTime(t, func(key string) {
		n.append(t, key, "id", b, "a")
		_, err := n.there.Head(t.Context(), key, "other", ample)
		must(t, err)
	})
	wantLife(t, "entries", start, func() bool { return n.first(t, key) == 0 })
	n.wantPage(t, key, 0, 10, "id", 1, 0, 0)
	n.wantHead(t, key, "other", ample, "id", 1)

	// Here the stream goes before its entries, which go with it.
	key = unique()
	n.append(t, key, "one", ample, "a", "b")
	start = time.Now()
	n.wantHead(t, key, "other", b, "one", 2)
	wantLife(t, "a shortened stream", start, func() bool { return n.missing(t, key) })
	n.wantHead(t, key, "two", ample, "two", 0)
	n.wantPage(t, key, 0, 10, "two", 0, 0, 0)
	n.append(t, key, "three", ample, "c")
	n.wantPage(t, key, 0, 10, "two", 1, 1, 1, "c")
}

func streamReset(t *testing.T, n nodes) {
	key := unique()
	n.append(t, key, "one", ample, "a", "b")
	for _, wrong := range []string{"two", "", "one ", "ONE", "o"} {
		must(t, n.here.Reset(t.Context(), key, wrong))
		n.wantPage(t, key, 0, 10, "one", 2, 1, 1, "a", "b")
	}
	must(t, n.here.Reset(t.Context(), key, "one"))
	n.wantNone(t, key)
	must(t, n.here.Reset(t.Context(), key, "one"))
	n.wantHead(t, key, "two", ample, "two", 0)
	n.wantPage(t, key, 0, 10, "two", 0, 0, 0)
	must(t, n.here.Reset(t.Context(), key, "two"))
	n.append(t, key, "three", ample, "c")
	n.wantPage(t, key, 0, 10, "three", 1, 1, 1, "c")
}
