package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func logOf(channel string) storage.LogKey { return storage.LogKey{App: "app", Channel: channel} }

// add appends entries in one call, which have to be added.
func add(t testing.TB, h *History, appends ...*storage.LogAppend) {
	t.Helper()
	h.Append(context.Background(), appends)
	for i, a := range appends {
		if a.Err != nil {
			t.Fatalf("append %d: %v", i, a.Err)
		}
	}
}

// rowsOf are appends of n rows to a log.
func rowsOf(channel string, n, size int) []*storage.LogAppend {
	appends := make([]*storage.LogAppend, n)
	for i := range appends {
		appends[i] = &storage.LogAppend{Key: logOf(channel), Fresh: "id", At: int64(i), Row: true, Payload: []byte(strings.Repeat(fmt.Sprint(i%10), size))}
	}
	return appends
}

// recordsOf counts the records in the tables.
func recordsOf(t *testing.T, h *History) [4]int {
	t.Helper()
	var counts [4]int
	for i, table := range []string{h.names.logs(), h.names.entries(), h.names.onces(), h.names.subjects()} {
		var all []raw
		if err := h.link.query(t.Context(), true, "SELECT VALUE id FROM `"+table+"`", nil, &all); err != nil {
			t.Fatal(err)
		}
		counts[i] = len(all)
	}
	return counts
}

// What is trimmed, or was there before a reset, leaves nothing behind in any table.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	const n = 2*maxTrim + 7
	for i := 0; i < n; i += 100 {
		appends := rowsOf("c", min(100, n-i), 3)
		for j, a := range appends {
			a.Subject, a.Once = fmt.Sprint("s", (i+j)%3), fmt.Sprint("o", i+j)
		}
		add(t, h, appends...)
	}
	if counts := recordsOf(t, h); counts != [4]int{1, n, n, n + 3} {
		t.Fatalf("%d entries are %v records", n, counts)
	}
	if err := h.Trim(t.Context(), logOf("c"), "id", n); err != nil {
		t.Fatal(err)
	}
	if counts := recordsOf(t, h); counts != [4]int{1, 1, 1, 2} {
		t.Fatalf("one entry is %v records", counts)
	}
	add(t, h, rowsOf("c", maxTrim+1, 0)...)
	add(t, h, rowsOf("d", 1, 0)...)
	if err := h.Reset(t.Context(), logOf("c"), "fresh"); err != nil {
		t.Fatal(err)
	}
	if counts := recordsOf(t, h); counts != [4]int{2, 1, 0, 0} {
		t.Fatalf("a log of nothing and one of one entry are %v records", counts)
	}
	if _, old, err := h.readHead(t.Context(), logID(logOf("c"))); err != nil || len(old) != 0 {
		t.Fatalf("what is gone is noted: %v, %v", old, err)
	}
}

