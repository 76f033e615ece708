package realtime

import (
	"context"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// wheelTick is the precision of all timeouts of connections.
	wheelTick = 250 * time.Millisecond
	// wheelSlots times wheelTick is one turn; later due times wait for their turn.
	wheelSlots = 1024
)

// wheel checks the timeouts of all connections of a hub, so that a connection
// needs no timer of its own.
type wheel struct {
	hub *Hub

	mu    sync.Mutex
	slots [wheelSlots]*Conn // heads of doubly linked lists
	now   int64             // ticks that have been checked

	countMu sync.Mutex
	counts  []*channel // channels whose subscription_count is to be told

	later later
}

// timerState is a connection's place in the wheel. wheel.mu guards it, except
// for keepAlive, which never changes.
type timerState struct {
	prev, next *Conn
	slot       int32
	queued     bool
	due        int64 // by clock
	pinged     int64 // when the last unanswered ping was sent, or zero
	alive      int64 // when the last keep-alive was sent
	keepAlive  int64 // milliseconds, zero for none
}

func newWheel(h *Hub) *wheel { return &wheel{hub: h, now: tickOf(clock())} }

func tickOf(ms int64) int64 { return ms / wheelTick.Milliseconds() }

func (w *wheel) run(ctx context.Context) {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.hub.guard("timeouts", func() {
				w.tick(clock())
				w.tellCounts()
				w.doLater(clock())
			})
		}
	}
}

func (w *wheel) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.insertLocked(c, c.nextDue(clock(), w.hub.settings()))
}

func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlinkLocked(c)
}

// reschedule looks at every connection with the next tick, after a change of
// timeouts.
func (w *wheel) reschedule() {
	conns := w.hub.conns()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if c.timer.queued {
			w.unlinkLocked(c)
			w.insertLocked(c, 0)
		}
	}
}

// changed looks at a connection with the next tick.
func (w *wheel) changed(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.timer.queued {
		w.unlinkLocked(c)
		w.insertLocked(c, 0)
	}
}

func (w *wheel) insertLocked(c *Conn, due int64) {
	tick := max(tickOf(due)+1, w.now+1)
	slot := tick % wheelSlots
	t := &c.timer
	t.due, t.slot, t.queued = due, int32(slot), true
	t.prev, t.next = nil, w.slots[slot]
	if t.next != nil {
		t.next.timer.prev = c
	}
	w.slots[slot] = c
}

func (w *wheel) unlinkLocked(c *Conn) {
	t := &c.timer
	if !t.queued {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.prev, t.next, t.queued = nil, nil, false
}

// tick checks every connection that is due at now. What a check asks for is done
// without the lock.
func (w *wheel) tick(now int64) {
	s := w.hub.settings()
	for {
		w.mu.Lock()
		if w.now >= tickOf(now) {
			w.mu.Unlock()
			return
		}
		if tickOf(now)-w.now > wheelSlots {
			w.now = tickOf(now) - wheelSlots // the machine slept; one turn sees everybody
		}
		w.now++
		var due []*Conn
		for c := w.slots[w.now%wheelSlots]; c != nil; {
			next := c.timer.next
			if c.timer.due <= now {
				w.unlinkLocked(c)
				due = append(due, c)
			}
			c = next
		}
		w.mu.Unlock()
		for _, c := range due {
			if c.check(now, s) {
				w.mu.Lock()
				w.insertLocked(c, c.nextDue(now, s))
				w.mu.Unlock()
			}
		}
	}
}

// check does what a connection is due for. It reports false when it has closed
// the connection.
func (c *Conn) check(now int64, s *Settings) bool {
	t := &c.timer
	c.mu.Lock()
	closed, authorized := c.closed, c.authorized
	c.mu.Unlock()
	if closed {
		return false
	}
	if !authorized && c.mustAuthorize() && now >= c.opening+s.AuthenticationTimeout.Milliseconds() {
		c.leave(protocol.ErrNotAuthorized, true)
		return false
	}
	if c.v2 != nil && !c.checkToken(now) {
		return false
	}
	heard := c.heard.Load()
	silence := c.silence(s)
	switch {
	case c.v2 != nil && s.Socket.IdleTimeout > 0 && now >= heard+s.Socket.IdleTimeout.Milliseconds():
		c.leave(protocol.ErrIdle, false)
		return false
	case t.pinged != 0 && heard >= t.pinged:
		t.pinged = 0
	case t.pinged != 0 && now >= t.pinged+s.PongTimeout.Milliseconds():
		c.leave(protocol.ErrPongTimeout, c.v2 == nil)
		return false
	case t.pinged == 0 && silence > 0 && now >= heard+silence:
		t.pinged, t.alive = now, now
		c.ping()
	}
	if t.keepAlive > 0 && now >= t.alive+t.keepAlive {
		t.alive = now
		c.controlPing()
	}
	return true
}

// silence is after how many milliseconds of it the client is pinged, zero for never
// (section 2.2).
func (c *Conn) silence(s *Settings) int64 {
	switch {
	case c.v2 == nil:
		return s.ActivityTimeout.Milliseconds()
	case s.Socket.PingInterval <= 0:
		return 0
	default:
		return max(s.Socket.PingInterval, s.ActivityTimeout/2, 5*time.Second).Milliseconds()
	}
}

// ping asks the client for a sign of life: an event on V1, a control frame on V2.
func (c *Conn) ping() {
	if c.v2 == nil {
		c.send(protocol.Ping)
	} else {
		c.controlPing()
	}
}

func (c *Conn) controlPing() {
	if p, ok := c.transport.(Pinger); ok {
		p.Ping()
	}
}

// leave closes the connection with e and takes it out of the hub at once: a peer
// that is gone will not finish the closing handshake.
func (c *Conn) leave(e *protocol.Error, graceful bool) {
	c.transport.Close(e)
	c.Disconnect(graceful)
}

// nextDue is when the connection must be looked at again.
func (c *Conn) nextDue(now int64, s *Settings) int64 {
	t := &c.timer
	due := now + time.Hour.Milliseconds()
	heard, silence := c.heard.Load(), c.silence(s)
	switch {
	case t.pinged != 0:
		due = t.pinged + s.PongTimeout.Milliseconds()
	case silence > 0:
		due = heard + silence
	}
	if c.v2 != nil && s.Socket.IdleTimeout > 0 {
		due = min(due, heard+s.Socket.IdleTimeout.Milliseconds())
	}
	if t.keepAlive > 0 {
		due = min(due, max(t.alive, c.opening)+t.keepAlive)
	}
	c.mu.Lock()
	authorized, expires := c.authorized, c.tokenDue(now)
	c.mu.Unlock()
	if expires > 0 {
		due = min(due, expires)
	}
	if !authorized && c.mustAuthorize() {
		due = min(due, c.opening+s.AuthenticationTimeout.Milliseconds())
	}
	return max(due, now)
}

func (c *Conn) mustAuthorize() bool { return c.app.record().Features.UserAuthentication }

func (w *wheel) countChanged(ch *channel) {
	w.countMu.Lock()
	defer w.countMu.Unlock()
	w.counts = append(w.counts, ch)
}

func (w *wheel) tellCounts() {
	w.countMu.Lock()
	counts := w.counts
	w.counts = nil
	w.countMu.Unlock()
	for _, ch := range counts {
		ch.tellCount()
	}
}
