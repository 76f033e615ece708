package sockudo

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
)

const (
	// eventRoom bounds what waits to be emitted, in bytes for each hub.
	eventRoom = 4 << 20
	// eventTimeout bounds the wait for a handler of events when a configuration goes away,
	// and for what is still to be emitted when the process ends.
	eventTimeout = 2 * time.Second
)

// relay tells Caddy's events app what happens in a hub. One goroutine does, while the
// current configuration wants any event; a reload changes where it emits, and loses
// nothing of what waits.
type relay struct {
	mu      sync.Mutex
	current *emitter
	tap     *realtime.Tap
	done    chan struct{} // closed when the goroutine has ended
}

// use makes a configuration the one whose events app is told, nil for none. The events
// app of the configuration before is not used any more after that.
func (r *relay) use(h *hub, e *emitter) {
	r.mu.Lock()
	before := r.current
	if before == e {
		r.mu.Unlock()
		return
	}
	if e == nil {
		r.mu.Unlock()
		r.end() // what waits is still for those who wanted it
		return
	}
	r.current = e
	filter := realtime.TapFilter{Kinds: e.kinds}
	if r.tap == nil {
		r.tap, r.done = h.Tap(filter, eventRoom), make(chan struct{})
		go r.run(h, r.tap, r.done)
	} else {
		r.tap.Listen(filter)
	}
	r.mu.Unlock()
	before.leave()
}

// leave ends the use of a configuration that goes away.
func (r *relay) leave(e *emitter) {
	r.mu.Lock()
	if e == nil || r.current != e {
		r.mu.Unlock()
		return
	}
	r.current = nil
	tap := r.tap
	r.tap = nil
	r.mu.Unlock()
	if tap != nil {
		tap.Close()
	}
	e.leave()
}

// leave waits a while for what is being emitted. Whatever handler takes longer finds its
// context ended.
func (e *emitter) leave() {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	err := await(ctx, "waiting for a handler of events", func() error {
		e.finish()
		return nil
	})
	if err != nil {
		e.log.Warn("a handler of events is slow", zap.String("hub", e.hub), zap.Error(err))
	}
}

// end emits what waits, for a while, and stops.
func (r *relay) end() {
	r.mu.Lock()
	tap, done := r.tap, r.done
	r.tap = nil
	r.mu.Unlock()
	if tap != nil {
		tap.Close()
		select {
		case <-done:
		case <-time.After(eventTimeout):
		}
	}
	r.mu.Lock()
	e := r.current
	r.current = nil
	r.mu.Unlock()
	e.leave()
}

// run emits until the tap is closed.
func (r *relay) run(h *hub, tap *realtime.Tap, done chan struct{}) {
	defer close(done)
	for {
		all, missed, err := tap.Next(context.Background())
		if err != nil {
			return
		}
		if missed > 0 {
			r.missed(missed)
		}
		for _, one := range all {
			r.emit(h, one)
		}
	}
}

func (r *relay) missed(n uint64) {
	r.mu.Lock()
	e := r.current
	r.mu.Unlock()
	if e != nil {
		e.log.Warn("events were not emitted, because handlers of events are slower than what happens", zap.String("hub", e.hub), zap.Uint64("events", n))
	}
}

// emit emits by way of the current configuration.
func (r *relay) emit(h *hub, one realtime.Happening) {
	defer h.Recovered("a handler of events")
	for {
		r.mu.Lock()
		e := r.current
		r.mu.Unlock()
		if e == nil || e.emit(one) {
			return
		}
	}
}