// A reset that is broken off has begun the new log. The next Trim removes the rest.
func TestBrokenOffReset(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	key, id := logOf("c"), logID(logOf("c"))
	for _, fresh := range []string{"second", "third"} {
		add(t, h, rowsOf("c", maxTrim+1, 1)...)
		s, _, err := h.readHead(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.begun(t.Context(), key, id, fresh, s); err != nil {
			t.Fatal(err)
		}
		if found, err := h.Read(t.Context(), key, s.Stream, storage.LogQuery{Limit: 9}); err != nil || len(found) != 0 {
			t.Fatalf("the old log has %v, %v", found, err)
		}
	}
	if counts := recordsOf(t, h); counts[1] != 2*(maxTrim+1) {
		t.Fatalf("there are %v records", counts)
	}
	add(t, h, rowsOf("c", 2, 1)...)
	if err := h.Trim(t.Context(), key, "third", 2); err != nil {
		t.Fatal(err)
	}
	if counts := recordsOf(t, h); counts != [4]int{1, 1, 0, 0} {
		t.Fatalf("one entry is %v records", counts)
	}
}

// Reads find the same as going through all entries does, whatever is asked.
func TestReadsFindWhatMatches(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	random := rand.New(rand.NewPCG(1, 2))
	var all []storage.LogEntry
	for at := int64(0); len(all) < 1500; {
		var appends []*storage.LogAppend
		for range 100 {
			at += random.Int64N(3)
			a := &storage.LogAppend{Key: logOf("c"), Fresh: "id", At: at, Row: random.IntN(4) > 0, Payload: make([]byte, random.IntN(3)*10)}
			if random.IntN(2) == 0 {
				a.Subject = fmt.Sprint("s", random.IntN(4))
			}
			appends = append(appends, a)
		}
		add(t, h, appends...)
		for _, a := range appends {
			all = append(all, a.Entry)
		}
	}
	if err := h.Trim(t.Context(), logOf("c"), "id", 100); err != nil {
		t.Fatal(err)
	}
	all = all[99:]
	last := all[len(all)-1]
	for range 300 {
		q := randomQuery(random, last)
		want := matching(all, q)
		found, err := h.Read(t.Context(), logOf("c"), "id", q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		for i := range found {
			if found[i].Payload == nil != q.Bare || !q.Bare && len(found[i].Payload) != found[i].Size {
				t.Fatalf("%+v: entry %d has %d bytes of %d", q, i, len(found[i].Payload), found[i].Size)
			}
			found[i].Payload = nil
		}
		if len(found) != len(want) || len(want) > 0 && !reflect.DeepEqual(found, want) {
			t.Fatalf("%+v reads %d entries, want %d", q, len(found), len(want))
		}
	}
}

func randomQuery(random *rand.Rand, last storage.LogEntry) storage.LogQuery {
	upTo := func(n uint64) uint64 {
		if random.IntN(3) > 0 {
			return 0
		}
		return random.Uint64N(n + n/10)
	}
	q := storage.LogQuery{
		From: upTo(last.Serial), To: upTo(last.Serial), FromRow: upTo(last.Row), ToRow: upTo(last.Row), FromAt: int64(upTo(uint64(last.At))),
		ToAt: int64(upTo(uint64(last.At))), FromTotal: upTo(last.Total), Rows: random.IntN(2) == 0, Reverse: random.IntN(2) == 0,
		Limit: 1 + random.IntN(50), Bare: random.IntN(2) == 0,
	}
	if random.IntN(4) == 0 {
		q.Limit = 2000
	}
	if random.IntN(4) == 0 {
		q.Subject = fmt.Sprint("s", random.IntN(5))
	}
	return q
}

func matching(all []storage.LogEntry, q storage.LogQuery) (found []storage.LogEntry) {
	for i := range all {
		e := &all[i]
		if q.Reverse {
			e = &all[len(all)-1-i]
		}
		if len(found) < q.Limit && q.Matches(e) {
			found = append(found, *e)
		}
	}
	return found
}

// Pages of large entries come in several answers, none of which is too large.
func TestLargePages(t *testing.T) {
	h := openHistory(t, standing(t))
	const n, size = 8, 2 << 20
	for i := range n {
		add(t, h, &storage.LogAppend{Key: logOf("c"), Fresh: "id", Row: i%4 > 0, Subject: "s", Payload: []byte(strings.Repeat(string(rune('a'+i%26)), size))})
	}
	for _, q := range []storage.LogQuery{{Limit: n}, {Limit: n, Reverse: true}, {Limit: n, Rows: true}, {Limit: n, Subject: "s"}} {
		found, err := h.Read(t.Context(), logOf("c"), "id", q)
		if want := map[bool]int{true: n * 3 / 4, false: n}[q.Rows]; err != nil || len(found) != want {
			t.Fatalf("%+v reads %d entries, want %d, %v", q, len(found), want, err)
		}
		for _, e := range found {
			if len(e.Payload) != size || e.Payload[size-1] != byte('a'+(e.Serial-1)%26) {
				t.Fatalf("entry %d has %d bytes", e.Serial, len(e.Payload))
			}
		}
	}
}

// What is read while it is trimmed has no gaps.
func TestReadsWhileTrimming(t *testing.T) {
	h := openHistory(t, standing(t))
	const n = 3 * maxPage
	for range n / 500 {
		add(t, h, rowsOf("c", 500, 1)...)
	}
	var trimming sync.WaitGroup
	trimming.Go(func() {
		for before := uint64(100); before < n; before += 100 {
			if err := h.Trim(t.Context(), logOf("c"), "id", before); err != nil {
				t.Error(err)
			}
		}
	})
	defer trimming.Wait()
	for i := 0; ; i++ {
		q := storage.LogQuery{Limit: n, Rows: i%2 == 0, Bare: true, FromRow: uint64(i % 3)}
		found, err := h.Read(t.Context(), logOf("c"), "id", q)
		if err != nil && !errors.Is(err, errMoved) {
			t.Fatal(err)
		}
		if err != nil {
			continue
		}
		for k, e := range found {
			if e.Serial != found[0].Serial+uint64(k) {
				t.Fatalf("entry %d comes after %d", e.Serial, found[k-1].Serial)
			}
		}
		if len(found) > 0 && found[len(found)-1].Serial != n {
			t.Fatalf("the last entry is %d", found[len(found)-1].Serial)
		}
		if len(found) < 200 {
			return
		}
	}
}

// One that was reset elsewhere is not the log that is remembered here.
func TestRememberedLogIsReset(t *testing.T) {
	t.Parallel()
	o := standing(t)
	here, there := openHistory(t, o), openHistory(t, o)
	add(t, here, rowsOf("c", 3, 1)...)
	if err := there.Reset(t.Context(), logOf("c"), "fresh"); err != nil {
		t.Fatal(err)
	}
	a := rowsOf("c", 1, 1)[0]
	if add(t, here, a); a.Stream != "fresh" || a.Entry.Serial != 1 {
		t.Errorf("the append is %+v in %q", a.Entry, a.Stream)
	}
	run(t, o, "DELETE `"+here.names.logs()+"`", nil, nil)
	b := &storage.LogAppend{Key: logOf("c"), Fresh: "newer", Payload: []byte("x")}
	if add(t, here, b); b.Stream != "newer" || b.Entry.Serial != 1 {
		t.Errorf("the append is %+v in %q", b.Entry, b.Stream)
	}
}

// A caller who does not wait any more leaves at once, and what nobody has begun to
// write is not written.
func TestAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	letGo, err := h.hold(t.Context(), logID(logOf("c")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a := rowsOf("c", 1, 1)[0]
	start := time.Now()
	h.Append(ctx, []*storage.LogAppend{a})
	if !errors.Is(a.Err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("an append that waits: %v, after %v", a.Err, time.Since(start))
	}
	letGo()
	until(t, "end of the lane", func() bool { return lanesOf(h) == 0 })
	if _, err := h.Head(t.Context(), logOf("c")); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the log of nobody: %v", err)
	}
}

func lanesOf(h *History) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lanes)
}

