package relay

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/storage"
)

// counts are what the outbox does not count.
type counts struct {
	received, missed, malformed, reconnects atomic.Uint64

	mu     sync.Mutex
	events map[string]uint64
}

func (c *counts) event(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[string]uint64{}
	}
	c.events[name]++
}

// LinkStats are what was counted since Open.
func (a *Adapter) LinkStats() storage.LinkStats {
	c := &a.counts
	s := storage.LinkStats{
		Driver: a.options.Driver, Received: c.received.Load(), Missed: c.missed.Load(), Malformed: c.malformed.Load(),
		Reconnects: c.reconnects.Load(), Topics: a.topics.count(),
	}
	c.mu.Lock()
	s.Events = maps.Clone(c.events)
	c.mu.Unlock()
	o := a.outbox
	o.mu.Lock()
	s.Published, s.Dropped = o.published, o.dropped
	s.QueuePackets, s.QueueBytes = len(o.waiting)-o.head+o.taken, o.bytes
	o.mu.Unlock()
	_, err := a.current()
	s.Up = err == nil && a.watchers.up()
	return s
}
