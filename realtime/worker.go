package realtime

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// worker writes to the connections it serves, in rounds. There is one per core,
// and each connection belongs to one, so that what was published first reaches a
// connection first, whatever the channel.
type worker struct {
	hub *Hub
	// seq orders everything that is pushed to the worker.
	seq atomic.Uint64

	mu     sync.Mutex
	wake   sync.Cond
	queue  []*part
	direct []direct
	bytes  int       // of direct
	room   sync.Cond // L is mu; signalled when direct was taken
	closed bool

	// What follows is used by the worker's goroutine alone.
	spare    []*part
	targets  [chunk]target
	gathered []*Conn
	outcomes outcomes
}

// direct is for one connection: a message, its end, or something to be done in the
// order of what it gets.
type direct struct {
	conn    *Conn
	message *message
	do      func(*Conn)
	end     *protocol.Error
	seq     uint64
}

// target is a subscriber with what the walk needs of it.
type target struct {
	sub  *subscription
	tune *tuning
	from uint64
}

// Piece is a frame for one connection. Off, if not nil, withdraws it.
type Piece struct {
	Frame protocol.Frame
	Off   *atomic.Bool

	others  []*atomic.Bool // Off of further subscriptions that bring the frame too
	message *message
	tune    *tuning
	seq     uint64
	do      func(*Conn)
	end     *protocol.Error
}

// Withdrawn reports whether every subscription that brings the frame has ended.
func (p *Piece) Withdrawn() bool {
	if p.Off == nil || !p.Off.Load() {
		return false
	}
	for _, off := range p.others {
		if !off.Load() {
			return false
		}
	}
	return true
}

// PieceDeliverer is a Transport that can take frames of several channels with
// one write.
type PieceDeliverer interface {
	DeliverPieces(pieces []Piece)
}

func newWorker(h *Hub) *worker {
	w := &worker{hub: h}
	w.wake.L, w.room.L = &w.mu, &w.mu
	return w
}

func (w *worker) enqueue(p *part) {
	w.mu.Lock()
	w.queue = append(w.queue, p)
	w.mu.Unlock()
	w.wake.Signal()
}

// sendTo puts something for one connection in line behind everything that was pushed
// before.
func (w *worker) sendTo(d direct) {
	w.mu.Lock()
	d.seq = w.seq.Add(1)
	w.direct = append(w.direct, d)
	w.bytes += 64
	if d.message != nil {
		w.bytes += d.message.size()
	}
	w.mu.Unlock()
	w.wake.Signal()
}

// waitRoom waits while more waits for single connections than should. It must
// not be called with a lock.
func (w *worker) waitRoom() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > partRoom && !w.closed {
		w.room.Wait()
	}
}

func (w *worker) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Signal()
	w.room.Broadcast()
}

func (w *worker) run() {
	for {
		parts, singles, cutoff, ok := w.next()
		if !ok {
			return
		}
		w.hub.guard("fan-out", func() { w.round(parts, singles, cutoff) })
		clear(parts)
		w.spare = parts[:0]
	}
}

// next waits for work. ok is false when the worker is closed and done.
func (w *worker) next() (parts []*part, singles []direct, cutoff uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && len(w.direct) == 0 && !w.closed {
		w.wake.Wait()
	}
	parts, singles = w.queue, w.direct
	w.queue, w.direct, w.bytes = w.spare, nil, 0
	w.room.Broadcast()
	return parts, singles, w.seq.Load(), len(parts) > 0 || len(singles) > 0
}

// round writes what was pushed up to cutoff. What comes later waits for the next
// round, so that no message overtakes one of another channel. With more than one
// source, connections that may be served by several of them get their messages
// gathered and sorted at the end. So do those with filters or deltas.
func (w *worker) round(parts []*part, singles []direct, cutoff uint64) {
	gather := len(parts) > 1 || len(singles) > 0
	for _, d := range singles {
		w.gather(d.conn, Piece{message: d.message, seq: d.seq, do: d.do, end: d.end})
	}
	for _, p := range parts {
		w.hub.guard("fan-out", func() { w.flush(p, cutoff, gather) })
	}
	for _, c := range w.gathered {
		w.hub.guard("fan-out", func() { w.deliverGathered(c) })
	}
	clear(w.gathered)
	w.gathered = w.gathered[:0]
	w.outcomes.clear()
}

