package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// nodes are two holds on the streams of one store.
type nodes struct {
	caches []storage.Cache
	here   storage.Streams
	there  storage.Streams
}

func (n nodes) Close() error {
	var failed error
	for _, c := range n.caches {
		if err := c.Close(); err != nil {
			failed = err
		}
	}
	return failed
}

// TestStreams checks the streams of a cache against their contract. open gives what
// two nodes have that share a store, which may be the same cache twice. It needs room
// for some hundred keys and 1 MiB.
func TestStreams(t *testing.T, open func(t *testing.T) (here, there storage.Cache)) {
	t.Attr("contract", "streams")
	openNodes := func(t *testing.T) nodes {
		here, there := open(t)
		n := nodes{caches: []storage.Cache{here, there}}
		var ok, too bool
		n.here, ok = here.(storage.Streams)
		n.there, too = there.(storage.Streams)
		if !ok || !too {
			t.Fatalf("%T has no streams", here)
		}
		return n
	}
	runAll(t, openNodes, []subtest[nodes]{
		{"head", streamHead},
		{"missing", streamMissing},
		{"keys are apart", streamKeys},
		{"entries come as they are", streamEntries},
		{"slices are copied", streamCopies},
		{"pages", streamPages},
		{"bound of entries", streamBoundEntries},
		{"bound of bytes", streamBoundBytes},
		{"entries expire", streamEntriesExpire},
		{"appending prolongs all entries", streamAppendProlongs},
		{"reading prolongs nothing", streamReadingProlongs},
		{"the stream expires", streamExpires},
		{"head prolongs the stream", streamHeadProlongs},
		{"reset", streamReset},
		{"senseless calls", streamSenseless},
		{"too large", streamTooLarge},
		{"one of many begins", streamBeginRace},
		{"many append", streamAppendRace},
		{"many append and reset", streamResetRace},
		{"ended context", streamEnded},
		{"closed", streamClosed},
	})
}

// ample are bounds that nothing here reaches.
var ample = storage.StreamBounds{Entries: 1000, Bytes: 512 << 10, TTL: time.Minute, StreamTTL: time.Hour}

func (n nodes) append(t *testing.T, key, fresh string, b storage.StreamBounds, entries ...string) (at storage.StreamPosition) {
	t.Helper()
	for _, entry := range entries {
		var err error
		at, err = n.here.Append(t.Context(), key, fresh, []byte(entry), b)
		must(t, err)
	}
	return at
}

func (n nodes) wantHead(t *testing.T, key, fresh string, b storage.StreamBounds, id string, serial uint64) {
	t.Helper()
	at, err := n.there.Head(t.Context(), key, fresh, b)
	if err != nil || at != (storage.StreamPosition{Stream: id, Serial: serial}) {
		t.Errorf("Head = %v, %v; want %s, %d", at, err, id, serial)
	}
}

// wantPage reads what is above a serial.
func (n nodes) wantPage(t *testing.T, key string, after uint64, limit int, id string, head, first, from uint64, entries ...string) {
	t.Helper()
	page, err := n.there.After(t.Context(), key, after, limit)
	must(t, err)
	var got []string
	for _, entry := range page.Entries {
		got = append(got, string(entry))
	}
	if page.Head != (storage.StreamPosition{Stream: id, Serial: head}) || page.First != first || page.From != from || !slices.Equal(got, entries) {
		t.Errorf("After(%d, %d) = head %v, first %d, from %d, %q; want head {%s %d}, first %d, from %d, %q",
			after, limit, page.Head, page.First, page.From, got, id, head, first, from, entries)
	}
}

func (n nodes) wantNone(t *testing.T, key string) {
	t.Helper()
	_, err := n.there.After(t.Context(), key, 0, 10)
	wantErr(t, "After without a stream", err, storage.ErrNotFound)
}

func streamHead(t *testing.T, n nodes) {
	key := unique()
	n.wantHead(t, key, "one", ample, "one", 0)
	n.wantHead(t, key, "two", ample, "one", 0)
	n.wantPage(t, key, 0, 10, "one", 0, 0, 0)
	if at := n.append(t, key, "three", ample, "a", "b"); at != (storage.StreamPosition{Stream: "one", Serial: 2}) {
		t.Errorf("Append = %v", at)
	}
	n.wantHead(t, key, "four", ample, "one", 2)
	// A stream begins with an entry too, and its id may be any text.
	odd := "1 2 " + weird + "\x00\xff "
	if at := n.append(t, key+"odd", odd, ample, "a"); at != (storage.StreamPosition{Stream: odd, Serial: 1}) {
		t.Errorf("Append = %v", at)
	}
	n.wantHead(t, key+"odd", "five", ample, odd, 1)
}

func streamMissing(t *testing.T, n nodes) {
	key := unique()
	n.wantNone(t, key)
	must(t, n.here.Reset(t.Context(), key, "id"))
	n.wantNone(t, key) // neither has begun one
	n.append(t, key+"a", "id", ample, "x")
	for _, other := range []string{key, key + "A", key + "a ", " " + key + "a"} {
		n.wantNone(t, other)
	}
}

