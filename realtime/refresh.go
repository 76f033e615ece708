package realtime

import (
	"context"
	"sync"
)

// refresher gives live apps their new records, outside of whoever noticed the
// change. Its goroutine ends when there is nothing left to do.
type refresher struct {
	mu      sync.Mutex
	pending map[string]struct{} // by app id
	running bool
}

// HasApp reports whether an app has a live side on this node, whose record should
// be kept up to date.
func (h *Hub) HasApp(id string) bool { return h.liveApp(id) != nil }

// RefreshApp gives a live app the record that its store has now: limits and
// features change at once, connections of an app that is gone (4001) or disabled
// (4003) are closed. It returns at once.
func (h *Hub) RefreshApp(id string) {
	if !h.HasApp(id) {
		return
	}
	r := &h.refresher
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = map[string]struct{}{}
	}
	r.pending[id] = struct{}{} // no more than there are live apps
	if r.running {
		return
	}
	r.running = true
	go func() {
		defer h.Recovered("refreshing apps")
		h.refreshApps()
	}()
}

func (h *Hub) refreshApps() {
	r := &h.refresher
	for {
		r.mu.Lock()
		pending := r.pending
		r.pending = nil
		r.running = len(pending) > 0
		r.mu.Unlock()
		if len(pending) == 0 {
			return
		}
		for id := range pending {
			h.ApplyApp(id)
		}
	}
}

// ApplyApp is RefreshApp for a caller who waits until the change counts.
func (h *Hub) ApplyApp(id string) {
	live, err := h.Live()
	if err != nil {
		return // the hub ends
	}
	defer live.Release()
	if a := h.liveApp(id); a != nil {
		ctx, cancel := context.WithTimeout(context.Background(), live.Settings.HealthTimeout)
		defer cancel()
		h.applyApp(ctx, a, live.Settings, live.lease.term.Load())
	}
}
