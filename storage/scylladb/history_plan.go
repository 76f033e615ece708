package scylladb

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxBatch is how many entries are added by one transaction, and maxBatchBytes how
	// large their payloads are together, unless there is only one.
	maxBatch      = 64
	maxBatchBytes = 1 << 20
)

// plan is what a transaction is to do, planned from a head that must not have changed.
type plan struct {
	id       string // of what it writes
	head     logHead
	begins   bool // there is no head yet
	before   logHead
	verdicts []verdict // on each append that it is about
	entries  []*storage.LogEntry
	due      *int64 // when the log will be due, if that has to be noted
}

// verdict is what an append is answered with.
type verdict struct {
	entry storage.LogEntry
	err   error
}

// answer gives the appends that a plan is about their answers.
func (p *plan) answer(list []*storage.LogAppend) {
	for i, v := range p.verdicts {
		a := list[i]
		a.Err = v.err
		if v.entry.Serial > 0 {
			a.Entry, a.Stream = v.entry, p.head.Stream
			a.Entry.Payload = nil
		}
	}
}

// known is what the log has already of what appends ask about.
type known struct {
	once   map[string]storage.LogEntry
	newest map[string]uint64 // by subject
}

// some are the first appends of the list, as many as go into one transaction.
func (w *writing) some() []*storage.LogAppend {
	size := 0
	for i, a := range w.list {
		if size += len(a.Payload); i == maxBatch || i > 0 && size > maxBatchBytes {
			return w.list[:i]
		}
	}
	return w.list
}

// plan plans a transaction that adds the first appends of the list.
func (w *writing) plan(ctx context.Context, level gocql.Consistency) (*plan, error) {
	l, err := w.h.head(ctx, w.log, level)
	if err != nil {
		return nil, err
	}
	some := w.some()
	p := &plan{id: rand.Text(), begins: l.Stream == "", before: *l}
	if p.begins {
		l.Stream, l.First = some[0].Fresh, 1
	}
	p.head = *l
	k, err := w.lookup(ctx, &p.head, some)
	if err != nil {
		return nil, err
	}
	for _, a := range some {
		p.verdicts = append(p.verdicts, p.judge(a, k))
	}
	if len(p.entries) == 0 {
		return p, nil
	}
	return p, w.date(ctx, p)
}

// judge decides on an append, after those that were decided on before.
func (p *plan) judge(a *storage.LogAppend, k *known) verdict {
	if e, ok := k.once[a.Once]; ok && a.Once != "" {
		return verdict{e, storage.ErrExists}
	}
	if newest := k.newest[a.Subject]; a.After != nil && newest != *a.After {
		return verdict{err: fmt.Errorf("the newest entry is %d: %w", newest, storage.ErrConflict)}
	}
	l := &p.head
	l.Serial++
	l.At = max(a.At, l.At)
	if a.Row {
		l.Row++
		l.Total += uint64(len(a.Payload))
	}
	l.keep = a.Keep
	e := &storage.LogEntry{
		Serial: l.Serial, Row: l.Row, IsRow: a.Row, At: l.At, Total: l.Total, Size: len(a.Payload),
		Subject: a.Subject, Once: a.Once, Payload: a.Payload,
	}
	p.entries = append(p.entries, e)
	if a.Once != "" {
		k.once[a.Once] = *e
	}
	if a.Subject != "" {
		k.newest[a.Subject] = e.Serial
	}
	return verdict{entry: *e}
}

// lookup finds what the log has already of what appends ask about. It reads with the
// serial level: the transaction is on the condition that no entry has come meanwhile,
// so nothing may be overlooked that had come before.
func (w *writing) lookup(ctx context.Context, l *logHead, some []*storage.LogAppend) (*known, error) {
	k := &known{once: map[string]storage.LogEntry{}, newest: map[string]uint64{}}
	if l.empty() {
		return k, nil
	}
	var parts [][]byte
	for _, a := range some {
		if part := []byte(oncePart + a.Once); a.Once != "" && !slices.ContainsFunc(parts, func(p []byte) bool { return string(p) == string(part) }) {
			parts = append(parts, part)
		}
		if _, ok := k.newest[a.Subject]; a.After == nil || ok || a.Subject == "" {
			continue
		}
		newest, err := w.h.newest(ctx, w.log, l, a.Subject, gocql.Serial)
		if err != nil {
			return nil, err
		}
		k.newest[a.Subject] = newest
	}
	if len(parts) == 0 {
		return k, nil
	}
	serials, err := w.h.withOnce(ctx, w.log, l, parts)
	if err != nil {
		return nil, err
	}
	there, err := w.h.entries(ctx, w.log, l.Stream, serials, true, gocql.Serial)
	for _, e := range there {
		k.once[e.Once] = e
	}
	return k, err
}

// date says when the log will be due, if that is sooner than what was noted: because
// the log had no entries, or because they may stay less long than before.
func (w *writing) date(ctx context.Context, p *plan) error {
	keep, before := p.head.keep, &p.before
	if keep <= 0 || !before.empty() && before.keep > 0 && before.keep <= keep {
		return nil
	}
	at := p.entries[0].At
	if !before.empty() {
		first, err := w.h.entry(ctx, w.log, before.Stream, before.First, gocql.LocalQuorum)
		if err != nil {
			return err
		}
		at = first.At
	}
	p.due = new(dueAt(at, keep))
	return nil
}

// commit makes the transaction of a plan. It reports whether it was applied.
func (w *writing) commit(ctx context.Context, p *plan) (bool, error) {
	b := w.h.session.Batch(gocql.UnloggedBatch)
	if p.begins {
		statement, args := w.h.began(w.log, &p.head)
		b.Query(statement, args...)
	} else {
		l, before := &p.head, &p.before
		b.Query("UPDATE "+w.h.table+" SET last = ?, row_count = ?, at = ?, total = ?, keep = ?"+itsKey+" IF current = ? AND last = ? AND first = ?",
			slices.Concat([]any{l.Serial, l.Row, l.At, l.Total, l.keep}, headKey(w.log), []any{[]byte(before.Stream), before.Serial, before.First})...)
	}
	insert := "INSERT INTO " + w.h.table + " (log, stream, part, serial"
	full := insert + ", " + strings.Join(entryColumns, ", ") + ", payload, write_id) VALUES (?, ?, ?, ?" + strings.Repeat(", ?", len(entryColumns)+2) + ")"
	for _, e := range p.entries {
		key := func(part string) []any { return []any{w.log, []byte(p.head.Stream), []byte(part), e.Serial} }
		b.Query(full, append(key(entryPart), e.Row, e.IsRow, e.At, e.Total, e.Size, []byte(e.Subject), []byte(e.Once), append([]byte{}, e.Payload...), []byte(p.id))...)
		if e.Subject != "" {
			b.Query(insert+") VALUES (?, ?, ?, ?)", key(subjectPart+e.Subject)...)
		}
		if e.Once != "" {
			b.Query(insert+") VALUES (?, ?, ?, ?)", key(oncePart+e.Once)...)
		}
	}
	applied, rows, err := b.MapExecCASContext(ctx, map[string]any{})
	if rows != nil {
		_ = rows.Close()
	}
	return applied && err == nil, err
}

// dueAt is the time at which an entry is due to go, in Unix milliseconds.
func dueAt(at int64, keep time.Duration) int64 {
	ms := max(keep.Milliseconds(), 1)
	if at > math.MaxInt64-ms {
		return math.MaxInt64
	}
	return at + ms
}
