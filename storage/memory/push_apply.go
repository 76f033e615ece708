package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Apply implements storage.PushStore.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	grown := int64(0)
	for i := range changes {
		c := &changes[i]
		r := s.records[c.Key]
		if c.If != nil && *c.If != versionOf(r) {
			return fmt.Errorf("memory push store: %w", storage.ErrConflict)
		}
		grown += growth(r, c)
	}
	switch {
	case grown > s.max:
		return fmt.Errorf("memory push store of at most %d bytes: %d at once: %w", s.max, grown, storage.ErrTooLarge)
	case grown > 0 && s.bytes+grown > s.max:
		return fmt.Errorf("memory push store: %d of %d bytes are in use: %w", s.bytes, s.max, storage.ErrFull)
	}
	s.bytes += grown
	for i := range changes {
		s.change(&changes[i])
	}
	return nil
}

func versionOf(r *storage.PushRecord) uint64 {
	if r == nil {
		return 0
	}
	return r.Version
}

// growth is by how much a change makes the store larger, in bytes.
func growth(r *storage.PushRecord, c *storage.PushChange) int64 {
	fixed := int64(pushCost + len(c.Key.App) + len(c.Key.Table) + len(c.Key.Group) + len(c.Key.Name))
	switch {
	case r == nil && (c.Op == storage.PushPut || c.Op == storage.PushAdd):
		return fixed + int64(len(c.Value))
	case r != nil && c.Op == storage.PushPut:
		return int64(len(c.Value)) - int64(len(r.Value))
	case r != nil && c.Op == storage.PushDelete:
		return -fixed - int64(len(r.Value))
	}
	return 0
}

// change carries out what has been found to be possible.
func (s *PushStore) change(c *storage.PushChange) {
	r := s.records[c.Key]
	switch c.Op {
	case storage.PushPut, storage.PushAdd:
		if r == nil {
			r = s.begin(c.Key)
		}
		if c.Op == storage.PushPut || r.Version == 0 {
			s.write(r, c)
		}
		for i, n := range c.Counts {
			r.Counts[i] += n
		}
	case storage.PushDelete:
		if r != nil {
			s.remove(r)
		}
	case storage.PushCheck:
	}
}

// begin makes a record without a version.
func (s *PushStore) begin(key storage.PushKey) *storage.PushRecord {
	r := &storage.PushRecord{Key: key}
	s.records[key] = r
	in := pushTable{key.App, key.Table}
	if s.tables[in] == nil {
		s.tables[in] = newOrdered(byName)
	}
	s.tables[in].add(r)
	return r
}

// write gives a record what a change says.
func (s *PushStore) write(r *storage.PushRecord, c *storage.PushChange) {
	s.setDue(r, c.Due)
	r.Version, r.Value = c.Version, bytes.Clone(c.Value)
}

func (s *PushStore) setDue(r *storage.PushRecord, due int64) {
	if due == r.Due {
		return
	}
	if s.due[r.Key.Table] == nil {
		s.due[r.Key.Table] = newOrdered(byDue)
	}
	records := s.due[r.Key.Table]
	if r.Due != 0 {
		records.remove(r)
	}
	if r.Due = due; due != 0 {
		records.add(r)
	}
	if records.isEmpty() {
		delete(s.due, r.Key.Table)
	}
}

func (s *PushStore) remove(r *storage.PushRecord) {
	s.setDue(r, 0)
	delete(s.records, r.Key)
	in := pushTable{r.Key.App, r.Key.Table}
	if s.tables[in].remove(r); s.tables[in].isEmpty() {
		delete(s.tables, in)
	}
}
