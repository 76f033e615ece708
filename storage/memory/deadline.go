package memory

import (
	"container/heap"
	"time"
)

// deadline is a moment something waits for. It is embedded in what waits.
type deadline struct {
	at time.Time
	// seq orders equal moments. Zero where that does not matter.
	seq uint64
	// index is the place in the heap, which keeps it.
	index int
}

func (d *deadline) due() *deadline { return d }

// past reports whether the moment has come.
func (d *deadline) past(now time.Time) bool { return !d.at.After(now) }

// deadlines is a heap of things that embed a deadline, the soonest first.
type deadlines[T interface{ due() *deadline }] struct{ items []T }

func (h *deadlines[T]) add(x T)    { heap.Push(h, x) }
func (h *deadlines[T]) remove(x T) { heap.Remove(h, x.due().index) }

// move gives x another moment.
func (h *deadlines[T]) move(x T, at time.Time) {
	x.due().at = at
	heap.Fix(h, x.due().index)
}

// first is the soonest. The heap must not be empty.
func (h *deadlines[T]) first() T { return h.items[0] }

// takePast removes and returns the soonest if its moment has come.
func (h *deadlines[T]) takePast(now time.Time) (x T, ok bool) {
	if len(h.items) == 0 || !h.items[0].due().past(now) {
		return x, false
	}
	return heap.Pop(h).(T), true
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (h *deadlines[T]) Len() int { return len(h.items) }

func (h *deadlines[T]) Less(i, j int) bool {
	a, b := h.items[i].due(), h.items[j].due()
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

func (h *deadlines[T]) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].due().index = i
	h.items[j].due().index = j
}

func (h *deadlines[T]) Push(x any) {
	item := x.(T)
	item.due().index = len(h.items)
	h.items = append(h.items, item)
}

func (h *deadlines[T]) Pop() any {
	last := len(h.items) - 1
	item := h.items[last]
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	return item
}
