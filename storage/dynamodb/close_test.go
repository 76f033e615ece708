package dynamodb

import (
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// patience bounds the wait for what must happen.
const patience = 20 * time.Second

func TestCloseEndsCallsUnderWay(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	m := open(t, o)
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	t.Cleanup(func() { close(release) })
	g.let(func(_ string, _ http.ResponseWriter, r *http.Request, _ func() *answer) bool {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	ended := make(chan error)
	calls := []func() error{
		func() error { _, err := m.AppByID(t.Context(), "a"); return err },
		func() error { _, err := m.AppByKey(t.Context(), "k"); return err },
		func() error { _, err := m.Apps(t.Context()); return err },
		func() error { return m.PutApp(t.Context(), app("a", "k"), storage.AnyVersion) },
		func() error { return m.Check(t.Context()) },
	}
	for _, call := range calls {
		go func() { ended <- call() }()
	}
	for range calls {
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatal("a call does not reach the service")
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for range calls {
		select {
		case err := <-ended:
			if !errors.Is(err, storage.ErrClosed) {
				t.Errorf("a call ends with %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a call outlives Close")
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	o := newTable(t)
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
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before+10; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines have become %d", before, runtime.NumGoroutine())
		}
	}
}
