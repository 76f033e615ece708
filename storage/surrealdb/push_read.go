package surrealdb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// pushReads is how many records are asked for at once, and pushNames how many names.
	pushReads = 100
	pushNames = 1000
	// smallValue is the size up to which values come with their records. Larger ones are
	// asked for by themselves, about maxPageBytes at once.
	smallValue = 64 << 10
)

// Get implements storage.PushStore.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	at := make(map[storage.PushKey]storage.PushRecord, len(keys))
	asked := make([]storage.PushKey, 0, len(keys))
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
		if _, twice := at[keys[i]]; !twice {
			at[keys[i]] = storage.PushRecord{Key: keys[i]}
			asked = append(asked, keys[i])
		}
	}
	for some := range slices.Chunk(asked, pushReads) {
		if err := s.some(ctx, some, at); err != nil {
			return nil, err
		}
	}
	read := make([]storage.PushRecord, len(keys))
	for i := range keys {
		read[i] = at[keys[i]]
		read[i].Value = bytes.Clone(read[i].Value) // a key may be asked for twice
	}
	return read, nil
}

func (s *PushStore) usable(ctx context.Context) error {
	_, done, err := s.begin(ctx)
	if err == nil {
		done()
	}
	return err
}

// some reads records into a map, those that are there.
func (s *PushStore) some(ctx context.Context, keys []storage.PushKey, to map[storage.PushKey]storage.PushRecord) error {
	rows, err := s.rows(ctx, keys, "IF size <= "+strconv.Itoa(smallValue)+" { value } ELSE { NONE }")
	if err != nil {
		return err
	}
	var large []storage.PushKey
	size := 0
	flush := func() error {
		if len(large) == 0 {
			return nil
		}
		rows, err := s.rows(ctx, large, "value")
		large, size = nil, 0
		return errors.Join(err, s.keep(ctx, rows, to))
	}
	var small []pushRow
	for i := range rows {
		r := &rows[i]
		if r.Size <= smallValue {
			small = append(small, *r)
			continue
		}
		k, err := r.key()
		if err != nil {
			return s.fail(ctx, err)
		}
		if size += r.Size; size > maxPageBytes {
			if err := flush(); err != nil {
				return err
			}
			size = r.Size
		}
		large = append(large, k)
	}
	return errors.Join(flush(), s.keep(ctx, small, to))
}

// rows asks for records, with what is said of their values.
func (s *PushStore) rows(ctx context.Context, keys []storage.PushKey, value string) (rows []pushRow, err error) {
	ids := make([]models.RecordID, len(keys))
	for i := range keys {
		ids[i] = s.pushID(&keys[i])
	}
	list, vars := sources(ids)
	err = s.ask(ctx, "SELECT "+pushColumns+", ("+value+") AS value FROM "+list, vars, &rows)
	return rows, err
}

func (s *PushStore) keep(ctx context.Context, rows []pushRow, to map[storage.PushKey]storage.PushRecord) error {
	for i := range rows {
		r, err := rows[i].record()
		if _, asked := to[r.Key]; err == nil && !asked {
			err = errForeign
		}
		if err != nil {
			return s.fail(ctx, err)
		}
		to[r.Key] = r
	}
	return nil
}

// List implements storage.PushStore. It asks for the names, and then for the records; when
// some of them have been removed in between, it asks for more. All after a name are asked
// for in two steps, the rest of its group and what is behind that: the server (3.0.2) takes
// "more than" for "from" where an index goes on behind a field, and goes through all of an
// index between two bounds.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) (read []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || q.Limit <= 0 {
		return nil, err
	}
	at := storage.PushKey{App: q.App, Table: q.Table, Group: q.AfterGroup, Name: q.AfterName}
	within := q.Group != nil || q.AfterName != "" // a group, of which all after a name are asked for
	if q.Group != nil {
		at.Group = *q.Group
	}
	for begun := within; ; {
		most := min(q.Limit-len(read), pushNames)
		keys, err := s.names(ctx, at, begun, within, most)
		if err != nil {
			return nil, err
		}
		page, err := s.Get(ctx, keys...)
		if err != nil {
			return nil, err
		}
		read = append(read, slices.DeleteFunc(page, func(r storage.PushRecord) bool { return r.Version == 0 })...)
		last := len(keys) < most && (q.Group != nil || !within)
		if last || len(read) >= q.Limit {
			return read, nil
		}
		if len(keys) > 0 {
			at, begun = keys[len(keys)-1], true
		}
		within = len(keys) == most
	}
}

// names are the keys of a table after one: of its group, or of the groups behind that, or
// of all if nothing has begun.
func (s *PushStore) names(ctx context.Context, at storage.PushKey, begun, within bool, most int) ([]storage.PushKey, error) {
	vars := map[string]any{"app": spelled(at.App), "tbl": spelled(at.Table), "n": most}
	where := ""
	switch {
	case within:
		where, vars["grp"], vars["name"] = ofGroup, spelled(at.Group), spelled(at.Name)
	case begun:
		where, vars["grp"] = behindGroup, afterSpelled(spelled(at.Group))
	}
	var rows []pushRow
	if err := s.ask(ctx, s.wherePlace(where), vars, &rows); err != nil {
		return nil, err
	}
	keys := make([]storage.PushKey, len(rows))
	for i := range rows {
		k, err := rows[i].key()
		if err == nil && (begun || i > 0) && cmp.Or(cmp.Compare(k.Group, at.Group), cmp.Compare(k.Name, at.Name)) <= 0 {
			err = errors.New("the server lists records out of order")
		}
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		keys[i], at = k, k
	}
	return keys, nil
}

const (
	ofGroup     = " AND grp = $grp AND name > $name"
	behindGroup = " AND grp > $grp"
)

func (s *PushStore) wherePlace(further string) string {
	return "SELECT " + keyColumns + " FROM `" + s.table + "` WHERE app = $app AND tbl = $tbl" + further + " LIMIT $n"
}

// Due implements storage.PushStore. The order is that of the index.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) (due []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	var rows []pushRow
	vars := map[string]any{"tbl": spelled(table), "now": min(now, neverDue-1), "n": limit}
	if err := s.ask(ctx, s.whereDue(), vars, &rows); err != nil {
		return nil, err
	}
	keys := make([]storage.PushKey, len(rows))
	for i := range rows {
		if keys[i], err = rows[i].key(); err != nil {
			return nil, s.fail(ctx, err)
		}
	}
	if due, err = s.Get(ctx, keys...); err != nil {
		return nil, err
	}
	// The record has the last word, not the index.
	due = slices.DeleteFunc(due, func(r storage.PushRecord) bool { return r.Due == 0 || r.Due > now })
	slices.SortStableFunc(due, func(a, b storage.PushRecord) int { return cmp.Compare(a.Due, b.Due) })
	return due, nil
}

func (s *PushStore) whereDue() string {
	return "SELECT " + keyColumns + " FROM `" + s.table + "` WHERE tbl = $tbl AND due <= $now LIMIT $n"
}
