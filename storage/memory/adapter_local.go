package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Local is the adapter of a node that is alone. Publish calls the subscribers
// itself and returns when they have, so the order of one publisher is kept
// without a queue.
//
// A subscriber must not wait for a leave from inside its deliver: the leave waits
// for that very delivery.
type Local struct {
	// current is nil once closed.
	current atomic.Pointer[round]

	mu            sync.Mutex
	registrations []*registration
	// ending are rounds that were replaced while deliveries ran in them.
	ending []*round
}

// registration is one Subscribe that has not been left.
type registration struct {
	name    string
	deliver func(*protocol.Envelope)
}

// round is the list of subscribers between two changes. Publishers count
// themselves in it, so that a leave can wait for those that came before it and
// for no others: with one counter for all, a busy adapter would never be left.
type round struct {
	delivers []func(*protocol.Envelope)
	// users is the number of publishers, plus one while the round is current.
	users atomic.Int64
	ended chan struct{}
}

// NewLocal makes an adapter without subscribers.
func NewLocal() *Local {
	a := &Local{}
	a.current.Store(newRound(nil))
	return a
}

func newRound(delivers []func(*protocol.Envelope)) *round {
	r := &round{delivers: delivers, ended: make(chan struct{})}
	r.users.Store(1)
	return r
}

// enter fails when the round has ended.
func (r *round) enter() bool {
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *round) exit() {
	if r.users.Add(-1) == 0 {
		close(r.ended)
	}
}

// Publish delivers e to every subscriber and returns when they have it.
func (a *Local) Publish(ctx context.Context, e *protocol.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		r := a.current.Load()
		if r == nil {
			return fmt.Errorf("local adapter: %w", storage.ErrClosed)
		}
		if r.enter() {
			r.deliver(e)
			return nil
		}
	}
}

func (r *round) deliver(e *protocol.Envelope) {
	// Deferred, because a panic of a subscriber must not hold up a leave for ever.
	defer r.exit()
	for _, deliver := range r.delivers {
		deliver(e)
	}
}

// Subscribe registers deliver under the name of a subscriber. Of several
// registrations with one name the newest that has not been left is called: when
// a hub is replaced by another of its name, the new one gets the events at once.
// Leaving twice counts once.
func (a *Local) Subscribe(subscriber string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reg := &registration{name: subscriber, deliver: deliver}
	if !a.replaceLocked(append(slices.Clone(a.registrations), reg)) {
		return nil, fmt.Errorf("local adapter: %w", storage.ErrClosed)
	}
	return func(ctx context.Context) error { return a.leave(ctx, reg) }, nil
}

func (a *Local) leave(ctx context.Context, reg *registration) error {
	a.mu.Lock()
	a.replaceLocked(slices.DeleteFunc(slices.Clone(a.registrations), func(r *registration) bool { return r == reg }))
	ending := slices.Clone(a.ending)
	a.mu.Unlock()

	for _, r := range ending {
		select {
		case <-r.ended:
			continue
		default:
		}
		select {
		case <-r.ended:
		case <-ctx.Done():
			return fmt.Errorf("waiting for deliveries to %q: %w", reg.name, ctx.Err())
		}
	}
	return nil
}

// replaceLocked starts a round with other registrations. It reports false, and
// changes nothing, when the adapter is closed.
func (a *Local) replaceLocked(registrations []*registration) bool {
	old := a.current.Load()
	if old == nil {
		return false
	}
	a.registrations = registrations
	a.current.Store(newRound(newestOfEach(registrations)))
	a.endLocked(old)
	return true
}

func (a *Local) endLocked(old *round) {
	old.exit()
	a.ending = slices.DeleteFunc(append(a.ending, old), func(r *round) bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
}

// newestOfEach lists the delivers to call, in the order in which their names came.
func newestOfEach(registrations []*registration) []func(*protocol.Envelope) {
	var delivers []func(*protocol.Envelope)
	place := make(map[string]int, len(registrations))
	for _, r := range registrations {
		if i, ok := place[r.name]; ok {
			delivers[i] = r.deliver
			continue
		}
		place[r.name] = len(delivers)
		delivers = append(delivers, r.deliver)
	}
	return delivers
}

// Close refuses further calls. It does not wait for deliveries; a leave does.
func (a *Local) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.current.Swap(nil); old != nil {
		a.endLocked(old)
	}
	return nil
}
