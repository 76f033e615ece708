package redis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func TestStreamsSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestStreams(t, func(t *testing.T) (here, there storage.Cache) {
			prefix := ownPrefix(t, o)
			return openCache(t, o, prefix), openCache(t, o, prefix)
		})
	})
}

// ampleBounds are those that nothing here reaches.
var ampleBounds = storage.StreamBounds{Entries: 100, Bytes: 1 << 20, TTL: time.Minute, StreamTTL: time.Hour}

// The keys of a stream, as these tests find them.
const (
	headKey    = "sockudo_cache:{stream:k}:head"
	entriesKey = "sockudo_cache:{stream:k}:entries"
)

func appendTo(t *testing.T, c *Cache, fresh string, b storage.StreamBounds, entries ...string) (at storage.StreamPosition) {
	t.Helper()
	for _, entry := range entries {
		var err error
		if at, err = c.Append(t.Context(), "k", fresh, []byte(entry), b); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// wantStream checks the serials of a stream, and what it holds.
func wantStream(t *testing.T, c *Cache, id string, first, last uint64, entries string) {
	t.Helper()
	page, err := c.After(t.Context(), "k", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, entry := range page.Entries {
		got.Write(entry)
	}
	if page.Head != (storage.StreamPosition{Stream: id, Serial: last}) || page.First != first || page.From != first || got.String() != entries {
		t.Errorf("stream %v from %d and %d: %q; want {%s %d} from %d: %q", page.Head, page.First, page.From, got.String(), id, last, first, entries)
	}
}

func says(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}

func TestStreamKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	b := ampleBounds
	b.Entries = 2
	appendTo(t, c, "id", b, "a", "b", "cd")
	if got := server.MustDo("LRANGE", entriesKey, "0", "-1"); got != "0000000000000002b\n0000000000000003cd" {
		t.Errorf("the entries are %q", got)
	}
	replid := server.MustDo("EVAL", "return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')", "0")
	if got := server.MustDo("GET", headKey); got != replid+" 3 3 id" {
		t.Errorf("the head is %q", got)
	}
	for key, ttl := range map[string]time.Duration{headKey: b.StreamTTL, entriesKey: b.TTL} {
		left, _ := strconv.ParseInt(server.MustDo("PTTL", key), 10, 64)
		if left := time.Duration(left) * time.Millisecond; left > ttl || left < ttl-30*time.Second {
			t.Errorf("%s lives for %v, want %v", key, left, ttl)
		}
	}
	if got := server.MustDo("DBSIZE"); got != "2" {
		t.Errorf("the server has %s keys", got)
	}
	if _, err := OpenCache(t.Context(), at(server), CacheOptions{Prefix: "a{}"}, nil); err == nil {
		t.Error("a prefix that undoes hash tags is taken")
	}
}

// A server that makes room takes one key or the other.
func TestStreamEviction(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	b := ampleBounds
	b.Bytes = 3
	appendTo(t, c, "one", b, "a", "b", "c")
	server.MustDo("DEL", entriesKey)
	wantStream(t, c, "one", 0, 3, "")
	appendTo(t, c, "two", b, "d", "e", "f") // for which there is all the room again
	wantStream(t, c, "one", 4, 6, "def")
	server.MustDo("DEL", headKey)
	if _, err := c.After(t.Context(), "k", 0, 1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("After without a head: %v", err)
	}
	appendTo(t, c, "three", ampleBounds, "g")
	wantStream(t, c, "three", 1, 1, "g")
	server.MustDo("DEL", headKey)
	if p, err := c.Head(t.Context(), "k", "four", ampleBounds); err != nil || p != (storage.StreamPosition{Stream: "four"}) {
		t.Errorf("%v, %v", p, err)
	}
	wantStream(t, c, "four", 0, 0, "")
}

// A server without memory takes nothing, and gives what it has.
func TestStreamOnFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	appendTo(t, c, "one", ampleBounds, "a", "b")
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	for _, key := range []string{"k", "other"} {
		if _, err := c.Append(t.Context(), key, "two", []byte("x"), ampleBounds); !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("Append to %q: %v", key, err)
		}
	}
	if _, err := c.Head(t.Context(), "other", "two", ampleBounds); !errors.Is(err, storage.ErrFull) {
		t.Errorf("Head of a stream that would begin: %v", err)
	}
	if p, err := c.Head(t.Context(), "k", "two", ampleBounds); err != nil || p.Serial != 2 {
		t.Errorf("Head of a stream that is there: %v, %v", p, err)
	}
	wantStream(t, c, "one", 1, 2, "ab")
	if got := server.MustDo("DBSIZE"); got != "2" {
		t.Errorf("the server has %s keys", got)
	}
	if err := c.Reset(t.Context(), "k", "one"); err != nil {
		t.Error(err)
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	if p := appendTo(t, c, "two", ampleBounds, "c"); p != (storage.StreamPosition{Stream: "two", Serial: 1}) {
		t.Errorf("afterwards: %v", p)
	}
}

// Keys that somebody else uses are an error that changes nothing.
func TestStreamOfSomebodyElse(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := openCache(t, at(server), "")
	wrong := func(err error, where string) {
		t.Helper()
		if !says(err, "WRONGTYPE") {
			t.Errorf("%s: %v", where, err)
		}
	}
	server.MustDo("SADD", headKey, "x")
	_, err := c.Append(t.Context(), "k", "id", []byte("a"), ampleBounds)
	wrong(err, "Append with another head")
	_, err = c.Head(t.Context(), "k", "id", ampleBounds)
	wrong(err, "Head with another head")
	_, err = c.After(t.Context(), "k", 0, 1)
	wrong(err, "After with another head")
	wrong(c.Reset(t.Context(), "k", "id"), "Reset with another head")
	server.MustDo("DEL", headKey)

	appendTo(t, c, "id", ampleBounds, "a")
	server.MustDo("DEL", entriesKey)
	server.MustDo("SET", entriesKey, "x")
	_, err = c.Append(t.Context(), "k", "id", []byte("b"), ampleBounds)
	wrong(err, "Append with other entries")
	_, err = c.After(t.Context(), "k", 0, 1)
	wrong(err, "After with other entries")
	server.MustDo("DEL", entriesKey)
	if p := appendTo(t, c, "id", ampleBounds, "b", "c", "d"); p.Serial != 4 {
		t.Errorf("the next entries end at %v", p)
	}
	wantStream(t, c, "id", 2, 4, "bcd")

	for _, change := range [][]string{{"LSET", entriesKey, "1", "0000000000000004x"}, {"LSET", entriesKey, "1", "x"}, {"RPUSH", entriesKey, "y"}, {"LPUSH", entriesKey, "0", "1"}} {
		server.MustDo(change...)
		if page, err := c.After(t.Context(), "k", 0, 100); !says(err, "somebody else") || page.Entries != nil || page.Head.Stream != "" {
			t.Errorf("After %q: %v, %v", change, page, err)
		}
	}
	// What is no head begins another stream.
	server.MustDo("SET", headKey, "x")
	if p := appendTo(t, c, "other", ampleBounds, "e"); p != (storage.StreamPosition{Stream: "other", Serial: 1}) {
		t.Errorf("in place of another head: %v", p)
	}
	wantStream(t, c, "other", 1, 1, "e")
}

// What a server has over a restart may be less than it has acknowledged, so that the
// stream is over whether it keeps anything or not.
func TestStreamAfterRestart(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"nothing is kept": nil, "all is kept": {"--appendonly", "yes", "--appendfsync", "always"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, args...)
			c := openCache(t, at(server), "")
			appendTo(t, c, "one", ampleBounds, "a", "b")
			server.Stop()
			if _, err := c.Append(t.Context(), "k", "lost", []byte("x"), ampleBounds); !says(err, server.Addr()) {
				t.Errorf("while the server is down: %v", err)
			}
			server.Restart()
			until(t, "answer after the restart", func() bool { return c.Check(t.Context()) == nil })
			if there := server.MustDo("EXISTS", headKey); there != fmt.Sprint(min(len(args), 1)) {
				t.Fatalf("the server has %s keys of the stream", there)
			}
			if _, err := c.After(t.Context(), "k", 0, 1); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("After: %v", err)
			}
			if p, err := c.Head(t.Context(), "k", "two", ampleBounds); err != nil || p != (storage.StreamPosition{Stream: "two"}) {
				t.Errorf("Head: %v, %v", p, err)
			}
			appendTo(t, c, "three", ampleBounds, "c")
			wantStream(t, c, "two", 1, 1, "c")
		})
	}
}