func (w *worker) gather(c *Conn, piece Piece) {
	if len(c.gathered) == 0 {
		w.gathered = append(w.gathered, c)
	}
	c.gathered = append(c.gathered, piece)
}

func (w *worker) flush(p *part, cutoff uint64, gather bool) {
	messages, first, end := p.take(cutoff)
	defer func() {
		if p.flushed() {
			w.enqueue(p)
		}
	}()
	for start := 0; start < len(messages); {
		b := joinFrames(messages[start:], first+uint64(start), p.format)
		w.walk(p, &b, end, gather)
		start += len(b.ends)
	}
	for i := range messages {
		messages[i].message.landed(p.app)
	}
}

// walk delivers b to the first end subscribers of p.
func (w *worker) walk(p *part, b *batch, end int, gather bool) {
	var sent, written, left int
	for start := 0; start < end; start += chunk {
		n := 0
		p.mu.Lock()
		for _, sub := range p.subs[start:min(start+chunk, end)] {
			if sub != nil {
				w.targets[n] = target{sub, sub.tune.Load(), sub.from}
				n++
			}
		}
		p.mu.Unlock()
		for _, t := range w.targets[:n] {
			if t.tune != nil || gather && (len(t.sub.conn.gathered) > 0 || t.sub.conn.channels.Load() > 1) {
				w.gatherBatch(p, t, b)
				continue
			}
			frames, bytes := b.deliver(t)
			sent += frames
			written += bytes
			if b.except {
				left += len(b.ends) - b.skip(t) - frames
			}
		}
		clear(w.targets[:n])
		if end > chunk {
			runtime.Gosched()
		}
	}
	p.app.meter.sent(sent, written)
	if left > 0 {
		p.app.meter.echo.Add(float64(left))
	}
}

// gatherBatch keeps the messages that concern t for the end of the round.
func (w *worker) gatherBatch(p *part, t target, b *batch) {
	for _, m := range b.messages[b.skip(t):] {
		switch {
		case m.except == t.sub.conn:
			p.app.meter.echo.Inc()
		case t.tune != nil && !w.accepts(t, m.message):
			p.app.meter.suppressed.Inc()
		default:
			w.gather(t.sub.conn, Piece{Off: &t.sub.off, message: m.message, tune: t.tune, seq: m.seq})
		}
	}
}

// deliverGathered writes the messages of a round to one connection, in order.
func (w *worker) deliverGathered(c *Conn) {
	pieces := c.gathered
	c.gathered = nil
	slices.SortFunc(pieces, func(a, b Piece) int { return cmp.Compare(a.seq, b.seq) })
	if c.v2 != nil {
		pieces = once(pieces)
	}
	start, size := 0, 0
	for i := range pieces {
		p := &pieces[i]
		if p.message != nil {
			p.Frame = w.frameFor(c, p)
			size += len(p.Frame)
			continue
		}
		c.write(pieces[start:i])
		start = i + 1
		if p.do != nil {
			p.do(c)
		}
		if p.end != nil {
			c.transport.Close(p.end)
			return
		}
	}
	c.write(pieces[start:])
	c.app.meter.sent(len(pieces), size)
}

// write hands pieces to the socket.
func (c *Conn) write(pieces []Piece) {
	if d, ok := c.transport.(PieceDeliverer); ok && (len(pieces) > 1 || len(pieces) == 1 && pieces[0].others != nil) {
		d.DeliverPieces(pieces)
		return
	}
	for i := range pieces {
		switch p := &pieces[i]; {
		case p.others == nil:
			c.transport.Deliver(p.Frame, 1, p.Off)
		case !p.Withdrawn():
			c.transport.Deliver(p.Frame, 1, nil)
		}
	}
}

// once joins what several subscriptions of one connection have in common. The client
// gets it unless all of them end meanwhile.
func once(pieces []Piece) []Piece {
	kept := pieces[:0]
	for _, p := range pieces {
		if n := len(kept); n > 0 && p.message != nil && kept[n-1].message == p.message {
			if p.tune.compresses() {
				kept[n-1].tune = p.tune
			}
			kept[n-1].others = append(kept[n-1].others, p.Off)
			continue
		}
		kept = append(kept, p)
	}
	return kept
}
