package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// History keeps logs in memory. It is bounded in bytes: over the bound, appends are
// refused with ErrFull.
type History struct {
	mu     sync.Mutex
	logs   map[storage.LogKey]*log
	bytes  int64
	max    int64
	closed bool
}

// log is one log. Its entries have serials up to head.Serial, without a gap.
type log struct {
	head     storage.LogHead
	entries  []storage.LogEntry
	subjects map[string][]uint64 // serials of kept entries
	once     map[string]uint64
	keep     time.Duration
}

// logCost is about what an entry takes beside its texts, in bytes.
const logCost = 160

// NewHistory makes a store that keeps at most maxBytes of entries. Zero is 256 MiB.
func NewHistory(maxBytes int64) *History {
	return &History{logs: map[storage.LogKey]*log{}, max: cmp.Or(maxBytes, 256<<20)}
}

// Append implements storage.History.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range appends {
		if a.Err = h.usable(ctx); a.Err == nil {
			a.Err = a.Check()
		}
		if a.Err == nil {
			a.Err = h.append(a)
		}
	}
}

func (h *History) usable(ctx context.Context) error {
	if h.closed {
		return fmt.Errorf("memory history: %w", storage.ErrClosed)
	}
	return ctx.Err()
}

func (h *History) append(a *storage.LogAppend) error {
	l := h.logs[a.Key]
	if l == nil {
		l = newLog(a.Fresh)
	}
	if serial, known := l.once[a.Once]; known && a.Once != "" {
		a.Entry, a.Stream = *l.entry(serial), l.head.Stream
		a.Entry.Payload = nil
		return storage.ErrExists
	}
	if a.After != nil {
		if newest := l.newest(a.Subject); newest != *a.After {
			return fmt.Errorf("the newest entry is %d: %w", newest, storage.ErrConflict)
		}
	}
	e := storage.LogEntry{
		Serial: l.head.Serial + 1, Row: l.head.Row, IsRow: a.Row, At: max(a.At, l.head.At), Total: l.head.Total,
		Size: len(a.Payload), Subject: a.Subject, Once: a.Once, Payload: bytes.Clone(a.Payload),
	}
	if a.Row {
		e.Row++
		e.Total += uint64(e.Size)
	}
	if h.bytes+cost(&e) > h.max {
		return fmt.Errorf("memory history: %d of %d bytes are in use: %w", h.bytes, h.max, storage.ErrFull)
	}
	h.logs[a.Key] = l
	l.add(&e)
	l.keep = a.Keep
	h.bytes += cost(&e)
	a.Entry, a.Stream = e, l.head.Stream
	a.Entry.Payload = nil
	return nil
}

func cost(e *storage.LogEntry) int64 { return int64(logCost + e.Size + len(e.Subject) + len(e.Once)) }

func newLog(id string) *log {
	return &log{head: storage.LogHead{Stream: id, First: 1}, subjects: map[string][]uint64{}, once: map[string]uint64{}}
}

func (l *log) add(e *storage.LogEntry) {
	l.entries = append(l.entries, *e)
	l.head.Serial, l.head.Row, l.head.At, l.head.Total = e.Serial, e.Row, e.At, e.Total
	if e.Subject != "" {
		l.subjects[e.Subject] = append(l.subjects[e.Subject], e.Serial)
	}
	if e.Once != "" {
		l.once[e.Once] = e.Serial
	}
}

func (l *log) entry(serial uint64) *storage.LogEntry { return &l.entries[serial-l.head.First] }

// newest is the serial of the newest kept entry of a subject, zero for none.
func (l *log) newest(subject string) uint64 {
	if serials := l.subjects[subject]; len(serials) > 0 {
		return serials[len(serials)-1]
	}
	return 0
}

// Head implements storage.History.
func (h *History) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return storage.LogHead{}, err
	}
	l := h.logs[key]
	if l == nil {
		return storage.LogHead{}, fmt.Errorf("log of %s: %w", key.Channel, storage.ErrNotFound)
	}
	return l.head, nil
}

