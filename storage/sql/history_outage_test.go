package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

const (
	// shortTimeout is the bound of a transaction in these tests, and lateAt when a call
	// must have returned at the latest.
	shortTimeout = 500 * time.Millisecond
	lateAt       = 8 * time.Second
)

// onProxies runs a test on each server, with a proxy between.
func onProxies(t *testing.T, f func(t *testing.T, proxy *outage.Proxy, h *History)) {
	for dialect, o := range servers(t) {
		if dialect == SQLite { // which has no server
			continue
		}
		t.Run(string(dialect), func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, o))
			target, prefix := addressOf(t, o), newPrefix(t, o)
			proxy := outage.NewProxy(t, target)
			openHistory(t, o, prefix) // makes the tables
			o.DSN = strings.Replace(o.DSN, target, proxy.Addr(), 1)
			h := openHistory(t, o, prefix)
			h.SetTimeout(shortTimeout)
			t.Cleanup(proxy.Mend)
			f(t, proxy, h)
		})
	}
}

// appendOnce adds one entry, and reports whether it is there.
func appendOnce(h *History, once string) error {
	a := &storage.LogAppend{Key: channel(0), Fresh: "id", Row: true, Once: once, Payload: []byte(once)}
	h.Append(context.Background(), []*storage.LogAppend{a})
	return a.Err
}

// Calls fail in time while the server cannot be reached or does not answer, though their
// contexts have no end, and nobody claims to know what cannot be known. Afterwards they
// work without opening anything anew.
func TestHistoryOutage(t *testing.T) {
	onProxies(t, func(t *testing.T, proxy *outage.Proxy, h *History) {
		ctx, key := context.Background(), channel(0)
		calls := map[string]func() error{
			"Append": func() error { return appendOnce(h, "during") },
			"Head":   func() error { _, err := h.Head(ctx, key); return err },
			"Read":   func() error { _, err := h.Read(ctx, key, "id", storage.LogQuery{Limit: 1}); return err },
			"Latest": func() error { _, err := h.Latest(ctx, key, "id", []string{"a"}); return err },
			"Trim":   func() error { return h.Trim(ctx, key, "other", 1) },
			"Reset":  func() error { return h.Reset(ctx, channel(1), "other") },
			"Mark":   func() error { return h.Mark(ctx, key, "id", storage.LogState{Name: "degraded", Since: 1}) },
			"Due":    func() error { _, err := h.Due(ctx, time.Now(), 1); return err },
			"Check":  func() error { return h.Check(ctx) },
		}
		if err := appendOnce(h, "before"); err != nil {
			t.Fatal(err)
		}
		for what, begin := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
			begin()
			for name, call := range calls {
				start := time.Now()
				err := call()
				if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrClosed) || !strings.Contains(err.Error(), h.place) {
					t.Errorf("%s while the connection is %s: %v", name, what, err)
				}
				if took := time.Since(start); took > lateAt {
					t.Errorf("%s while the connection is %s took %v, with a limit of %v", name, what, took, shortTimeout)
				}
			}
			proxy.Mend()
			until(t, "entry after the outage", func() bool {
				err := appendOnce(h, "after "+what)
				return err == nil || errors.Is(err, storage.ErrExists)
			})
			for name, call := range calls {
				until(t, name+" after the outage", func() bool {
					err := call()
					return err == nil || errors.Is(err, storage.ErrExists)
				})
			}
		}
	})
}

// When a connection ends in the middle of a transaction, or of its commit, nobody knows
// what has become of it. Whoever tries again with the same Once has one entry in the end.
func TestHistoryRetriesOverOutages(t *testing.T) {
	onProxies(t, func(t *testing.T, proxy *outage.Proxy, h *History) {
		const writers, turns = 4, 8
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		progress := make(chan struct{}, writers*turns)
		var failed, known int
		var mu sync.Mutex
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range turns {
					for ctx.Err() == nil {
						err := appendOnce(h, fmt.Sprint(w, ".", n))
						mu.Lock()
						if err != nil {
							failed++
						}
						if errors.Is(err, storage.ErrExists) {
							known++
						}
						mu.Unlock()
						if err == nil || errors.Is(err, storage.ErrExists) {
							progress <- struct{}{}
							break
						}
					}
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				select { // a slow machine must come to an end too
				case <-progress:
				case <-ctx.Done():
					return
				}
				wait.For(ctx, time.Duration(rand.IntN(20000))*time.Microsecond)
				if n%8 == 7 {
					proxy.Stall()
				}
				proxy.Cut()
				proxy.Mend()
			}
		}()
		all.Wait()
		if ctx.Err() != nil {
			t.Fatal("the writers do not come to their end")
		}
		cancel()
		<-ended
		var entries []storage.LogEntry
		until(t, "answer", func() (ok bool) {
			var err error
			entries, err = h.Read(t.Context(), channel(0), "id", storage.LogQuery{Limit: 1000})
			return err == nil
		})
		onces := map[string]bool{}
		for i, e := range entries {
			if e.Serial != uint64(i+1) || onces[e.Once] || e.Once != string(e.Payload) {
				t.Errorf("entry %d is %+v", i, e)
			}
			onces[e.Once] = true
		}
		if len(entries) != writers*turns || failed == 0 {
			t.Errorf("%d entries, want %d; %d appends have failed", len(entries), writers*turns, failed)
		}
		t.Logf("FIGURE %s: %d appends failed because of cut connections, %d of them had been committed all the same", h.dialect, failed-known, known)
	})
}
