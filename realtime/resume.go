package realtime

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxParked bounds the positions of one connection that wait for a subscription.
const maxParked = 100

// resume handles a resume event (section 6.6): it sends what the connection has
// missed of channels that it is subscribed to, and says of each whether that is all.
// Positions of other channels wait until the connection subscribes.
func (c *Conn) resume(m protocol.Message) *protocol.Error {
	if c.v2 == nil {
		return protocol.BadVersion("resume is only supported on protocol V2")
	}
	if !c.app.recovery().on {
		return protocol.ErrRecoveryOff
	}
	positions, e := protocol.ParseResume(m.Data)
	if e != nil {
		return e
	}
	var answer answer
	var ready []protocol.Position
	for _, p := range positions {
		switch {
		case len(c.covering(p.Channel)) > 0:
			ready = append(ready, p)
		case !c.park(p):
			answer.fail(p, protocol.ResumeUnverifiable, "too_many_positions", nil, nil)
		}
	}
	c.restartDeltas(positions)
	c.resumeAll(ready, &answer)
	return nil
}

// park keeps a position until the connection subscribes to its channel.
func (c *Conn) park(p protocol.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.v2.parked[p.Channel]; !known && len(c.v2.parked) >= maxParked {
		return false
	}
	if c.v2.parked == nil {
		c.v2.parked = map[string]protocol.Position{}
	}
	c.v2.parked[p.Channel] = p
	return true
}

// unpark takes the positions that a new subscription makes ready: that of a channel,
// or those that a pattern matches.
func (c *Conn) unpark(ch *channel) (positions []protocol.Position) {
	if c.v2 == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.v2.parked {
		if name == ch.info.Name || ch.pattern != nil && ch.pattern.matchesPublic(name) {
			positions = append(positions, p)
			delete(c.v2.parked, name)
		}
	}
	return positions
}

// resuming takes the position that waits for a subscription to a channel, and asks
// the store for what is needed to go on from there.
func (c *Conn) resuming(ch *channel) *resuming {
	if ch.pattern != nil {
		return nil
	}
	parked := c.unpark(ch)
	if len(parked) == 0 {
		return nil
	}
	r := &resuming{position: parked[0]}
	r.answer.prepare(ch, r.position)
	return r
}

// resuming is a resume that is answered together with a subscription.
type resuming struct {
	position protocol.Position
	answer   answer
}

func (r *resuming) release() {
	if r != nil {
		r.answer.release()
	}
}

// resumed sends the answer, before anything comes live. The caller holds the
// channel's lock.
func (c *Conn) resumed(ch *channel, r *resuming, sub *subscription, send func(protocol.Frame)) {
	if r == nil {
		return
	}
	r.answer.begin(c)
	r.answer.answer(ch, r.position, []*subscription{sub})
	for _, f := range r.answer.end() {
		send(f)
	}
}

// covering are the connection's subscriptions through which it gets the events of a
// channel.
func (c *Conn) covering(name string) (subs []*subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sub := c.subs.get(name); sub != nil {
		subs = append(subs, sub)
	}
	for _, sub := range c.v2.patterns {
		if sub.channel.pattern.matchesPublic(name) {
			subs = append(subs, sub)
		}
	}
	return subs
}

// resumeAll answers for channels that the connection is subscribed to. All of them
// are locked while it is decided what is missed, so that what comes live follows the
// whole answer.
func (c *Conn) resumeAll(positions []protocol.Position, a *answer) {
	slices.SortFunc(positions, func(x, y protocol.Position) int { return cmp.Compare(x.Channel, y.Channel) })
	positions = slices.CompactFunc(positions, func(x, y protocol.Position) bool { return x.Channel == y.Channel })
	channels := make([]*channel, len(positions))
	defer a.release()
	for i, p := range positions {
		channels[i] = c.app.pin(protocol.ParseChannel(p.Channel))
		a.prepare(channels[i], p)
	}
	for _, ch := range channels {
		ch.mu.Lock()
	}
	defer func() {
		for _, ch := range channels {
			ch.mu.Unlock()
		}
		for _, ch := range channels {
			ch.unpin()
		}
	}()
	a.begin(c)
	for i, p := range positions {
		a.answer(channels[i], p, c.covering(p.Channel))
	}
	frames := a.end()
	c.inOrder(func(c *Conn) {
		for _, f := range frames {
			c.transport.Send(f)
		}
	})
}

