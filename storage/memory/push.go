package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/sockudo/caddy-sockudo/storage"
)

// PushStore keeps the records of push notifications in memory. It is bounded in bytes:
// what would grow it over the bound is refused with ErrFull.
type PushStore struct {
	mu      sync.Mutex
	records map[storage.PushKey]*storage.PushRecord
	tables  map[pushTable]*ordered[*storage.PushRecord] // by group and name
	due     map[string]*ordered[*storage.PushRecord]    // by time, of a table of all apps
	bytes   int64
	max     int64
	closed  bool
}

type pushTable struct{ app, table string }

// pushCost is about what a record takes beside its texts and its value, in bytes.
const pushCost = 400

// NewPushStore makes a store that keeps at most maxBytes of records. Zero is 256 MiB.
func NewPushStore(maxBytes int64) *PushStore {
	return &PushStore{
		records: map[storage.PushKey]*storage.PushRecord{}, tables: map[pushTable]*ordered[*storage.PushRecord]{},
		due: map[string]*ordered[*storage.PushRecord]{}, max: cmp.Or(maxBytes, 256<<20),
	}
}

func byName(a, b *storage.PushRecord) int {
	return cmp.Or(cmp.Compare(a.Key.Group, b.Key.Group), cmp.Compare(a.Key.Name, b.Key.Name))
}

func byDue(a, b *storage.PushRecord) int {
	return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Key.App, b.Key.App), byName(a, b))
}

func (s *PushStore) usable(ctx context.Context) error {
	if s.closed {
		return fmt.Errorf("memory push store: %w", storage.ErrClosed)
	}
	return ctx.Err()
}

// Get implements storage.PushStore.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	read := make([]storage.PushRecord, len(keys))
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
		read[i].Key = keys[i]
		if r := s.records[keys[i]]; r != nil {
			read[i] = copyOf(r)
		}
	}
	return read, nil
}

func copyOf(r *storage.PushRecord) storage.PushRecord {
	c := *r
	c.Value = bytes.Clone(r.Value)
	return c
}

// List implements storage.PushStore.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) (read []storage.PushRecord, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	table := s.tables[pushTable{q.App, q.Table}]
	if table == nil || q.Limit <= 0 {
		return nil, nil
	}
	after := &storage.PushRecord{}
	if q.AfterName != "" {
		after.Key.Group, after.Key.Name = q.AfterGroup, q.AfterName
	}
	if q.Group != nil {
		after.Key.Group = *q.Group
	}
	table.from(after, func(r *storage.PushRecord) bool {
		if q.Group != nil && r.Key.Group != *q.Group {
			return false
		}
		if byName(r, after) > 0 {
			read = append(read, copyOf(r))
		}
		return len(read) < q.Limit
	})
	return read, nil
}

// Due implements storage.PushStore.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) (due []storage.PushRecord, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	records := s.due[table]
	if records == nil || limit <= 0 {
		return nil, nil
	}
	records.from(&storage.PushRecord{}, func(r *storage.PushRecord) bool {
		if r.Due > now {
			return false
		}
		due = append(due, copyOf(r))
		return len(due) < limit
	})
	return due, nil
}

// Close forgets everything. It may be called again.
func (s *PushStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.records, s.tables, s.due, s.bytes = true, nil, nil, nil, 0
	return nil
}

// Volatile says that the records end with the process.
func (s *PushStore) Volatile() bool { return true }
