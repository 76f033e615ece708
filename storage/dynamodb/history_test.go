package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

// room is the log of these tests.
var room = storage.LogKey{App: "app", Channel: "room"}

// behindGate are a history whose requests pass a gate, and one that goes straight to
// the same table.
func behindGate(t *testing.T) (g *gate, through, direct *History) {
	t.Helper()
	g = newGate(t)
	o := newTable(t)
	direct = openHistory(t, o)
	o.Endpoint = g.url
	return g, openHistory(t, o), direct
}

// add appends entries that have to be added.
func add(t *testing.T, h *History, appends ...*storage.LogAppend) {
	t.Helper()
	for _, a := range appends {
		if a.Key, a.Fresh = room, "id"; a.At == 0 {
			a.At = 1
		}
	}
	h.Append(t.Context(), appends)
	for n, a := range appends {
		if a.Err != nil {
			t.Fatalf("entry %d: %v", n, a.Err)
		}
	}
}

// row is an entry of a subject that can be there once.
func row(n int) *storage.LogAppend {
	return &storage.LogAppend{Row: true, Subject: fmt.Sprint("s", n%3), Once: fmt.Sprint("o", n), Payload: fmt.Append(nil, "p", n)}
}

// fill adds n entries.
func fill(t *testing.T, h *History, n int) {
	t.Helper()
	var appends []*storage.LogAppend
	for i := range n {
		appends = append(appends, row(i+1))
	}
	add(t, h, appends...)
}

// shows demands that a log shows the entries from one serial to another, to readers of
// all kinds.
func shows(t *testing.T, h *History, from, to uint64) {
	t.Helper()
	head, err := h.Head(t.Context(), room)
	if err != nil || head.First != from || head.Serial != to {
		t.Fatalf("head %+v, %v; want serials %d to %d", head, err, from, to)
	}
	entries, err := h.Read(t.Context(), room, head.Stream, storage.LogQuery{Limit: 10000})
	if err != nil || uint64(len(entries)) != to-from+1 {
		t.Fatalf("%d entries, %v; want serials %d to %d", len(entries), err, from, to)
	}
	of := map[string]int{}
	for n, e := range entries {
		if e.Serial != from+uint64(n) {
			t.Fatalf("entry %d has serial %d, of %d to %d", n, e.Serial, from, to)
		}
		of[e.Subject]++
	}
	for subject, want := range of {
		if subject == "" {
			continue
		}
		found, err := h.Read(t.Context(), room, head.Stream, storage.LogQuery{Subject: subject, Limit: 10000, Bare: true})
		if err != nil || len(found) != want {
			t.Fatalf("%d entries of %q, %v; want %d", len(found), subject, err, want)
		}
		latest, err := h.Latest(t.Context(), room, head.Stream, []string{subject})
		if err != nil || latest[subject].Serial != found[want-1].Serial {
			t.Fatalf("the latest of %q is %+v, %v; want serial %d", subject, latest[subject], err, found[want-1].Serial)
		}
	}
}

// stored are the items that the table has, whoever may see them.
func stored(t *testing.T, h *History) int {
	t.Helper()
	out, err := h.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &h.table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Items)
}

// changed is an answer with something else in it.
func changed(t *testing.T, a *answer, change func(body map[string]any)) *answer {
	t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Error(err)
	}
	change(body)
	text, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
	}
	header := a.header.Clone()
	header.Del("Content-Length")
	header.Del("X-Amz-Crc32")
	return &answer{a.status, header, text}
}

// once lets a hook answer the first request of an operation.
func once(operation string, do func(w http.ResponseWriter, pass func() *answer) bool) func(string, http.ResponseWriter, *http.Request, func() *answer) bool {
	var done atomic.Bool
	return func(asked string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		return asked == operation && done.CompareAndSwap(false, true) && do(w, pass)
	}
}

