//go:build linux

package loadgen

// window bounds a closed loop: it hands out a fixed number of slots, and a slot
// comes back only when every subscriber has the publish that took it.
type window struct {
	free        chan int
	outstanding []int // deliveries still to come, by slot; owned by the swarm's loop
	subscribers int   // of one channel
}

func newWindow(slots, subscribers int) *window {
	w := &window{
		free:        make(chan int, slots),
		outstanding: make([]int, slots),
		subscribers: subscribers,
	}
	for slot := range slots {
		w.outstanding[slot] = subscribers
		w.free <- slot
	}
	return w
}

// arrived books one delivery of the publish in a slot. The channel holds all
// slots, so that giving one back never blocks.
func (w *window) arrived(slot int) {
	if slot >= len(w.outstanding) {
		return
	}
	if w.outstanding[slot]--; w.outstanding[slot] == 0 {
		w.outstanding[slot] = w.subscribers
		w.free <- slot
	}
}
