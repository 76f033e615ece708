package realtime

import (
	"runtime"
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// joinLimit is the size up to which pending frames are joined into one write.
	joinLimit = 64 << 10
	// partRoom is the pending bytes of one part over which publishers wait.
	partRoom = 4 << 20
	// chunk is the number of subscribers served between two looks at the lock, and
	// between two yields: HTTP and readers keep their latency.
	chunk = 128
)

// part is one worker's share of a channel: some of its subscribers, and the
// frames that wait for them. Frames are joined here, once for all subscribers,
// and written straight to each socket.
type part struct {
	worker *worker
	app    *App

	mu   sync.Mutex
	room sync.Cond // L is mu; signalled when pending was taken
	subs []*subscription
	// holes counts nil entries of subs, left by removals during a flush.
	holes     int
	flushing  bool
	scheduled bool
	pending   []pendingFrame
	bytes     int
	seq       uint64 // frames pushed so far
}

type pendingFrame struct {
	frame  protocol.Frame
	except *Conn
}

func (p *part) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.subs) - p.holes
}

func (p *part) add(sub *subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub.part, sub.index, sub.from = p, len(p.subs), p.seq
	p.subs = append(p.subs, sub)
}

// remove takes sub out of the list. While a flush walks the list the place is
// left empty: moving another subscriber into it could make the walk miss one.
func (p *part) remove(sub *subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flushing {
		p.subs[sub.index] = nil
		p.holes++
		return
	}
	end := len(p.subs) - 1
	moved := p.subs[end]
	p.subs[sub.index], moved.index = moved, sub.index
	p.subs[end] = nil
	p.subs = p.subs[:end]
	if cap(p.subs) > 64 && end < cap(p.subs)/4 {
		p.subs = append(make([]*subscription, 0, end*2), p.subs...)
	}
}

func (p *part) push(f protocol.Frame, except *Conn) {
	p.mu.Lock()
	p.pending = append(p.pending, pendingFrame{f, except})
	p.bytes += len(f)
	p.seq++
	wake := !p.scheduled
	p.scheduled = true
	p.mu.Unlock()
	if wake {
		p.worker.enqueue(p)
	}
}

// full reports whether publishers should wait.
func (p *part) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes > partRoom
}

// waitRoom waits until what was pending has been taken. Workers never block, so
// the wait ends.
func (p *part) waitRoom() {
	p.mu.Lock()
	for p.bytes > partRoom {
		p.room.Wait()
	}
	p.mu.Unlock()
}

// worker flushes parts, one at a time. There is one per core.
type worker struct {
	hub *Hub

	mu     sync.Mutex
	wake   sync.Cond
	queue  []*part
	closed bool

	// scratch is reused between flushes.
	queueSpare []*part
	targets    [chunk]target
}

// target is a subscriber with what the walk needs of it.
type target struct {
	sub  *subscription
	from uint64
}

func newWorker(h *Hub) *worker {
	w := &worker{hub: h}
	w.wake.L = &w.mu
	return w
}

func (w *worker) enqueue(p *part) {
	w.mu.Lock()
	w.queue = append(w.queue, p)
	first := len(w.queue) == 1
	w.mu.Unlock()
	if first {
		w.wake.Signal()
	}
}

func (w *worker) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Signal()
}

func (w *worker) run() {
	for {
		parts := w.next()
		if parts == nil {
			return
		}
		for i, p := range parts {
			parts[i] = nil
			w.hub.guard("fan-out", func() { w.flush(p) })
		}
		w.queueSpare = parts[:0]
	}
}

// next waits for parts to flush. It returns nil when the worker is closed.
func (w *worker) next() []*part {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed {
		w.wake.Wait()
	}
	if len(w.queue) == 0 {
		return nil
	}
	parts := w.queue
	w.queue = w.queueSpare
	return parts
}

// flush writes what is pending in p to its subscribers.
func (w *worker) flush(p *part) {
	p.mu.Lock()
	frames := p.pending
	first := p.seq - uint64(len(frames))
	p.pending = nil
	p.bytes, p.scheduled, p.flushing = 0, false, true
	end := len(p.subs)
	p.mu.Unlock()
	p.room.Broadcast()

	for start := 0; start < len(frames); {
		b := joinFrames(frames[start:], first+uint64(start))
		w.walk(p, &b, end)
		start += len(b.ends)
	}

	p.mu.Lock()
	p.flushing = false
	p.compact()
	p.mu.Unlock()
}

// compact closes the holes that removals during the flush have left.
func (p *part) compact() {
	if p.holes == 0 {
		return
	}
	kept := p.subs[:0]
	for _, sub := range p.subs {
		if sub != nil {
			sub.index = len(kept)
			kept = append(kept, sub)
		}
	}
	clear(p.subs[len(kept):])
	p.subs, p.holes = kept, 0
}

// walk delivers b to the first end subscribers of p.
func (w *worker) walk(p *part, b *batch, end int) {
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

// batch is a run of frames joined into one buffer, which all subscribers share.
type batch struct {
	joined []byte
	ends   []int // where each frame ends in joined
	frames []pendingFrame
	first  uint64 // sequence number of the frame before the first
	except bool   // some frame leaves out a connection
}

// joinFrames joins frames from the start, up to joinLimit.
func joinFrames(frames []pendingFrame, first uint64) batch {
	b := batch{first: first}
	size := 0
	for n, f := range frames {
		if n > 0 && size+len(f.frame) > joinLimit {
			frames = frames[:n]
			break
		}
		size += len(f.frame)
		b.except = b.except || f.except != nil
	}
	b.frames = frames
	b.ends = make([]int, len(frames))
	if len(frames) == 1 {
		b.joined, b.ends[0] = frames[0].frame, size
		return b
	}
	b.joined = make([]byte, 0, size)
	for i, f := range frames {
		b.joined = append(b.joined, f.frame...)
		b.ends[i] = len(b.joined)
	}
	return b
}

// deliver hands the frames that concern t to its socket.
func (b *batch) deliver(t target) (frames, bytes int) {
	skip := 0
	if t.from > b.first {
		skip = int(min(t.from-b.first, uint64(len(b.ends))))
	}
	if skip == len(b.ends) {
		return 0, 0
	}
	transport, off := t.sub.conn.transport, &t.sub.off
	if !b.except {
		rest := b.joined[b.offset(skip):]
		transport.Deliver(rest, len(b.ends)-skip, off)
		return len(b.ends) - skip, len(rest)
	}
	run := skip // start of a run of frames that this connection gets
	for i := skip; i <= len(b.ends); i++ {
		if i < len(b.ends) && b.frames[i].except != t.sub.conn {
			continue
		}
		if i > run {
			piece := b.joined[b.offset(run):b.offset(i)]
			transport.Deliver(piece, i-run, off)
			frames += i - run
			bytes += len(piece)
		}
		run = i + 1
	}
	return frames, bytes
}

// offset is where frame i starts in joined.
func (b *batch) offset(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1]
}
