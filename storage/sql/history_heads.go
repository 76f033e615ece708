package sql

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// dueGone is the due_at of a log that was reset.
const dueGone = -1

// logColumns are what a transaction needs to know of a log.
const logColumns = "id, key_sum, stream, last_serial, last_row, last_at, last_total, first_serial, first_at, keep_ms"

// logRow is the row of a log that a transaction has locked.
type logRow struct {
	id     int64
	sum    [sha256.Size]byte
	key    storage.LogKey
	stream string
	// serial, row, at and total are those of the newest entry there ever was.
	serial, row uint64
	at          int64
	total       uint64
	// first and firstAt are those of the oldest entry that is kept.
	first   uint64
	firstAt int64
	keep    int64 // in milliseconds
	// begun says that this transaction has made the row, and grown that it has added
	// an entry.
	begun, grown bool
}

// sumOf is the hash by which a log is found. No two keys have the same.
func sumOf(key storage.LogKey) [sha256.Size]byte {
	text := binary.AppendUvarint(nil, uint64(len(key.App)))
	return sha256.Sum256(append(append(text, key.App...), key.Channel...))
}

func scanLog(scan func(...any) error) (*logRow, error) {
	var sum, stream []byte
	l := new(logRow)
	err := scan(&l.id, &sum, &stream, &l.serial, &l.row, &l.at, &l.total, &l.first, &l.firstAt, &l.keep)
	l.stream = string(stream)
	copy(l.sum[:], sum)
	return l, err
}

// due is when the oldest entry is due to go, null for never.
func (l *logRow) due() any {
	if l.keep <= 0 || l.first > l.serial {
		return nil
	}
	if l.firstAt > math.MaxInt64-l.keep {
		return int64(math.MaxInt64)
	}
	return max(0, l.firstAt+l.keep)
}

// milliseconds is a time to keep, never less than it says.
func milliseconds(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

// locking ends a statement that reads rows of logs, so that nobody else changes them
// until the transaction ends. In SQLite nobody does in any case.
func (h *History) locking() string {
	if h.dialect == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// lock locks the logs of some sums that are there. All transactions lock in the order of
// the sums, so that they do not wait for each other in a circle.
func (h *History) lock(tx *transaction, sums [][sha256.Size]byte) (map[[sha256.Size]byte]*logRow, error) {
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	hint := ""
	if h.dialect == MySQL { // a scan of the table would lock all of it
		hint = " FORCE INDEX (key_sum)"
	}
	found := map[[sha256.Size]byte]*logRow{}
	for some := range slices.Chunk(sums, maxPiece) {
		some = padded(h.dialect, some)
		args := make([]any, len(some))
		for i := range some {
			args[i] = some[i][:]
		}
		statement := "SELECT " + logColumns + " FROM {logs}" + hint + " WHERE key_sum IN (" + marks(len(some)) + ") ORDER BY key_sum" + h.locking()
		err := tx.query(func(scan func(...any) error) error {
			l, err := scanLog(scan)
			if err == nil {
				found[l.sum] = l
			}
			return err
		}, h.text(statement), args...)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// lockOne locks one log, which is nil if there is none with that id.
func (h *History) lockOne(tx *transaction, key storage.LogKey, stream string) (*logRow, error) {
	sum := sumOf(key)
	found, err := h.lock(tx, [][sha256.Size]byte{sum})
	if l := found[sum]; err == nil && l != nil && l.stream == stream {
		return l, nil
	}
	return nil, err
}

// begin makes the rows of logs by the ids that they are to have, unless somebody else
// does.
func (h *History) begin(tx *transaction, fresh []*logRow) error {
	absent := " ON CONFLICT (key_sum) DO NOTHING"
	if h.dialect == MySQL {
		absent = " ON DUPLICATE KEY UPDATE id = id"
	}
	slices.SortFunc(fresh, func(a, b *logRow) int { return slices.Compare(a.sum[:], b.sum[:]) })
	for len(fresh) > 0 {
		n := h.dialect.pieceOf(len(fresh))
		args := make([]any, 0, 4*n)
		for _, l := range fresh[:n] {
			args = append(args, l.sum[:], []byte(l.key.App), []byte(l.key.Channel), []byte(l.stream))
		}
		if _, err := tx.exec(h.text("INSERT INTO {logs} (key_sum, app, channel, stream) VALUES "+tuples(n, 4)+absent), args...); err != nil {
			return err
		}
		fresh = fresh[n:]
	}
	return nil
}

// settle writes where logs stand. Many are written at once by adding rows that are
// there already, which all dialects can.
func (h *History) settle(tx *transaction, logs []*logRow) error {
	if h.dialect == SQLite || len(logs) == 1 {
		for _, l := range logs {
			_, err := tx.exec(h.text(`UPDATE {logs} SET last_serial = ?, last_row = ?, last_at = ?, last_total = ?, first_serial = ?, first_at = ?, keep_ms = ?, due_at = ?
				WHERE id = ?`), append(l.values(), l.id)...)
			if err != nil {
				return err
			}
		}
		return nil
	}
	replace, of := " ON CONFLICT (id) DO UPDATE SET ", "excluded.%"
	if h.dialect == MySQL {
		replace, of = " ON DUPLICATE KEY UPDATE ", "VALUES(%)"
	}
	names := []string{"last_serial", "last_row", "last_at", "last_total", "first_serial", "first_at", "keep_ms", "due_at"}
	sets := make([]string, len(names))
	for i, name := range names {
		sets[i] = name + " = " + strings.ReplaceAll(of, "%", name)
	}
	slices.SortFunc(logs, func(a, b *logRow) int { return cmp.Compare(a.id, b.id) })
	for len(logs) > 0 {
		n := h.dialect.pieceOf(len(logs))
		var args []any
		for _, l := range logs[:n] {
			args = append(args, l.id, l.sum[:], []byte(l.key.App), []byte(l.key.Channel), []byte(l.stream))
			args = append(args, l.values()...)
		}
		statement := "INSERT INTO {logs} (id, key_sum, app, channel, stream, " + strings.Join(names, ", ") + ") VALUES " + tuples(n, 5+len(names)) + replace + strings.Join(sets, ", ")
		if _, err := tx.exec(h.text(statement), args...); err != nil {
			return err
		}
		logs = logs[n:]
	}
	return nil
}

// values are what settle writes.
func (l *logRow) values() []any {
	return []any{int64(l.serial), int64(l.row), l.at, int64(l.total), int64(l.first), l.firstAt, l.keep, l.due()}
}

// marks are n question marks.
func marks(n int) string { return strings.Repeat("?, ", n-1) + "?" }

// tuples are n rows of so many values.
func tuples(n, values int) string {
	one := "(" + marks(values) + ")"
	return strings.Repeat(one+", ", n-1) + one
}
