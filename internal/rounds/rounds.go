// Package rounds hands values to subscribers that come and go, and knows when
// what was under way has arrived.
package rounds

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Subscribers are functions that get every value. New makes them.
//
// A subscriber must not wait for a leave from inside its delivery: the leave waits
// for that very delivery.
type Subscribers[T any] struct {
	// current is nil once closed.
	current atomic.Pointer[Round[T]]

	mu            sync.Mutex
	registrations []*registration[T]
	// ending are rounds that were replaced while deliveries ran in them.
	ending []*Round[T]
}

// registration is one Add that has not been left.
type registration[T any] struct {
	name    string
	deliver func(T)
}

// Round is the list of subscribers between two changes. Publishers count
// themselves in it, so that a leave can wait for those that came before it and
// for no others: with one counter for all, busy subscribers could never be left.
type Round[T any] struct {
	delivers []func(T)
	// users is the number of publishers, plus one while the round is current.
	users atomic.Int64
	ended chan struct{}
}

// New makes an empty list of subscribers.
func New[T any]() *Subscribers[T] {
	s := &Subscribers[T]{}
	s.current.Store(newRound[T](nil))
	return s
}

func newRound[T any](delivers []func(T)) *Round[T] {
	r := &Round[T]{delivers: delivers, ended: make(chan struct{})}
	r.users.Store(1)
	return r
}

// Enter begins a delivery. Who has entered must Exit; until then a leave waits.
// It reports false after Close.
func (s *Subscribers[T]) Enter() (*Round[T], bool) {
	for {
		r := s.current.Load()
		if r == nil {
			return nil, false
		}
		if r.enter() {
			return r, true
		}
	}
}

// enter fails when the round has ended.
func (r *Round[T]) enter() bool {
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

// Deliver calls every subscriber of the round.
func (r *Round[T]) Deliver(value T) {
	for _, deliver := range r.delivers {
		deliver(value)
	}
}

// Exit ends what Enter began. It had best be deferred: a panic of a subscriber
// must not hold up a leave for ever.
func (r *Round[T]) Exit() {
	if r.users.Add(-1) == 0 {
		close(r.ended)
	}
}

// Deliver calls every subscriber and returns when they have the value. It reports
// false after Close.
func (s *Subscribers[T]) Deliver(value T) bool {
	r, ok := s.Enter()
	if !ok {
		return false
	}
	defer r.Exit()
	r.Deliver(value)
	return true
}

// Add registers deliver under a name. Of several registrations with one name the
// newest that has not been left is called: when a subscriber is replaced by
// another of its name, the new one gets what comes at once.
//
// leave ends the registration and waits, bounded by its context, for deliveries
// that have begun. Leaving twice counts once. ok is false after Close.
func (s *Subscribers[T]) Add(name string, deliver func(T)) (leave func(context.Context) error, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reg := &registration[T]{name: name, deliver: deliver}
	if !s.replaceLocked(append(slices.Clone(s.registrations), reg)) {
		return nil, false
	}
	return func(ctx context.Context) error { return s.leave(ctx, reg) }, true
}

func (s *Subscribers[T]) leave(ctx context.Context, reg *registration[T]) error {
	s.mu.Lock()
	s.replaceLocked(slices.DeleteFunc(slices.Clone(s.registrations), func(r *registration[T]) bool { return r == reg }))
	ending := slices.Clone(s.ending)
	s.mu.Unlock()

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
// changes nothing, after Close.
func (s *Subscribers[T]) replaceLocked(registrations []*registration[T]) bool {
	old := s.current.Load()
	if old == nil {
		return false
	}
	s.registrations = registrations
	s.current.Store(newRound(newestOfEach(registrations)))
	s.endLocked(old)
	return true
}

func (s *Subscribers[T]) endLocked(old *Round[T]) {
	old.Exit()
	s.ending = slices.DeleteFunc(append(s.ending, old), func(r *Round[T]) bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
}

// newestOfEach lists the delivers to call, in the order in which their names came.
func newestOfEach[T any](registrations []*registration[T]) []func(T) {
	var delivers []func(T)
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
func (s *Subscribers[T]) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.current.Swap(nil); old != nil {
		s.endLocked(old)
	}
}
