package realtime

import (
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

// part is one worker's share of a channel: the subscribers that the worker
// serves, and the frames that wait for them. Frames are joined here, once for
// all subscribers, and written straight to each socket.
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
	pushed    uint64 // frames pushed so far
}

// pendingFrame is a frame that waits, with its place in the worker's order.
type pendingFrame struct {
	frame  protocol.Frame
	except *Conn
	seq    uint64
}

func newPart(w *worker, a *App) *part {
	p := &part{worker: w, app: a}
	p.room.L = &p.mu
	return p
}

func (p *part) add(sub *subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub.part, sub.index, sub.from = p, len(p.subs), p.pushed
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

// compact closes the holes that removals during a flush have left.
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

func (p *part) push(f protocol.Frame, except *Conn) {
	p.mu.Lock()
	p.pending = append(p.pending, pendingFrame{f, except, p.worker.seq.Add(1)})
	p.bytes += len(f)
	p.pushed++
	if !p.scheduled {
		// Under the lock: who pushes to another channel after this must find the
		// part in the worker's queue already.
		p.scheduled = true
		p.worker.enqueue(p)
	}
	p.mu.Unlock()
}

// take removes the pending frames up to cutoff and starts a flush. first counts
// the frames pushed before the first one taken.
func (p *part) take(cutoff uint64) (frames []pendingFrame, first uint64, end int) {
	p.mu.Lock()
	n := len(p.pending)
	for n > 0 && p.pending[n-1].seq > cutoff {
		n--
	}
	frames = p.pending[:n:n]
	first = p.pushed - uint64(len(p.pending))
	p.pending = p.pending[n:]
	if len(p.pending) == 0 {
		p.pending = nil
	}
	for _, f := range frames {
		p.bytes -= len(f.frame)
	}
	p.flushing = true
	end = len(p.subs)
	p.mu.Unlock()
	p.room.Broadcast()
	return frames, first, end
}

// flushed ends a flush. more says that frames have come meanwhile.
func (p *part) flushed() (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushing = false
	p.compact()
	p.scheduled = len(p.pending) > 0
	return p.scheduled
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

// batch is a run of frames joined into one buffer, which all subscribers share.
type batch struct {
	joined []byte
	ends   []int // where each frame ends in joined
	frames []pendingFrame
	first  uint64 // frames of the part that were pushed before the first of these
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

// skip is the number of frames that were decided before t joined.
func (b *batch) skip(t target) int {
	if t.from <= b.first {
		return 0
	}
	return int(min(t.from-b.first, uint64(len(b.ends))))
}

// deliver hands the frames that concern t to its socket.
func (b *batch) deliver(t target) (frames, bytes int) {
	skip := b.skip(t)
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
