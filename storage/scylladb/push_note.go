package scylladb

import (
	"context"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// When a record is due is noted, as of logs in history_due.go, in a table with a partition
// for each hour and each table of records, before the record is put. The record has the id
// of its note; a note whose record has another one is obsolete. Whoever has put a record
// anew, or deleted it, removes the note of before. One that stays all the same, because
// whoever should have removed it was stopped, is removed by those who look what is due.
//
// No note is ever made again after it was removed: its id is that of one Apply.

// pushNote is a row of the table of what is due.
type pushNote struct {
	key         storage.PushKey
	bucket, due int64
	id          string
	noted       int64
}

// bucketOf is the partition that what is due by a change is noted in.
func (a *applying) bucketOf(c *storage.PushChange) int64 {
	return max(c.Due, a.now) / bucketSize.Milliseconds()
}

// note notes when records will be due that are put, unless an attempt before has.
func (a *applying) note(ctx context.Context, there map[storage.PushKey]*pushRow) error {
	var fresh []pushNote
	for _, c := range a.changes {
		puts := c.Op == storage.PushPut || c.Op == storage.PushAdd && there[c.Key] == nil
		if _, done := a.noted[c.Key]; c.Due == 0 || !puts || done {
			continue
		}
		fresh = append(fresh, pushNote{key: c.Key, bucket: a.bucketOf(c), due: c.Due, id: a.id, noted: a.now})
	}
	if err := each(len(fresh), func(i int) error { return a.s.add(ctx, &fresh[i]) }); err != nil {
		return err
	}
	for _, n := range fresh {
		a.noted[n.key] = n
	}
	return nil
}

// add makes a note, in a partition that is listed.
func (s *PushStore) add(ctx context.Context, n *pushNote) error {
	insert := "INSERT INTO " + s.due + " (tbl, bucket, due, app, grp, name, note, noted) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
	table, none := []byte(n.key.Table), []byte{0}
	if id := fmt.Sprint(n.bucket, " ", n.key.Table); !s.buckets.has(id) {
		if err := s.session.Query(insert, table, bucketList, n.bucket, none, none, none, none, n.noted).Idempotent(true).ExecContext(ctx); err != nil {
			return err
		}
		s.buckets.add(id)
	}
	return s.session.Query(insert, table, n.bucket, n.due, []byte(n.key.App), []byte(n.key.Group), []byte(n.key.Name), []byte(n.id), n.noted).
		Idempotent(true).ExecContext(ctx)
}

// forgetNoted removes the notes of an Apply that was not made, and never will be.
func (a *applying) forgetNoted(ctx context.Context) {
	var notes []pushNote
	for _, n := range a.noted {
		notes = append(notes, n)
	}
	a.s.forget(ctx, notes)
}

// forget removes obsolete notes. If it fails they are removed later.
func (s *PushStore) forget(ctx context.Context, notes []pushNote) {
	_ = each(len(notes), func(i int) error { return s.remove(ctx, &notes[i]) })
}

func (s *PushStore) remove(ctx context.Context, n *pushNote) error {
	return s.session.Query("DELETE FROM "+s.due+" WHERE tbl = ? AND bucket = ? AND due = ? AND app = ? AND grp = ? AND name = ? AND note = ?",
		[]byte(n.key.Table), n.bucket, n.due, []byte(n.key.App), []byte(n.key.Group), []byte(n.key.Name), []byte(n.id)).
		WithTimestamp(time.Now().Add(clockError).UnixMicro()).Idempotent(true).ExecContext(ctx)
}