// A transaction whose answer is lost is sent again, and not made twice.
func TestHistoryAnswerIsLost(t *testing.T) {
	g, through, direct := behindGate(t)
	fill(t, direct, 2)
	asked := 0
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		if operation != "TransactWriteItems" {
			return false
		}
		if asked++; asked > 1 {
			return false
		}
		if a := pass(); a.status != http.StatusOK {
			t.Errorf("the transaction was answered with %d %s", a.status, a.body)
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	a := row(3)
	add(t, through, a)
	if a.Entry.Serial != 3 || asked != 2 {
		t.Errorf("%+v after %d requests", a.Entry, asked)
	}
	shows(t, direct, 1, 3)
}

// Another node adds an entry between the reading of the head and the transaction.
func TestHistoryOtherNodeIsFaster(t *testing.T) {
	g, through, direct := behindGate(t)
	races := 0
	g.let(func(operation string, _ http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation == "TransactWriteItems" && races < 5 {
			races++
			add(t, direct, &storage.LogAppend{Row: true, Payload: []byte("faster")})
		}
		return false
	})
	one, two := row(1), row(2)
	add(t, through, one, two)
	if one.Entry.Serial != 6 || two.Entry.Serial != 7 {
		t.Errorf("%+v and %+v", one.Entry, two.Entry)
	}
	shows(t, direct, 1, 7)
	if err := through.Close(); err != nil || len(through.lines.of) != 0 {
		t.Errorf("%v, %d lines are left", err, len(through.lines.of))
	}
}

// A transaction shows its items one by one. So the head may say that there is an entry
// which cannot be read yet.
func TestHistoryReadsBetweenItemsOfATransaction(t *testing.T) {
	g, through, direct := behindGate(t)
	fill(t, direct, 5)
	drop := func(serial int) func(http.ResponseWriter, func() *answer) bool {
		return func(w http.ResponseWriter, pass func() *answer) bool {
			changed(t, pass(), func(body map[string]any) {
				items, _ := body["Items"].([]any)
				kept := []any{}
				for n, i := range items {
					if n != serial-1 {
						kept = append(kept, i)
					}
				}
				body["Items"], body["Count"] = kept, len(kept)
			}).send(w)
			return true
		}
	}
	for _, serial := range []int{1, 3, 5} {
		g.let(once("Query", drop(serial)))
		entries, err := through.Read(t.Context(), room, "id", storage.LogQuery{Limit: 10})
		if err != nil || len(entries) != 5 {
			t.Errorf("without serial %d at first: %d entries, %v", serial, len(entries), err)
		}
	}
	// One that never comes is lost, which is said.
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		return operation == "Query" && drop(3)(w, pass)
	})
	if _, err := through.Read(t.Context(), room, "id", storage.LogQuery{Limit: 10}); err == nil || !strings.Contains(err.Error(), through.place+": serial 3: an entry is missing") {
		t.Errorf("a lost entry: %v", err)
	}
}

// The same for the guards: one that is read before it shows what the head knows.
func TestHistoryReadsOldGuards(t *testing.T) {
	g, through, direct := behindGate(t)
	add(t, direct, &storage.LogAppend{Subject: "s", Once: "o"})
	blind := func(w http.ResponseWriter, pass func() *answer) bool {
		changed(t, pass(), func(body map[string]any) {
			body["Responses"] = map[string]any{through.table: []any{}}
		}).send(w)
		return true
	}
	for _, c := range []struct {
		a    storage.LogAppend
		want error
	}{
		{storage.LogAppend{Subject: "s", After: new(uint64)}, storage.ErrConflict},
		{storage.LogAppend{Once: "o"}, storage.ErrExists},
	} {
		g.let(once("BatchGetItem", blind))
		a := c.a
		a.Key, a.Fresh = room, "id"
		through.Append(t.Context(), []*storage.LogAppend{&a})
		if !errors.Is(a.Err, c.want) {
			t.Errorf("%+v: want %v", a, c.want)
		}
		shows(t, direct, 1, 1)
	}
}

// Entries are added in as many transactions as their size and number ask for.
func TestHistoryManyAtOnce(t *testing.T) {
	g, through, direct := behindGate(t)
	var transactions atomic.Int64
	g.let(func(operation string, _ http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation == "TransactWriteItems" {
			transactions.Add(1)
		}
		return false
	})
	for _, c := range []struct {
		entries, size int
		most          int64
	}{{99, 10, 1}, {200, 10, 3}, {9, 390 << 10, 2}} {
		before := transactions.Load()
		head, err := direct.Head(t.Context(), room)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
		var appends []*storage.LogAppend
		for range c.entries {
			appends = append(appends, &storage.LogAppend{Row: true, Payload: make([]byte, c.size)})
		}
		add(t, through, appends...)
		for n, a := range appends {
			if a.Entry.Serial != head.Serial+uint64(n)+1 {
				t.Fatalf("entry %d has serial %d", n, a.Entry.Serial)
			}
		}
		if n := transactions.Load() - before; n > c.most {
			t.Errorf("%d entries of %d bytes took %d transactions, want %d", c.entries, c.size, n, c.most)
		}
	}
	shows(t, direct, 1, 99+200+9)
}

