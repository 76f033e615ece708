package sql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"math"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// trimEntries and trimBytes bound what one transaction removes, unless one entry is
	// larger.
	trimEntries = 1000
	trimBytes   = 16 << 20
	// sweepSteps bounds the transactions that one Due makes to remove what is left of
	// logs that were reset.
	sweepSteps = 20
)

// Trim implements storage.History. Whoever appends to the log waits for one step at most.
func (h *History) Trim(ctx context.Context, key storage.LogKey, stream string, before uint64) error {
	for done := false; !done; {
		err := h.change(ctx, 0, func(tx *transaction) error {
			l, err := h.lockOne(tx, key, stream)
			if err != nil || l == nil {
				done = err == nil
				return err
			}
			done, err = h.trimSome(tx, l, before)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trimSome removes some of the oldest entries of a log. done says that none is left to
// remove.
func (h *History) trimSome(tx *transaction, l *logRow, before uint64) (done bool, err error) {
	if l.first >= before || !l.holds() {
		return true, nil
	}
	to, at, size, n := l.first, int64(0), 0, 0
	full := false // to is an entry that stays for now, and at is when it was published
	err = tx.query(func(scan func(...any) error) error {
		var serial uint64
		var bytes int
		var published int64
		if err := scan(&serial, &bytes, &published); err != nil || full {
			return err
		}
		if serial >= before || n > 0 && (n == trimEntries || size+bytes > trimBytes) {
			full, at = true, published
			return nil
		}
		to, size, n = serial+1, size+bytes, n+1
		return nil
	}, h.text("SELECT serial, size_bytes, at_ms FROM {entries} WHERE log_id = ? AND serial >= ? ORDER BY serial LIMIT ?"), l.id, int64(l.first), trimEntries+1)
	if err != nil {
		return false, err
	}
	if _, err := tx.exec(h.text("DELETE FROM {entries} WHERE log_id = ? AND serial < ?"), l.id, int64(to)); err != nil {
		return false, err
	}
	l.first, l.firstAt = to, at
	if !full {
		l.first = l.serial + 1
	}
	_, err = tx.exec(h.text("UPDATE {logs} SET first_serial = ?, first_at = ?, due_at = CASE WHEN due_at = ? THEN due_at ELSE ? END WHERE id = ?"),
		int64(l.first), l.firstAt, dueGone, l.due(), l.id)
	return l.first >= before || !l.holds(), err
}

// Reset implements storage.History. The log goes in one step, and its entries, which
// nobody sees any more, in others: what is left of them when ctx ends is removed by Due.
func (h *History) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	old, err := h.replace(ctx, key, fresh)
	if err != nil || old == 0 {
		return err
	}
	for {
		if done, err := h.sweep(ctx, old); done || err != nil {
			return nil //nolint:nilerr // the log is reset, and Due says what keeps its entries
		}
	}
}

// replace begins a log in the place of another, whose row it returns, or zero.
func (h *History) replace(ctx context.Context, key storage.LogKey, fresh string) (old int64, err error) {
	sum := sumOf(key)
	err = h.change(ctx, 0, func(tx *transaction) error {
		old = 0
		found, err := h.lock(tx, [][sha256.Size]byte{sum})
		if err != nil {
			return err
		}
		if l := found[sum]; l != nil {
			old = l.id
			other := make([]byte, sha256.Size)
			_, _ = rand.Read(other) // never fails
			if _, err := tx.exec(h.text("UPDATE {logs} SET key_sum = ?, due_at = ? WHERE id = ?"), other, dueGone, l.id); err != nil {
				return err
			}
		}
		_, err = tx.exec(h.text("INSERT INTO {logs} (key_sum, app, channel, stream) VALUES (?, ?, ?, ?)"), sum[:], []byte(key.App), []byte(key.Channel), []byte(fresh))
		return err
	})
	return old, err
}

// sweep removes some of what a log held that was reset, and its row in the end.
func (h *History) sweep(ctx context.Context, id int64) (done bool, err error) {
	err = h.change(ctx, 0, func(tx *transaction) error {
		var l *logRow
		done = true
		err := tx.query(func(scan func(...any) error) (err error) {
			l, err = scanLog(scan)
			return err
		}, h.text("SELECT "+logColumns+" FROM {logs} WHERE id = ? AND due_at = ?"+h.locking()), id, dueGone)
		if err != nil || l == nil {
			return err
		}
		if done, err = h.trimSome(tx, l, math.MaxInt64); err != nil || !done {
			return err
		}
		_, err = tx.exec(h.text("DELETE FROM {logs} WHERE id = ?"), id)
		return err
	})
	return done, err
}

// sweepAll removes some of what all logs held that were reset.
func (h *History) sweepAll(ctx context.Context) error {
	var gone []int64
	err := h.ask(ctx, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		gone = append(gone, id)
		return err
	}, "SELECT id FROM {logs} WHERE due_at = ? ORDER BY id LIMIT ?", dueGone, sweepSteps)
	for steps := 0; err == nil && len(gone) > 0 && steps < sweepSteps; steps++ {
		var done bool
		if done, err = h.sweep(ctx, gone[0]); done {
			gone = gone[1:]
		}
	}
	return err
}

// Mark implements storage.History.
func (h *History) Mark(ctx context.Context, key storage.LogKey, stream string, state storage.LogState) error {
	sum := sumOf(key)
	return h.change(ctx, 0, func(tx *transaction) error {
		_, err := tx.exec(h.text("UPDATE {logs} SET state_name = ?, state_reason = ?, state_node = ?, state_since = ? WHERE key_sum = ? AND stream = ? AND state_since < ?"),
			[]byte(state.Name), []byte(state.Reason), []byte(state.Node), state.Since, sum[:], []byte(stream), state.Since)
		return err
	})
}
