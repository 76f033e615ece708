package realtime

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrTapClosed is what Next of a tap returns when it hears nothing any more.
var ErrTapClosed = errors.New("the tap is closed")

// tapList are the taps of a hub. Whoever tells loads one pointer, which is nil while nobody
// listens.
type tapList struct {
	mu    sync.Mutex
	list  atomic.Pointer[[]*Tap]
	ended bool
}

// change replaces the list. After the end of the hub there are none: a new tap ends at once.
func (l *tapList) change(change func([]*Tap) []*Tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taps []*Tap
	if now := l.list.Load(); now != nil {
		taps = slices.Clone(*now)
	}
	taps = change(taps)
	if l.ended {
		for _, t := range taps {
			t.end()
		}
		return
	}
	if len(taps) == 0 {
		l.list.Store(nil)
		return
	}
	l.list.Store(&taps)
}

// end ends all taps, with the hub.
func (l *tapList) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if taps := l.list.Swap(nil); taps != nil {
		for _, t := range *taps {
			t.end()
		}
	}
}
