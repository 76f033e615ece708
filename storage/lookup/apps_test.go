package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// fakeStore is a store whose answers, delays and failures a test decides on.
type fakeStore struct {
	mu      sync.Mutex
	apps    map[string]*storage.App
	delay   time.Duration
	down    error
	queries atomic.Int64
	watch   func(string)
	closed  bool
}

func newFake(apps ...*storage.App) *fakeStore {
	s := &fakeStore{apps: map[string]*storage.App{}}
	for _, app := range apps {
		s.set(app)
	}
	return s
}

// set stores an app as a store would: as a record of its own.
func (s *fakeStore) set(app *storage.App) {
	record := *app
	policy, err := storage.MarshalPolicy(app)
	if err == nil {
		_, err = storage.UnmarshalPolicy(policy, &record)
	}
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[app.ID] = &record
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *fakeStore) find(ctx context.Context, match func(*storage.App) bool) (*storage.App, error) {
	s.queries.Add(1)
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, storage.ErrClosed
	}
	if s.down != nil {
		return nil, s.down
	}
	for _, app := range s.apps {
		if match(app) {
			again := *app // stores make a new record each time
			return &again, nil
		}
	}
	return nil, fmt.Errorf("fake: %w", storage.ErrNotFound)
}

func (s *fakeStore) AppByID(ctx context.Context, id string) (*storage.App, error) {
	return s.find(ctx, func(a *storage.App) bool { return a.ID == id })
}

func (s *fakeStore) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	return s.find(ctx, func(a *storage.App) bool { return a.Key == key })
}

func (s *fakeStore) Apps(context.Context) ([]*storage.App, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var apps []*storage.App
	for _, app := range s.apps {
		apps = append(apps, app)
	}
	return apps, s.down
}

func (s *fakeStore) PutApp(_ context.Context, app *storage.App, _ string) error {
	s.set(app)
	return nil
}

func (s *fakeStore) DeleteApp(_ context.Context, id, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, id)
	return nil
}

func (s *fakeStore) WatchApps(changed func(string)) func() {
	s.watch = changed
	return func() {}
}

func (s *fakeStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func demo(limit int) *storage.App {
	return &storage.App{ID: "demo", Key: "key", Secret: "s", Enabled: true, Limits: storage.AppLimits{MaxConnections: limit}}
}

func limitOf(t *testing.T, c *Apps) int {
	t.Helper()
	app, err := c.AppByKey(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	return app.Limits.MaxConnections
}

// Checklist: configuration 43
func TestOneQueryForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		store.delay = time.Second
		c := New(store, Options{})
		defer func() { _ = c.Close() }()
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if app, err := c.AppByKey(t.Context(), "key"); err != nil || app.ID != "demo" {
					t.Errorf("AppByKey = %v, %v", app, err)
				}
			})
		}
		callers.Wait()
		if n := store.queries.Load(); n != 1 {
			t.Errorf("100 callers caused %d queries", n)
		}
		if app, err := c.AppByID(t.Context(), "demo"); err != nil || app.Key != "key" || store.queries.Load() != 1 {
			t.Errorf("a record that was found by its key is asked for by its id: %v", err)
		}
	})
}

// Checklist: configuration 42
func TestUnknownKeysDoNotReachTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake()
		c := New(store, Options{})
		defer func() { _ = c.Close() }()
		ask := func() {
			for range 1000 {
				if _, err := c.AppByKey(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
					t.Fatalf("AppByKey = %v", err)
				}
			}
		}
		ask()
		if n := store.queries.Load(); n != 1 {
			t.Errorf("1000 lookups of an unknown key caused %d queries", n)
		}
		time.Sleep(2*time.Second + time.Millisecond)
		ask()
		if n := store.queries.Load(); n != 2 {
			t.Errorf("after the negative ttl there were %d queries, want 2", n)
		}
		for i := range maxMisses + 500 {
			_, _ = c.AppByKey(t.Context(), fmt.Sprint("flood-", i))
		}
		if n := len(c.misses); n > maxMisses {
			t.Errorf("%d unknown keys are kept", n)
		}
	})
}

func TestChangesAreNoticedWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{TTL: time.Minute})
		defer func() { _ = c.Close() }()
		changed := make(chan string, 10)
		stop := c.FollowApps(func(string) bool { return true }, func(id string) { changed <- id })
		defer stop()
		first, err := c.AppByKey(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute) // several refreshes of an unchanged record
		if again, err := c.AppByKey(t.Context(), "key"); err != nil || again != first {
			t.Errorf("an unchanged record was made anew: %v", err)
		}
		if len(changed) > 0 {
			t.Error("an unchanged record is told of")
		}
		store.set(demo(2))
		time.Sleep(time.Minute)
		select {
		case id := <-changed:
			if id != "demo" {
				t.Errorf("told of %q", id)
			}
		default:
			t.Error("nobody heard of the change within the ttl, without a lookup")
		}
		if n := limitOf(t, c); n != 2 {
			t.Errorf("the limit is %d", n)
		}
		if err := store.DeleteApp(t.Context(), "demo", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(changed) != 1 {
			t.Error("nobody heard that the app is gone")
		}
		if _, err := c.AppByKey(t.Context(), "key"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("AppByKey = %v", err)
		}
	})
}

// A record that changes while a lookup of it is on its way must not be kept in the
// older version.
func TestLookupsDoNotBringBackTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{TTL: time.Hour})
		defer func() { _ = c.Close() }()
		if limitOf(t, c) != 1 {
			t.Fatal("not the stored record")
		}
		// The lookup of before the change, as if its answer had been late.
		_, epoch, err := c.query(name{byKey, "key"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.PutApp(t.Context(), demo(2), storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
		late := *demo(1)
		late.Stored = []byte("{}")
		c.mu.Lock()
		c.keepLocked(&late, epoch)
		c.mu.Unlock()
		synctest.Wait()
		if n := limitOf(t, c); n != 2 {
			t.Errorf("the limit is %d, that of before the change", n)
		}
	})
}

func TestChangesMadeHereCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{})
		defer func() { _ = c.Close() }()
		told := 0
		defer c.FollowApps(func(string) bool { return true }, func(string) { told++ })()
		if limitOf(t, c) != 1 {
			t.Fatal("not the stored record")
		}
		if err := c.PutApp(t.Context(), demo(2), storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if n := limitOf(t, c); n != 2 || told != 1 {
			t.Errorf("the limit is %d, told %d times", n, told)
		}
		if err := c.DeleteApp(t.Context(), "demo", storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if _, err := c.AppByKey(t.Context(), "key"); !errors.Is(err, storage.ErrNotFound) || told != 2 {
			t.Errorf("AppByKey = %v, told %d times", err, told)
		}
		// A key that was unknown a moment ago is known when its app comes.
		if err := c.PutApp(t.Context(), demo(3), storage.NoVersion); err != nil {
			t.Fatal(err)
		}
		if n := limitOf(t, c); n != 3 {
			t.Errorf("the limit is %d", n)
		}
	})
}

// Checklist: configuration 39
func TestWatchedStoreIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{})
		defer func() { _ = c.Close() }()
		changed := make(chan string, 10)
		defer c.FollowApps(func(string) bool { return true }, func(id string) { changed <- id })()
		if limitOf(t, c) != 1 {
			t.Fatal("not the stored record")
		}
		store.set(demo(2)) // by another node
		store.watch("demo")
		synctest.Wait()
		if len(changed) != 1 || limitOf(t, c) != 2 {
			t.Errorf("told %d times, limit %d", len(changed), limitOf(t, c))
		}
	})
}

// Checklist: configuration 41
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{TTL: time.Minute, StaleIfError: time.Hour})
		defer func() { _ = c.Close() }()
		if limitOf(t, c) != 1 {
			t.Fatal("not the stored record")
		}
		outage := errors.New("connection refused")
		store.fail(outage)
		before := store.queries.Load()
		for range 1000 {
			if _, err := c.AppByKey(t.Context(), "other"); !errors.Is(err, outage) || errors.Is(err, storage.ErrNotFound) {
				t.Fatalf("an unknown key while the store is down: %v", err)
			}
		}
		if n := store.queries.Load() - before; n != 1 {
			t.Errorf("a store that is down was asked %d times in a moment", n)
		}
		time.Sleep(30 * time.Minute)
		if n := limitOf(t, c); n != 1 {
			t.Errorf("the stale record has limit %d", n)
		}
		time.Sleep(32 * time.Minute)
		if _, err := c.AppByKey(t.Context(), "key"); !errors.Is(err, outage) {
			t.Errorf("a record that is too old: %v", err)
		}
		store.fail(nil)
		store.set(demo(2))
		time.Sleep(2 * time.Second)
		if n := limitOf(t, c); n != 2 {
			t.Errorf("after the outage the limit is %d", n)
		}
		if _, err := c.AppByKey(t.Context(), "other"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestWithoutStaleRecordsEndWithTheirTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{TTL: time.Minute})
		defer func() { _ = c.Close() }()
		limitOf(t, c)
		store.fail(errors.New("connection refused"))
		time.Sleep(59 * time.Second)
		limitOf(t, c)
		time.Sleep(2 * time.Second)
		if _, err := c.AppByKey(t.Context(), "key"); err == nil || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a record of which the store has not been asked for longer than the ttl: %v", err)
		}
	})
}

func TestOffAsksEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1))
		c := New(store, Options{Off: true})
		defer func() { _ = c.Close() }()
		told := make(chan string, 10)
		defer c.FollowApps(func(string) bool { return true }, func(id string) { told <- id })()
		first, _ := c.AppByKey(t.Context(), "key")
		again, _ := c.AppByKey(t.Context(), "key")
		if store.queries.Load() != 2 || first != again {
			t.Errorf("%d queries, same record %v", store.queries.Load(), first == again)
		}
		store.set(demo(2))
		n := limitOf(t, c)
		synctest.Wait() // callers have their answer before followers are told
		if n != 2 || len(told) != 1 {
			t.Errorf("the limit is %d, told %d times", n, len(told))
		}
	})
}

func TestUnusedRecordsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake(demo(1), &storage.App{ID: "live", Key: "live", Secret: "s"})
		c := New(store, Options{TTL: time.Minute})
		defer func() { _ = c.Close() }()
		defer c.FollowApps(func(id string) bool { return id == "live" }, func(string) {})()
		limitOf(t, c)
		if _, err := c.AppByID(t.Context(), "live"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.entries["demo"] != nil || c.keys["key"] != nil || c.entries["live"] == nil {
			t.Errorf("kept are %v", c.entries)
		}
	})
}

// TestSuite runs the contract over the cache: nothing of it may be lost.
func TestSuite(t *testing.T) {
	for name, options := range map[string]Options{"on": {}, "off": {Off: true}, "for ever": {TTL: -1, NegativeTTL: -1}} {
		t.Run(name, func(t *testing.T) {
			storagetest.Engine(t, "the cache of app_manager, "+name)
			storagetest.TestAppManager(t, func(_ *testing.T, apps []*storage.App) storage.AppManager {
				return New(sorted{newFake(apps...)}, options)
			})
		})
	}
}

// sorted lists as the contract has it.
type sorted struct{ *fakeStore }

func (s sorted) Apps(ctx context.Context) ([]*storage.App, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, storage.ErrClosed
	}
	return NewOverlay(nil, s.fakeStore).Apps(ctx)
}
