package surrealdb

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// writers is how many nodes write at the same time.
const writers = 8

// nodes are as many app managers of one table, with connections of their own.
func nodes(t *testing.T, o Options) []*AppManager {
	t.Helper()
	managers := make([]*AppManager, writers)
	for n := range managers {
		managers[n] = open(t, o)
	}
	return managers
}

func versionOf(t *testing.T, app *storage.App) string {
	t.Helper()
	version, err := storage.AppVersion(app)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Checklist: configuration 31
func TestKeyIsTakenOnce(t *testing.T) {
	t.Parallel()
	managers := nodes(t, standing(t))
	for round := range 10 {
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
				case !errors.Is(err, storage.ErrKeyTaken) || !strings.Contains(err.Error(), "of round "+fmt.Sprint(round)+" has the key too"):
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

// Of those that make one app, or change one version of it, exactly one wins, by an id that has everything in
// it that could be taken for something else.
func TestVersionIsChangedOnce(t *testing.T) {
	t.Parallel()
	o := standing(t)
	managers := nodes(t, o)
	const id = "ключ 🔑 {a}:*?[b]%_'\"\\;-- \n\t$1 `⟨x⟩` applications:1 u'8c54161f-d4fe-4a74-9409-ed1e137040c1'"
	var there *storage.App
	for round := range 10 {
		version := storage.NoVersion
		if round > 0 {
			version = versionOf(t, there)
		}
		var changed atomic.Int32
		var winner atomic.Pointer[storage.App]
		var group sync.WaitGroup
		for n, m := range managers {
			group.Go(func() {
				mine := app(id, fmt.Sprintf("k%d of %d", n, round))
				mine.Limits.MaxConnections = 1 + n + round*writers
				switch err := m.PutApp(t.Context(), mine, version); {
				case err == nil:
					changed.Add(1)
					winner.Store(mine)
				case !errors.Is(err, storage.ErrConflict):
					t.Errorf("PutApp: %v", err)
				}
			})
		}
		group.Wait()
		if changed.Load() != 1 {
			t.Fatalf("round %d: %d changes of one version were made", round, changed.Load())
		}
		if there != nil {
			knows(t, managers[0], there.Key, "")
		}
		there = winner.Load()
		got, err := managers[0].AppByKey(t.Context(), there.Key)
		if err != nil || got.ID != id || got.Limits.MaxConnections != there.Limits.MaxConnections {
			t.Fatalf("%+v, %v; want what the winner has written", got, err)
		}
	}
	version := versionOf(t, there)
	var deleted atomic.Int32
	var group sync.WaitGroup
	for _, m := range managers {
		group.Go(func() {
			switch err := m.DeleteApp(t.Context(), id, version); {
			case err == nil:
				deleted.Add(1)
			case !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrConflict):
				t.Errorf("DeleteApp: %v", err)
			}
		})
	}
	group.Wait()
	if deleted.Load() != 1 {
		t.Errorf("%d have deleted the app", deleted.Load())
	}
}

// Everybody changes one app whatever it is, and moves its key about. In the end it
// has one key, and no other is known.
//
// Checklist: configuration 32
func TestKeysMoveAtOnce(t *testing.T) {
	t.Parallel()
	managers := nodes(t, standing(t))
	put(t, managers[0], app("a", "key 0"))
	var group sync.WaitGroup
	for n, m := range managers {
		group.Go(func() {
			for range 5 {
				if err := m.PutApp(t.Context(), app("a", fmt.Sprint("key ", n)), storage.AnyVersion); err != nil {
					t.Errorf("PutApp: %v", err)
				}
			}
		})
	}
	group.Wait()
	a, err := managers[0].AppByID(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for n := range writers {
		key, id := fmt.Sprint("key ", n), ""
		if key == a.Key {
			id = "a"
		}
		knows(t, managers[0], key, id)
	}
}

// Sockudo changes a record between its being read and its being written here, and
// leaves no version behind.
func TestChangesOfSockudoInBetween(t *testing.T) {
	m := open(t, standing(t))
	for name, change := range map[string]func(){
		"another payload": func() { write(t, m, "a", rowOf("a", "k", `{"limits":{"max_connections":5}}`)) },
		"another key":     func() { write(t, m, "a", map[string]any{"key": "k2", "payload": rowOf("a", "k", "{}")["payload"]}) },
		"gone":            func() { _ = m.DeleteApp(t.Context(), "a", storage.AnyVersion) },
	} {
		for _, what := range []string{"changed", "deleted"} {
			t.Run(name+" before it is "+what, func(t *testing.T) {
				write(t, m, "a", rowOf("a", "k", `{}`))
				there, err := m.AppByID(t.Context(), "a")
				if err != nil {
					t.Fatal(err)
				}
				version := versionOf(t, there)
				p := putPlan(version)
				if what == "deleted" {
					p = deletePlan("a", version)
				}
				once := sync.OnceFunc(change)
				err = m.change(t.Context(), there, version, func(r *record) (string, error) {
					once()
					return p(r)
				}, map[string]any{"key": "mine", "payload": `{"secret":"s"}`})
				if !errors.Is(err, storage.ErrConflict) && (name != "gone" || !errors.Is(err, storage.ErrNotFound)) {
					t.Errorf("%v, want a conflict", err)
				}
				knows(t, m, "mine", "")
				if now, err := m.byID(t.Context(), "a"); err != nil || (now == nil) != (name == "gone") {
					t.Errorf("what Sockudo did has become %v, %v", now, err)
				}
			})
		}
	}
}
