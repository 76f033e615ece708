package memory

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	defaultLimiterKeys = 100000
	limiterShards      = 32
)

// RateLimiterOptions bounds a RateLimiter.
type RateLimiterOptions struct {
	// MaxKeys is the number of keys with a running window, rounded up to a multiple
	// of 32. Zero means 100000. Slots are not counted: each is held by a caller that
	// holds something larger, such as a socket.
	MaxKeys int
}

// RateLimiter counts in fixed windows: a window starts with the first event of
// its key and ends after its length, whatever later calls ask for.
//
// When there are too many keys, the window that would end soonest is forgotten.
// Refusing new keys instead would let one attacker with many addresses lock out
// everybody else.
type RateLimiter struct {
	seed   maphash.Seed
	closed atomic.Bool
	shards [limiterShards]limiterShard
}

type limiterShard struct {
	mu      sync.Mutex
	max     int
	windows map[string]*rateWindow
	ends    deadlines[*rateWindow]
	// slots and counts are flat, so that a key with many holders costs no more per
	// call than one with few.
	slots  map[rateSlot]struct{}
	counts map[string]int
}

// rateWindow is a running window. Its deadline is its end.
type rateWindow struct {
	deadline
	key   string
	count int
}

type rateSlot struct{ key, holder string }

// NewRateLimiter makes a limiter that has counted nothing.
func NewRateLimiter(options RateLimiterOptions) *RateLimiter {
	l := &RateLimiter{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].windows = map[string]*rateWindow{}
		l.shards[i].slots = map[rateSlot]struct{}{}
		l.shards[i].counts = map[string]int{}
	}
	l.SetOptions(options)
	return l
}

// SetOptions changes the bound. Windows above it are forgotten as others start.
func (l *RateLimiter) SetOptions(options RateLimiterOptions) {
	if options.MaxKeys <= 0 {
		options.MaxKeys = defaultLimiterKeys
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		s.max = (options.MaxKeys + limiterShards - 1) / limiterShards
		s.mu.Unlock()
	}
}

func (l *RateLimiter) shard(key string) *limiterShard {
	return &l.shards[maphash.String(l.seed, key)%limiterShards]
}

func (l *RateLimiter) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.closed.Load() {
		return fmt.Errorf("rate limiter: %w", storage.ErrClosed)
	}
	return nil
}

// Allow counts n events on key. Counting none asks for the state of the window.
// When none runs, Reset is the length that one would have.
func (l *RateLimiter) Allow(ctx context.Context, key string, n, limit int, window time.Duration) (storage.RateDecision, error) {
	if err := l.usable(ctx); err != nil {
		return storage.RateDecision{}, err
	}
	if n < 0 || window <= 0 {
		return storage.RateDecision{}, fmt.Errorf("rate limiter: %d events in a window of %v cannot be counted", n, window)
	}
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	w := s.windows[key]
	running := w != nil && !w.past(now)

	d := storage.RateDecision{Limit: limit, Reset: window}
	count := 0
	if running {
		count, d.Reset = w.count, w.at.Sub(now)
	}
	d.Allowed = n <= limit-count
	if d.Allowed && n > 0 {
		count += n
		if running {
			w.count = count
		} else {
			s.startLocked(key, n, now, window)
		}
	}
	d.Remaining = max(0, limit-count)
	return d, nil
}

// startLocked opens the window of a key that has none or one that has ended.
func (s *limiterShard) startLocked(key string, n int, now time.Time, window time.Duration) {
	if w := s.windows[key]; w != nil {
		w.count = n
		s.ends.move(w, now.Add(window))
		return
	}
	s.sweepLocked(now)
	w := &rateWindow{deadline: deadline{at: now.Add(window)}, key: key, count: n}
	s.windows[key] = w
	s.ends.add(w)
}

// sweepLocked removes some windows that have ended, and makes room for one more.
func (s *limiterShard) sweepLocked(now time.Time) {
	for range sweepPerWrite {
		w, ok := s.ends.takePast(now)
		if !ok {
			break
		}
		delete(s.windows, w.key)
	}
	for len(s.windows) >= s.max {
		w := s.ends.first()
		s.ends.remove(w)
		delete(s.windows, w.key)
	}
}

// Acquire takes one of limit slots on key for holder.
func (l *RateLimiter) Acquire(ctx context.Context, key, holder string, limit int) (bool, error) {
	if err := l.usable(ctx); err != nil {
		return false, err
	}
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := rateSlot{key, holder}
	if _, held := s.slots[slot]; held {
		return true, nil
	}
	if s.counts[key] >= limit {
		return false, nil
	}
	s.slots[slot] = struct{}{}
	s.counts[key]++
	return true, nil
}

// Release gives the slot of holder back. It does so with an ended context too,
// because a slot that was not given back would be lost for good.
func (l *RateLimiter) Release(_ context.Context, key, holder string) error {
	if l.closed.Load() {
		return fmt.Errorf("rate limiter: %w", storage.ErrClosed)
	}
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := rateSlot{key, holder}
	if _, held := s.slots[slot]; !held {
		return nil
	}
	delete(s.slots, slot)
	if s.counts[key]--; s.counts[key] == 0 {
		delete(s.counts, key)
	}
	return nil
}

// Close forgets everything. Later calls are ErrClosed.
func (l *RateLimiter) Close() error {
	l.closed.Store(true)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		clear(s.windows)
		clear(s.slots)
		clear(s.counts)
		s.ends.items = nil
		s.mu.Unlock()
	}
	return nil
}