// Callers who come while a transaction is being made share the next one. One who leaves
// takes nobody along.
func TestHistoryCallersShareTransactions(t *testing.T) {
	g, through, direct := behindGate(t)
	fill(t, direct, 1)
	const callers = 60
	held, release := make(chan struct{}), make(chan struct{})
	var transactions atomic.Int64
	g.let(func(operation string, _ http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation == "TransactWriteItems" && transactions.Add(1) == 1 {
			close(held)
			<-release
		}
		return false
	})
	var all sync.WaitGroup
	call := func(ctx context.Context, want error) {
		all.Go(func() {
			a := &storage.LogAppend{Key: room, Fresh: "id", At: 1, Payload: []byte("p")}
			if through.Append(ctx, []*storage.LogAppend{a}); !errors.Is(a.Err, want) {
				t.Errorf("%v, want %v", a.Err, want)
			}
		})
	}
	waiting := func(n int) {
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			through.lines.mu.Lock()
			there := len(through.lines.of[room].waiting)
			through.lines.mu.Unlock()
			if there == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d wait, want %d", there, n)
			}
		}
	}
	call(t.Context(), nil)
	<-held
	ctx, leave := context.WithCancel(t.Context())
	call(ctx, context.Canceled)
	waiting(1)
	for range callers {
		call(t.Context(), nil)
	}
	waiting(callers + 1)
	leave()
	waiting(callers)
	close(release)
	all.Wait()
	if n := transactions.Load(); n != 2 {
		t.Errorf("%d callers took %d transactions, want 2", callers+1, n)
	}
	shows(t, direct, 1, callers+2)
}

// A transaction that nobody waits for any more ends, and holds nobody up.
func TestHistoryLastCallerLeaves(t *testing.T) {
	g, through, direct := behindGate(t)
	held := make(chan struct{})
	g.let(once("TransactWriteItems", func(http.ResponseWriter, func() *answer) bool {
		close(held)
		<-t.Context().Done()
		return true
	}))
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-held
		leave()
	}()
	a := &storage.LogAppend{Key: room, Fresh: "id"}
	if through.Append(ctx, []*storage.LogAppend{a}); !errors.Is(a.Err, context.Canceled) {
		t.Fatal(a.Err)
	}
	start := time.Now()
	add(t, through, row(1))
	if took := time.Since(start); took > attemptTimeout {
		t.Errorf("the next one had to wait for %v", took)
	}
	shows(t, direct, 1, 1)
}

// What the longest names make of an item fits into it.
func TestHistoryLargestEntry(t *testing.T) {
	h := openHistory(t, newTable(t))
	long := func(n int) string { return strings.Repeat("\xff", n) }
	key := storage.LogKey{App: long(512), Channel: long(512)}
	a := &storage.LogAppend{
		Key: key, Fresh: long(256), Subject: long(256), Once: long(256), Row: true, After: new(uint64),
		At: 1 << 60, Payload: make([]byte, h.MaxSize()),
	}
	h.Append(t.Context(), []*storage.LogAppend{a})
	if a.Err != nil {
		t.Fatal(a.Err)
	}
	if none, err := h.Read(t.Context(), key, a.Fresh, storage.LogQuery{Subject: long(5000), Limit: 1}); err != nil || len(none) != 0 {
		t.Errorf("a subject that is too long: %v, %v", none, err)
	}
	latest, err := h.Latest(t.Context(), key, a.Fresh, []string{a.Subject, long(5000)})
	if err != nil || len(latest[a.Subject].Payload) != maxPayload {
		t.Errorf("%d bytes, %v", len(latest[a.Subject].Payload), err)
	}
}

// Two clients and many callers append at once, while a third trims and reads.
func TestHistoryTrimsWhileOthersAppend(t *testing.T) {
	o := newTable(t)
	one, two, third := openHistory(t, o), openHistory(t, o), openHistory(t, o)
	add(t, one, row(1000))
	ctx, stop := context.WithCancel(t.Context())
	var writers, reader sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			h := []*History{one, two}[n%2]
			for k := range 15 {
				a := row(n*100 + k)
				a.Key, a.Fresh, a.At = room, "id", 1
				if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil {
					t.Error(a.Err)
				}
			}
		})
	}
	reader.Go(func() {
		for ctx.Err() == nil {
			readsWhole(t, third, "")
			readsWhole(t, third, "s1")
			head, err := third.Head(t.Context(), room)
			if err == nil && head.Serial > 10 {
				err = third.Trim(t.Context(), room, "id", head.Serial-5)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	writers.Wait()
	stop()
	reader.Wait()
	head, err := third.Head(t.Context(), room)
	if err != nil || head.Serial != 61 {
		t.Fatalf("head %+v, %v", head, err)
	}
	shows(t, one, head.First, 61)
	if err := third.Trim(t.Context(), room, "id", 62); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, third); n != 1 {
		t.Errorf("%d items are stored, want the head alone", n)
	}
}

// readsWhole reads a log, which may have no gap.
func readsWhole(t *testing.T, h *History, subject string) {
	entries, err := h.Read(t.Context(), room, "id", storage.LogQuery{Limit: 1000, Subject: subject})
	if err != nil {
		t.Error(err)
	}
	for n := 1; n < len(entries); n++ {
		if subject == "" && entries[n].Serial != entries[n-1].Serial+1 {
			t.Errorf("after serial %d comes %d", entries[n-1].Serial, entries[n].Serial)
		}
	}
}