// A replica that is promoted while the old master goes on gives no position that
// the old one gives too, and does not say that a stream ends where it has lost more.
func TestStreamAfterFailover(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0"), redistest.Start(t, "--repl-diskless-sync-delay", "0")
	replica.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(master.Port))
	until(t, "replica", func() bool { return strings.Contains(replica.MustDo("INFO", "replication"), "master_link_status:up") })
	old := openCache(t, at(master), "")
	appendTo(t, old, "one", ampleBounds, "a", "b")
	until(t, "replication", func() bool { return replica.MustDo("LLEN", entriesKey) == "2" })

	replica.MustDo("REPLICAOF", "NO", "ONE")
	appendTo(t, old, "two", ampleBounds, "c")
	wantStream(t, old, "one", 1, 3, "abc")
	promoted := openCache(t, at(replica), "")
	if page, err := promoted.After(t.Context(), "k", 2, 1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("After on the new master: %v, %v", page, err)
	}
	appendTo(t, promoted, "three", ampleBounds, "d")
	wantStream(t, promoted, "three", 1, 1, "d")

	// The old master comes back as a replica, and is promoted in turn.
	master.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(replica.Port))
	until(t, "replication", func() bool { return master.MustDo("LLEN", entriesKey) == "1" })
	master.MustDo("REPLICAOF", "NO", "ONE")
	appendTo(t, old, "four", ampleBounds, "e", "f")
	wantStream(t, old, "four", 1, 2, "ef")
}