// Streams are apart from each other, and from values.
func streamKeys(t *testing.T, n nodes) {
	name := unique()
	keys := []string{name, name + "}", "}" + name, "{}" + name, "{" + name, name + "}:head", name + ":entries", name + strings.Repeat("k", 1024-len(name))}
	for i, key := range keys {
		n.append(t, key, fmt.Sprint("id", i), ample, fmt.Sprint("entry", i))
		must(t, n.caches[0].Set(t.Context(), key, fmt.Append(nil, "value", i), time.Minute))
	}
	for i, key := range keys {
		n.wantPage(t, key, 0, 10, fmt.Sprint("id", i), 1, 1, 1, fmt.Sprint("entry", i))
		wantValue(t, n.caches[1], key, fmt.Append(nil, "value", i))
	}
	must(t, n.caches[0].Delete(t.Context(), keys[0]))
	n.wantPage(t, keys[0], 0, 10, "id0", 1, 1, 1, "entry0")
	must(t, n.here.Reset(t.Context(), keys[1], "id1"))
	wantValue(t, n.caches[0], keys[1], []byte("value1"))
	n.wantNone(t, keys[1])
}

func streamEntries(t *testing.T, n nodes) {
	key := unique()
	entries := []string{weird, "", "\x00\x00", "\xff\xfe\x00\r\n", strings.Repeat("0123456789abcdef", 16<<10), "0000000000000001", "héllo 世界 \u2028"}
	n.append(t, key, "id", ample, entries...)
	_, err := n.here.Append(t.Context(), key, "other", nil, ample)
	must(t, err)
	n.wantPage(t, key, 0, 100, "id", 8, 1, 1, append(entries, "")...)
}

func streamCopies(t *testing.T, n nodes) {
	key, entry := unique(), []byte("entry")
	_, err := n.here.Append(t.Context(), key, "id", entry, ample)
	must(t, err)
	entry[0] = 'X'
	page, err := n.here.After(t.Context(), key, 0, 10)
	must(t, err)
	if len(page.Entries) != 1 || string(page.Entries[0]) != "entry" {
		t.Fatalf("changing the slice after Append made it %q", page.Entries)
	}
	page.Entries[0][1] = 'X'
	n.wantPage(t, key, 0, 10, "id", 1, 1, 1, "entry")
}

func streamPages(t *testing.T, n nodes) {
	key := unique()
	n.append(t, key, "id", ample, "a", "b", "c", "d", "e", "f")
	n.wantPage(t, key, 0, 100, "id", 6, 1, 1, "a", "b", "c", "d", "e", "f")
	n.wantPage(t, key, 0, 6, "id", 6, 1, 1, "a", "b", "c", "d", "e", "f")
	n.wantPage(t, key, 0, 2, "id", 6, 1, 1, "a", "b")
	n.wantPage(t, key, 2, 3, "id", 6, 1, 3, "c", "d", "e")
	n.wantPage(t, key, 4, math.MaxInt, "id", 6, 1, 5, "e", "f")
	n.wantPage(t, key, 5, 1, "id", 6, 1, 6, "f")
	for _, beyond := range []uint64{6, 7, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
		n.wantPage(t, key, beyond, 10, "id", 6, 1, 0)
	}
	n.wantPage(t, key, 2, 0, "id", 6, 1, 0)
	n.wantPage(t, key, 2, -1, "id", 6, 1, 0)
	n.wantPage(t, key, 2, math.MinInt, "id", 6, 1, 0)
}

func streamBoundEntries(t *testing.T, n nodes) {
	key, b := unique(), ample
	b.Entries = 3
	n.append(t, key, "id", b, "a", "b", "c")
	n.wantPage(t, key, 0, 10, "id", 3, 1, 1, "a", "b", "c")
	n.append(t, key, "id", b, "d", "e")
	n.wantPage(t, key, 0, 10, "id", 5, 3, 3, "c", "d", "e")
	n.wantPage(t, key, 1, 2, "id", 5, 3, 3, "c", "d")
	n.wantPage(t, key, 2, 10, "id", 5, 3, 3, "c", "d", "e")
	n.wantPage(t, key, 3, 10, "id", 5, 3, 4, "d", "e")
	n.wantPage(t, key, 5, 10, "id", 5, 3, 0)
	b.Entries = 1
	n.wantHead(t, key, "id", b, "id", 5)
	n.wantPage(t, key, 0, 10, "id", 5, 3, 3, "c", "d", "e") // Head drops nothing
	n.append(t, key, "id", b, "f")
	n.wantPage(t, key, 0, 10, "id", 6, 6, 6, "f")
	b.Entries = 2
	n.append(t, key, "id", b, "g", "h", "i")
	n.wantPage(t, key, 0, 10, "id", 9, 8, 8, "h", "i")
}

