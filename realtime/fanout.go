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

// part is one worker's share of a channel: the subscribers of one format that the
// worker serves, and the messages that wait for them. Frames are joined here, once
// for all subscribers, and written straight to each socket.
type part struct {
	worker *worker
	app    *App
	format protocol.Format

	mu   sync.Mutex
	room sync.Cond // L is mu; signalled when pending was taken
	subs []*subscription
	// holes counts nil entries of subs, left by removals during a flush.
	holes     int
	flushing  bool
	scheduled bool
	pending   []pending
	bytes     int
	pushed    uint64 // messages pushed so far
}

// pending is a message that waits, with its place in the worker's order.
type pending struct {
	message *message
	except  *Conn
	seq     uint64
	size    int
}

func newPart(w *worker, a *App, f protocol.Format) *part {
	p := &part{worker: w, app: a, format: f}
	p.room.L = &p.mu
	return p
}

func (p *part) subscribe(sub *subscription) {
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

// push puts a message in line. Its frame has been written already.
func (p *part) push(m *message, except *Conn) {
	p.mu.Lock()
	p.add(m, except, p.worker.seq.Add(1))
	if !p.scheduled {
		// Under the lock: who pushes to another channel after this must find the part
		// in the worker's queue already.
		p.scheduled = true
		p.worker.enqueue(p)
	}
	p.mu.Unlock()
}

// pushAll puts a message in line in several parts of one worker, with one place in
// its order and in one round: who is served by more than one of them gets it once.
func pushAll(parts []*part, m *message, except *Conn) {
	w := parts[0].worker
	for _, p := range parts {
		p.mu.Lock()
	}
	w.mu.Lock()
	seq := w.seq.Add(1)
	for _, p := range parts {
		if !p.scheduled {
			p.scheduled = true
			w.queue = append(w.queue, p)
		}
	}
	w.mu.Unlock()
	w.wake.Signal()
	for _, p := range parts {
		p.add(m, except, seq)
		p.mu.Unlock()
	}
}

// add appends to what is pending. The caller holds mu.
func (p *part) add(m *message, except *Conn, seq uint64) {
	size := len(m.frame(p.format))
	m.boarded()
	p.pending = append(p.pending, pending{m, except, seq, size})
	p.bytes += size
	p.pushed++
}

// take removes the pending messages up to cutoff and starts a flush. first counts
// those pushed before the first one taken.
func (p *part) take(cutoff uint64) (messages []pending, first uint64, end int) {
	p.mu.Lock()
	n := len(p.pending)
	for n > 0 && p.pending[n-1].seq > cutoff {
		n--
	}
	messages = p.pending[:n:n]
	first = p.pushed - uint64(len(p.pending))
	p.pending = p.pending[n:]
	if len(p.pending) == 0 {
		p.pending = nil
	}
	for _, m := range messages {
		p.bytes -= m.size
	}
	p.flushing = true
	end = len(p.subs)
	p.mu.Unlock()
	p.room.Broadcast()
	return messages, first, end
}

// flushed ends a flush. more says that messages have come meanwhile.
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

// batch is a run of messages whose frames are joined into one buffer, which all
// subscribers share.
type batch struct {
	joined   []byte
	ends     []int // where each frame ends in joined
	messages []pending
	first    uint64 // messages of the part that were pushed before the first of these
	except   bool   // some message leaves out a connection
}

// joinFrames joins frames from the start, up to joinLimit.
func joinFrames(messages []pending, first uint64, f protocol.Format) batch {
	b := batch{first: first}
	size := 0
	for n, m := range messages {
		if n > 0 && size+m.size > joinLimit {
			messages = messages[:n]
			break
		}
		size += m.size
		b.except = b.except || m.except != nil
	}
	b.messages = messages
	b.ends = make([]int, len(messages))
	if len(messages) == 1 {
		b.joined, b.ends[0] = messages[0].message.frame(f), size
		return b
	}
	b.joined = make([]byte, 0, size)
	for i, m := range messages {
		b.joined = append(b.joined, m.message.frame(f)...)
		b.ends[i] = len(b.joined)
	}
	return b
}

// skip is the number of messages that were decided before t joined.
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
		if i < len(b.ends) && b.messages[i].except != t.sub.conn {
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
