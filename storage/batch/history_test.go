package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func TestHistorySuite(t *testing.T) {
	storagetest.Engine(t, "batch over memory")
	storagetest.TestHistory(t, func(*testing.T) (here, there storage.History) {
		h := New(memory.NewHistory(0), Options{})
		return h, h
	})
}

// gate is a store whose writes wait until they are let through.
type gate struct {
	storage.History
	entered chan int      // with the size of a write
	open    chan struct{} // lets one write through, or all when it is closed

	mu     sync.Mutex
	writes [][]string // the payloads of each write
}

func newGate() *gate {
	return &gate{History: memory.NewHistory(0), entered: make(chan int, 1000), open: make(chan struct{})}
}

func (g *gate) Append(ctx context.Context, appends []*storage.LogAppend) {
	var payloads []string
	for _, a := range appends {
		payloads = append(payloads, string(a.Payload))
	}
	g.mu.Lock()
	g.writes = append(g.writes, payloads)
	g.mu.Unlock()
	g.entered <- len(appends)
	select {
	case <-g.open:
		g.History.Append(ctx, appends)
	case <-ctx.Done():
		for _, a := range appends {
			a.Err = ctx.Err()
		}
	}
}

func entryOf(channel, payload string) *storage.LogAppend {
	return &storage.LogAppend{Key: storage.LogKey{App: "a", Channel: channel}, Fresh: "id", Row: true, Payload: []byte(payload)}
}

// start appends in a goroutine, and waits until that many wait. It returns what waits
// for the end.
func start(t *testing.T, h *History, waiting int, ctx context.Context, appends ...*storage.LogAppend) (end func()) { //nolint:revive // the entries come last
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Append(ctx, appends)
	}()
	until(t, "queue", func() bool { return h.Stats().Waiting == waiting })
	return func() { <-done }
}

// busy makes the only writer of a history busy.
func busy(t *testing.T, h *History, g *gate) (first *storage.LogAppend, end func()) {
	t.Helper()
	first = entryOf("c", "first")
	end = start(t, h, 0, t.Context(), first)
	<-g.entered
	return first, end
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func closeIt(t *testing.T, h *History) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// What many append while a write runs is one write.
func TestFewWritesOfMany(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1})
	defer closeIt(t, h)
	first, end := busy(t, h, g)
	ends := []func(){end}
	appends := []*storage.LogAppend{first}
	for i := range 700 {
		a := entryOf(fmt.Sprint("c", i%9), fmt.Sprint(i))
		appends = append(appends, a)
		ends = append(ends, start(t, h, i+1, t.Context(), a))
	}
	if s := h.Stats(); s.Waiting != 700 || s.Bytes < 701*itemCost {
		t.Errorf("%+v", s)
	}
	close(g.open)
	for _, end := range ends {
		end()
	}
	for _, a := range appends {
		if a.Err != nil || a.Entry.Serial == 0 || a.Stream != "id" {
			t.Fatalf("%+v", a)
		}
	}
	if n := len(g.writes); n != 3 || len(g.writes[1]) != maxEntries {
		t.Errorf("%d writes", n)
	}
	if s := h.Stats(); s != (Stats{}) {
		t.Errorf("in the end: %+v", s)
	}
}

// A write is bounded in bytes, but for one large entry, and small ones pass none of
// their own log.
func TestWritesAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1})
	defer closeIt(t, h)
	_, end := busy(t, h, g)
	var appends []*storage.LogAppend
	for i := range 5 {
		appends = append(appends, entryOf("c", strings.Repeat(fmt.Sprint(i), 3<<20)), entryOf("c", "small"))
	}
	last := start(t, h, 10, t.Context(), appends...)
	close(g.open)
	end()
	last()
	for _, w := range g.writes {
		size := 0
		for _, payload := range w {
			size += len(payload)
		}
		if size > maxBytes {
			t.Errorf("a write of %d bytes", size)
		}
	}
	for i, a := range appends {
		if a.Err != nil || a.Entry.Serial != uint64(i+2) {
			t.Errorf("append %d: %v, %+v", i, a.Err, a.Entry)
		}
	}
}

