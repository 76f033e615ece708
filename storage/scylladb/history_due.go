package scylladb

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// When a log will be due is noted in a table of its own, with a partition for each
// hour: before the log gets its first entry, and before its entries may stay less
// long. So every log that will be due has a note of a time that is not later. It may
// be earlier, or about a log that has no entries; so nothing is listed but what is
// due by its head, and a note of anything else is put in its place, or removed.
//
// A note of what is due already is in the hour in which it was made, so that old
// partitions get no notes any more and are forgotten when they are empty. One
// partition lists the others.
const (
	bucketSize = time.Hour
	bucketList = int64(-1)
	// settled is when a note is old enough to be judged: whoever has made it has added
	// the entries by then, or never will.
	settled = 10 * time.Minute
	// bucketAge is when a partition that is empty stays so.
	bucketAge = 3 * time.Hour
	// dueTimeout bounds one Due, which lists then what it has found.
	dueTimeout = 5 * time.Second
	// dueStep is how many notes are looked at together.
	dueStep = 100
	// maxBuckets bounds the partitions that are remembered as listed.
	maxBuckets = 1000
)

// buckets are the partitions that this process has put into the list.
type buckets[K comparable] struct {
	mu     sync.Mutex
	listed map[K]bool
}

func (b *buckets[K]) has(bucket K) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listed[bucket]
}

func (b *buckets[K]) add(bucket K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listed == nil || len(b.listed) >= maxBuckets {
		b.listed = map[K]bool{}
	}
	b.listed[bucket] = true
}

// note is a row of the table of what is due.
type note struct {
	bucket, due int64
	log, id     []byte
	noted       int64
}

// addDue notes when a log will be due.
func (h *History) addDue(ctx context.Context, log []byte, due int64) error {
	now := time.Now().UnixMilli()
	bucket := max(due, now) / bucketSize.Milliseconds()
	insert := "INSERT INTO " + h.due + " (bucket, due, log, note, noted) VALUES (?, ?, ?, ?, ?)"
	if !h.buckets.has(bucket) {
		if err := h.session.Query(insert, bucketList, bucket, []byte{0}, []byte{0}, now).Idempotent(true).ExecContext(ctx); err != nil {
			return err
		}
		h.buckets.add(bucket)
	}
	return h.session.Query(insert, bucket, due, log, []byte(rand.Text()), now).Idempotent(true).ExecContext(ctx)
}

// Due implements storage.History.
func (h *History) Due(ctx context.Context, now time.Time, limit int) ([]storage.LogKey, error) {
	outer := ctx
	ctx, done, err := h.begin(ctx, dueTimeout)
	if err != nil {
		return nil, err
	}
	defer done()
	if limit <= 0 {
		return nil, nil
	}
	f := &finding{h: h, now: now.UnixMilli(), limit: limit, found: map[storage.LogKey]bool{}}
	err = f.all(ctx)
	if len(f.list) > 0 && outer.Err() == nil && h.open.Err() == nil {
		return f.list, nil // the others are found next time
	}
	return f.list, h.fail(ctx, err)
}

// finding is one search for what is due.
type finding struct {
	h     *History
	now   int64
	limit int
	list  []storage.LogKey
	found map[storage.LogKey]bool
}

func (f *finding) all(ctx context.Context) error {
	last := max(f.now, time.Now().UnixMilli()) / bucketSize.Milliseconds()
	rows := f.h.session.Query("SELECT due FROM "+f.h.due+" WHERE bucket = ? AND due <= ?", bucketList, last).Idempotent(true).IterContext(ctx)
	var buckets []int64
	for bucket := int64(0); rows.Scan(&bucket); {
		buckets = append(buckets, bucket)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, bucket := range buckets {
		if err := f.in(ctx, bucket); err != nil || len(f.list) >= f.limit {
			return err
		}
	}
	return nil
}

// in searches one partition.
func (f *finding) in(ctx context.Context, bucket int64) error {
	rows := f.h.session.Query("SELECT due, log, note, noted FROM "+f.h.due+" WHERE bucket = ? AND due < ?", bucket, f.now).Idempotent(true).IterContext(ctx)
	none := true
	for more := true; more && len(f.list) < f.limit; {
		var some []note
		for len(some) < dueStep {
			n := note{bucket: bucket}
			if more = rows.Scan(&n.due, &n.log, &n.id, &n.noted); !more {
				break
			}
			some = append(some, n)
		}
		none = none && len(some) == 0
		if err := f.judge(ctx, some); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	end := time.UnixMilli((bucket + 1) * bucketSize.Milliseconds())
	if none && f.now >= end.UnixMilli() && time.Since(end) > bucketAge {
		return f.h.session.Query("DELETE FROM "+f.h.due+" WHERE bucket = ? AND due = ?", bucketList, bucket).Idempotent(true).ExecContext(ctx)
	}
	return nil
}

// judge looks at the logs of some notes.
func (f *finding) judge(ctx context.Context, some []note) error {
	due := make([]bool, len(some))
	err := each(len(some), func(i int) (err error) {
		due[i], err = f.h.isDue(ctx, &some[i], f.now)
		return err
	})
	for i, is := range due {
		if key := keyOf(some[i].log); is && !f.found[key] && len(f.list) < f.limit {
			f.found[key] = true
			f.list = append(f.list, key)
		}
	}
	return err
}

// isDue reports whether the log of a note is due. A note of one that is not is put in
// its place when it has settled.
func (h *History) isDue(ctx context.Context, n *note, now int64) (bool, error) {
	l, err := h.head(ctx, n.log, gocql.LocalQuorum)
	if err != nil {
		return false, err
	}
	due := int64(0)
	if !l.empty() && l.keep > 0 {
		first, err := h.entry(ctx, n.log, l.Stream, l.First, gocql.LocalQuorum)
		if errors.Is(err, errHole) { // others trim
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if due = dueAt(first.At, l.keep); due < now {
			return true, nil
		}
	}
	if time.Since(time.UnixMilli(n.noted)) < settled {
		return false, nil
	}
	if l.Stream != "" {
		if err := h.tidy(ctx, n.log, l); err != nil { // what somebody has left who was stopped
			return false, err
		}
	}
	if due > 0 {
		if err := h.addDue(ctx, n.log, due); err != nil {
			return false, err
		}
	}
	return false, h.session.Query("DELETE FROM "+h.due+" WHERE bucket = ? AND due = ? AND log = ? AND note = ?", n.bucket, n.due, n.log, n.id).
		Idempotent(true).ExecContext(ctx)
}
