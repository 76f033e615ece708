package realtime

import (
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxStreams bounds what all streams of a hub keep, in bytes. Over it each new
	// event costs its own channel two old ones.
	maxStreams = 256 << 20
	// streamLife is how long nodes remember where a shared stream has ended that nobody
	// uses.
	streamLife = time.Hour
)

// stream is the numbered past of a channel: the position that its subscribers have
// reached here, and the newest events, from which connections resume (section 6.6).
// channel.mu guards it.
//
// Without a store that nodes share, each node counts for itself what it delivers, and
// its ids are its own. With one, the publishing node numbers an event by way of the
// store before others get it, and each node delivers in the order of the numbers: see
// follower.
type stream struct {
	id      string
	counter counter
	store   storage.History // of its numbers, nil unless that is a history
	head    uint64
	// row is the number of events up to head that are no changes of others.
	row uint64
	// broken says why nobody can resume, empty while somebody can: events have been
	// delivered that nobody keeps.
	broken string
	// watchers are those who read the past of the channel at this moment: what comes
	// meanwhile is kept for them.
	watchers int
	// pasts are the rewinds that are being read.
	pasts map[pastKey]*past
	// kept are the newest events, oldest first. Their serials end with head and have
	// no gap.
	kept  []*message
	bytes int
	// used is when the last subscriber left, by clock, and due says that somebody will
	// look whether that is long ago.
	used     int64
	due      bool
	follower *follower // nil unless nodes share the stream
}

// recovery is what counts for the channels of one app.
type recovery struct {
	on    bool
	size  int
	ttl   time.Duration
	bytes int
}

func newRecovery(app *storage.App, s *Settings) recovery {
	r := recovery{s.Recovery.Enabled, or(app.Recovery.BufferSize, s.Recovery.BufferSize), s.Recovery.TTL, s.Recovery.MaxBytes}
	if app.Recovery.Enabled != nil {
		r.on = *app.Recovery.Enabled
	}
	if app.Recovery.TTL > 0 {
		r.ttl = app.Recovery.TTL
	}
	return r
}

func (r recovery) bounds() storage.StreamBounds {
	return storage.StreamBounds{Entries: r.size, Bytes: r.bytes, TTL: r.ttl, StreamTTL: max(r.ttl, streamLife)}
}

func (a *App) recovery() recovery { return newRecovery(a.record().App, a.hub.settings()) }

// counted makes the channel's stream what the settings of today want, if events are
// numbered here. A stream that they would not have made is ended: what is published
// without a number would be a gap that nobody sees. The caller holds mu.
func (ch *channel) counted(s *Settings) numbering {
	n := ch.numbering(s)
	if s := ch.stream; s != nil && !s.countedBy(n) {
		ch.former = ""
		if s.counter == n.counter {
			ch.former = s.id
		}
		ch.tellHeld()
		ch.endStream()
	}
	if ch.stream == nil && n.counter == countHere {
		ch.stream = &stream{id: protocol.NewMessageID(), used: clock(), counter: countHere}
	}
	return n
}

// countedBy reports whether the stream has its numbers from where they are from now.
func (s *stream) countedBy(n numbering) bool { return s.counter == n.counter && s.store == n.store }

// endStream forgets the past of the channel. The caller holds mu.
func (ch *channel) endStream() {
	ch.app.hub.streamBytes.Add(-int64(ch.stream.bytes))
	ch.stream = nil
}

// keep appends an event, which has the serial after head.
func (s *stream) keep(h *Hub, m *message, r recovery) {
	s.head, m.at = m.out.Serial, clock()
	if !m.change {
		s.row++
	}
	s.kept = append(s.kept, m)
	s.grow(h, m.size())
	if s.watchers > 0 && s.bytes <= maxHeld {
		return
	}
	if h.streamBytes.Load() > maxStreams {
		s.drop(h, min(2, len(s.kept)-1))
	}
	for len(s.kept) > r.size || s.bytes > r.bytes && len(s.kept) > 1 {
		s.drop(h, 1)
	}
}

// older puts events in front of the kept ones, to which they lead without a gap.
func (s *stream) older(h *Hub, events []*message) {
	for _, m := range events {
		s.grow(h, m.size())
	}
	s.kept = append(events, s.kept...)
}

func (s *stream) grow(h *Hub, n int) {
	s.bytes += n
	h.streamBytes.Add(int64(n))
}

// drop forgets the n oldest events.
func (s *stream) drop(h *Hub, n int) {
	for i := range n {
		s.grow(h, -s.kept[i].size())
		s.kept[i] = nil
	}
	s.kept = s.kept[n:]
}

// expire forgets events that are older than they may be.
func (s *stream) expire(h *Hub, r recovery) {
	oldest, n := clock()-r.ttl.Milliseconds(), 0
	for n < len(s.kept) && s.kept[n].at < oldest {
		n++
	}
	s.drop(h, n)
}

// first is the serial of the oldest kept event, or the one after head.
func (s *stream) first() uint64 { return s.head + 1 - uint64(len(s.kept)) }

// after are the kept events with serials above serial.
func (s *stream) after(serial uint64) []*message {
	if serial >= s.head {
		return nil
	}
	return s.kept[serial+1-s.first():]
}

// retained reports whether the channel must stay in the table because of its past,
// although nobody is subscribed. A shared stream stays in the store. The caller
// holds mu.
func (ch *channel) retained() bool {
	s := ch.stream
	if s == nil || s.follower != nil {
		return false
	}
	r := ch.app.recovery()
	return r.on && clock()-s.used < r.ttl.Milliseconds()
}

// retain keeps the past of the channel for a while, now that nobody is subscribed.
// The caller holds mu.
func (ch *channel) retain() {
	s := ch.stream
	switch {
	case s == nil:
	case s.follower != nil:
		if ch.pins == 0 { // otherwise somebody is about to join, who knows the position already
			ch.endStream()
		}
	default:
		s.used = clock()
		ch.look()
	}
}

// look makes sure that somebody looks again when the past of the channel is due to
// be forgotten. The caller holds mu.
func (ch *channel) look() {
	if s := ch.stream; !s.due {
		s.due = true
		ch.app.hub.wheel.at(s.used+ch.app.recovery().ttl.Milliseconds()+1, ch.forget)
	}
}

// forget takes the channel out of the table if only its past has kept it.
func (ch *channel) forget() {
	ch.withTable(func(s *shard) {
		if ch.stream == nil {
			return
		}
		ch.stream.due = false
		switch {
		case ch.count > 0:
		case ch.retained():
			ch.look()
		default:
			ch.endStream()
			ch.dropLocked(s)
		}
	})
}