// answer gathers what a resume is answered with.
type answer struct {
	conn    *Conn
	result  protocol.ResumeSuccess
	frames  []protocol.Frame // joined
	last    []byte           // the frames that are joined now
	room    int              // bytes that may still be replayed
	unasked map[string]bool  // channels of which the store could not be asked
	cold    map[string]*cold // what was read of the history of channels
}

func (a *answer) begin(c *Conn) {
	a.conn = c
	if a.room = c.hub.settings().Socket.MaxBytes; a.room <= 0 {
		a.room = math.MaxInt
	}
}

// add appends a frame to those that are sent.
func (a *answer) add(f protocol.Frame) {
	if len(a.last) > 0 && len(a.last)+len(f) > joinLimit {
		a.frames, a.last = append(a.frames, a.last), nil
	}
	a.last = append(a.last, f...)
}

func (a *answer) say(o *protocol.Outbound) {
	o.MessageID = protocol.NewMessageID()
	a.add(o.Frame(a.conn.format))
}

func (a *answer) fail(p protocol.Position, code, reason string, current *string, s *stream) {
	f := protocol.ResumeFailure{Channel: p.Channel, Code: code, Reason: reason, CurrentStream: current}
	if p.StreamID != "" {
		f.ExpectedStream = &p.StreamID
	}
	if s != nil {
		newest := s.head
		f.Newest = &newest
		if len(s.kept) > 0 {
			oldest := s.first()
			f.Oldest = &oldest
		}
	}
	a.result.Failed = append(a.result.Failed, f)
}

// prepare asks the store for what this node does not know of a channel. It does not
// hold locks meanwhile.
func (a *answer) prepare(ch *channel, p protocol.Position) {
	live, err := ch.app.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	n := ch.numbering(live.Settings)
	if !n.shared() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	err = ch.prepare(ctx, live, p, n)
	if err == nil && n.counter == countHistory {
		err = a.readHistory(ctx, live, ch, p, n)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		live.Settings.Log.Warn("asking for what a client has missed", zap.String("app", ch.app.id), zap.Error(err))
		if a.unasked == nil {
			a.unasked = map[string]bool{}
		}
		a.unasked[p.Channel] = true
	}
}

// prepare brings the node's copy of a shared stream up to date if a position is none
// in it, and back to the position.
func (ch *channel) prepare(ctx context.Context, live Live, p protocol.Position, n numbering) error {
	ch.seek() // the channel of a pattern may not be known yet
	ch.mu.Lock()
	s := ch.stream
	if s == nil || !s.countedBy(n) {
		ch.mu.Unlock()
		return nil
	}
	behind, id := p.StreamID != "" && p.StreamID != s.id || p.Serial > s.head, s.id
	ch.mu.Unlock()
	if behind {
		if err := ch.fetch(ctx, live, id, false, n); err != nil {
			return err
		}
	}
	if n.counter == countHistory {
		return nil
	}
	return ch.readBack(ctx, live, p, n)
}

// reaches reports whether nothing needs to be read to answer for a position. The
// caller holds mu.
func (ch *channel) reaches(p protocol.Position, size int) bool {
	s := ch.stream
	return s == nil || p.StreamID == "" || s.id != p.StreamID || p.Serial+1 >= s.first() || s.head-p.Serial > uint64(size)
}

// readBack reads the events after a position that this node does not keep.
func (ch *channel) readBack(ctx context.Context, live Live, p protocol.Position, n numbering) error {
	ch.mu.Lock()
	enough := ch.reaches(p, n.size)
	ch.mu.Unlock()
	if enough {
		return nil
	}
	page, err := ch.positions(live, n).after(ctx, p.Serial, n.size)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.reaches(p, n.size) || page.head.stream != ch.stream.id || page.from() != p.Serial+1 {
		return nil
	}
	events := ch.past(page, ch.stream.first(), live.Settings)
	if p.Serial+uint64(len(events))+1 == ch.stream.first() {
		ch.stream.older(ch.app.hub, events)
	}
	return nil
}

