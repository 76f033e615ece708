package dynamodb

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// knows checks who has a key. An empty id is nobody.
func knows(t *testing.T, m *AppManager, key, id string) {
	t.Helper()
	app, err := m.AppByKey(t.Context(), key)
	switch {
	case id == "" && !errors.Is(err, storage.ErrNotFound):
		t.Errorf("key %s: %v, %v; want nobody", key, app, err)
	case id != "" && err != nil:
		t.Errorf("key %s: %v; want app %s", key, err, id)
	case id != "" && app.ID != id:
		t.Errorf("key %s is that of app %s, want %s", key, app.ID, id)
	}
}

// guarded checks whose guard a key has. An empty id is nobody's.
func guarded(t *testing.T, m *AppManager, key, id string) {
	t.Helper()
	if i, err := m.get(t.Context(), guardID(key)); err != nil || owner(i) != id {
		t.Errorf("the guard of key %s is %v, %v; want that of app %q", key, i, err, id)
	}
}

func app(id, key string) *storage.App {
	return &storage.App{ID: id, Key: key, Secret: "s", Enabled: true}
}

func refusedKey(t *testing.T, m *AppManager, a *storage.App, by string) {
	t.Helper()
	err := m.PutApp(t.Context(), a, storage.AnyVersion)
	if !errors.Is(err, storage.ErrKeyTaken) || !strings.Contains(err.Error(), "app "+by+" has the key too") {
		t.Errorf("app %s with key %s: %v", a.ID, a.Key, err)
	}
}

// Checklist: configuration 31
func TestKeyIsTakenOnce(t *testing.T) {
	o := newTable(t)
	const writers = 8
	managers := make([]*AppManager, writers) // as many nodes
	for n := range managers {
		managers[n] = open(t, o)
	}
	for round := range 5 {
		var taken atomic.Int32
		var winner atomic.Value
		var group sync.WaitGroup
		key := fmt.Sprint("contended ", round)
		for n, m := range managers {
			group.Go(func() {
				id := fmt.Sprintf("app %d of round %d", n, round)
				switch err := m.PutApp(t.Context(), app(id, key), storage.NoVersion); {
				case err == nil:
					taken.Add(1)
					winner.Store(id)
				case !errors.Is(err, storage.ErrKeyTaken):
					t.Errorf("PutApp: %v", err)
				}
			})
		}
		group.Wait()
		if taken.Load() != 1 {
			t.Fatalf("round %d: %d apps have the key", round, taken.Load())
		}
		for _, m := range managers {
			knows(t, m, key, winner.Load().(string))
		}
		apps, err := managers[0].Apps(t.Context())
		if err != nil || len(apps) != round+1 {
			t.Fatalf("round %d: %d apps, %v", round, len(apps), err)
		}
	}
}

