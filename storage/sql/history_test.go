package sql

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// newPrefix begins the names of tables that are dropped when the test ends.
func newPrefix(t testing.TB, o Options) string {
	prefix := "logs_" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		if o.Dialect == SQLite { // whose file goes
			return
		}
		db, err := open(context.Background(), o.withDefaults())
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = db.Close() }()
		for _, table := range []string{"_log_entries", "_logs"} {
			if _, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+o.Dialect.quote(prefix+table)); err != nil {
				t.Error(err)
			}
		}
	})
	return prefix
}

func openHistory(t testing.TB, o Options, prefix string) *History {
	t.Helper()
	h, err := OpenHistory(context.Background(), o, HistoryOptions{TablePrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// onHistories runs a test on every dialect with tables of its own.
func onHistories(t *testing.T, f func(t *testing.T, o Options, prefix string)) {
	for dialect, o := range servers(t) {
		t.Run(string(dialect), func(t *testing.T) { f(t, o, newPrefix(t, o)) })
	}
}

func channel(i int) storage.LogKey {
	return storage.LogKey{App: "app", Channel: fmt.Sprint("channel ", i)}
}

// appendMany adds rows to a log, many at once.
func appendMany(t testing.TB, h *History, key storage.LogKey, n int) {
	t.Helper()
	appends := make([]*storage.LogAppend, n)
	for i := range appends {
		appends[i] = &storage.LogAppend{Key: key, Fresh: "id", At: int64(i), Row: true, Payload: fmt.Append(nil, i)}
	}
	for some := range slices.Chunk(appends, 500) {
		h.Append(context.Background(), some)
		for _, a := range some {
			if a.Err != nil {
				t.Fatal(a.Err)
			}
		}
	}
}

// rowsOf counts the rows of one of the tables.
func rowsOf(t *testing.T, h *History, table string) (n int) {
	t.Helper()
	err := h.ask(t.Context(), func(scan func(...any) error) error { return scan(&n) }, "SELECT COUNT(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Two nodes share the tables, and two holds an SQLite file.
func TestHistorySuite(t *testing.T) {
	for dialect, o := range servers(t) {
		t.Run(string(dialect), func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, o))
			o.MaxConnections = 4 // there are many tests at once
			prefix := newPrefix(t, o)
			storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
				return openHistory(t, o, prefix), openHistory(t, o, prefix)
			})
		})
	}
}

// A batch may be of more logs and more entries than one statement takes.
func TestHistoryBatchOfManyLogs(t *testing.T) {
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		h := openHistory(t, o, prefix)
		const logs, turns = 150, 3
		var appends []*storage.LogAppend
		for turn := range turns {
			for i := range logs {
				n := fmt.Sprint(turn)
				appends = append(appends, &storage.LogAppend{
					Key: channel(i), Fresh: fmt.Sprint("id", i), At: int64(turn), Row: i%2 == 0, Subject: n, Once: n, After: new(uint64), Payload: []byte(n),
				})
			}
		}
		for round := range 2 {
			h.Append(t.Context(), appends)
			for i, a := range appends {
				good := a.Err == nil
				if round == 1 {
					good = errors.Is(a.Err, storage.ErrExists)
				}
				if want := uint64(i/logs + 1); !good || a.Entry.Serial != want || a.Stream != fmt.Sprint("id", i%logs) {
					t.Fatalf("round %d, append %d: %v, %+v in %s; want serial %d", round, i, a.Err, a.Entry, a.Stream, want)
				}
			}
		}
		subjects := make([]string, 200)
		for i := range subjects {
			subjects[i] = fmt.Sprint(i)
		}
		for i := range logs {
			head, err := h.Head(t.Context(), channel(i))
			if err != nil || head.Serial != turns || head.At != turns-1 || head.First != 1 {
				t.Fatalf("log %d: %+v, %v", i, head, err)
			}
			latest, err := h.Latest(t.Context(), channel(i), head.Stream, subjects)
			if err != nil || len(latest) != turns || string(latest["2"].Payload) != "2" {
				t.Fatalf("log %d: latest %v, %v", i, latest, err)
			}
		}
	})
}

// A refused append does not begin a log.
func TestHistoryConflictBeginsNoLog(t *testing.T) {
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		h := openHistory(t, o, prefix)
		one := uint64(1)
		a := &storage.LogAppend{Key: channel(0), Fresh: "id", Subject: "s", After: &one}
		h.Append(t.Context(), []*storage.LogAppend{a})
		if !errors.Is(a.Err, storage.ErrConflict) {
			t.Fatal(a.Err)
		}
		if head, err := h.Head(t.Context(), channel(0)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the log begins with %+v, %v", head, err)
		}
	})
}