// past are the events of a page before a serial. The caller holds mu.
func (ch *channel) past(page eventPage, before uint64, s *Settings) (events []*message) {
	for _, e := range page.events {
		if e.Serial >= before {
			break
		}
		m := ch.event(e, s)
		m.at = clock() // the store forgets in time what is too old
		events = append(events, m)
	}
	return events
}

// answer replays a channel from a position, or says why it cannot. The caller holds
// the channel's lock.
func (a *answer) answer(ch *channel, p protocol.Position, subs []*subscription) {
	n := ch.numbering(ch.app.hub.settings())
	r := n.recovery
	s := ch.stream
	failed := len(a.result.Failed)
	switch {
	case a.unasked[p.Channel] || s == nil && n.shared():
		a.fail(p, protocol.ResumePersistenceDown, "recovery_store_unavailable", nil, s)
	case s == nil:
		a.fail(p, protocol.ResumeStreamReset, "stream_id_mismatch", nil, nil)
	default:
		if s.watchers == 0 {
			s.expire(ch.app.hub, r)
		}
		a.judge(s, p, n)
	}
	if len(a.result.Failed) > failed {
		a.say(protocol.ResumeFailed(a.result.Failed[failed]))
		return
	}
	a.replay(s, p, subs)
}

// judge says why a position is none from which a client can go on, if so.
func (a *answer) judge(s *stream, p protocol.Position, n numbering) {
	switch {
	case s.broken != "":
		a.fail(p, protocol.ResumePersistenceDown, s.broken, &s.id, s)
	case p.StreamID != "" && p.StreamID != s.id:
		a.fail(p, protocol.ResumeStreamReset, "stream_id_mismatch", &s.id, s)
	case p.Serial > s.head:
		a.fail(p, protocol.ResumeUnverifiable, "position_ahead_of_stream", &s.id, s)
	case s.head-p.Serial > uint64(n.size):
		a.fail(p, protocol.ResumeExpired, "recovery_window_exceeded", &s.id, s)
	case p.Serial+1 < s.first() && n.counter != countHistory:
		a.fail(p, protocol.ResumeExpired, "hot_replay_expired_and_durable_history_disabled", &s.id, s)
	case p.Serial+1 < s.first() && !a.judgeCold(s, p, n):
	case a.sizeAfter(s, p) > a.room:
		a.fail(p, protocol.ResumeExpired, "recovery_window_exceeded", &s.id, s)
	}
}

func (a *answer) sizeAfter(s *stream, p protocol.Position) (n int) {
	events, _ := a.missed(s, p)
	for _, m := range events {
		n += len(m.form(a.conn.v2.whole).frame(a.conn.format))
	}
	return n
}

// replay sends what the connection's subscriptions let pass, but for what they have
// got by themselves.
func (a *answer) replay(s *stream, p protocol.Position, subs []*subscription) {
	missed, source := a.missed(s, p)
	replayed := 0
	for _, m := range missed {
		if !wanted(m, a.conn, subs) {
			continue
		}
		f := m.form(a.conn.v2.whole).frame(a.conn.format)
		a.add(f)
		a.room -= len(f)
		replayed++
	}
	position := &protocol.RecoveredPosition{StreamID: s.id, Serial: s.head}
	switch {
	case len(missed) > 0:
		position.LastMessageID = &missed[len(missed)-1].out.MessageID
	case len(s.kept) > 0:
		position.LastMessageID = &s.kept[len(s.kept)-1].out.MessageID
	case p.LastMessageID != "" && p.Serial == s.head:
		position.LastMessageID = &p.LastMessageID
	}
	a.result.Recovered = append(a.result.Recovered, protocol.Recovered{
		Channel: p.Channel, Source: source, Replayed: replayed, Position: position,
	})
}

// wanted reports whether a connection is to get a past event: some subscription lets
// it pass, and none has brought it already.
func wanted(m *message, c *Conn, subs []*subscription) bool {
	if m.except == c.id {
		return false
	}
	wants := false
	for _, sub := range subs {
		if !sub.tune.Load().accepts(m, c.hub.settings()) {
			continue
		}
		if m.order > sub.joined {
			return false
		}
		wants = true
	}
	return wants
}

// end appends the result and gives everything that is to be sent.
func (a *answer) end() []protocol.Frame {
	a.conn.app.meter.resumed(a)
	a.say(a.result.Message())
	return append(a.frames, a.last)
}
