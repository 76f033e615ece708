package realtime

import (
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// channel is one occupied channel. It exists while it has subscriptions on any
// node.
type channel struct {
	app  *App
	info protocol.Channel

	// mu orders publishes, joins and leaves.
	mu       sync.Mutex
	count    int
	parts    []*part // by worker, nil where the channel has no subscriber
	presence *presence
	gone     bool
	// pins keep the channel in the table while a subscriber of a cache channel
	// fetches the cached event.
	pins int
	// last is the newest event of a cache channel that was delivered here, and
	// lastSeq counts them.
	last    protocol.Frame
	lastSeq uint64

	// elsewhere is the number of subscriptions on each other node, and
	// elsewhereCount their sum.
	elsewhere      map[*peer]int
	elsewhereCount int
	// wanted is the epoch of the cluster's links in which the channel was asked for.
	wanted atomic.Uint64

	// countDirty asks for a subscription_count event with the next tick.
	countDirty atomic.Bool
	// noted is the number of subscriptions that note knows.
	noted int
}

// subscription is one connection's place in one channel.
type subscription struct {
	conn    *Conn
	channel *channel
	part    *part
	index   int    // in part.subs, guarded by part.mu
	from    uint64 // frames of part up to this one were decided before the join
	off     atomic.Bool
	member  *member // nil unless presence
}

// pin finds or makes a channel and keeps it in the table until unpin.
func (a *App) pin(info protocol.Channel) *channel {
	s := a.shard(info.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[info.Name]
	if ch == nil {
		ch = a.newChannel(info)
		s.channels[info.Name] = ch
	}
	ch.mu.Lock()
	ch.pins++
	ch.mu.Unlock()
	return ch
}

func (ch *channel) unpin() {
	s := ch.app.shard(ch.info.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.pins--
	ch.dropLocked(s)
}

// dropLocked takes the channel out of the table when nothing holds it.
func (ch *channel) dropLocked(s *shard) {
	if ch.count > 0 || ch.pins > 0 || ch.gone {
		return
	}
	ch.app.hub.cluster.unwant(ch)
	if ch.elsewhereCount == 0 {
		delete(s.channels, ch.info.Name)
		ch.gone = true
	}
}

// join subscribes c to a pinned channel and calls reply in the order of the
// channel: nothing published before reaches c, everything published after does,
// and what reply sends comes before it.
func (ch *channel) join(c *Conn, m *protocol.Member, reply func()) (*subscription, *protocol.Error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sub := &subscription{conn: c, channel: ch}
	if ch.presence != nil {
		if err := ch.presence.admit(ch, sub, m); err != nil {
			return nil, err
		}
	}
	ch.count++
	if ch.count == 1 {
		ch.app.meter.channelAdded(ch.info.Kind)
	}
	ch.app.meter.subscribed(ch.info.Kind)
	reply()
	c.channels.Add(1)
	ch.partFor(c).add(sub)
	ch.markCount()
	ch.note()
	if sub.member != nil && sub.member.conns == 1 {
		ch.noteMember(sub.member.UserID, true) // after the channel
	}
	ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, "")
	return sub, nil
}

// leave ends a subscription. It does nothing for one that has ended.
func (sub *subscription) leave() {
	ch := sub.channel
	s := ch.app.shard(ch.info.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.part == nil {
		return
	}
	sub.conn.transport.Silence(&sub.off)
	sub.part.remove(sub)
	sub.part = nil
	sub.conn.channels.Add(-1)
	ch.count--
	if ch.presence != nil {
		ch.presence.leave(ch, sub)
	}
	ch.app.meter.unsubscribed(ch.info.Kind)
	if ch.count == 0 {
		ch.app.meter.channelRemoved(ch.info.Kind)
	}
	ch.markCount()
	ch.note()
	ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, "")
	ch.dropLocked(s)
}

func (a *App) newChannel(info protocol.Channel) *channel {
	ch := &channel{app: a, info: info, parts: make([]*part, len(a.hub.workers))}
	if info.Kind == protocol.Presence {
		ch.presence = newPresence()
	}
	return ch
}

// partFor is the part of the worker that serves c. The caller holds mu.
func (ch *channel) partFor(c *Conn) *part {
	p := ch.parts[c.worker]
	if p == nil {
		p = newPart(ch.app.hub.workers[c.worker], ch.app)
		ch.parts[c.worker] = p
	}
	return p
}

// send puts a frame in line for all subscribers but except. The caller holds mu.
func (ch *channel) send(f protocol.Frame, except *Conn) {
	for _, p := range ch.parts {
		if p != nil {
			p.push(f, except)
		}
	}
}

// fullPart is a part that has no room for another frame, or nil. The caller
// holds mu.
func (ch *channel) fullPart() *part {
	for _, p := range ch.parts {
		if p != nil && p.full() {
			return p
		}
	}
	return nil
}

// markCount asks for a subscription_count event if the app wants them.
func (ch *channel) markCount() {
	if ch.presence == nil && ch.app.record().Features.SubscriptionCount && !ch.countDirty.Swap(true) {
		ch.app.hub.wheel.countChanged(ch)
	}
}

// tellCount sends the subscription_count event that markCount has asked for.
func (ch *channel) tellCount() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.countDirty.Store(false)
	if !ch.gone {
		ch.send(protocol.SubscriptionCount(ch.info.Name, ch.count+ch.elsewhereCount), nil)
	}
}
