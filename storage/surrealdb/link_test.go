package surrealdb

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// A lookup whose answer is lost is made again on another connection. A change is not:
// it may have been made.
func TestLostAnswers(t *testing.T) {
	var drop atomic.Int32
	var drops atomic.Value
	drops.Store("SELECT")
	f := newFake(t, func(said string, _ []any) (any, error) {
		if strings.HasPrefix(said, drops.Load().(string)) && drop.Add(-1) >= 0 {
			return nil, errDrop
		}
		if strings.HasPrefix(said, "CREATE") {
			return ok([]any{"a"}), nil
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	drop.Store(1)
	if _, err := m.AppByID(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) || f.dials.Load() != 2 {
		t.Errorf("a lookup whose answer is lost once: %v, after %d connections", err, f.dials.Load())
	}
	drop.Store(2)
	if _, err := m.AppByID(t.Context(), "a"); err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), m.place+": the connection is lost: ") {
		t.Errorf("a lookup whose answer is lost twice: %v", err)
	}
	drop.Store(0)
	if err := m.PutApp(t.Context(), app("a", "k"), storage.NoVersion); err != nil {
		t.Error(err)
	}
	before := f.times("CREATE")
	drops.Store("CREATE")
	drop.Store(1)
	err := m.PutApp(t.Context(), app("a", "k"), storage.NoVersion)
	if err == nil || !strings.Contains(err.Error(), m.place+": the change may have been made or not: the connection is lost") || f.times("CREATE") != before+1 {
		t.Errorf("a change whose answer is lost: %v, sent %d times", err, f.times("CREATE")-before)
	}
}

// While nobody answers, each call ends when its caller wants it to, and all of them
// when the driver is closed. What comes too late is nobody's.
func TestSilentServer(t *testing.T) {
	var silent atomic.Bool
	f := newFake(t, func(said string, _ []any) (any, error) {
		if silent.Load() {
			return nil, errSilent
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	silent.Store(true)
	calls := []func(context.Context) error{
		func(ctx context.Context) error { _, err := m.AppByID(ctx, "a"); return err },
		func(ctx context.Context) error { _, err := m.AppByKey(ctx, "k"); return err },
		func(ctx context.Context) error { _, err := m.Apps(ctx); return err },
		func(ctx context.Context) error { return m.PutApp(ctx, app("a", "k"), storage.AnyVersion) },
		func(ctx context.Context) error { return m.DeleteApp(ctx, "a", storage.AnyVersion) },
		m.Check,
	}
	for n, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), m.place) {
			t.Errorf("call %d: %v", n, err)
		}
		cancel()
	}
	ended := make(chan error)
	before := f.times("SELECT")
	for _, call := range calls {
		go func() { ended <- call(t.Context()) }()
	}
	until(t, "calls at the server", func() bool { return f.times("SELECT") == before+len(calls) })
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
	if f.dials.Load() != 1 {
		t.Errorf("there were %d connections", f.dials.Load())
	}
}

// When a session has expired, the connection of calls that are under way in it stays
// until they are answered.
func TestExpiredSessionLeavesNobodyBehind(t *testing.T) {
	release := make(chan struct{})
	var expired atomic.Bool
	f := newFake(t, func(said string, params []any) (any, error) {
		switch vars, _ := append(params, nil, nil)[1].(map[string]any); {
		case said == "signin":
			expired.Store(false)
		case strings.HasPrefix(said, "UPSERT"):
			<-release
			return ok([]any{vars["id"]}), nil
		case strings.HasPrefix(said, "SELECT") && expired.Load():
			return nil, errors.New("The session has expired")
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	ended := make(chan error, 1)
	go func() { ended <- m.PutApp(t.Context(), app("a", "k"), storage.AnyVersion) }()
	until(t, "change at the server", func() bool { return f.times("UPSERT") == 1 })
	first := m.link.now
	expired.Store(true)
	if _, err := m.AppByKey(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) || m.link.now == first {
		t.Errorf("a lookup after the end of the session: %v", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("a change from before: %v", err)
	}
	until(t, "end of the first connection", func() bool { return first.ended() && first.why() != nil })
}

// What cannot be understood ends the connection, or the call, and nothing else.
func TestGarbage(t *testing.T) {
	for name, garbage := range map[string]any{
		"no CBOR":            raw{0xff, 0x00},
		"an endless list":    raw{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"half a message":     raw{0xa2, 0x62, 'i', 'd', 0x61, '1', 0x66, 'r', 'e'},
		"nothing":            raw{},
		"a number":           7,
		"two statements":     []any{map[string]any{"status": "OK"}, map[string]any{"status": "OK"}},
		"another result":     ok(map[string]any{"a": 1}),
		"other records":      ok([]any{1, 2}),
		"errors of no words": []any{map[string]any{"status": "ERR", "result": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var bad atomic.Bool
			f := newFake(t, func(said string, _ []any) (any, error) {
				if bad.Load() && strings.HasPrefix(said, "SELECT") {
					return garbage, nil
				}
				return fine(said), nil
			})
			m := open(t, Options{URL: f.url})
			bad.Store(true)
			if _, err := m.AppByID(t.Context(), "a"); err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), m.place) {
				t.Errorf("a lookup: %v", err)
			}
			bad.Store(false)
			until(t, "answer", func() bool {
				_, err := m.AppByID(t.Context(), "a")
				return errors.Is(err, storage.ErrNotFound)
			})
		})
	}
}

// News that nobody has asked for, and answers to nobody, are passed over.
func TestNews(t *testing.T) {
	news, err := codec.Marshal(map[string]any{"result": map[string]any{"action": "CREATE"}})
	if err != nil {
		t.Fatal(err)
	}
	var send atomic.Bool
	f := newFake(t, func(said string, _ []any) (any, error) {
		if send.Load() {
			return raw(news), nil
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	send.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.AppByID(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("news instead of an answer: %v", err)
	}
	send.Store(false)
	if _, err := m.AppByID(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) || f.dials.Load() != 1 {
		t.Errorf("an answer behind the news: %v, on connection %d", err, f.dials.Load())
	}
}

// Where connecting fails, callers do not all try: between two attempts they get the
// error of the last one at once.
func TestBackoff(t *testing.T) {
	t.Parallel()
	var refuse atomic.Bool
	f := newFake(t, func(said string, _ []any) (any, error) {
		if refuse.Load() {
			return nil, errors.New("not now")
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	refuse.Store(true)
	m.link.now.end(errors.New("for the test"))
	start, calls := time.Now(), 0
	for end := start.Add(2 * time.Second); time.Now().Before(end); calls++ {
		if _, err := m.AppByID(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "not now") {
			t.Fatalf("while the server refuses: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	if attempts := f.dials.Load() - 1; attempts < 2 || attempts > 12 {
		t.Errorf("%d calls made %d attempts", calls, attempts)
	}
	refuse.Store(false)
	until(t, "answer", func() bool {
		_, err := m.AppByID(t.Context(), "a")
		return errors.Is(err, storage.ErrNotFound)
	})
}

// A record that changes again and again is a conflict in the end.
func TestEndlessRace(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(said string, _ []any) (any, error) {
		if strings.HasPrefix(said, "UPSERT") {
			return []any{map[string]any{"status": "ERR", "result": "Transaction conflict: Write conflict, retry the transaction. This transaction can be retried"}}, nil
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	err := m.PutApp(t.Context(), app("a", "k"), storage.AnyVersion)
	if !errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrKeyTaken) || f.times("UPSERT") != maxRaces {
		t.Errorf("%v, after %d attempts", err, f.times("UPSERT"))
	}
}

// A listing whose server gives the same page for ever ends.
func TestEndlessListing(t *testing.T) {
	f := newFake(t, func(said string, _ []any) (any, error) {
		if strings.Contains(said, "LIMIT $n") {
			page := make([]any, pageSize)
			for n := range page {
				page[n] = map[string]any{"id": "a", "content": []any{"k", "{}"}}
			}
			return ok(page), nil
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	if _, err := m.Apps(t.Context()); err == nil || !strings.Contains(err.Error(), "does not get behind") {
		t.Errorf("Apps: %v", err)
	}
}

// An index may name a record that has another key by now.
func TestStaleIndex(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(said string, _ []any) (any, error) {
		switch {
		case strings.Contains(said, "WHERE key"):
			return ok([]any{map[string]any{"id": "a", "content": []any{"k2", `{"secret":"s"}`}}}), nil
		case strings.HasPrefix(said, "UPSERT"):
			return []any{map[string]any{"status": "ERR", "result": "Database index `applications_key_idx` already contains 'k', with record `applications:a`"}}, nil
		}
		return fine(said), nil
	})
	m := open(t, Options{URL: f.url})
	knows(t, m, "k", "")
	knows(t, m, "k2", "a")
	if err := m.PutApp(t.Context(), app("b", "k"), storage.AnyVersion); !errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a key that nobody has and the index does not give: %v", err)
	}
	if err := m.PutApp(t.Context(), app("b", "k2"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a key that an app has: %v", err)
	}
}
