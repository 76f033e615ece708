package realtime

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// overlapLag is how long an envelope waits that comes by way of the newer of two
	// adapters, so that those before it come first by way of the older one, which has
	// carried them alone. It is more than two engines can be apart in good health.
	overlapLag = 2 * time.Second
	// maxLagging bounds what waits, in bytes. Above it nothing waits its full time.
	maxLagging = 16 << 20
)

// lagging is the delivery from one adapter between nodes. While the adapter is the
// newer one of an overlap it holds back what other nodes have published, and gives
// it up in its order. Most of it has come by way of the older adapter by then, and
// is dropped.
type lagging struct {
	hub     *Hub
	adapter storage.Clustered

	mu      sync.Mutex
	queue   []lagged
	bytes   int
	running atomic.Bool // something waits, or is being delivered; changed under mu
}

type lagged struct {
	envelope *protocol.Envelope
	due      time.Time
	size     int
}

// deliver takes an envelope from the adapter.
func (l *lagging) deliver(e *protocol.Envelope) {
	if e.Node == l.hub.cluster.self || e.Node == "" {
		l.hub.deliverInOrder(e)
		return
	}
	lags := l.lags()
	if !lags && !l.running.Load() {
		l.hub.deliverInOrder(e)
		return
	}
	item := lagged{envelope: e, size: len(e.Data) + len(e.Channel) + len(e.Event) + 256}
	if lags {
		item.due = time.Now().Add(overlapLag)
	}
	l.mu.Lock()
	l.queue = append(l.queue, item)
	l.bytes += item.size
	start := !l.running.Swap(true)
	l.mu.Unlock()
	if start {
		go l.hub.guard("the delivery from a second adapter", l.run)
	}
}

// lags reports whether there is an older adapter.
func (l *lagging) lags() bool {
	adapters := l.hub.cluster.adapters()
	return len(adapters) > 1 && adapters[0] != l.adapter && !l.hub.closing.Load()
}

// run delivers what waits, and ends when nothing does.
func (l *lagging) run() {
	for {
		e := l.next()
		if e == nil {
			return
		}
		l.hub.guard("a delivery", func() { l.hub.deliverInOrder(e) })
	}
}

// next waits for the first envelope's time. It is nil when none is left.
func (l *lagging) next() *protocol.Envelope {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue = nil
			l.running.Store(false)
			l.mu.Unlock()
			return nil
		}
		first := l.queue[0]
		wait := time.Until(first.due)
		if wait <= 0 || l.bytes > maxLagging || !l.lags() {
			l.queue[0] = lagged{}
			l.queue = l.queue[1:]
			l.bytes -= first.size
			l.mu.Unlock()
			return first.envelope
		}
		l.mu.Unlock()
		time.Sleep(min(wait, 20*time.Millisecond))
	}
}

// deliverInOrder delivers one node's envelopes one after the other while there are
// two adapters, and as long after that as the one that was left may be in the middle of
// a delivery: while one is being delivered, the next must not come by way of the other.
func (h *Hub) deliverInOrder(e *protocol.Envelope) {
	if e.Node != "" && (len(h.cluster.adapters()) > 1 || clock() < h.cluster.parting.Load()) {
		delivering := h.cluster.window.of(e.Node)
		delivering.order.Lock()
		defer delivering.order.Unlock()
	}
	h.deliver(e)
}
