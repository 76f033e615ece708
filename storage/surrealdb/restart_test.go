package surrealdb

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

// settled waits until there are about as many goroutines as before.
func settled(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines have become %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// The server dies and comes back, twice, while many call. In the middle calls fail at
// once, and never say that there is no such app; afterwards they find everything.
//
// Checklist: configuration 41
func TestServerRestart(t *testing.T) {
	server, o := ownServer(t)
	m := open(t, o)
	put(t, m, app("a", "k"))
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	defer callers.Wait()
	defer cancel()
	for range writers {
		callers.Go(func() {
			for ctx.Err() == nil {
				if _, err := m.AppByKey(t.Context(), "k"); errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrClosed) {
					t.Errorf("a lookup says %v", err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	for round, end := range []func(){server.Kill, server.Stop} {
		end()
		until(t, "failed check", func() bool { return m.Check(t.Context()) != nil })
		for range 20 {
			start := time.Now()
			err := m.PutApp(t.Context(), app("b", "kb"), storage.AnyVersion)
			if err == nil || errors.Is(err, storage.ErrConflict) || !strings.Contains(err.Error(), m.place+": ") || strings.Contains(err.Error(), "hush") {
				t.Errorf("a change without a server: %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("a change without a server took %v", took)
			}
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		until(t, "lookup after the restart", func() bool { _, err := m.AppByKey(t.Context(), "k"); return err == nil })
		t.Logf("round %d: found %v after the server was back", round, time.Since(start))
		if err := m.PutApp(t.Context(), app("c", "kc"), storage.AnyVersion); err != nil {
			t.Error(err)
		}
		if err := m.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	cancel()
	callers.Wait()
	settled(t, before)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	// What was stored has outlived the server and the driver.
	knows(t, open(t, o), "kc", "c")
}

// A connection that has gone silent is noticed, also when nobody calls.
func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	o := standing(t)
	proxy := outage.NewProxy(t, hostOf(t, o))
	o.URL = "ws://" + proxy.Addr()
	m := open(t, o)
	put(t, m, app("a", "k"))
	first := m.link.now
	time.Sleep(silence + silence/3) // with nothing to hear but answers to pings
	knows(t, m, "k", "a")
	if m.link.now != first {
		t.Error("a quiet connection is taken for a lost one")
	}
	proxy.Stall()
	select {
	case <-first.gone:
		if err := first.why(); !strings.Contains(err.Error(), "nothing was heard for") {
			t.Errorf("the connection ends because %v", err)
		}
	case <-time.After(3 * silence):
		t.Fatal("the silence is not noticed")
	}
	start := time.Now()
	if _, err := m.AppByKey(t.Context(), "k"); err == nil || errors.Is(err, storage.ErrNotFound) || time.Since(start) > loginTimeout+2*time.Second {
		t.Errorf("a lookup through the silence: %v, after %v", err, time.Since(start))
	}
	proxy.Mend()
	until(t, "lookup after the silence", func() bool { _, err := m.AppByKey(t.Context(), "k"); return err == nil })
}

func TestCloseLeavesNothing(t *testing.T) {
	o := standing(t)
	put(t, open(t, o), app("a", "k"))
	before := runtime.NumGoroutine()
	for range 30 {
		m, err := OpenAppManager(t.Context(), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		knows(t, m, "k", "a")
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	settled(t, before)
}

// Close does not wait for a server that does not answer.
func TestCloseWhileConnecting(t *testing.T) {
	o := standing(t)
	proxy := outage.NewProxy(t, hostOf(t, o))
	o.URL = "ws://" + proxy.Addr()
	m := open(t, o)
	before := runtime.NumGoroutine()
	proxy.Stall()
	m.link.now.end(errors.New("for the test"))
	ended := make(chan error)
	go func() { _, err := m.AppByKey(t.Context(), "k"); ended <- err }()
	until(t, "attempt", func() bool {
		m.link.mu.Lock()
		defer m.link.mu.Unlock()
		return m.link.attempt != nil
	})
	start := time.Now()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, storage.ErrClosed) {
		t.Errorf("a call that waits for the connection: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("closing took %v", took)
	}
	settled(t, before)
}
