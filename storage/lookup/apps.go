package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxEntries bounds the records that are kept. Above it those go that nobody
	// uses.
	maxEntries = 10000
	// maxMisses bounds the names that are known not to be apps, or not to be
	// readable at the moment.
	maxMisses = 10000
	// failureTTL is how long a lookup that failed is answered with its error, so
	// that a store that is down is not asked by everybody who comes.
	failureTTL = time.Second
	// loadTimeout bounds one question to the store, whoever waits for it.
	loadTimeout = 5 * time.Second
	// maxLoads bounds the questions to the store at a time.
	maxLoads = 32
)

// Options tune the cache of app records.
type Options struct {
	// Off asks the store each time. Records that have not changed stay the same in
	// any case, and followers hear of those that have.
	Off bool
	// TTL is how long a record counts; it is refreshed before. Zero means five
	// minutes, a negative value for ever.
	TTL time.Duration
	// NegativeTTL is how long an unknown id or key is known to be unknown. Zero means
	// two seconds, a negative value not at all.
	NegativeTTL time.Duration
	// StaleIfError is how long a record still counts after its TTL while the store
	// does not answer. Zero means not at all.
	StaleIfError time.Duration
	// Read is told each record that has come from the store, unless it is nil. It is
	// called by whoever has asked, and must not block.
	Read func(app *storage.App)
}

func (o Options) withDefaults() Options {
	if o.TTL == 0 {
		o.TTL = 5 * time.Minute
	}
	if o.NegativeTTL == 0 {
		o.NegativeTTL = 2 * time.Second
	}
	o.NegativeTTL = max(o.NegativeTTL, 0)
	o.StaleIfError = max(o.StaleIfError, 0)
	return o
}

// column is what an app is looked up by.
type column int

const (
	byID column = iota
	byKey
)

// name is what was asked for.
type name struct {
	by   column
	text string
}

// entry is a record that was read. Only the fields below the line change.
type entry struct {
	app *storage.App

	loaded time.Time // when the store said so
	due    time.Time // when it is to be asked again, zero for never
	used   time.Time // when it was last asked for
}

// miss is an answer other than a record.
type miss struct {
	err   error
	until time.Time
}

// load is a question to the store that is on its way.
type load struct {
	done chan struct{}
	app  *storage.App
	err  error
}

// Apps keeps the records of a store. It owns the store, and one goroutine, which
// refreshes records before their time to live is over.
//
// Lock order: mu is taken alone; neither the store nor a follower is called with
// it.
type Apps struct {
	store storage.AppManager
	now   func() time.Time
	ctx   context.Context // ends with Close
	end   context.CancelFunc
	loop  sync.WaitGroup
	wake  chan struct{}
	slots chan struct{} // one per load that may run

	mu        sync.Mutex
	options   Options
	entries   map[string]*entry // by id
	keys      map[string]*entry // by key
	misses    map[name]miss
	loads     map[name]*load
	followers map[*follower]struct{}
	closed    bool
	unwatch   func()
	queries   uint64
	// epoch counts the changes that were heard of. An answer from an older one may
	// be from before the change.
	epoch    uint64
	nextLook time.Time // when the loop looks for what is due
}

// New keeps the records of store, which it closes with itself.
func New(store storage.AppManager, options Options) *Apps {
	return newApps(store, options, time.Now)
}

func newApps(store storage.AppManager, options Options, now func() time.Time) *Apps {
	c := &Apps{
		store: store, now: now, options: options.withDefaults(),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxLoads),
		entries: map[string]*entry{}, keys: map[string]*entry{}, misses: map[name]miss{},
		loads: map[name]*load{}, followers: map[*follower]struct{}{},
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	if w, ok := store.(storage.AppWatcher); ok {
		c.unwatch = w.WatchApps(c.changed)
	}
	c.loop.Go(c.refresh)
	return c
}

// SetOptions changes the tuning. Records that are kept count as under the new
// options from now on.
func (c *Apps) SetOptions(options Options) {
	c.mu.Lock()
	c.options = options.withDefaults()
	for _, e := range c.entries {
		c.scheduleLocked(e)
	}
	clear(c.misses)
	c.mu.Unlock()
}

// Store is what the records come from.
func (c *Apps) Store() storage.AppManager { return c.store }

// AppByID finds an app by its id.
func (c *Apps) AppByID(ctx context.Context, id string) (*storage.App, error) {
	return c.find(ctx, name{byID, id})
}

// AppByKey finds an app by its public key.
func (c *Apps) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	return c.find(ctx, name{byKey, key})
}

// find answers from memory where it may, and otherwise joins the one question to
// the store that is on its way, or starts it.
func (c *Apps) find(ctx context.Context, n name) (*storage.App, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, fmt.Errorf("app manager: %w", storage.ErrClosed)
	}
	if app, known, err := c.knownLocked(n); known {
		c.mu.Unlock()
		return app, err
	}
	l := c.loads[n]
	if l == nil {
		l = &load{done: make(chan struct{})}
		c.loads[n] = l
		c.loop.Go(func() { c.ask(n, l) })
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.app, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// knownLocked is the answer that needs no store.
func (c *Apps) knownLocked(n name) (app *storage.App, known bool, err error) {
	now := c.now()
	if m, missed := c.misses[n]; missed {
		if now.Before(m.until) && !c.options.Off {
			// A record that may be stale beats an error, never a plain no.
			if e := c.entryLocked(n); e != nil && !errors.Is(m.err, storage.ErrNotFound) && c.freshLocked(e, now, true) {
				return e.app, true, nil
			}
			return nil, true, m.err
		}
		delete(c.misses, n)
	}
	e := c.entryLocked(n)
	if e == nil || c.options.Off || !c.freshLocked(e, now, false) {
		return nil, false, nil
	}
	e.used = now
	return e.app, true, nil
}

func (c *Apps) entryLocked(n name) *entry {
	if n.by == byKey {
		return c.keys[n.text]
	}
	return c.entries[n.text]
}

// freshLocked reports whether a record still counts, while the store answers or
// while it does not.
func (c *Apps) freshLocked(e *entry, now time.Time, failing bool) bool {
	ttl := c.options.TTL
	if ttl < 0 {
		return true
	}
	if failing {
		ttl += c.options.StaleIfError
	}
	return now.Before(e.loaded.Add(ttl))
}

// Apps lists the apps of the store, without the cache.
func (c *Apps) Apps(ctx context.Context) ([]*storage.App, error) { return c.store.Apps(ctx) }

// HasApps reports whether there is any app at all.
func (c *Apps) HasApps(ctx context.Context) (bool, error) {
	c.mu.Lock()
	known := len(c.entries) > 0 && !c.options.Off
	c.mu.Unlock()
	if known {
		return true, nil
	}
	apps, err := c.store.Apps(ctx)
	return len(apps) > 0, err
}

// Check asks the store whether it is usable.
func (c *Apps) Check(ctx context.Context) error {
	if checker, ok := c.store.(storage.Checker); ok {
		return checker.Check(ctx)
	}
	return nil
}

// UnreadableApps counts the records of the store that cannot be read.
func (c *Apps) UnreadableApps() int {
	if u, ok := c.store.(storage.UnreadableApps); ok {
		return u.UnreadableApps()
	}
	return 0
}

// Close ends the refreshing and the store.
func (c *Apps) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.end()
	if c.unwatch != nil {
		c.unwatch()
	}
	c.loop.Wait()
	return c.store.Close()
}
