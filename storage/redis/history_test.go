package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func openHistory(t *testing.T, o Options, prefix string) *History {
	t.Helper()
	h, err := OpenHistory(t.Context(), o, HistoryOptions{Prefix: prefix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// Entries of the largest size go in and out in pieces, in order.
func TestHistoryOfLargeEntries(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		h := openHistory(t, o, ownPrefix(t, o))
		var appends []*storage.LogAppend
		for i := range 9 {
			payload := []byte(strings.Repeat(fmt.Sprint(i), storage.MaxLogPayload))
			if i%2 == 1 {
				payload = []byte("small")
			}
			appends = append(appends, &storage.LogAppend{Key: testLog, Fresh: "id", Row: true, Payload: payload, Subject: fmt.Sprint(i % 3)})
		}
		h.Append(t.Context(), appends)
		for i, a := range appends {
			if a.Err != nil || a.Entry.Serial != uint64(i+1) {
				t.Fatalf("append %d: %v, %+v", i, a.Err, a.Entry)
			}
		}
		for _, reverse := range []bool{false, true} {
			read, err := h.Read(t.Context(), testLog, "id", storage.LogQuery{Limit: 8, Reverse: reverse})
			if err != nil || len(read) != 8 {
				t.Fatal(len(read), err)
			}
			if reverse {
				slices.Reverse(read)
				appends = appends[1:]
			}
			for i, e := range read {
				if string(e.Payload) != string(appends[i].Payload) || e.Serial != appends[i].Entry.Serial {
					t.Errorf("backwards %v: entry %d is %d with %.9q", reverse, i, e.Serial, e.Payload)
				}
			}
		}
		latest, err := h.Latest(t.Context(), testLog, "id", []string{"0", "1", "2"})
		if err != nil || len(latest) != 3 || latest["0"].Serial != 7 || latest["1"].Serial != 8 || latest["2"].Serial != 9 {
			t.Errorf("%d, %v", len(latest), err)
		}
	})
}

// Reads of more than one step skip and miss nothing.
func TestHistoryReadsInSteps(t *testing.T) {
	t.Parallel()
	o := standing(t)
	h := openHistory(t, o, ownPrefix(t, o))
	const many = 2*readLooks + 300
	var appends []*storage.LogAppend
	for i := range many {
		appends = append(appends, &storage.LogAppend{Key: testLog, Fresh: "id", Row: i%3 == 0, Subject: map[bool]string{true: "s"}[i%10 != 0], At: int64(i)})
	}
	h.Append(t.Context(), appends)
	for _, q := range []storage.LogQuery{
		{}, {Reverse: true}, {Rows: true}, {Subject: "s"}, {Subject: "s", Rows: true, Reverse: true}, {From: 5, To: many - 5, Subject: "s"}, {FromAt: 7, ToAt: 2200, Reverse: true}, {Limit: 1500, Rows: true}, {Limit: 1200, Reverse: true},
	} {
		if q.Limit == 0 {
			q.Limit = many
		}
		var want []uint64
		for i := range many {
			a := appends[i]
			if q.Reverse {
				a = appends[many-1-i]
			}
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			if q.Matches(&a.Entry) && len(want) < q.Limit {
				want = append(want, a.Entry.Serial)
			}
		}
		read, err := h.Read(t.Context(), testLog, "id", q)
		var got []uint64
		for _, e := range read {
			got = append(got, e.Serial)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %v, %d entries of %d", q, err, len(got), len(want))
		}
	}
}

// A server that is cut off or stalls is an error within the bound, and is used again.
func TestHistoryOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := outage.NewProxy(t, server.Addr())
	h := openHistory(t, Options{Addresses: []string{proxy.Addr()}, ReplyTimeout: 300 * time.Millisecond}, "")
	addRows(t, h, "one", "a")
	for name, breaks := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
		breaks()
		begun := time.Now()
		_, appendErr := addRow(h, testLog, "lost", "x")
		_, headErr := h.Head(t.Context(), testLog)
		_, readErr := h.Read(t.Context(), testLog, "one", storage.LogQuery{Limit: 1})
		_, latestErr := h.Latest(t.Context(), testLog, "one", []string{"s"})
		_, dueErr := h.Due(t.Context(), time.Now(), 1)
		for i, err := range []error{appendErr, headErr, readErr, latestErr, dueErr, h.Trim(t.Context(), testLog, "one", 1), h.Reset(t.Context(), testLog, "lost"), h.Mark(t.Context(), testLog, "one", storage.LogState{Since: 1}), h.Check(t.Context())} {
			if err == nil || errors.Is(err, storage.ErrNotFound) || !says(err, proxy.Addr()) {
				t.Errorf("%s, call %d: %v", name, i, err)
			}
		}
		if took := time.Since(begun); took > 9*callTimeout {
			t.Errorf("%s: that took %v", name, took)
		}
		proxy.Mend()
		until(t, "answer afterwards", func() bool { return h.Check(t.Context()) == nil })
	}
	if _, err := h.Head(t.Context(), testLog); err != nil {
		t.Error(err)
	}
}