// Everybody changes one app whatever it is, and moves its key about. In the end it
// has one key, and no other is known.
func TestKeysMoveAtOnce(t *testing.T) {
	o := newTable(t)
	const writers = 8
	put(t, open(t, o), app("a", "key 0"))
	var group sync.WaitGroup
	for n := range writers {
		m := open(t, o)
		group.Go(func() {
			if err := m.PutApp(t.Context(), app("a", fmt.Sprint("key ", n)), storage.AnyVersion); err != nil {
				t.Errorf("PutApp: %v", err)
			}
		})
	}
	group.Wait()
	m := open(t, o)
	a, err := m.AppByID(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for n := range writers {
		key, id := fmt.Sprint("key ", n), ""
		if key == a.Key {
			id = "a"
		}
		knows(t, m, key, id)
		guarded(t, m, key, id)
	}
}

// Checklist: configuration 32
func TestGuardsFollowKeys(t *testing.T) {
	m := open(t, newTable(t))
	put(t, m, app("a", "1"))
	guarded(t, m, "1", "a")
	refusedKey(t, m, app("b", "1"), "a")
	put(t, m, app("a", "2"))
	knows(t, m, "1", "")
	knows(t, m, "2", "a")
	guarded(t, m, "1", "")
	guarded(t, m, "2", "a")
	put(t, m, app("b", "1"))
	refusedKey(t, m, app("a", "1"), "b")
	if err := m.DeleteApp(t.Context(), "b", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	guarded(t, m, "1", "")
	put(t, m, app("a", "1"))
	knows(t, m, "1", "a")
}

// Rows that Sockudo has written have no guards until they are written here.
func TestKeysOfSockudo(t *testing.T) {
	m := open(t, newTable(t))
	write(t, m, rowOf("old", "k", `{}`))
	write(t, m, flatRow("flat", "kf"))
	knows(t, m, "k", "old")
	guarded(t, m, "k", "")
	refusedKey(t, m, app("new", "k"), "old")
	refusedKey(t, m, app("new", "kf"), "flat")

	put(t, m, app("old", "k2")) // its old key has no guard
	knows(t, m, "k", "")
	guarded(t, m, "k2", "old")
	put(t, m, app("new", "k"))
	knows(t, m, "k", "new")
	put(t, m, app("flat", "kf"))
	guarded(t, m, "kf", "flat")

	write(t, m, rowOf("gone", "k3", `{}`))
	if err := m.DeleteApp(t.Context(), "gone", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	put(t, m, app("new", "k3"))
	knows(t, m, "k3", "new")
}

// Sockudo changes and removes rows and leaves guards behind.
func TestStaleGuards(t *testing.T) {
	m := open(t, newTable(t))
	put(t, m, app("a", "1"), app("b", "2"), app("c", "3"))
	write(t, m, rowOf("a", "10", `{}`)) // another key for a
	remove(t, m, "b")
	write(t, m, rowOf("d", "3", `{}`)) // a key that c has too
	guarded(t, m, "1", "a")
	guarded(t, m, "2", "b")

	knows(t, m, "1", "")
	knows(t, m, "10", "a")
	knows(t, m, "2", "")
	knows(t, m, "3", "c")
	write(t, m, rowOf("e", "1", `{}`)) // takes a key with another's guard
	knows(t, m, "1", "e")
	refusedKey(t, m, app("f", "1"), "e")
	refusedKey(t, m, app("a", "1"), "e") // its own guard has no say
	put(t, m, app("f", "2"))
	knows(t, m, "2", "f")
	guarded(t, m, "2", "f")
	put(t, m, app("e", "1"))
	guarded(t, m, "1", "e")
	knows(t, m, "1", "e")
	refusedKey(t, m, app("a", "2"), "f")
	put(t, m, app("a", "11")) // its guard of key 1 is e's now
	guarded(t, m, "1", "e")
}

// Two nodes want the key of a stale guard, and the app that it names wants it back.
func TestStaleGuardIsTakenOnce(t *testing.T) {
	o := newTable(t)
	first := open(t, o)
	for round := range 10 {
		key, ids := fmt.Sprint("key ", round), []string{}
		for n := range 4 {
			ids = append(ids, fmt.Sprintf("%d of %d", n, round))
		}
		put(t, first, app(ids[0], key))
		write(t, first, rowOf(ids[0], key+" no more", `{}`))
		guarded(t, first, key, ids[0])
		var taken atomic.Int32
		var group sync.WaitGroup
		for _, id := range ids {
			m := open(t, o)
			group.Go(func() {
				switch err := m.PutApp(t.Context(), app(id, key), storage.AnyVersion); {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, storage.ErrKeyTaken):
					t.Errorf("PutApp: %v", err)
				}
			})
		}
		group.Wait()
		if taken.Load() != 1 {
			t.Fatalf("round %d: %d apps took the key", round, taken.Load())
		}
	}
}

// The index of the real service lags behind: here it never hears of anything.
func TestKeysDoNotWaitForTheIndex(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	m := open(t, o)
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation == "Query" {
			_, _ = w.Write([]byte(`{"Count":0,"Items":[],"ScannedCount":0}`))
			return true
		}
		return false
	})
	put(t, m, app("a", "1"), app("b", "2"))
	knows(t, m, "1", "a")
	refusedKey(t, m, app("c", "1"), "a")
	put(t, m, app("a", "3"))
	knows(t, m, "1", "")
	knows(t, m, "3", "a")
	put(t, m, app("b", "1"))
	knows(t, m, "1", "b")
}

