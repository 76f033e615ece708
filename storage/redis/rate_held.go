package redis

import (
	"cmp"
	"container/list"
	"sync"
	"time"
)

const (
	// renewals is how often in a lease a slot is renewed.
	renewals = 3
	// renewBatch is how many slots are renewed with one question, or those of one key
	// if they are more.
	renewBatch = 500
)

// heldSlots are the slots of this process. What belongs to one key stands in a line,
// ordered by when it is to be renewed.
type heldSlots struct {
	mu    sync.Mutex
	lease time.Duration
	keys  map[string]*heldKey
	line  list.List // of *heldKey
	wake  chan struct{}
}

type heldKey struct {
	key     string
	holders map[string]struct{}
	due     time.Time
	place   *list.Element // nil while it is being renewed
}

// SetLease changes how long a slot is held without word from this process. Zero
// means 30 seconds. Slots that are held have theirs from the next renewal on.
func (l *RateLimiter) SetLease(lease time.Duration) {
	h := &l.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = cmp.Or(lease, defaultLease)
	if h.keys == nil {
		h.keys, h.wake = map[string]*heldKey{}, make(chan struct{}, 1)
	}
	now := time.Now()
	for e := h.line.Front(); e != nil; e = e.Next() {
		e.Value.(*heldKey).due = now //nolint:forcetypeassert // nothing else is in it
	}
	h.nudge()
}

func (h *heldSlots) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// has reports whether a slot is held, and for how long a new one would be.
func (h *heldSlots) has(key, holder string) (held bool, lease time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.keys[key]; k != nil {
		_, held = k.holders[holder]
	}
	return held, h.lease
}

// add notes a slot that was taken for a lease.
func (h *heldSlots) add(key, holder string, lease time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.keys[key]
	if k == nil {
		k = &heldKey{key: key, holders: map[string]struct{}{}, due: time.Now().Add(lease / renewals)}
		h.keys[key] = k
		k.place = h.line.PushBack(k)
		if h.line.Len() == 1 {
			h.nudge()
		}
	}
	k.holders[holder] = struct{}{}
}

// remove forgets a slot.
func (h *heldSlots) remove(key, holder string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.keys[key]
	if k == nil {
		return
	}
	if delete(k.holders, holder); len(k.holders) > 0 {
		return
	}
	delete(h.keys, key)
	if k.place != nil {
		h.line.Remove(k.place)
	}
}

// take takes keys out of the line whose time has come, with so many slots that one
// question is enough, or tells how long there is nothing to do.
func (h *heldSlots) take(now time.Time) (batch []renewal, lease, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pause = h.lease
	for slots := 0; slots < renewBatch; {
		first := h.line.Front()
		if first == nil {
			break
		}
		k := first.Value.(*heldKey) //nolint:forcetypeassert // nothing else is in it
		if pause = k.due.Sub(now); pause > 0 || slots > 0 && slots+len(k.holders) > renewBatch {
			break
		}
		h.line.Remove(first)
		k.place = nil
		r := k.renewal()
		slots += len(r.holders)
		batch = append(batch, r)
	}
	return batch, h.lease, max(pause, 0)
}

func (k *heldKey) renewal() renewal {
	r := renewal{key: k, holders: make([]string, 0, len(k.holders))}
	for holder := range k.holders {
		r.holders = append(r.holders, holder)
	}
	return r
}

// renewal are the slots of one key that are being renewed.
type renewal struct {
	key     *heldKey
	holders []string
}

// settle puts keys back into the line, for their next time, and tells which slots
// have been given back while they were being renewed: perhaps before that.
func (h *heldSlots) settle(batch []renewal, due time.Time) (gone []renewal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range batch {
		now := h.keys[r.key.key]
		if now == r.key {
			now.due = due
			now.place = h.line.PushBack(now)
		}
		left := renewal{key: r.key}
		for _, holder := range r.holders {
			if now != nil {
				if _, held := now.holders[holder]; held {
					continue
				}
			}
			left.holders = append(left.holders, holder)
		}
		if len(left.holders) > 0 {
			gone = append(gone, left)
		}
	}
	return gone
}

// drop forgets some slots, and tells which.
func (h *heldSlots) drop() (batch []renewal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Init()
	for key, k := range h.keys {
		k.place = nil
		delete(h.keys, key)
		if batch = append(batch, k.renewal()); len(batch) == renewBatch {
			break
		}
	}
	return batch
}