// A log that is reset is empty at once, also for another node. Its entries go with it,
// and those that an interrupted Reset has left go with Due, whoever asks.
func TestHistoryResetRemovesEntries(t *testing.T) {
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		h, other := openHistory(t, o, prefix), openHistory(t, o, prefix)
		rows := func(logs, entries int) {
			t.Helper()
			if l, e := rowsOf(t, other, "{logs}"), rowsOf(t, other, "{entries}"); l != logs || e != entries {
				t.Fatalf("there are %d rows of logs and %d of entries, want %d and %d", l, e, logs, entries)
			}
		}
		appendMany(t, h, channel(0), 2500)
		if err := h.Reset(t.Context(), channel(0), "second"); err != nil {
			t.Fatal(err)
		}
		rows(1, 0)
		appendMany(t, other, channel(0), 2500)
		if _, err := h.replace(t.Context(), channel(0), "third"); err != nil { // all that an interrupted Reset does
			t.Fatal(err)
		}
		rows(2, 2500)
		if head, err := other.Head(t.Context(), channel(0)); err != nil || head != (storage.LogHead{Stream: "third", First: 1}) {
			t.Fatalf("after the reset: %+v, %v", head, err)
		}
		appendMany(t, other, channel(0), 3)
		if due, err := other.Due(t.Context(), time.Now(), 10); err != nil || len(due) != 0 {
			t.Fatalf("due: %v, %v", due, err)
		}
		rows(1, 3)
	})
}

// Trim removes in steps, so that nobody waits for long, and in the end all.
func TestHistoryTrimInSteps(t *testing.T) {
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		h := openHistory(t, o, prefix)
		for range 5 {
			a := &storage.LogAppend{Key: channel(0), Fresh: "id", Row: true, Payload: make([]byte, storage.MaxLogPayload)}
			if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil {
				t.Fatal(a.Err)
			}
		}
		appendMany(t, h, channel(0), 2300)
		steps := []uint64{}
		for done := false; !done; {
			err := h.change(t.Context(), 0, func(tx *transaction) error {
				l, err := h.lockOne(tx, channel(0), "id")
				if err != nil {
					return err
				}
				done, err = h.trimSome(tx, l, 2302)
				steps = append(steps, l.first)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want := []uint64{5, 1005, 2005, 2302}; !slices.Equal(steps, want) {
			t.Errorf("the first entries after each step are %v, want %v", steps, want)
		}
		if n := rowsOf(t, h, "{entries}"); n != 4 {
			t.Errorf("%d entries are left, want 4", n)
		}
	})
}

// What is larger than a packet that the driver may send is sent in parts.
func TestHistoryInSmallPackets(t *testing.T) {
	o := servers(t)[MySQL]
	o.DSN += "?maxAllowedPacket=65536&charset=gbk"
	h := openHistory(t, o, newPrefix(t, o))
	payload := []byte(strings.Repeat("\xbf'; DROP TABLE x; -- \\", 100000))
	a := &storage.LogAppend{Key: channel(0), Fresh: "id", Subject: "\xbf\\' OR 1 = 1", Once: "\xbf'", Payload: payload}
	small := &storage.LogAppend{Key: channel(0), Fresh: "id", Subject: "\xbf'", Payload: payload[:100]}
	h.Append(t.Context(), []*storage.LogAppend{a, small})
	if err := errors.Join(a.Err, small.Err); err != nil {
		t.Fatal(err)
	}
	read, err := h.Read(t.Context(), channel(0), "id", storage.LogQuery{Limit: 2})
	if err != nil || len(read) != 2 || string(read[0].Payload) != string(payload) || read[0].Subject != a.Subject || read[0].Once != a.Once || string(read[1].Payload) != string(payload[:100]) {
		t.Errorf("%d entries come back changed, %v", len(read), err)
	}
	for packet, want := range map[int64]int64{1 << 30: storage.MaxLogPayload, 1 << 20: 1<<20 - 8<<10, 1024: 0} {
		if size, err := payloadOf(packet); size != want || (err != nil) != (want == 0) {
			t.Errorf("with packets of %d bytes, payloads may be of %d, %v; want %d", packet, size, err, want)
		}
	}
}

// PostgreSQL must not sort a log to read a page of it, which it would like to do as long
// as it has no statistics.
func TestHistoryPagesAreNotSorted(t *testing.T) {
	o := servers(t)[Postgres]
	h := openHistory(t, o, newPrefix(t, o))
	if _, err := h.db.ExecContext(t.Context(), h.text("ALTER TABLE {entries} SET (autovacuum_enabled = off)")); err != nil {
		t.Fatal(err)
	}
	appendMany(t, h, channel(0), 5000)
	sum := sumOf(channel(0))
	for _, q := range []storage.LogQuery{
		{}, {Reverse: true}, {Rows: true}, {Rows: true, Reverse: true, Bare: true}, {Subject: "s"}, {Subject: "s", Reverse: true}, {FromAt: 5, FromRow: 5, ToAt: 9},
	} {
		q.Limit = 100
		statement, args := page(&q, 100, 1<<40)
		plan := ""
		err := h.ask(t.Context(), func(scan func(...any) error) error {
			var line string
			err := scan(&line)
			plan += line + "\n"
			return err
		}, "EXPLAIN "+statement, append([]any{sum[:], []byte("id")}, args...)...)
		if err != nil || strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan on "+h.names.Replace("{entries}")) {
			t.Errorf("%+v: %v\n%s", q, err, plan)
		}
	}
}