// An append whose answer is lost is an error, and is not done twice.
func TestHistoryAppendsOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	between := newSwallower(t, redistest.FreePort(t), server.Addr(), appendLog.hash)
	h := openHistory(t, Options{Addresses: []string{between.Addr().String()}}, "")
	addRows(t, h, "one", "a", "b")
	between.on.Store(true)
	if _, err := addRow(h, testLog, "one", "c"); err == nil {
		t.Error("an answer that was lost is no error")
	}
	between.on.Store(false)
	if a := addRows(t, h, "one", "d"); a.Entry.Serial != 4 || between.swallowed.Load() != 1 {
		t.Errorf("%+v, %d answers lost", a.Entry, between.swallowed.Load())
	}
	wantLog(t, h, "one", "abcd")
}

// A server without memory takes nothing, gives what it has, and lets go of it.
func TestHistoryOnFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	h := openHistory(t, at(server), "")
	addRows(t, h, "one", "a", "b")
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	for _, key := range []storage.LogKey{testLog, {App: "app", Channel: "other"}} {
		if _, err := addRow(h, key, "two", "x"); !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("Append to %v: %v", key, err)
		}
	}
	wantLog(t, h, "one", "ab")
	state := storage.LogState{Name: "degraded", Reason: "full", Since: 1}
	if err := errors.Join(h.Mark(t.Context(), testLog, "one", state), h.Trim(t.Context(), testLog, "one", 2)); err != nil {
		t.Error(err)
	}
	if head, err := h.Head(t.Context(), testLog); err != nil || head.First != 2 || head.State != state {
		t.Errorf("%+v, %v", head, err)
	}
	if err := h.Reset(t.Context(), testLog, "two"); err != nil {
		t.Error(err)
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	addRows(t, h, "unused", "c")
	wantLog(t, h, "two", "c")
}

// What somebody else has written there is an error, and never an entry.
func TestHistoryOfSomebodyElse(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	h := openHistory(t, at(server), "")
	addRows(t, h, "one", "a", "b")
	keys := h.keys(logName(testLog))
	for _, change := range [][]string{
		{"HSET", keys[3], "2", "x"},
		{"HSET", keys[3], "2", "2 1 1 2 1 0"},
		{"HSET", keys[3], "2", "2 1 1 2 1 9 s"},
		{"HDEL", keys[3], "2"},
		{"DEL", keys[3]},
	} {
		server.MustDo(change...)
		if read, err := h.Read(t.Context(), testLog, "one", storage.LogQuery{Limit: 9}); !says(err, "somebody else") {
			t.Errorf("%q: %v, %v", change, read, err)
		}
		server.MustDo("HSET", keys[3], "1", "1 1 1 1 1 0 ", "2", "2 1 1 2 1 0 ")
	}
	server.MustDo("HSET", keys[4], "2", "longer")
	if _, err := h.Read(t.Context(), testLog, "one", storage.LogQuery{Limit: 9}); !says(err, "somebody else") {
		t.Errorf("another payload: %v", err)
	}
	server.MustDo("ZADD", keys[1], "1", "no name")
	if _, err := h.Due(t.Context(), time.Now(), 9); !says(err, "somebody else") {
		t.Errorf("Due: %v", err)
	}
	server.MustDo("DEL", keys[2])
	server.MustDo("SET", keys[2], "x")
	if _, err := addRow(h, testLog, "one", "c"); !says(err, "WRONGTYPE") {
		t.Errorf("another head: %v", err)
	}
}

// A login needs the rights that are documented, and no others.
func TestHistoryRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rights := []string{"ACL", "SETUSER", "node", "reset", "on", ">hush", "~sockudo_history:*"}
	for right := range strings.FieldsSeq("evalsha eval info time get hget hmget hset hdel hstrlen unlink zadd zrem zrangebyscore zrangebylex zrevrangebylex") {
		rights = append(rights, "+"+right)
	}
	server.MustDo(rights...)
	o := at(server)
	o.Username, o.Password = "node", "hush"
	h := openHistory(t, o, "")
	a := &storage.LogAppend{Key: testLog, Fresh: "id", Subject: "s", Once: "o", After: new(uint64), Keep: time.Minute, At: 1}
	next := &storage.LogAppend{Key: testLog, Fresh: "id", Keep: time.Minute}
	h.Append(t.Context(), []*storage.LogAppend{a, next})
	_, headErr := h.Head(t.Context(), testLog)
	_, readErr := h.Read(t.Context(), testLog, "id", storage.LogQuery{Limit: 1, Subject: "s"})
	_, backErr := h.Read(t.Context(), testLog, "id", storage.LogQuery{Limit: 1, Subject: "s", Reverse: true})
	_, latestErr := h.Latest(t.Context(), testLog, "id", []string{"s"})
	due, dueErr := h.Due(t.Context(), time.Now(), 9)
	if err := errors.Join(
		a.Err, next.Err, headErr, readErr, backErr, latestErr, dueErr, h.Check(t.Context()), h.Mark(t.Context(), testLog, "id", storage.LogState{Since: 1}),
		h.Trim(t.Context(), testLog, "id", 2), h.Reset(t.Context(), testLog, "other"),
	); err != nil || !slices.Equal(due, []storage.LogKey{testLog}) {
		t.Error(due, err)
	}
	server.MustDo("ACL", "SETUSER", "node", "-info")
	if _, err := OpenHistory(t.Context(), o, HistoryOptions{}, nil); !says(err, "needs the command INFO") {
		t.Errorf("without the right to ask who the server is: %v", err)
	}
}