// What many append at the same time goes into few transactions, and nothing is kept of
// a lane that nobody uses.
func TestAppendsShareTransactions(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	letGo, err := h.hold(t.Context(), logID(logOf("c")))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { add(t, h, rowsOf("c", 1, 1)...) })
	}
	until(t, "queue", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.lanes[logID(logOf("c"))].queue) == 50
	})
	letGo()
	all.Wait()
	s, _, err := h.readHead(t.Context(), logID(logOf("c")))
	if err != nil || s.Serial != 50 || s.version != 1 {
		t.Errorf("the log is %+v, %v", s, err)
	}
	until(t, "end of the lane", func() bool { return lanesOf(h) == 0 })
	for i := range maxHeads + 10 {
		h.remember(fmt.Sprint(i), s)
	}
	if len(h.heads) > maxHeads {
		t.Errorf("%d logs are remembered", len(h.heads))
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	l := new(lane)
	for _, size := range []int{maxBatchBytes + 1, 5, maxBatchBytes, 1} {
		l.queue = append(l.queue, &item{LogAppend: storage.LogAppend{Payload: make([]byte, size)}})
	}
	for range maxBatch {
		l.queue = append(l.queue, new(item))
	}
	var taken []int
	for len(l.queue) > 0 {
		taken = append(taken, len(take(l)))
	}
	if want := []int{1, 1, 1, maxBatch, 1}; !reflect.DeepEqual(taken, want) {
		t.Errorf("the queue is taken as %v, want %v", taken, want)
	}
}