// Here it goes on telling what was so at first.
func TestKeysOutliveTheIndex(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	m := open(t, o)
	write(t, m, rowOf("a", "1", `{}`))
	var mu sync.Mutex
	var first *answer
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		if operation != "Query" {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = pass()
		}
		first.send(w)
		return true
	})
	knows(t, m, "1", "a")
	put(t, m, app("a", "2"))
	knows(t, m, "1", "")
	put(t, m, app("b", "1"))
	knows(t, m, "1", "b")
	if err := m.DeleteApp(t.Context(), "a", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if err := m.DeleteApp(t.Context(), "b", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	knows(t, m, "1", "")
}

// An answer that is lost on its way: the change was made, and is not made again or
// taken for somebody else's.
func TestLostAnswerOfAChange(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	m := open(t, o)
	var lost, sent atomic.Int32
	lose := func() {
		lost.Store(0)
		sent.Store(0)
		g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
			if operation != "TransactWriteItems" {
				return false
			}
			sent.Add(1)
			if lost.Add(1) > 1 {
				return false
			}
			if a := pass(); a.status != http.StatusOK {
				t.Errorf("the service said %d %s", a.status, a.body)
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
	}
	lose()
	if err := m.PutApp(t.Context(), app("a", "1"), storage.NoVersion); err != nil {
		t.Errorf("a new app: %v", err)
	}
	lose()
	version, err := storage.AppVersion(app("a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.PutApp(t.Context(), app("a", "2"), version); err != nil {
		t.Errorf("a changed app: %v", err)
	}
	knows(t, m, "1", "")
	knows(t, m, "2", "a")
	lose()
	if err := m.DeleteApp(t.Context(), "a", storage.AnyVersion); err != nil {
		t.Errorf("a deleted app: %v", err)
	}
	if sent.Load() != 2 {
		t.Errorf("the change was sent %d times, want twice", sent.Load())
	}
	knows(t, m, "2", "")
}

// Sockudo, which knows no guards, lists them as disabled apps that nobody can use.
func TestGuardsAreNoApps(t *testing.T) {
	m := open(t, newTable(t))
	put(t, m, app("a", "k"))
	guard, err := m.get(t.Context(), guardID("k"))
	if err != nil {
		t.Fatal(err)
	}
	seen, _, err := appOf(guard) // as Sockudo would
	if err != nil || seen.Enabled || len(seen.Secret) < 20 || seen.Key == "k" {
		t.Errorf("a guard is app %+v, %v", seen, err)
	}
	for name, err := range map[string]error{
		"by id":   func() error { _, err := m.AppByID(t.Context(), guardID("k")); return err }(),
		"by key":  func() error { _, err := m.AppByKey(t.Context(), guardID("k")); return err }(),
		"deleted": m.DeleteApp(t.Context(), guardID("k"), storage.AnyVersion),
	} {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a guard %s: %v", name, err)
		}
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 {
		t.Errorf("Apps = %v, %v; want one", apps, err)
	}
	if err := m.PutApp(t.Context(), app(guardID("x"), "y"), storage.AnyVersion); err == nil || !strings.Contains(err.Error(), "guards") {
		t.Errorf("an app with the id of a guard: %v", err)
	}
	write(t, m, rowOf(guardID("x"), "z", `{}`)) // by Sockudo, whatever for
	knows(t, m, "z", guardID("x"))
	if err := m.PutApp(t.Context(), app("b", "x"), storage.AnyVersion); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("an app whose guard has no place: %v", err)
	}
}
