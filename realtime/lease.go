package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ErrNoSettings is returned while no configuration is attached to a hub.
var ErrNoSettings = errors.New("hub has no configuration")

// lease is the hold of one configuration on a hub.
type lease struct {
	generation uint64
	settings   *Settings
	started    bool
	// term counts the elections of the hub; it is that of the last one which made
	// this configuration current.
	term atomic.Uint64
	// followed says that changes of app records come by way of RefreshApp.
	followed bool
	// leave ends the subscription to the adapter. Nil before Start.
	leave func(context.Context) error

	// users counts operations that use the settings; retired refuses new ones.
	users   atomic.Int64
	retired atomic.Bool
}

// Live is a hold of one operation on the current settings. The drivers in them
// stay open until Release.
type Live struct {
	Hub      *Hub
	Settings *Settings
	lease    *lease
}

// Live takes the current settings for one operation. The caller must Release it.
func (h *Hub) Live() (Live, error) {
	for {
		l := h.current.Load()
		if l == nil {
			return Live{}, ErrNoSettings
		}
		l.users.Add(1)
		if !l.retired.Load() {
			return Live{h, l.settings, l}, nil
		}
		l.users.Add(-1)
		if h.current.Load() == l {
			return Live{}, ErrNoSettings // the last configuration is going away
		}
	}
}

// Release gives the settings back.
func (l Live) Release() { l.lease.users.Add(-1) }

// settings are the current ones, for reading limits. Their drivers must not be
// used without Live.
func (h *Hub) settings() *Settings {
	if l := h.current.Load(); l != nil {
		return l.settings
	}
	s := DefaultSettings()
	return &s
}

// Attach adds the settings of a configuration. They become current at once only
// when the hub has no others; otherwise with Activate.
func (h *Hub) Attach(generation uint64, s *Settings) {
	h.leaseMu.Lock()
	_, followed := s.Drivers.Apps.(storage.AppFollowed)
	h.leases = append(h.leases, &lease{generation: generation, settings: s, followed: followed})
	slices.SortFunc(h.leases, func(a, b *lease) int { return cmp.Compare(a.generation, b.generation) })
	changed := h.electLocked()
	h.leaseMu.Unlock()
	changed.apply(h)
}

// Start subscribes to the adapter of an attached configuration. An error leaves
// everything as it was, so the load can still be refused.
func (h *Hub) Start(generation uint64) error {
	h.leaseMu.Lock()
	l := h.findLocked(generation)
	h.leaseMu.Unlock()
	if l == nil {
		return fmt.Errorf("generation %d is not attached", generation)
	}
	leave, err := l.settings.Drivers.Adapter.Subscribe(h.name, h.delivery(l.settings.Drivers.Adapter))
	if err != nil {
		return fmt.Errorf("subscribing to the adapter: %w", err)
	}
	h.leaseMu.Lock()
	detached := h.findLocked(generation) == nil
	if !detached {
		l.leave = leave
	}
	h.leaseMu.Unlock()
	if adapter, ok := l.settings.Drivers.Adapter.(storage.Clustered); ok && !detached {
		h.cluster.join(generation, adapter)
	}
	if detached {
		ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
		defer cancel()
		return errors.Join(ErrNoSettings, leave(ctx))
	}
	return nil
}

// Activate makes the newest started configuration current and applies what it
// changes to live connections.
func (h *Hub) Activate(generation uint64) {
	h.leaseMu.Lock()
	var changed change
	if l := h.findLocked(generation); l != nil {
		l.started = true
		changed = h.electLocked()
	}
	h.leaseMu.Unlock()
	changed.apply(h)
}

// Detach removes a configuration. If it was current, the newest started one left
// becomes current again. Detach waits, bounded by ctx, until no operation uses
// the settings and everything published through them has been delivered; after
// that their drivers may be closed, except for the adapter of an Overlap, which the
// caller has to end.
func (h *Hub) Detach(ctx context.Context, generation uint64) *Overlap {
	h.leaseMu.Lock()
	l := h.findLocked(generation)
	if l == nil {
		h.leaseMu.Unlock()
		return nil
	}
	h.leases = slices.DeleteFunc(h.leases, func(other *lease) bool { return other == l })
	leave := l.leave
	changed := h.electLocked()
	l.retired.Store(true)
	h.leaseMu.Unlock()
	changed.apply(h)

	left := h.overlap(l)
	if left == nil {
		h.cluster.leave(generation)
	}
	for l.users.Load() > 0 && wait.For(ctx, pollUsers) { //nolint:revive // the condition is the work
	}
	if leave == nil || left != nil {
		return left
	}
	// Without the lock: leaving waits for deliveries, which may need it.
	if err := leave(ctx); err != nil {
		l.settings.Log.Warn("leaving the adapter", zap.String("hub", h.name), zap.Error(err))
	}
	return nil
}

func (h *Hub) findLocked(generation uint64) *lease {
	for _, l := range h.leases {
		if l.generation == generation {
			return l
		}
	}
	return nil
}

// change is one of the current settings. The zero value is none.
type change struct {
	old, current *Settings
	term         uint64
}

// apply adjusts live connections, without the lock: it asks drivers.
func (c change) apply(h *Hub) {
	if c.old != nil {
		h.apply(c.old, c.current, c.term)
	}
}

// electLocked makes the newest started configuration current, or the newest one
// while the hub is new. The last one stays current until the hub ends.
func (h *Hub) electLocked() change {
	var best *lease
	for _, l := range h.leases {
		if l.started {
			best = l
		}
	}
	if best == nil && len(h.leases) > 0 {
		best = h.leases[len(h.leases)-1]
	}
	if best == nil {
		return change{}
	}
	if h.current.Load() == best {
		return change{}
	}
	h.term++
	best.term.Store(h.term)
	if old := h.current.Swap(best); old != nil {
		return change{old.settings, best.settings, h.term}
	}
	return change{}
}

// Generation is the number of the current configuration, zero before the first.
func (h *Hub) Generation() uint64 {
	if l := h.current.Load(); l != nil {
		return l.generation
	}
	return 0
}