// What one caller appends to a log, in one call or in several, stays in order.
func TestOrder(t *testing.T) {
	t.Parallel()
	h := New(memory.NewHistory(0), Options{Shards: 3})
	defer closeIt(t, h)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			last := uint64(0)
			for n := range 100 {
				batch := []*storage.LogAppend{entryOf(fmt.Sprint(w%4), fmt.Sprint(w, n)), entryOf("other", "x"), entryOf(fmt.Sprint(w%4), fmt.Sprint(w, n))}
				h.Append(t.Context(), batch)
				if one, two := batch[0], batch[2]; one.Err != nil || two.Err != nil || one.Entry.Serial <= last || two.Entry.Serial <= one.Entry.Serial {
					t.Errorf("after %d: %+v, %+v", last, one, two)
				}
				last = batch[2].Entry.Serial
			}
		})
	}
	all.Wait()
}

// An append whose context ends while it waits is not added; one that is written is.
func TestWithdrawal(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1, Queue: 3})
	defer closeIt(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	first := entryOf("c", "first")
	end := start(t, h, 0, ctx, first)
	<-g.entered
	one, two, three := entryOf("c", "one"), entryOf("c", "two"), entryOf("c", "three")
	ended := start(t, h, 1, ctx, one)
	patient := start(t, h, 2, t.Context(), two)
	endedToo := start(t, h, 3, ctx, three)
	cancel()
	ended()
	endedToo()
	for _, a := range []*storage.LogAppend{one, three} {
		if !errors.Is(a.Err, context.Canceled) {
			t.Errorf("%s: %v", a.Payload, a.Err)
		}
	}
	if s := h.Stats(); s.Waiting != 1 || s.Bytes != 2*itemCost+int64(len("a")+len("c"))*2+int64(len("first")+len("two")) {
		t.Errorf("after the withdrawal: %+v", s)
	}
	four := entryOf("c", "four")
	last := start(t, h, 2, t.Context(), four)
	close(g.open)
	for _, end := range []func(){end, patient, last} {
		end()
	}
	if first.Err != nil || two.Entry.Serial != 2 || four.Entry.Serial != 3 {
		t.Errorf("%+v, %+v, %+v", first, two, four)
	}
	if want := [][]string{{"first"}, {"two", "four"}}; fmt.Sprint(g.writes) != fmt.Sprint(want) {
		t.Errorf("the writes were %v, want %v", g.writes, want)
	}
}

// Over its bounds a history says which one it is, and takes more when there is room.
func TestBounds(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1, Queue: 2, Bytes: 10000})
	defer closeIt(t, h)
	_, end := busy(t, h, g)
	appends := []*storage.LogAppend{entryOf("c", "one"), entryOf("c", "two"), entryOf("c", "three")}
	last := start(t, h, 2, t.Context(), appends...)
	if err := appends[2].Err; !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrTooLarge) || !strings.Contains(err.Error(), "the bound queue") {
		t.Errorf("over the queue: %v", err)
	}
	h.SetOptions(Options{Queue: 9, Bytes: 10000})
	large := entryOf("c", strings.Repeat("x", 10000))
	h.Append(t.Context(), []*storage.LogAppend{large})
	if !errors.Is(large.Err, storage.ErrFull) || !strings.Contains(large.Err.Error(), "10000 bytes") {
		t.Errorf("over the bytes: %v", large.Err)
	}
	four := entryOf("c", "four")
	more := start(t, h, 3, t.Context(), four)
	close(g.open)
	for _, end := range []func(){end, last, more} {
		end()
	}
	if four.Err != nil || appends[1].Err != nil || four.Entry.Serial != 4 {
		t.Errorf("%+v, %+v", appends[1], four)
	}
}

// What cannot be in an entry does not wait, and does no harm to others.
func TestSenselessEntries(t *testing.T) {
	t.Parallel()
	h := New(memory.NewHistory(0), Options{})
	defer closeIt(t, h)
	good, bad := entryOf("c", "good"), entryOf("", "bad")
	h.Append(t.Context(), []*storage.LogAppend{bad, good})
	if bad.Err == nil || good.Err != nil {
		t.Errorf("%v, %v", bad.Err, good.Err)
	}
}

