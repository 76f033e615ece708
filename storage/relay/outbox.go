package relay

import (
	"context"
	"sync"
)

const (
	// packetCost is what a waiting packet takes beside its data, roughly.
	packetCost = 128
	// batchBytes bounds what is sent at once, so that there is room again soon and a
	// probe is not held up for long.
	batchBytes = 1 << 20
)

// outbox holds what waits to be sent, bounded in bytes. It takes nothing while
// there is no link.
type outbox struct {
	max int

	mu      sync.Mutex
	open    bool
	waiting []Packet // those before head have been taken
	head    int
	urgent  []Packet
	taken   int // envelopes that are being sent
	bytes   int // of all that waits and is being sent
	room    chan struct{}
	wake    chan struct{}
	flushes []flush
	// added, sent and flushed number packets. What was dropped counts as flushed.
	added, sent, flushed uint64

	published, dropped uint64
}

// flush is somebody who waits until packets up to a number have been flushed.
type flush struct {
	number uint64
	done   chan struct{}
}

func newOutbox(limit int) *outbox { return &outbox{max: limit, wake: make(chan struct{}, 1)} }

// add puts a packet in line. While there is no link the packet is dropped, which
// is no error. While there is no room, add waits; an end of ctx is its error, and
// drops the packet too.
func (o *outbox) add(ctx context.Context, p Packet) error {
	size := len(p.Data) + packetCost
	for {
		o.mu.Lock()
		switch {
		case !o.open:
			o.dropped++
			o.mu.Unlock()
			return nil
		case o.bytes == 0 || o.bytes+size <= o.max:
			o.waiting = append(o.waiting, p)
			o.bytes += size
			o.added++
			o.mu.Unlock()
			o.nudge()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			o.mu.Lock()
			o.dropped++
			o.mu.Unlock()
			return ctx.Err()
		}
	}
}

// urge puts a probe before everything that waits, whether there is room or not.
func (o *outbox) urge(p Packet) {
	o.mu.Lock()
	if o.open {
		o.urgent = append(o.urgent, p)
	}
	o.mu.Unlock()
	o.nudge()
}

func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take takes what waits, up to batchBytes, and tells whether somebody waits for a
// flush. done must follow.
func (o *outbox) take() (probes, envelopes []Packet, flush bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	probes, o.urgent = o.urgent, nil
	from, size := o.head, 0
	for o.head < len(o.waiting) && size < batchBytes {
		size += len(o.waiting[o.head].Data) + packetCost
		o.head++
	}
	envelopes = o.waiting[from:o.head:o.head]
	o.taken = len(envelopes)
	return probes, envelopes, len(o.flushes) > 0
}

// done says that what was taken has been sent, and flushed.
func (o *outbox) done(envelopes []Packet, flushed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return // and all of it was counted as dropped
	}
	for i := range envelopes {
		o.bytes -= len(envelopes[i].Data) + packetCost
		envelopes[i] = Packet{}
	}
	o.taken = 0
	o.sent += uint64(len(envelopes))
	o.published += uint64(len(envelopes))
	o.compactLocked()
	o.roomLocked()
	if flushed {
		o.flushedLocked(o.sent)
	}
}

// compactLocked gives back the places of what has been sent.
func (o *outbox) compactLocked() {
	switch rest := len(o.waiting) - o.head; {
	case rest == 0 && cap(o.waiting) > 4096:
		o.waiting, o.head = nil, 0
	case o.head >= rest:
		copy(o.waiting, o.waiting[o.head:])
		clear(o.waiting[rest:])
		o.waiting, o.head = o.waiting[:rest], 0
	}
}

func (o *outbox) roomLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

func (o *outbox) flushedLocked(number uint64) {
	o.flushed = number
	waiting := o.flushes[:0]
	for _, f := range o.flushes {
		if f.number > number {
			waiting = append(waiting, f)
			continue
		}
		close(f.done)
	}
	clear(o.flushes[len(waiting):])
	o.flushes = waiting
}

// flush waits until the engine has all that was added before, or there is no link.
func (o *outbox) flush(ctx context.Context) error {
	o.mu.Lock()
	if o.flushed >= o.added {
		o.mu.Unlock()
		return nil
	}
	f := flush{o.added, make(chan struct{})}
	o.flushes = append(o.flushes, f)
	o.mu.Unlock()
	o.nudge()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin admits packets for a new link.
func (o *outbox) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = true
}

// end drops what waits, and what was being sent. Nobody waits any longer.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return
	}
	o.open = false
	o.dropped += uint64(len(o.waiting) - o.head + o.taken)
	o.waiting, o.head, o.urgent, o.taken, o.bytes = nil, 0, nil, 0, 0
	o.sent = o.added
	o.roomLocked()
	o.flushedLocked(o.added)
}
