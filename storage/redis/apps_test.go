package redis

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func appOf(id, key string) *storage.App {
	return &storage.App{ID: id, Key: key, Secret: "s", Enabled: true}
}

// What is in the hashes is what the documents say, and a new key makes the old one
// free.
//
// Checklist: configuration 32, 38
func TestHashes(t *testing.T) {
	server := redistest.Start(t)
	m := openApps(t, at(server), "x:", appOf("Id ", "Key "))
	if record := server.MustDo("HGET", "x:apps", "Id "); !strings.HasPrefix(record, `{"id":"Id ","key":"Key ","secret":"s","enabled":true,"policy":{`) {
		t.Errorf("the record is %s", record)
	}
	if id := server.MustDo("HGET", "x:app_keys", "Key "); id != "Id " {
		t.Errorf("the key leads to %q", id)
	}
	if err := m.PutApp(t.Context(), appOf("Id ", "key"), storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if keys := server.MustDo("HGETALL", "x:app_keys"); keys != "key\nId " {
		t.Errorf("after another key was given: %q", keys)
	}
	if err := m.PutApp(t.Context(), appOf("other", "Key "), storage.NoVersion); err != nil {
		t.Errorf("the old key is not free: %v", err)
	}
	for _, id := range []string{"Id ", "other"} {
		if err := m.DeleteApp(t.Context(), id, storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.MustDo("EXISTS", "x:apps", "x:app_keys"); n != "0" {
		t.Errorf("%s hashes are left", n)
	}
}

// Records that others have written are read, and those that cannot be are told
// about and can be replaced.
//
// Checklist: configuration 48
func TestForeignRecords(t *testing.T) {
	server := redistest.Start(t)
	core, logs := observer.New(zap.WarnLevel)
	m, err := OpenAppManager(t.Context(), at(server), "x:", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	write := func(id, key, record string) {
		server.MustDo("HSET", "x:apps", id, record)
		server.MustDo("HSET", "x:app_keys", key, id)
	}
	write("flat", "kf", `{"id":"flat","key":"kf","secret":"s","enabled":true,"max_connections":"7","webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"ai_transport":{"enabled":true}}`)
	write("broken", "kb", `{"id":"broken","key":"kb","secret":"s","policy":{"limits":{"max_connections":-1}}}`)
	write("nonsense", "kn", `<xml/>`)
	write("moved", "km", `{"id":"another","key":"km","secret":"s","enabled":true}`)
	write("stale", "old", `{"id":"stale","key":"new","secret":"s","enabled":true}`)
	server.MustDo("HSET", "x:app_keys", "gone", "nobody")

	if app, err := m.AppByKey(t.Context(), "kf"); err != nil || app.Limits.MaxConnections != 7 || !app.Enabled || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 {
		t.Errorf("the flat record became %+v, %v", app, err)
	}
	if n := logs.FilterField(zap.Strings("ignored", []string{"ai_transport"})).Len(); n != 1 {
		t.Errorf("the log says %d times that ai_transport is ignored", n)
	}
	for id, key := range map[string]string{"broken": "kb", "nonsense": "kn", "moved": "km"} {
		for name, find := range map[string]func() (*storage.App, error){
			"id": func() (*storage.App, error) { return m.AppByID(t.Context(), id) }, "key": func() (*storage.App, error) { return m.AppByKey(t.Context(), key) },
		} {
			if _, err := find(); err == nil || errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s by %s: %v", id, name, err)
			}
		}
	}
	if m.UnreadableApps() != 3 {
		t.Errorf("%d records count as unreadable", m.UnreadableApps())
	}
	for _, key := range []string{"old", "gone"} {
		if _, err := m.AppByKey(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("key %s, which no app has: %v", key, err)
		}
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 {
		t.Errorf("Apps = %v, %v; want the two that can be read", apps, err)
	}

	// Keys that no app has can be taken, others not, readable or not.
	for i, key := range []string{"old", "gone"} {
		if err := m.PutApp(t.Context(), appOf(fmt.Sprint("taker-", i), key), storage.NoVersion); err != nil {
			t.Errorf("taking the key %s: %v", key, err)
		}
	}
	for _, key := range []string{"kb", "kn"} {
		if err := m.PutApp(t.Context(), appOf("thief", key), storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
			t.Errorf("taking the key %s: %v", key, err)
		}
	}
	if err := m.PutApp(t.Context(), appOf("broken", "kb2"), storage.AnyVersion); err != nil {
		t.Error(err)
	}
	if err := m.DeleteApp(t.Context(), "nonsense", storage.AnyVersion); err != nil {
		t.Error(err)
	}
	if m.UnreadableApps() != 1 {
		t.Errorf("%d records count as unreadable after two were replaced or deleted", m.UnreadableApps())
	}
	if err := m.PutApp(t.Context(), appOf("thief", "kb"), storage.NoVersion); err != nil {
		t.Errorf("the key of the replaced record is not free: %v", err)
	}
}

// Many apps are read in pieces.
func TestManyApps(t *testing.T) {
	const many = 3000
	onEach(t, func(t *testing.T, o Options) {
		m := openApps(t, o, ownPrefix(t, o))
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := worker; i < many; i += 8 {
					if err := m.PutApp(t.Context(), appOf(fmt.Sprintf("app-%04d", i), fmt.Sprint("key-", i)), storage.NoVersion); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		apps, err := m.Apps(t.Context())
		if err != nil || len(apps) != many {
			t.Fatalf("%d apps, %v", len(apps), err)
		}
		for i, app := range apps {
			if app.ID != fmt.Sprintf("app-%04d", i) {
				t.Fatalf("app %d is %s", i, app.ID)
			}
		}
	})
}

// Of many changes of one version exactly one is made, and none of those that want
// none is lost, whoever makes them.
func TestRaces(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		one := openApps(t, o, prefix, appOf("a", "k"))
		o.PoolSize = 8 // another client
		two := openApps(t, o, prefix)
		const changes = 60
		var group sync.WaitGroup
		var conflicts atomic.Int32
		for i := range 8 {
			m := []*AppManager{one, two}[i%2]
			group.Go(func() {
				for done := 0; done < changes; {
					app, err := m.AppByID(t.Context(), "a")
					if err != nil {
						t.Error(err)
						return
					}
					version, err := storage.AppVersion(app)
					if err != nil {
						t.Error(err)
						return
					}
					next := *app
					next.Limits.MaxConnections++
					next.Key = fmt.Sprint("k", next.Limits.MaxConnections%3)
					switch err := m.PutApp(t.Context(), &next, version); {
					case err == nil:
						done++
					case errors.Is(err, storage.ErrConflict):
						conflicts.Add(1)
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		app, err := one.AppByID(t.Context(), "a")
		if err != nil || app.Limits.MaxConnections != 8*changes {
			t.Errorf("%+v, %v; want %d changes", app, err, 8*changes)
		}
		if keys, err := one.client.HGetAll(t.Context(), one.keys).Result(); err != nil || len(keys) != 1 || keys[app.Key] != "a" {
			t.Errorf("the keys are %v, %v", keys, err)
		}
		t.Logf("%d changes, %d conflicts", 8*changes, conflicts.Load())
	})
}

// heard collects what a watcher is told.
type heard struct {
	mu  sync.Mutex
	ids []string
}

func (h *heard) changed(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids = append(h.ids, id)
}

func (h *heard) count(id string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.ids {
		if other == id {
			n++
		}
	}
	return n
}

// What one node changes, another hears of within a second.
//
// Checklist: configuration 39
func TestWatch(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		here := openApps(t, o, prefix)
		o.PoolSize = 4
		there := openApps(t, o, prefix)
		var h heard
		stop := here.WatchApps(h.changed)
		until(t, "subscription", func() bool { return h.count("") == 1 })
		slowest := time.Duration(0)
		for i := range 20 {
			id := fmt.Sprint("app ", i)
			start := time.Now()
			if err := there.PutApp(t.Context(), appOf(id, id), storage.NoVersion); err != nil {
				t.Fatal(err)
			}
			until(t, "word of a new app", func() bool { return h.count(id) == 1 })
			slowest = max(slowest, time.Since(start))
			if err := there.DeleteApp(t.Context(), id, storage.AnyVersion); err != nil {
				t.Fatal(err)
			}
			until(t, "word of an app that is gone", func() bool { return h.count(id) == 2 })
		}
		if slowest > 5*time.Second { // a second is what we promise of a machine that is not busy
			t.Errorf("the slowest word took %v", slowest)
		}
		t.Logf("the slowest word took %v", slowest)
		stop()
		stop()
		if err := there.PutApp(t.Context(), appOf("late", "late"), storage.NoVersion); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if h.count("late") != 0 {
			t.Error("a watcher that was stopped hears of a change")
		}
	})
}

func TestWatchEndsWithTheAppManager(t *testing.T) {
	server := redistest.Start(t)
	m := openApps(t, at(server), "")
	var h heard
	stop := m.WatchApps(h.changed)
	until(t, "subscription", func() bool { return h.count("") == 1 })
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	until(t, "end of the subscription", func() bool { return server.MustDo("PUBSUB", "CHANNELS") == "" })
	stop()
	m.WatchApps(h.changed)()
}
