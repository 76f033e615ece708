package sockudo

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/lookup"
	"github.com/sockudo/caddy-sockudo/storage/metered"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// releaseTimeout bounds what a configuration that goes away may still do with a
// hub: wait for its operations, and hand over its jobs.
const releaseTimeout = 5 * time.Second

// closeTimeout bounds the end of a hub. Its clients have been told by then; not
// all of them answer.
const closeTimeout = 2 * time.Second

// hub is a running hub in the pool, with what its configurations have of it.
type hub struct {
	*realtime.Hub
	// board is what webhooks know of receivers.
	board *webhooks.Board
	// notices is what push knows of providers.
	notices *push.Board
	// tails counts who listens to what happens.
	tails atomic.Int32
	// queues count what queues do.
	queues *metered.Queues
	// calls are those of the HTTP API that are under way.
	calls calls

	mu      sync.Mutex
	tenures map[uint64]*tenure // by generation
	closed  sync.Once
	// ended is closed when the hub is.
	ended chan struct{}
}

func newHub(name string) *hub {
	live := realtime.NewHub(name)
	return &hub{
		Hub: live, board: webhooks.NewBoard(live.Metrics()), notices: push.NewBoard(live.Metrics()), queues: metered.NewQueues(live.Metrics()),
		tenures: map[uint64]*tenure{}, ended: make(chan struct{}),
	}
}

// Destruct ends the hub.
func (h *hub) Destruct() error {
	h.close()
	return nil
}

// close closes all sockets with 4200 and ends the hub, once.
func (h *hub) close() {
	h.closed.Do(func() {
		defer close(h.ended)
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = await(ctx, "closing the hub", func() error {
			h.Close(ctx)
			return nil
		})
	})
}

// tenure is what one configuration has of a hub.
type tenure struct {
	hub         *hub
	hubLease    *lease
	generation  uint64
	fingerprint string // of the definition, empty while there is only a reference
	log         *zap.Logger

	queue    storage.Queue
	delivery *webhooks.Delivery // nil when no webhooks are sent
	push     *notifications     // nil when no notifications are sent
	leases   map[string]*lease  // of drivers, by kind
	drivers  map[string]string  // their names, by kind
	tunes    []func() error     // apply this configuration's tuning to running drivers

	settings *realtime.Settings // of the definition
	apps     []*storage.App     // those that the configuration has itself
	mentions []mention          // handlers that publish

	written  *lookup.Overlay // apps of the configuration above a store, or nil
	writing  func()          // ends writing them into the store
	unfollow func()          // ends hearing of changes of the store
}

// attach gives the hub the settings of a configuration.
func (t *tenure) attach(s *realtime.Settings) {
	t.queue = s.Drivers.Queue
	t.hub.mu.Lock()
	t.hub.tenures[t.generation] = t
	t.hub.mu.Unlock()
	t.hub.Attach(t.generation, s)
}

// activate makes the settings current.
func (t *tenure) activate() {
	t.hub.Activate(t.generation)
	t.hub.tune()
	t.startWebhooks()
	t.startPush()
	t.writeApps()
}

// tune applies the tuning of the current configuration to drivers that keep
// running from one to the next.
func (h *hub) tune() {
	h.mu.Lock()
	defer h.mu.Unlock()
	current := h.tenures[h.Generation()]
	if current == nil {
		return
	}
	for _, tune := range current.tunes {
		if err := tune(); err != nil {
			current.log.Error("tuning a driver", zap.String("hub", h.Name()), zap.Error(err))
		}
	}
}

// driverNames are those of the current configuration, by kind.
func (h *hub) driverNames() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if current := h.tenures[h.Generation()]; current != nil {
		return maps.Clone(current.drivers)
	}
	return map[string]string{}
}

// end gives everything back. If the settings were current, those of the previous
// configuration are again.
func (t *tenure) end() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if t.hub == nil {
		return // the lease could not be taken
	}
	t.leaveApps()
	if t.hubLease.last() {
		t.hub.close() // while its drivers still run: closing sockets needs them
	}
	overlaps := make(chan *realtime.Overlap, 1)
	err := await(ctx, "leaving the hub", func() error {
		defer close(overlaps)
		if overlap := t.hub.Detach(ctx, t.generation); overlap != nil {
			overlaps <- overlap
		}
		return nil
	})
	t.report("leaving the hub", err)
	switch {
	case err != nil: // it is still under way, and the adapter is closed below
		go endLate(overlaps)
	case len(overlaps) > 0:
		go t.overlap(<-overlaps, t.leases[kindAdapter])
		delete(t.leases, kindAdapter)
	}
	t.hub.mu.Lock()
	delete(t.hub.tenures, t.generation)
	t.hub.mu.Unlock()
	t.hub.tune()
	t.report("stopping webhooks", t.stopWebhooks())
	t.report("stopping push notifications", t.stopPush())
	t.handOver(ctx)
	var all sync.WaitGroup
	for _, l := range t.leases { // side by side: each may take its whole time
		all.Go(func() { t.report("closing a driver", l.release()) })
	}
	all.Wait()
	t.report("closing the hub", t.hubLease.release())
}

// counted is the queue of a definition for those who push and work jobs.
func (t *tenure) counted(d *definition) storage.Queue {
	return t.hub.queues.Wrap(d.drivers[kindQueue].driver, d.settings.Drivers.Queue)
}

// handOver moves the jobs of a queue that nobody else has into the hub's new one.
func (t *tenure) handOver(ctx context.Context) {
	l := t.leases[kindQueue]
	queue, ok := t.queue.(storage.Handover)
	if !ok || l == nil || !l.last() {
		return
	}
	live, err := t.hub.Live()
	if err != nil {
		return // the hub ends, and its queue drains
	}
	defer live.Release()
	to := live.Settings.Drivers.Queue
	if to == nil || to == t.queue {
		return
	}
	moved, err := queue.Handover(ctx, to)
	t.report("handing over queued jobs", err)
	t.log.Info("queue replaced", zap.String("hub", t.hub.Name()), zap.Int("jobs_moved", moved))
}

func (t *tenure) report(what string, err error) {
	if err != nil {
		t.log.Warn(what, zap.String("hub", t.hub.Name()), zap.Error(err))
	}
}