// The log warns of servers that lose histories.
func TestHistoryWarnings(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"appendonly no":                 nil,
		"answers before it has written": {"--appendonly", "yes"},
		"drops any key":                 append([]string{"--maxmemory-policy", "allkeys-lru"}, surely...),
		"":                              surely,
	} {
		server := redistest.Start(t, args...)
		core, logs := observer.New(zap.WarnLevel)
		h, err := OpenHistory(t.Context(), at(server), HistoryOptions{}, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		_ = h.Close()
		if n := logs.Len(); n != min(len(want), 1) || n == 1 && !strings.Contains(logs.All()[0].Message, want) {
			t.Errorf("%q: the log says %v", want, logs.All())
		}
	}
}

// Names of logs are read back as what they name, and nothing else is a name.
func FuzzLogNames(f *testing.F) {
	for _, name := range []string{"3:appchannel", "0:x", ":x", "9:x", "-1:x", "+1:xy", "01:xy", "1", "", "18446744073709551616:x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if key, err := readName(name); err == nil && logName(key) != name {
			t.Errorf("%q is read as %q", name, key)
		}
		key := storage.LogKey{App: name[:len(name)/2], Channel: name}
		if read, err := readName(logName(key)); err != nil || read != key {
			t.Errorf("%q is read as %q, %v", key, read, err)
		}
	})
}

// Whatever is kept of an entry, what is read is within bounds, and is that.
func FuzzLogEntries(f *testing.F) {
	for _, text := range []string{"1 1 5 3 3 1 sonce", "0 0 0 0 0 0 ", "1 2 5 3 3 1 s", "1 1 5 3 3 9 s", "x", "1 1 -5 3 3 1 s", "01 1 5 3 3 0 ", "9223372036854775808 1 1 1 1 0 "} {
		f.Add(uint64(7), text, "payload")
	}
	f.Fuzz(func(t *testing.T, serial uint64, text, payload string) {
		e, err := readEntry(serial, text)
		if err == nil {
			isrow := bit(e.IsRow)
			if again := fmt.Sprint(e.Row, " ", isrow, " ", e.At, " ", e.Total, " ", e.Size, " ", len(e.Subject), " ") + e.Subject + e.Once; again != text || e.Serial != serial {
				t.Errorf("%q is read as %+v", text, e)
			}
		}
		list, err := readTriples([]any{fmt.Sprint(serial), text, payload}, false)
		if err == nil && (len(list) != 1 || string(list[0].Payload) != payload || list[0].Size != len(payload)) {
			t.Errorf("%q with %q is read as %+v", text, payload, list)
		}
	})
}

func TestHistoryAnswersOfAnotherKind(t *testing.T) {
	for _, reply := range []any{nil, "OK", int64(1), []any{}, []any{int64(1)}, []any{""}} {
		if word, rest, err := answered(reply); err == nil {
			t.Errorf("%v is read as %q, %v", reply, word, rest)
		}
	}
	good := []any{"id", "1", "1", "1", "1", "1", "", "", "", "0", int64(0), "0"}
	if _, err := readHead(good); err != nil {
		t.Error(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		if bad[i] = int64(-1); (i < 1 || i > 5) && i != 9 && i != 11 {
			continue
		}
		if head, err := readHead(bad); err == nil {
			t.Errorf("%v is read as %+v", bad, head)
		}
	}
	for _, list := range [][]any{{"1"}, {"1", "1 1 1 1 1 0 "}, {int64(1), "1 1 1 1 1 0 ", "x"}, {"1", "1 1 1 1 1 0 ", int64(1)}, {"1", nil, "x"}, {"99999999999999999", "1 1 1 1 1 0 ", "x"}} {
		if read, err := readTriples(list, false); err == nil {
			t.Errorf("%v is read as %+v", list, read)
		}
	}
	p := &piece{appends: []*storage.LogAppend{{}}}
	for _, rest := range [][]any{nil, {"id"}, {"id", "added", "1", "x"}, {"id", "maybe", "1", ""}, {"id", "added", int64(1), "1 1 1 1 1 0 "}} {
		if err := p.read(rest); err == nil {
			t.Errorf("%v is read as %+v", rest, p.appends[0])
		}
	}
}
