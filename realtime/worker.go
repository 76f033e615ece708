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
	direct []directFrame
	bytes  int       // of direct
	room   sync.Cond // L is mu; signalled when direct was taken
	closed bool

	// What follows is used by the worker's goroutine alone.
	spare    []*part
	targets  [chunk]target
	gathered []*Conn
}

// directFrame is for one connection: a frame of a user's channel, or its end.
type directFrame struct {
	conn  *Conn
	frame protocol.Frame
	end   *protocol.Error
	seq   uint64
}

// target is a subscriber with what the walk needs of it.
type target struct {
	sub  *subscription
	from uint64
}

// Piece is a frame for one connection. Off, if not nil, withdraws it.
type Piece struct {
	Frame protocol.Frame
	Off   *atomic.Bool

	seq uint64
	end *protocol.Error
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

// sendTo puts a frame, or the end of the connection, in line behind everything
// that was pushed before.
func (w *worker) sendTo(c *Conn, f protocol.Frame, end *protocol.Error) {
	w.mu.Lock()
	w.direct = append(w.direct, directFrame{c, f, end, w.seq.Add(1)})
	w.bytes += len(f) + 64
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
		parts, direct, cutoff, ok := w.next()
		if !ok {
			return
		}
		w.hub.guard("fan-out", func() { w.round(parts, direct, cutoff) })
		clear(parts)
		w.spare = parts[:0]
	}
}

// next waits for work. ok is false when the worker is closed and done.
func (w *worker) next() (parts []*part, direct []directFrame, cutoff uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && len(w.direct) == 0 && !w.closed {
		w.wake.Wait()
	}
	parts, direct = w.queue, w.direct
	w.queue, w.direct, w.bytes = w.spare, nil, 0
	w.room.Broadcast()
	return parts, direct, w.seq.Load(), len(parts) > 0 || len(direct) > 0
}

// round writes what was pushed up to cutoff. What comes later waits for the next
// round, so that no frame overtakes one of another channel. With more than one
// source, connections that may be served by several of them get their frames
// gathered and sorted at the end.
func (w *worker) round(parts []*part, direct []directFrame, cutoff uint64) {
	gather := len(parts) > 1 || len(direct) > 0
	for _, d := range direct {
		w.gather(d.conn, Piece{d.frame, nil, d.seq, d.end})
	}
	for _, p := range parts {
		w.hub.guard("fan-out", func() { w.flush(p, cutoff, gather) })
	}
	for _, c := range w.gathered {
		w.hub.guard("fan-out", func() { w.deliverGathered(c) })
	}
	clear(w.gathered)
	w.gathered = w.gathered[:0]
}

func (w *worker) gather(c *Conn, piece Piece) {
	if len(c.gathered) == 0 {
		w.gathered = append(w.gathered, c)
	}
	c.gathered = append(c.gathered, piece)
}

func (w *worker) flush(p *part, cutoff uint64, gather bool) {
	frames, first, end := p.take(cutoff)
	defer func() {
		if p.flushed() {
			w.enqueue(p)
		}
	}()
	for start := 0; start < len(frames); {
		b := joinFrames(frames[start:], first+uint64(start))
		w.walk(p, &b, end, gather)
		start += len(b.ends)
	}
}

// walk delivers b to the first end subscribers of p.
func (w *worker) walk(p *part, b *batch, end int, gather bool) {
	var sent, written int
	for start := 0; start < end; start += chunk {
		n := 0
		p.mu.Lock()
		for _, sub := range p.subs[start:min(start+chunk, end)] {
			if sub != nil {
				w.targets[n] = target{sub, sub.from}
				n++
			}
		}
		p.mu.Unlock()
		for _, t := range w.targets[:n] {
			if gather && (len(t.sub.conn.gathered) > 0 || t.sub.conn.channels.Load() > 1) {
				w.gatherBatch(t, b)
				continue
			}
			frames, bytes := b.deliver(t)
			sent += frames
			written += bytes
		}
		clear(w.targets[:n])
		if end > chunk {
			runtime.Gosched()
		}
	}
	p.app.meter.sent(sent, written)
}

// gatherBatch keeps the frames that concern t for the end of the round.
func (w *worker) gatherBatch(t target, b *batch) {
	for _, f := range b.frames[b.skip(t):] {
		if f.except != t.sub.conn {
			w.gather(t.sub.conn, Piece{f.frame, &t.sub.off, f.seq, nil})
		}
	}
}

// deliverGathered writes the frames of a round to one connection, in order.
func (w *worker) deliverGathered(c *Conn) {
	pieces := c.gathered
	c.gathered = nil
	slices.SortFunc(pieces, func(a, b Piece) int { return cmp.Compare(a.seq, b.seq) })
	var end *protocol.Error
	for i, p := range pieces {
		if p.end != nil {
			pieces, end = pieces[:i], p.end
			break
		}
	}
	size := 0
	for _, p := range pieces {
		size += len(p.Frame)
	}
	c.app.meter.sent(len(pieces), size)
	if d, ok := c.transport.(PieceDeliverer); ok && len(pieces) > 1 {
		d.DeliverPieces(pieces)
	} else {
		for _, p := range pieces {
			c.transport.Deliver(p.Frame, 1, p.Off)
		}
	}
	if end != nil {
		c.transport.Close(end)
	}
}
