package relay

import (
	"maps"
	"slices"
	"sync"
)

// watchers are those who want to know when the link is lost and back.
type watchers struct {
	mu   sync.Mutex
	down bool
	last int
	all  map[int]func(bool)
}

// WatchLink calls changed when the link is lost, and when it is back. Right after
// stop a call that has begun may still be under way.
func (a *Adapter) WatchLink(changed func(up bool)) (stop func()) {
	w := &a.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	id := w.last
	if w.all == nil {
		w.all = map[int]func(bool){}
	}
	w.all[id] = changed
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

// tell calls the watchers if that is news. One goroutine calls it, so that they hear
// everything in order.
func (w *watchers) tell(up bool) {
	w.mu.Lock()
	news := w.down == up
	w.down = !up
	var list []func(bool)
	if news {
		for _, id := range slices.Sorted(maps.Keys(w.all)) {
			list = append(list, w.all[id])
		}
	}
	w.mu.Unlock()
	for _, changed := range list {
		changed(up)
	}
}

func (w *watchers) up() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.down
}
