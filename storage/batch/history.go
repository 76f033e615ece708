// Package batch makes few writes of many. Its History stands before that of a driver:
// what is appended while a write runs waits, and goes with the next one.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Options bound what waits. Zero fields have defaults.
type Options struct {
	// Shards is how many writes run at once. A log is always with the same shard. Zero
	// means 16. It counts when a History is made, and not later.
	Shards int
	// Queue is how many appends may wait in a shard. Zero means 4096.
	Queue int
	// Bytes is the size of all appends that wait or are being written, in all shards.
	// Zero means 64 MiB.
	Bytes int64
	// WriteTimeout bounds one write. Zero means 5s.
	WriteTimeout time.Duration
}

func (o Options) withDefaults() Options {
	o.Shards, o.Queue = cmp.Or(o.Shards, 16), cmp.Or(o.Queue, 4096)
	o.Bytes, o.WriteTimeout = cmp.Or(o.Bytes, 64<<20), cmp.Or(o.WriteTimeout, 5*time.Second)
	return o
}

// Stats say what has not been written yet.
type Stats struct {
	// Waiting is the number of appends whose write has not begun.
	Waiting int
	// Bytes is the size of all that wait or are being written.
	Bytes int64
}

// History collects appends for another one, which must honour the contexts of its
// calls. It owns a goroutine for each shard.
type History struct {
	store   storage.History
	seed    maphash.Seed
	shards  []*shard
	options atomic.Pointer[Options]
	bytes   atomic.Int64

	closing atomic.Pointer[time.Time] // by when everything is written, of Close
	close   sync.Once
	writers sync.WaitGroup
}

// New makes a History that writes to store, and closes it when it is closed.
func New(store storage.History, o Options) *History {
	h := &History{store: store, seed: maphash.MakeSeed()}
	h.SetOptions(o)
	h.shards = make([]*shard, max(h.options.Load().Shards, 1))
	for i := range h.shards {
		h.shards[i] = &shard{history: h, more: make(chan struct{}, 1)}
		h.writers.Go(h.shards[i].write)
	}
	return h
}

// SetOptions changes the bounds, but not the number of shards. What waits above a new
// bound stays.
func (h *History) SetOptions(o Options) {
	o = o.withDefaults()
	h.options.Store(&o)
}

// Stats counts what has not been written yet.
func (h *History) Stats() (s Stats) {
	for _, one := range h.shards {
		s.Waiting += one.waiting()
	}
	s.Bytes = h.bytes.Load()
	return s
}

// Append has the entries written with what others append at the same time, and waits
// for it. Those that still wait when ctx ends are not added.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	if err := ctx.Err(); err != nil {
		for _, a := range appends {
			a.Err = err
		}
		return
	}
	c := &caller{done: make(chan struct{})}
	of := map[*shard][]*item{}
	for _, a := range appends {
		if a.Err = a.Check(); a.Err == nil {
			s := h.shards[maphash.Comparable(h.seed, a.Key)%uint64(len(h.shards))]
			of[s] = append(of[s], &item{LogAppend: a, caller: c, size: sizeOf(a)})
			c.left.Add(1)
		}
	}
	if len(of) == 0 {
		return
	}
	for s, items := range of {
		s.admit(items)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		for s, items := range of {
			s.withdraw(items, ctx.Err())
		}
		<-c.done
	}
}

// Head tells where a log stands, as it is written.
func (h *History) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	return h.store.Head(ctx, key)
}

// Read reads entries that are written.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	return h.store.Read(ctx, key, stream, q)
}

// Latest reads the newest entries that are written.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	return h.store.Latest(ctx, key, stream, subjects)
}

// Trim passes by what waits.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	return h.store.Trim(ctx, key, stream, before)
}

// Reset passes by what waits, which is then written to the log that it begins.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	return h.store.Reset(ctx, key, fresh)
}

// Mark passes by what waits.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	return h.store.Mark(ctx, key, stream, state)
}

// Due lists logs, as they are written.
func (h *History) Due(ctx context.Context, now time.Time, limit int) ([]storage.LogKey, error) {
	return h.store.Due(ctx, now, limit)
}

// Check asks the store, if that can tell.
func (h *History) Check(ctx context.Context) error {
	if c, ok := h.store.(storage.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// MaxSize is the size above which a payload is refused, in bytes.
func (h *History) MaxSize() int64 {
	if s, ok := h.store.(interface{ MaxSize() int64 }); ok {
		return min(s.MaxSize(), storage.MaxLogPayload)
	}
	return storage.MaxLogPayload
}

// Tune hands a newer Spec to the store, if that takes one.
func (h *History) Tune(spec any) error {
	if t, ok := h.store.(storage.Tuner); ok {
		return t.Tune(spec)
	}
	return nil
}

// Close refuses new appends, writes those that wait, and closes the store. It takes
// about twice as long as a write may at most; what waits then is refused after all.
func (h *History) Close() (err error) {
	h.close.Do(func() {
		end := time.Now().Add(2 * h.options.Load().WriteTimeout)
		h.closing.Store(&end)
		for _, s := range h.shards {
			s.stop()
		}
		h.writers.Wait()
		err = h.store.Close()
	})
	return err
}

// errClosed is what an append gets that comes too late.
var errClosed = fmt.Errorf("batch history: %w", storage.ErrClosed)

// timedOut says so of a write that was given up.
func timedOut(err error, after time.Duration) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("batch history: the write took longer than %v, and may have been carried out: %w", after, err)
}

var (
	_ storage.History = (*History)(nil)
	_ storage.Checker = (*History)(nil)
	_ storage.Tuner   = (*History)(nil)
)
