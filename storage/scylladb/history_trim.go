package scylladb

import (
	"context"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// trimTimeout bounds one Trim or Reset, which may have much to remove.
	trimTimeout = time.Minute
	// trimStep is how many entries are removed by one statement.
	trimStep = 200
	// clockError is how far the clocks of nodes may be apart. What is removed was written
	// before, by the clock of another node; since it is never written again, it is
	// removed as of a later time.
	clockError = time.Minute
)

// Trim implements storage.History. It says first, in one transaction, what does not
// count any more, and then removes that.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	return h.change(ctx, key, trimTimeout, func(ctx context.Context, log []byte, l *logHead) (*logHead, bool, error) {
		if l.Stream != stream || l.Stream == "" {
			return nil, true, nil
		}
		if first := min(before, l.Serial+1); first > l.First {
			applied, err := h.cas(ctx, "UPDATE "+h.table+" SET first = ?"+itsKey+" IF current = ? AND first = ?",
				append(append([]any{first}, headKey(log)...), []byte(stream), l.First)...)
			if err != nil || !applied {
				return nil, false, err
			}
			l.First = first
		}
		return l, true, nil
	})
}

// Reset implements storage.History.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	if err := (&storage.LogAppend{Key: key, Fresh: fresh}).Check(); err != nil {
		return err
	}
	return h.change(ctx, key, trimTimeout, func(ctx context.Context, log []byte, l *logHead) (*logHead, bool, error) {
		if l.Stream == fresh {
			return l, true, nil // by an attempt before
		}
		next := &logHead{LogHead: storage.LogHead{Stream: fresh, First: 1}, gone: l.Stream}
		if l.Stream == "" {
			statement, args := h.began(log, next)
			applied, err := h.cas(ctx, statement, args...)
			return nil, applied, err
		}
		if l.gone != "" { // before it is forgotten that something is left
			if err := h.tidy(ctx, log, l); err != nil {
				return nil, false, err
			}
		}
		statement := "UPDATE " + h.table + " SET " + strings.Join(headColumns, " = ?, ") + " = ?" + itsKey + " IF current = ?"
		applied, err := h.cas(ctx, statement, slices.Concat(next.values(), headKey(log), []any{[]byte(l.Stream)})...)
		return next, applied, err
	})
}

// Mark implements storage.History.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	return h.change(ctx, key, callTimeout, func(ctx context.Context, log []byte, l *logHead) (*logHead, bool, error) {
		if l.Stream != stream || l.Stream == "" || state.Since <= l.State.Since {
			return nil, true, nil
		}
		args := []any{[]byte(state.Name), []byte(state.Reason), []byte(state.Node), state.Since}
		applied, err := h.cas(ctx, "UPDATE "+h.table+" SET state_name = ?, state_reason = ?, state_node = ?, state_since = ?"+itsKey+" IF current = ? AND state_since = ?",
			append(append(args, headKey(log)...), []byte(stream), l.State.Since)...)
		return nil, applied, err
	})
}

// tidy removes what does not count any more, by a head that may have changed since:
// what did not count then will never count again.
func (h *History) tidy(ctx context.Context, log []byte, l *logHead) error {
	if l.gone != "" {
		if err := h.removed().Query("DELETE FROM "+h.table+" WHERE log = ? AND stream = ?", log, []byte(l.gone)).ExecContext(ctx); err != nil {
			return err
		}
		_, err := h.cas(ctx, "UPDATE "+h.table+" SET gone = ?"+itsKey+" IF gone = ?", append(append([]any{[]byte{}}, headKey(log)...), []byte(l.gone))...)
		if err != nil && !isUncertain(err) { // if it stays, it is removed once more
			return err
		}
	}
	for {
		n, err := h.tidyStep(ctx, log, l)
		if err != nil || n < trimStep {
			return err
		}
	}
}

// tidyStep removes the oldest entries that do not count, and reports how many.
func (h *History) tidyStep(ctx context.Context, log []byte, l *logHead) (n int, err error) {
	b := h.removed()
	remove := "DELETE FROM " + h.table
	rows := h.session.Query("SELECT serial, subject, once FROM "+h.table+ofPart+" AND serial < ? LIMIT ?",
		log, []byte(l.Stream), []byte(entryPart), l.First, trimStep).Idempotent(true).IterContext(ctx)
	last := uint64(0)
	for subject, once := "", ""; rows.Scan(&last, &subject, &once); n++ {
		if subject != "" {
			b.Query(remove+itsKey, log, []byte(l.Stream), []byte(subjectPart+subject), last)
		}
		if once != "" {
			b.Query(remove+itsKey, log, []byte(l.Stream), []byte(oncePart+once), last)
		}
	}
	if err := rows.Close(); err != nil || n == 0 {
		return 0, err
	}
	b.Query(remove+ofPart+" AND serial <= ?", log, []byte(l.Stream), []byte(entryPart), last)
	return n, b.ExecContext(ctx)
}

// removed is a batch that removes rows of one partition for good.
func (h *History) removed() *gocql.Batch {
	return h.session.Batch(gocql.UnloggedBatch).WithTimestamp(time.Now().Add(clockError).UnixMicro())
}
