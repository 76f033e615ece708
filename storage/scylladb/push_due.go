package scylladb

import (
	"context"
	"errors"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Due implements storage.PushStore. What it has found when its time is over it lists.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) ([]storage.PushRecord, error) {
	outer := ctx
	ctx, done, err := s.begin(ctx, dueTimeout)
	if err != nil {
		return nil, err
	}
	defer done()
	if limit <= 0 || table == "" {
		return nil, nil
	}
	f := &pushFinding{s: s, table: table, now: now, limit: limit, found: map[storage.PushKey]bool{}}
	err = f.all(ctx)
	if len(f.list) > 0 && outer.Err() == nil && s.open.Err() == nil {
		return f.list, nil // the others are found next time
	}
	return f.list, s.fail(ctx, err)
}

// pushFinding is one search for what is due: through all partitions together, the
// earliest first, since a note of what was due already is in a later one.
type pushFinding struct {
	s     *PushStore
	table string
	now   int64
	limit int
	parts []*pushPart
	list  []storage.PushRecord
	found map[storage.PushKey]bool
}

// pushPart is how far a partition has been read.
type pushPart struct {
	bucket int64
	rows   *gocql.Iter
	next   *pushNote // nil after the last one
	none   bool      // there was not one
}

func (f *pushFinding) all(ctx context.Context) error {
	last := max(f.now, time.Now().UnixMilli()) / bucketSize.Milliseconds()
	rows := f.s.session.Query("SELECT due FROM "+f.s.due+" WHERE tbl = ? AND bucket = ? AND due <= ?", []byte(f.table), bucketList, last).
		Idempotent(true).IterContext(ctx)
	for bucket := int64(0); rows.Scan(&bucket); {
		f.parts = append(f.parts, &pushPart{bucket: bucket})
	}
	if err := rows.Close(); err != nil {
		return err
	}
	err := each(len(f.parts), func(i int) error {
		f.begin(ctx, f.parts[i])
		return nil
	})
	for more := true; more && err == nil && len(f.list) < f.limit; {
		var some []*pushNote
		for more && len(some) < min(dueStep, f.limit-len(f.list)) {
			n := f.earliest()
			if more = n != nil; more {
				some = append(some, n)
			}
		}
		err = f.judge(ctx, some)
	}
	for _, p := range f.parts {
		failed := p.rows.Close()
		if err = errors.Join(err, failed); err == nil && p.none {
			err = f.unlist(ctx, p.bucket)
		}
	}
	return err
}

// begin begins to read a partition.
func (f *pushFinding) begin(ctx context.Context, p *pushPart) {
	p.rows = f.s.session.Query("SELECT due, app, grp, name, note, noted FROM "+f.s.due+" WHERE tbl = ? AND bucket = ? AND due <= ?", []byte(f.table), p.bucket, f.now).
		Idempotent(true).IterContext(ctx)
	f.step(p)
	p.none = p.next == nil
}

func (f *pushFinding) step(p *pushPart) {
	n := &pushNote{bucket: p.bucket, key: storage.PushKey{Table: f.table}}
	if p.next = nil; p.rows.Scan(&n.due, &n.key.App, &n.key.Group, &n.key.Name, &n.id, &n.noted) {
		p.next = n
	}
}

// earliest takes the earliest note that is left, nil if there is none.
func (f *pushFinding) earliest() *pushNote {
	var from *pushPart
	for _, p := range f.parts {
		if p.next != nil && (from == nil || p.next.due < from.next.due) {
			from = p
		}
	}
	if from == nil {
		return nil
	}
	n := from.next
	f.step(from)
	return n
}

// judge looks at the records of some notes. A note that none is of is removed when it has
// settled.
func (f *pushFinding) judge(ctx context.Context, some []*pushNote) error {
	there, err := f.s.find(ctx, keysNoted(some), howRead{full: true})
	if err != nil {
		return err
	}
	var old []*pushNote
	for _, n := range some {
		switch r := there[n.key]; {
		case r == nil || r.note != n.id:
			if time.Since(time.UnixMilli(n.noted)) > settled {
				old = append(old, n)
			}
		case !f.found[n.key]:
			f.found[n.key] = true
			f.list = append(f.list, r.PushRecord)
		}
	}
	if len(old) == 0 {
		return nil
	}
	if there, err = f.s.find(ctx, keysNoted(old), howRead{level: gocql.Serial}); err != nil { // a quorum here may not know of it yet
		return err
	}
	var obsolete []pushNote
	for _, n := range old {
		if r := there[n.key]; r == nil || r.note != n.id {
			obsolete = append(obsolete, *n)
		}
	}
	f.s.forget(ctx, obsolete)
	return nil
}

func keysNoted(notes []*pushNote) []storage.PushKey {
	keys := make([]storage.PushKey, 0, len(notes))
	for _, n := range notes {
		keys = append(keys, n.key)
	}
	return keys
}

// unlist forgets a partition that is empty and gets no notes any more.
func (f *pushFinding) unlist(ctx context.Context, bucket int64) error {
	end := time.UnixMilli((bucket + 1) * bucketSize.Milliseconds())
	if f.now < end.UnixMilli() || time.Since(end) <= bucketAge {
		return nil
	}
	return f.s.session.Query("DELETE FROM "+f.s.due+" WHERE tbl = ? AND bucket = ? AND due = ?", []byte(f.table), bucketList, bucket).Idempotent(true).ExecContext(ctx)
}
