package realtime

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/span"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Overlap is an adapter between nodes that a hub has left for another one, and that
// other nodes may still use: nodes are not given a new configuration all at once.
// Until the overlap ends the hub publishes through both and hears both; what comes
// twice is dropped.
type Overlap struct {
	hub        *Hub
	generation uint64
	leave      func(context.Context) error
	since      time.Time
}

// overlap is what is left of the adapter of a configuration that goes away, or nil
// when nobody needs it.
func (h *Hub) overlap(l *lease) *Overlap {
	left, ok := l.settings.Drivers.Adapter.(storage.Clustered)
	if !ok || l.leave == nil || h.closing.Load() || !h.cluster.active.Load() {
		return nil
	}
	current, ok := h.settings().Drivers.Adapter.(storage.Clustered)
	if !ok || current == left || !slices.Contains(h.cluster.adapters(), current) || len(h.Nodes()) == 0 {
		return nil
	}
	return &Overlap{h, l.generation, l.leave, time.Now()}
}

// Moved reports whether every other node has been heard through the hub's current
// adapter lately.
func (o *Overlap) Moved() bool {
	return time.Since(o.since) >= o.hub.settings().Cluster.Heartbeat && len(o.Waiting()) == 0
}

// Waiting names the nodes that were not heard through the current adapter lately.
func (o *Overlap) Waiting() []string {
	s := o.hub.settings()
	if current, ok := s.Drivers.Adapter.(storage.Clustered); ok {
		return o.hub.cluster.silentOn(current, 2*s.Cluster.Heartbeat+time.Second)
	}
	return nil
}

// End leaves the adapter. It waits, bounded by ctx, until what was published through
// it has been delivered here; after that it may be closed.
func (o *Overlap) End(ctx context.Context) error {
	o.hub.cluster.leave(o.generation)
	return o.leave(ctx)
}

// silentOn names the nodes that were not heard through an adapter for a time.
func (c *cluster) silentOn(adapter storage.Clustered, silence time.Duration) (nodes []string) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, p := range c.peers {
		if time.Since(p.via[adapter]) > silence {
			nodes = append(nodes, p.name)
		}
	}
	return nodes
}

// broadcast hands an envelope to the adapter. Between nodes it carries a number,
// by which a second delivery of it is known.
func (l Live) broadcast(ctx context.Context, e *protocol.Envelope) error {
	if _, ok := l.Settings.Drivers.Adapter.(storage.Clustered); ok {
		e.Node, e.Seq = l.Hub.cluster.self, l.Hub.cluster.published.Add(1)
	}
	ctx, step := span.Start(ctx, "sockudo.adapter.broadcast", span.Attribute{Key: span.App, Value: e.App}, span.Attribute{Key: span.Node, Value: e.Node})
	err := l.carry(ctx, e)
	step.End(err)
	return err
}

// carry hands an envelope to the adapter, and to those of an overlap or of a
// configuration that is about to become current.
func (l Live) carry(ctx context.Context, e *protocol.Envelope) error {
	adapter := l.Settings.Drivers.Adapter
	if err := adapter.Publish(ctx, e); err != nil {
		return err
	}
	if e.Node == "" {
		return nil
	}
	for _, other := range l.Hub.cluster.adapters() {
		if storage.Adapter(other) == adapter {
			continue
		}
		if err := other.Publish(ctx, e); err != nil {
			l.Settings.Log.Debug("publishing through a second adapter", zap.String("hub", l.Hub.name), zap.Error(err))
		}
	}
	return nil
}

// delivery is where the envelopes of an adapter go.
func (h *Hub) delivery(adapter storage.Adapter) func(*protocol.Envelope) {
	between, ok := adapter.(storage.Clustered)
	if !ok {
		return h.deliver
	}
	events := &lagging{hub: h, adapter: between}
	return func(e *protocol.Envelope) {
		switch e.Kind {
		case protocol.KindControl:
			h.cluster.hear(e, between)
		case protocol.KindRevoke:
			h.deliver(e) // it needs no order, and does not wait for what lags
		case protocol.KindEvent, protocol.KindUserEvent, protocol.KindCloseUser, protocol.KindReset, protocol.KindAnnotation:
			events.deliver(e)
		}
	}
}