// A login needs the rights that are documented, and no others.
func TestStreamRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rights := []string{"ACL", "SETUSER", "node", "reset", "on", ">hush", "~sockudo_cache:*"}
	for right := range strings.FieldsSeq("get pttl set del evalsha eval info rpush lpop llen lrange pexpire") {
		rights = append(rights, "+"+right)
	}
	server.MustDo(rights...)
	o := at(server)
	o.Username, o.Password = "node", "hush"
	c := openCache(t, o, "")
	b := ampleBounds
	b.Entries = 2
	appendTo(t, c, "id", b, "a", "b", "c")
	if _, err := c.Head(t.Context(), "k", "id", b); err != nil {
		t.Error(err)
	}
	wantStream(t, c, "id", 2, 3, "bc")
	if err := c.Reset(t.Context(), "k", "id"); err != nil {
		t.Error(err)
	}
	server.MustDo("ACL", "SETUSER", "node", "-info")
	if _, err := c.Append(t.Context(), "k", "id", nil, b); !says(err, "needs the command INFO") {
		t.Errorf("without the right to ask who the server is: %v", err)
	}
	if got := server.MustDo("DBSIZE"); got != "0" {
		t.Errorf("the server has %s keys", got)
	}
}

// Whatever a script answers, a page that is read has no gap.
func FuzzStreamPages(f *testing.F) {
	f.Add("id", int64(3), int64(2), uint64(0), "0000000000000002b", "0000000000000003c")
	f.Add("id", int64(3), int64(3), uint64(2), "0000000000000003", "")
	f.Add("", int64(0), int64(0), uint64(math.MaxUint64), "0000000000000000", "0000000000000001x")
	f.Add("id", int64(-1), int64(1<<62), uint64(1<<53), "-000000000000001", "1")
	f.Fuzz(func(t *testing.T, id string, last, kept int64, after uint64, one, two string) {
		page, err := readPage([]any{id, last, kept, []any{one, two}}, after)
		if err != nil {
			return
		}
		end := page.From + uint64(len(page.Entries)) - 1
		if len(page.Entries) != 2 || page.From <= after || page.From < page.First || page.First == 0 || end > page.Head.Serial {
			t.Errorf("%+v", page)
		}
		if fmt.Sprintf("%016d%s", page.From, page.Entries[0]) != one || fmt.Sprintf("%016d%s", end, page.Entries[1]) != two {
			t.Errorf("%q, %q gives %+v", one, two, page)
		}
	})
}

func TestStreamAnswersOfAnotherKind(t *testing.T) {
	for _, reply := range []any{
		nil,
		"OK",
		int64(1),
		[]any{},
		[]any{"id", "1"},
		[]any{int64(1), int64(1)},
		[]any{"id", int64(1)},
		[]any{"id", int64(-1), int64(0), []any{}},
		[]any{"id", int64(1), int64(2), []any{}},
		[]any{"id", int64(1), int64(1), []any{int64(1)}},
		[]any{"id", int64(1), int64(0), []any{"0000000000000001"}},
	} {
		if page, err := readPage(reply, 0); err == nil {
			t.Errorf("%v is read as %+v", reply, page)
		}
	}
}
