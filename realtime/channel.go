package realtime

import (
	"strings"
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
	parts    []*part // by worker and format, as far as there are subscribers
	presence *presence
	stream   *stream // nil while nobody counts
	// former is the id of the stream before this one, in a history that is no longer the
	// hub's, and empty if there is none.
	former string
	gone   bool
	// pins keep the channel in the table while a subscriber of a cache channel
	// fetches the cached event.
	pins int
	// last is the newest event of a cache channel that was delivered here, and
	// lastSeq counts them.
	last    *message
	lastSeq uint64

	// annotated is the serial of the newest annotation that subscribers were told of.
	annotated uint64

	// pattern is set for a pattern, and matching are the patterns that match a public
	// channel, as of an epoch of the app's patterns.
	pattern  *pattern
	matching []*channel
	matched  uint64

	// elsewhere is the number of subscriptions on each other node, and
	// elsewhereCount their sum.
	elsewhere      map[*peer]int
	elsewhereCount int
	// wanted is the epoch of the cluster's links in which the channel was asked for.
	wanted atomic.Uint64

	// countDirty asks for a subscription_count event with the next tick.
	countDirty atomic.Bool
	// noted is the number of subscriptions that note knows, and toldMeta the one that
	// the subscribers of the meta channel know.
	noted, toldMeta int
}

// subscription is one connection's place in one channel.
type subscription struct {
	conn    *Conn
	channel *channel
	part    *part
	index   int    // in part.subs, guarded by part.mu
	from    uint64 // messages of part up to this one were decided before the join
	off     atomic.Bool
	member  *member // nil unless presence
	// tune is what the subscription asks for beyond plain events, nil for nothing.
	tune atomic.Pointer[tuning]
	// updates counts presence updates. Only the reading goroutine uses it.
	updates window
	// vanished says that a lost connection did not come back in time.
	vanished bool
	// attach is the newest history serial at the time of the join, nil where none is
	// kept. channel.mu guards it.
	attach *uint64
	// joined is the hub's order at the time of the join: events above it come live.
	joined uint64
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
		if ch.pattern != nil {
			a.addPattern(ch)
		}
		if strings.HasPrefix(info.Name, protocol.MetaPrefix) {
			a.metas.Store(info.Name, ch)
		}
	}
	ch.mu.Lock()
	ch.pins++
	ch.mu.Unlock()
	return ch
}

func (ch *channel) unpin() {
	ch.withTable(func(s *shard) {
		ch.pins--
		ch.dropLocked(s)
	})
}

// dropLocked takes the channel out of the table when nothing holds it.
func (ch *channel) dropLocked(s *shard) {
	if ch.count > 0 || ch.pins > 0 || ch.gone || ch.retained() {
		return
	}
	ch.app.hub.cluster.unwant(ch)
	if s := ch.stream; s != nil && s.follower != nil && len(ch.matching) == 0 {
		ch.endStream()
	}
	if ch.elsewhereCount == 0 {
		delete(s.channels, ch.info.Name)
		ch.gone = true
		if ch.pattern != nil {
			ch.app.dropPattern(ch)
		}
		ch.app.metas.CompareAndDelete(ch.info.Name, ch)
	}
}

// join subscribes c to a pinned channel and calls reply in the order of the
// channel: nothing published before reaches c, everything published after does,
// and what reply sends comes before it.
func (ch *channel) join(c *Conn, m *protocol.Member, tune *tuning, reply func(*subscription)) (*subscription, *protocol.Error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sub := &subscription{conn: c, channel: ch}
	sub.tune.Store(tune)
	if ch.presence != nil {
		if err := ch.presence.admit(ch, sub, m); err != nil {
			return nil, err
		}
	}
	ch.count++
	if ch.count == 1 {
		ch.app.meter.channelAdded(ch.info.Kind)
		ch.tellTaps(ChannelOccupied, "", true)
	}
	ch.app.meter.subscribed(ch.info.Kind)
	sub.tell(Subscribed)
	if sub.member != nil {
		ch.layGhosts(sub.member)
	}
	sub.joined = ch.app.hub.order.Load()
	reply(sub)
	c.channels.Add(1)
	ch.partFor(c).subscribe(sub)
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
	ch.withTable(func(s *shard) {
		if sub.detachLocked() {
			ch.releaseLocked(sub)
			ch.dropLocked(s)
		}
	})
}

// withTable does something that may take the channel out of the table, with the locks
// of both.
func (ch *channel) withTable(do func(s *shard)) {
	s := ch.app.shard(ch.info.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	do(s)
}

// detachLocked takes the connection out of the channel's subscribers. It reports
// false when it was not there. The caller holds the channel's lock.
func (sub *subscription) detachLocked() bool {
	if sub.part == nil {
		return false
	}
	sub.conn.transport.Silence(&sub.off)
	sub.part.remove(sub)
	sub.part = nil
	sub.conn.channels.Add(-1)
	return true
}

// releaseLocked ends what a subscription counts for. The caller holds mu.
func (ch *channel) releaseLocked(sub *subscription) {
	ch.count--
	if ch.presence != nil {
		ch.presence.leave(ch, sub)
	}
	ch.app.meter.unsubscribed(ch.info.Kind)
	sub.tell(Unsubscribed)
	if ch.count == 0 {
		ch.app.meter.channelRemoved(ch.info.Kind)
		ch.tellTaps(ChannelVacated, "", true)
		ch.retain()
	}
	ch.markCount()
	ch.note()
	ch.app.hub.cluster.markChannel(ch.app.id, ch.info.Name, "")
}

func (a *App) newChannel(info protocol.Channel) *channel {
	ch := &channel{app: a, info: info, pattern: patternOf(info)}
	if info.Kind == protocol.Presence {
		ch.presence = newPresence()
	}
	return ch
}

// partFor is the part of the worker that serves c, for the format of c. The caller
// holds mu.
func (ch *channel) partFor(c *Conn) *part {
	w := ch.app.hub.workers[c.worker]
	for _, p := range ch.parts {
		if p.worker == w && p.format == c.format {
			return p
		}
	}
	p := newPart(w, ch.app, c.format)
	ch.parts = append(ch.parts, p)
	return p
}

// send puts a message in line for all subscribers but except. The caller holds mu.
func (ch *channel) send(m *message, except *Conn) {
	for _, p := range ch.parts {
		if !m.v2 || p.format != protocol.FormatV1 {
			m.frame(p.format) // without the part's lock
			p.push(m, except)
		}
	}
}

// fullPart is a part that has no room for another message, or nil. The caller
// holds mu.
func (ch *channel) fullPart() *part {
	for _, p := range ch.parts {
		if p.full() {
			return p
		}
	}
	return nil
}

// markCount asks for a subscription_count event if the app wants them.
func (ch *channel) markCount() {
	ch.tellMeta()
	if ch.presence == nil && !hidden(ch.info) && ch.app.record().Features.SubscriptionCount && !ch.countDirty.Swap(true) {
		ch.app.hub.wheel.countChanged(ch)
	}
}

// tellCount sends the subscription_count event that markCount has asked for.
func (ch *channel) tellCount() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.countDirty.Store(false)
	if !ch.gone {
		ch.send(reply(protocol.SubscriptionCount(ch.info.Name, ch.count+ch.elsewhereCount)), nil)
	}
}
