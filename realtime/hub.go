package realtime

import (
	"context"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Hub is one realtime server: apps, connections and channels. It outlives the
// configurations that attach to it.
type Hub struct {
	name    string
	meter   *meter.Registry
	metrics *Metrics
	seed    maphash.Seed

	current atomic.Pointer[lease]
	leaseMu sync.Mutex
	leases  []*lease
	term    uint64 // see lease.term

	appsMu sync.RWMutex
	apps   map[string]*App

	refresher refresher
	cluster   *cluster
	announcer *announcer
	// endCluster says goodbye to the other nodes, nil while there are none.
	endCluster func(ctx context.Context)

	workers []*worker
	wheel   *wheel
	nextID  atomic.Uint64 // of slots per client address
	// nextConn spreads connections over workers.
	nextConn atomic.Uint64
	sockets  atomic.Int64
	// order numbers events as they are decided on this node.
	order atomic.Uint64
	// streamBytes is what all streams keep.
	streamBytes atomic.Int64
	// storeID is that of the history store, and keeper what is left to do in it.
	storeID storeID
	keeper  *keeper
	// registrar keeps what becomes of members.
	registrar *registrar
	started   time.Time
	// changing are the messages that are changed at this moment, and annotations what
	// those of channels come to.
	changing    changing
	annotations *history.AnnotationCache
	// asking bounds the questions about shared streams at one time.
	asking chan struct{}

	// taps are who listens to what happens.
	taps tapList

	draining atomic.Bool
	closing  atomic.Bool
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	done     sync.WaitGroup
	// ended says that nothing may be begun in the background any more; endMu guards it.
	endMu sync.Mutex
	ended bool
}

// NewHub makes a hub and starts its workers. Close ends it.
func NewHub(name string) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	registry := meter.NewRegistry(name)
	h := &Hub{
		name:    name,
		meter:   registry,
		metrics: newMetrics(registry),
		seed:    maphash.MakeSeed(),
		apps:    map[string]*App{},
		stop:    stop,
		ctx:     ctx,
		asking:  make(chan struct{}, followers),
		started: time.Now(),

		changing: newChanging(), annotations: history.NewAnnotationCache(maxProjections),
	}
	h.annotations.Rebuilt = h.metrics.rebuilt
	h.cluster = newCluster(h)
	h.announcer = newAnnouncer(h)
	h.keeper = newKeeper(h)
	h.registrar = newRegistrar(h)
	countUnreadable(h)
	registry.Collect(newLinkCollector(h))
	h.wheel = newWheel(h)
	for range runtime.GOMAXPROCS(0) {
		w := newWorker(h)
		h.workers = append(h.workers, w)
		h.done.Go(w.run)
	}
	h.done.Go(func() { h.wheel.run(ctx) })
	h.done.Go(func() { h.announcer.run(ctx) })
	h.done.Go(func() { h.keeper.run(ctx) })
	return h
}

// Name is the hub's name in the configuration.
func (h *Hub) Name() string { return h.name }

// Metrics are all that are counted for the hub, also by what is built on it. They
// keep their values over a reload.
func (h *Hub) Metrics() *meter.Registry { return h.meter }

// Sockets is the number of open connections.
func (h *Hub) Sockets() int { return int(h.sockets.Load()) }

// Draining reports whether new connections are refused.
func (h *Hub) Draining() bool { return h.draining.Load() }

// Close closes all sockets with 4200, bounded by ctx, and ends the hub. It must
// not be used afterwards.
func (h *Hub) Close(ctx context.Context) {
	h.draining.Store(true)
	h.closing.Store(true)
	defer h.taps.end()
	h.closeAll(ctx, protocol.ErrShutdown)
	h.announcer.flush(ctx)
	h.registrar.flush(ctx)
	if h.endCluster != nil {
		h.endCluster(ctx)
	}
	h.endMu.Lock()
	h.ended = true
	h.endMu.Unlock()
	h.stop()
	for _, w := range h.workers {
		w.close()
	}
	h.done.Wait()
}

func (h *Hub) conns() []*Conn {
	var conns []*Conn
	for _, a := range h.liveApps() {
		conns = a.appendConns(conns)
	}
	return conns
}

// background runs f in a goroutine that Close ends and waits for.
func (h *Hub) background(f func(ctx context.Context)) {
	h.endMu.Lock()
	defer h.endMu.Unlock()
	if h.ended {
		return
	}
	h.done.Go(func() { h.guard("the background", func() { f(h.ctx) }) })
}

// guard runs f and turns a panic into a log line. Every goroutine of the live
// part has one: a panic outside a request would end the whole server.
func (h *Hub) guard(what string, f func()) {
	defer h.Recovered(what)
	f()
}

func (h *Hub) logPanic(what string, p any) {
	h.log().Error("recovered from a panic", zap.String("in", what), zap.Any("panic", p), zap.Stack("stack"))
}

// log is the logger of the current configuration.
func (h *Hub) log() *zap.Logger {
	if l := h.current.Load(); l != nil {
		return l.settings.Log
	}
	return zap.NewNop()
}

// SocketSettings are the current bounds of a connection.
func (h *Hub) SocketSettings() SocketSettings { return h.settings().Socket }

// Recovered turns a panic into a log line. It is deferred by goroutines that
// serve one of the hub's connections.
func (h *Hub) Recovered(what string) {
	if p := recover(); p != nil {
		h.logPanic(what, p)
	}
}