// find is the log of a key with an id, or nil.
func (h *History) find(ctx context.Context, key storage.LogKey, stream string) (*log, error) {
	if err := h.usable(ctx); err != nil {
		return nil, err
	}
	if l := h.logs[key]; l != nil && l.head.Stream == stream {
		return l, nil
	}
	return nil, nil //nolint:nilnil // a log that is not there has no entries
}

// Read implements storage.History.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) (read []storage.LogEntry, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.find(ctx, key, stream)
	if err != nil || l == nil || q.Limit <= 0 {
		return nil, err
	}
	from, to, err := q.Serials(l.head.First, l.head.Serial, func(serial uint64) (storage.LogEntry, error) { return *l.entry(serial), nil })
	if err != nil || from > to {
		return nil, err
	}
	take := func(e *storage.LogEntry) bool {
		if q.Matches(e) {
			read = append(read, copied(e, q.Bare))
		}
		return len(read) < q.Limit
	}
	if q.Subject != "" {
		l.eachOf(q, take)
		return read, nil
	}
	for i := range to - from + 1 {
		serial := from + i
		if q.Reverse {
			serial = to - i
		}
		if !take(l.entry(serial)) {
			break
		}
	}
	return read, nil
}

// eachOf goes through the entries of the subject of a query.
func (l *log) eachOf(q storage.LogQuery, take func(*storage.LogEntry) bool) {
	serials := slices.Clone(l.subjects[q.Subject])
	if q.Reverse {
		slices.Reverse(serials)
	}
	for _, serial := range serials {
		if !take(l.entry(serial)) {
			break
		}
	}
}

func copied(e *storage.LogEntry, bare bool) storage.LogEntry {
	c := *e
	if c.Payload = bytes.Clone(e.Payload); bare {
		c.Payload = nil
	}
	return c
}

// Latest implements storage.History.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.find(ctx, key, stream)
	if err != nil || l == nil {
		return nil, err
	}
	latest := map[string]storage.LogEntry{}
	for _, subject := range subjects {
		if serial := l.newest(subject); serial > 0 && subject != "" {
			latest[subject] = copied(l.entry(serial), false)
		}
	}
	return latest, nil
}

// Trim implements storage.History.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.find(ctx, key, stream)
	if err == nil && l != nil {
		h.bytes -= l.trim(before)
	}
	return err
}

// trim removes the oldest entries, and reports what they have taken.
func (l *log) trim(before uint64) (freed int64) {
	for len(l.entries) > 0 && l.head.First < before {
		e := &l.entries[0]
		freed += cost(e)
		if e.Subject != "" {
			if l.subjects[e.Subject] = l.subjects[e.Subject][1:]; len(l.subjects[e.Subject]) == 0 {
				delete(l.subjects, e.Subject)
			}
		}
		delete(l.once, e.Once)
		*e = storage.LogEntry{}
		l.entries = l.entries[1:]
		l.head.First++
	}
	return freed
}

// Reset implements storage.History.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return err
	}
	if l := h.logs[key]; l != nil {
		h.bytes -= l.trim(l.head.Serial + 1)
	}
	h.logs[key] = newLog(fresh)
	return nil
}

// Mark implements storage.History.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.find(ctx, key, stream)
	if err == nil && l != nil && state.Since > l.head.State.Since {
		l.head.State = state
	}
	return err
}

// Due implements storage.History.
func (h *History) Due(ctx context.Context, now time.Time, limit int) (due []storage.LogKey, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.usable(ctx); err != nil {
		return nil, err
	}
	for key, l := range h.logs {
		if len(due) < limit && l.keep > 0 && len(l.entries) > 0 && l.entries[0].At < now.Add(-l.keep).UnixMilli() {
			due = append(due, key)
		}
	}
	return due, nil
}

// Close forgets everything. It may be called again.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.logs, h.bytes = true, nil, 0
	return nil
}

// Volatile says that the logs end with the process.
func (h *History) Volatile() bool { return true }
