package batch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxEntries is how many appends one write takes, and maxBytes of what size, besides
	// one that is larger by itself.
	maxEntries = 512
	maxBytes   = 8 << 20
	// itemCost is about what an append takes beside its texts, in bytes.
	itemCost = 256
)

func sizeOf(a *storage.LogAppend) int64 {
	return int64(itemCost + len(a.Payload) + len(a.Subject) + len(a.Once) + len(a.Key.App) + len(a.Key.Channel))
}

// caller is a call of Append.
type caller struct {
	left atomic.Int64  // items without an outcome
	done chan struct{} // closed when there are none left
}

// item is an append on its way. Its error belongs to whoever takes it off the queue.
type item struct {
	*storage.LogAppend
	caller   *caller
	size     int64
	queued   bool // in the queue of its shard, under the shard's mu
	previous *item
	next     *item
}

// end tells the caller that the append has its outcome.
func (i *item) end() {
	if i.caller.left.Add(-1) == 0 {
		close(i.caller.done)
	}
}

// shard is a queue, and a goroutine that writes what is in it.
type shard struct {
	history *History
	more    chan struct{} // wakes the writer

	mu     sync.Mutex
	first  *item
	last   *item
	n      int
	closed bool
}

func (s *shard) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// admit queues appends, in their order, or refuses them.
func (s *shard) admit(items []*item) {
	o := s.history.options.Load()
	var refused []*item
	s.mu.Lock()
	for _, i := range items {
		if i.Err = s.room(o, i.size); i.Err != nil {
			refused = append(refused, i)
			continue
		}
		s.push(i)
	}
	s.mu.Unlock()
	for _, i := range refused {
		i.end()
	}
	s.wake()
}

// room takes the bytes of an append, or says what there is no room in.
func (s *shard) room(o *Options, size int64) error {
	if s.closed {
		return errClosed
	}
	if s.n >= o.Queue {
		return fmt.Errorf("batch history: %d appends of this shard wait already, which is the bound queue: %w", s.n, storage.ErrFull)
	}
	if used := s.history.bytes.Add(size); used > o.Bytes {
		s.history.bytes.Add(-size)
		return fmt.Errorf("batch history: appends of %d bytes wait already, and the bound is %d bytes: %w", used-size, o.Bytes, storage.ErrFull)
	}
	return nil
}

func (s *shard) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *shard) push(i *item) {
	i.queued, i.previous = true, s.last
	if s.last == nil {
		s.first = i
	} else {
		s.last.next = i
	}
	s.last = i
	s.n++
}

func (s *shard) remove(i *item) {
	if i.previous == nil {
		s.first = i.next
	} else {
		i.previous.next = i.next
	}
	if i.next == nil {
		s.last = i.previous
	} else {
		i.next.previous = i.previous
	}
	i.queued, i.previous, i.next = false, nil, nil
	s.n--
}

// withdraw takes appends back that are not being written.
func (s *shard) withdraw(items []*item, err error) {
	var taken []*item
	s.mu.Lock()
	for _, i := range items {
		if i.queued {
			s.remove(i)
			taken = append(taken, i)
		}
	}
	s.mu.Unlock()
	for _, i := range taken {
		i.Err = err
		s.history.bytes.Add(-i.size)
		i.end()
	}
}

// stop lets the writer end when the queue is empty.
func (s *shard) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake()
}

// take takes the next write off the queue. It is over when there is none, and will be
// none any more.
func (s *shard) take() (items []*item, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for size := int64(0); s.first != nil && len(items) < maxEntries; {
		i := s.first
		if size += i.size; size > maxBytes && len(items) > 0 {
			break
		}
		s.remove(i)
		items = append(items, i)
	}
	return items, s.closed && len(items) == 0
}

// write writes until the shard is stopped.
func (s *shard) write() {
	for {
		items, over := s.take()
		if over {
			return
		}
		if len(items) == 0 {
			<-s.more
			continue
		}
		s.history.commit(items)
	}
}

// commit writes appends of one shard in one call of the store.
func (h *History) commit(items []*item) {
	appends := make([]*storage.LogAppend, len(items))
	for i, one := range items {
		appends[i] = one.LogAppend
	}
	timeout := h.options.Load().WriteTimeout
	if end := h.closing.Load(); end != nil {
		timeout = min(timeout, time.Until(*end))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	failure := errClosed
	if timeout > 0 {
		failure = h.append(ctx, appends)
	}
	gaveUp := ctx.Err() != nil
	cancel()
	for _, one := range items {
		switch {
		case failure != nil:
			one.Err = failure
		case gaveUp:
			one.Err = timedOut(one.Err, timeout)
		}
		h.bytes.Add(-one.size)
		one.end()
	}
}

// append calls the store, whose panic is an error.
func (h *History) append(ctx context.Context, appends []*storage.LogAppend) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("batch history: the store panicked, and may have added the entry: %v", p)
		}
	}()
	h.store.Append(ctx, appends)
	return nil
}