func streamBoundBytes(t *testing.T, n nodes) {
	key, b := unique(), ample
	b.Bytes = 10
	n.append(t, key, "id", b, "aaaa", "bbbb", "cc")
	n.wantPage(t, key, 0, 10, "id", 3, 1, 1, "aaaa", "bbbb", "cc")
	n.append(t, key, "id", b, "", "")
	n.wantPage(t, key, 0, 10, "id", 5, 1, 1, "aaaa", "bbbb", "cc", "", "")
	n.append(t, key, "id", b, "d")
	n.wantPage(t, key, 0, 10, "id", 6, 2, 2, "bbbb", "cc", "", "", "d")
	n.append(t, key, "id", b, "eeeeeeeee")
	n.wantPage(t, key, 0, 10, "id", 7, 4, 4, "", "", "d", "eeeeeeeee")
	// The newest is kept, however large it is.
	n.append(t, key, "id", b, "ffffffffffff")
	n.wantPage(t, key, 0, 10, "id", 8, 8, 8, "ffffffffffff")
	n.append(t, key, "id", b, "g")
	n.wantPage(t, key, 0, 10, "id", 9, 9, 9, "g")
	n.append(t, key, "id", b, "hhhhhhhhh")
	n.wantPage(t, key, 0, 10, "id", 10, 9, 9, "g", "hhhhhhhhh")
	for i := range 100 {
		n.append(t, key, "id", b, fmt.Sprintf("%05d", i))
	}
	n.wantPage(t, key, 0, 10, "id", 110, 109, 109, "00098", "00099")
}

func streamSenseless(t *testing.T, n nodes) {
	key := unique()
	calls := func(key, fresh string, b storage.StreamBounds) map[string]error {
		_, appended := n.here.Append(t.Context(), key, fresh, []byte("x"), b)
		_, head := n.here.Head(t.Context(), key, fresh, b)
		return map[string]error{"Append": appended, "Head": head}
	}
	for name, change := range map[string]func(b *storage.StreamBounds){
		"Entries":   func(b *storage.StreamBounds) { b.Entries = 0 },
		"Bytes":     func(b *storage.StreamBounds) { b.Bytes = -1 },
		"TTL":       func(b *storage.StreamBounds) { b.TTL = 0 },
		"StreamTTL": func(b *storage.StreamBounds) { b.StreamTTL = b.TTL - 1 },
	} {
		b := ample
		change(&b)
		for call, err := range calls(key, "id", b) {
			if err == nil || !strings.Contains(err.Error(), name+" ") {
				t.Errorf("%s with a senseless %s: %v", call, name, err)
			}
		}
	}
	for call, err := range calls(key, "", ample) {
		if err == nil {
			t.Errorf("%s with no id: no error", call)
		}
	}
	long := strings.Repeat("k", 1025)
	errs := calls(long, "id", ample)
	_, errs["After"] = n.here.After(t.Context(), long, 0, 1)
	errs["Reset"] = n.here.Reset(t.Context(), long, "id")
	for call, err := range errs {
		if err == nil {
			t.Errorf("%s with a key of 1025 bytes: no error", call)
		}
	}
	n.wantNone(t, key)
}

func streamTooLarge(t *testing.T, n nodes) {
	limited, ok := n.caches[0].(SizeLimited)
	if !ok {
		t.Skip("the driver declares no limit")
	}
	key := unique()
	large := bytes.Repeat([]byte("x"), int(limited.MaxSize())+1)
	_, err := n.here.Append(t.Context(), key, "id", large, ample)
	wantErr(t, "Append of a first entry", err, storage.ErrTooLarge)
	n.wantNone(t, key)
	n.append(t, key, "id", ample, "a")
	_, err = n.here.Append(t.Context(), key, "id", large, ample)
	wantErr(t, "Append", err, storage.ErrTooLarge)
	n.wantPage(t, key, 0, 10, "id", 1, 1, 1, "a")
}

func streamCalls(n storage.Streams, key string) []call {
	return []call{
		{"Append", func(ctx context.Context) error {
			_, err := n.Append(ctx, key, "id", []byte("x"), ample)
			return err
		}},
		{"Head", func(ctx context.Context) error { _, err := n.Head(ctx, key, "id", ample); return err }},
		{"After", func(ctx context.Context) error { _, err := n.After(ctx, key, 0, 1); return err }},
		{"Reset", func(ctx context.Context) error { return n.Reset(ctx, key, "id") }},
	}
}

func streamEnded(t *testing.T, n nodes) {
	key := unique()
	testEnded(t, streamCalls(n.here, key))
	n.wantNone(t, key)
	n.append(t, key, "id", ample, "a")
	testEnded(t, streamCalls(n.here, key))
	n.wantPage(t, key, 0, 10, "id", 1, 1, 1, "a")
}

func streamClosed(t *testing.T, n nodes) {
	testClosed(t, n.caches[0].(io.Closer), streamCalls(n.here, unique()))
}
