package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ledger notes what writers were told.
type ledger struct {
	mu   sync.Mutex
	told map[uint64]string // payloads, by serial
}

// keepWriting appends to one log until the context ends. Errors must not say that
// nothing was done.
func (l *ledger) keepWriting(ctx context.Context, t *testing.T, h *History, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		a := &storage.LogAppend{Key: logOf("c"), Fresh: "id", Row: true, Payload: fmt.Append(nil, name, " ", n)}
		h.Append(t.Context(), []*storage.LogAppend{a})
		switch {
		case a.Err == nil:
			l.mu.Lock()
			if other, twice := l.told[a.Entry.Serial]; twice {
				t.Errorf("serial %d went to %q and %q", a.Entry.Serial, other, a.Payload)
			}
			l.told[a.Entry.Serial] = string(a.Payload)
			l.mu.Unlock()
		case errors.Is(a.Err, storage.ErrConflict), errors.Is(a.Err, storage.ErrClosed), errors.Is(a.Err, storage.ErrTooLarge), !strings.Contains(a.Err.Error(), h.place+": "):
			t.Errorf("an append says %v", a.Err)
		default:
			time.Sleep(2 * time.Millisecond)
		}
	}
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told)
}

// check demands that what was told is there, without gaps.
func (l *ledger) check(t *testing.T, h *History) {
	t.Helper()
	found := everything(t, h, "c")
	for i, e := range found {
		told := l.told[e.Serial]
		if e.Serial != uint64(i+1) || told != "" && told != string(e.Payload) {
			t.Fatalf("entry %d is %d with %q, told was %q", i+1, e.Serial, e.Payload, told)
		}
		delete(l.told, e.Serial)
	}
	if len(l.told) > 0 {
		t.Errorf("acknowledged and not there: %v", l.told)
	}
	t.Logf("%d entries", len(found))
}

// The server dies and comes back, twice, while many append on two nodes. What was
// acknowledged is there afterwards.
func TestHistoryOverRestarts(t *testing.T) {
	server, o := ownServer(t)
	h := [2]*History{openHistory(t, o), openHistory(t, o)}
	before := runtime.NumGoroutine()
	book := &ledger{told: map[uint64]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for i := range 6 {
		writers.Go(func() { book.keepWriting(ctx, t, h[i%2], fmt.Sprint("writer ", i)) })
	}
	for _, end := range []func(){server.Kill, server.Stop} {
		told := book.len()
		until(t, "appends", func() bool { return book.len() > told+50 })
		end()
		until(t, "failed check", func() bool { return h[0].Check(t.Context()) != nil && h[1].Check(t.Context()) != nil })
		start := time.Now()
		if _, err := h[0].Head(t.Context(), logOf("c")); err == nil || errors.Is(err, storage.ErrNotFound) || time.Since(start) > 2*time.Second {
			t.Errorf("without a server Head says %v, after %v", err, time.Since(start))
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	told := book.len()
	until(t, "appends after the restart", func() bool { return book.len() > told+50 })
	cancel()
	writers.Wait()
	settled(t, before)
	book.check(t, openHistory(t, o))
}

// Connections that stall or break while many append lose nothing, and put nothing
// into the log that is not one of its entries.
func TestHistoryOverOutages(t *testing.T) {
	t.Parallel()
	o := standing(t)
	proxy := outage.NewProxy(t, hostOf(t, o))
	direct := openHistory(t, o)
	o.URL = "ws://" + proxy.Addr()
	h := openHistory(t, o)
	book := &ledger{told: map[uint64]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { book.keepWriting(ctx, t, h, fmt.Sprint("writer ", i)) })
	}
	for range 5 {
		told := book.len()
		until(t, "appends", func() bool { return book.len() > told+20 })
		first := h.link.now
		first.end(errors.New("for the test"))
	}
	proxy.Stall()
	until(t, "failed check", func() bool { return h.Check(t.Context()) != nil })
	proxy.Mend()
	told := book.len()
	until(t, "appends after the silence", func() bool { return book.len() > told+20 })
	cancel()
	writers.Wait()
	book.check(t, direct)
}

// Close ends appends that are under way, at once, and leaves no goroutine.
func TestHistoryCloseWhileAppending(t *testing.T) {
	o := standing(t)
	proxy := outage.NewProxy(t, hostOf(t, o))
	_ = openHistory(t, o) // which has made the tables
	before := runtime.NumGoroutine()
	o.URL = "ws://" + proxy.Addr()
	h := openHistory(t, o)
	proxy.Stall()
	ended := make(chan error)
	for range 3 {
		go func() {
			a := rowsOf("c", 1, 1)[0]
			h.Append(context.Background(), []*storage.LogAppend{a})
			ended <- a.Err
		}()
	}
	until(t, "lane", func() bool { return lanesOf(h) == 1 })
	start := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, storage.ErrClosed) {
			t.Errorf("an append that is under way: %v", err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("closing took %v", took)
	}
	settled(t, before)
}