// A store that is slow is given up, which the error says, and asked again.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1, WriteTimeout: time.Minute})
	h.SetOptions(Options{WriteTimeout: 20 * time.Millisecond}) // which counts at once
	a := entryOf("c", "x")
	h.Append(t.Context(), []*storage.LogAppend{a})
	if !errors.Is(a.Err, context.DeadlineExceeded) || !strings.Contains(a.Err.Error(), "longer than 20ms") {
		t.Errorf("%v", a.Err)
	}
	h.SetOptions(Options{})
	close(g.open)
	if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil {
		t.Error(a.Err)
	}
	closeIt(t, h)
}

// panicky panics with the first write.
type panicky struct {
	storage.History
	once sync.Once
}

func (p *panicky) Append(ctx context.Context, appends []*storage.LogAppend) {
	p.once.Do(func() { panic("oh") })
	p.History.Append(ctx, appends)
}

func TestPanicOfTheStore(t *testing.T) {
	t.Parallel()
	h := New(&panicky{History: memory.NewHistory(0)}, Options{Shards: 1})
	defer closeIt(t, h)
	a, b := entryOf("c", "x"), entryOf("c", "y")
	h.Append(t.Context(), []*storage.LogAppend{a, b})
	for _, one := range []*storage.LogAppend{a, b} {
		if one.Err == nil || !strings.Contains(one.Err.Error(), "oh") {
			t.Errorf("%v", one.Err)
		}
	}
	if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil || a.Entry.Serial != 1 {
		t.Errorf("afterwards: %+v", a)
	}
	if s := h.Stats(); s != (Stats{}) {
		t.Errorf("%+v", s)
	}
}

// Close writes what waits, refuses what comes, and closes the store once.
func TestCloseWithWaiting(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1})
	first, end := busy(t, h, g)
	one := entryOf("c", "one")
	last := start(t, h, 1, t.Context(), one)
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- h.Close() }()
	}
	until(t, "refusal", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // it may still be taken, and would wait
		defer cancel()
		late := entryOf("c", "late")
		h.Append(ctx, []*storage.LogAppend{late})
		return errors.Is(late.Err, storage.ErrClosed)
	})
	select {
	case err := <-closed:
		t.Errorf("Close does not wait, and returns %v", err)
	default:
	}
	close(g.open)
	end()
	last()
	if err := errors.Join(<-closed, <-closed, first.Err, one.Err); err != nil || one.Entry.Serial != 2 {
		t.Errorf("%v, %+v", err, one.Entry)
	}
	if slices.ContainsFunc(g.writes, func(w []string) bool { return slices.Contains(w, "late") }) {
		t.Errorf("the writes were %v", g.writes)
	}
	if _, err := h.Head(t.Context(), one.Key); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("the store is open: %v", err)
	}
}

// Close ends although the store does not answer, and says so to those that wait.
func TestCloseWithDeadStore(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := New(g, Options{Shards: 1, WriteTimeout: 50 * time.Millisecond})
	var ends []func()
	var appends []*storage.LogAppend
	for i := range 20 {
		a := entryOf("c", strings.Repeat("x", 3<<20))
		appends = append(appends, a)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.Append(t.Context(), []*storage.LogAppend{a})
		}()
		ends = append(ends, func() { <-done })
		if i == 0 {
			<-g.entered
		}
	}
	begun := time.Now()
	closeIt(t, h)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	for i, end := range ends {
		if end(); appends[i].Err == nil {
			t.Errorf("append %d is said to be written", i)
		}
	}
}

// able is a store with all that is optional.
type able struct {
	storage.History
	tuned any
}

func (*able) MaxSize() int64              { return 7 }
func (*able) Check(context.Context) error { return storage.ErrFull }
func (a *able) Tune(spec any) error       { a.tuned = spec; return nil }

func TestOptionalInterfaces(t *testing.T) {
	t.Parallel()
	store := &able{History: memory.NewHistory(0)}
	h := New(store, Options{})
	defer closeIt(t, h)
	if h.MaxSize() != 7 || !errors.Is(h.Check(t.Context()), storage.ErrFull) || h.Tune("spec") != nil || store.tuned != "spec" {
		t.Errorf("%d, %v, %v", h.MaxSize(), h.Check(t.Context()), store.tuned)
	}
	plain := New(struct{ storage.History }{memory.NewHistory(0)}, Options{})
	defer closeIt(t, plain)
	if plain.MaxSize() != storage.MaxLogPayload || plain.Check(t.Context()) != nil || plain.Tune(nil) != nil {
		t.Error("a store that can do nothing of this")
	}
}
