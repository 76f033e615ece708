package eventstream

import "sync"

// averageBytes is how large the events of a full buffer may be on average. With longer
// ones it holds fewer.
const averageBytes = 1024

// maxEvent is the longest event, in bytes. One that is longer is dropped.
const maxEvent = 64 << 10

// buffer is a queue of encoded events, bounded in number and in bytes. When it is full
// it drops the oldest or the newest, and counts them.
type buffer struct {
	dropsOldest bool
	ready       chan struct{} // has room for one: something is there

	mu      sync.Mutex
	events  [][]byte
	bytes   int
	limit   int
	dropped uint64
	closed  bool
}

func newBuffer(limit int, dropsOldest bool) *buffer {
	return &buffer{dropsOldest: dropsOldest, ready: make(chan struct{}, 1), limit: limit}
}

// put adds an event, or drops one.
func (b *buffer) put(event []byte) {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return
	case len(event) > maxEvent, !b.dropsOldest && !b.fits(event):
		b.dropped++
		b.mu.Unlock()
		return
	}
	for len(b.events) > 0 && !b.fits(event) {
		b.bytes -= len(b.events[0])
		b.events[0] = nil
		b.events = b.events[1:]
		b.dropped++
	}
	b.events = append(b.events, event)
	b.bytes += len(event)
	b.mu.Unlock()
	b.wake()
}

// fits reports whether there is room for an event. The caller holds mu.
func (b *buffer) fits(event []byte) bool {
	return len(b.events) < b.limit && b.bytes+len(event) <= max(b.limit*averageBytes, maxEvent)
}

func (b *buffer) wake() {
	select {
	case b.ready <- struct{}{}:
	default: // it is awake
	}
}

// take empties the buffer into dst, up to a number of bytes and at least by one event.
func (b *buffer) take(dst [][]byte, bytes int) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.events) && (n == 0 || bytes >= len(b.events[n])) {
		bytes -= len(b.events[n])
		b.bytes -= len(b.events[n])
		n++
	}
	dst = append(dst, b.events[:n]...)
	if n == len(b.events) {
		b.events = nil
		return dst
	}
	clear(b.events[:n])
	b.events = b.events[n:]
	return dst
}

// resize changes how many events fit. What is there stays.
func (b *buffer) resize(limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// close drops what is there and takes no more.
func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.events, b.bytes = true, nil, 0
}

// drops is how many events have been dropped.
func (b *buffer) drops() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
