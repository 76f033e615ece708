package sql

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// entryColumns are those of an entry, but for its log and its payload.
	entryColumns = "serial, row_no, is_row, at_ms, total_bytes, size_bytes, subject, once_key"
	// ofLog says which entries are meant, by the key and the id of the log. It is a
	// statement within one, and no join, so that databases see that the entries of the
	// one log are in the order of the index.
	ofLog = "log_id = (SELECT id FROM {logs} WHERE key_sum = ? AND stream = ?)"
)

// scanEntry reads the columns of an entry, between others.
func scanEntry(scan func(...any) error, before any, after ...any) (e storage.LogEntry, err error) {
	var subject, once []byte
	var isRow int
	to := []any{&e.Serial, &e.Row, &isRow, &e.At, &e.Total, &e.Size, &subject, &once}
	if before != nil {
		to = append([]any{before}, to...)
	}
	err = scan(append(to, after...)...)
	e.IsRow, e.Subject, e.Once = isRow == 1, string(subject), string(once)
	return e, err
}

// Read implements storage.History.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) (entries []storage.LogEntry, err error) {
	if err := h.usable(ctx); err != nil || q.Limit <= 0 {
		return nil, err
	}
	from, to := q.From, uint64(math.MaxInt64)
	if q.To != 0 {
		to = min(to, q.To)
	}
	// Rows, times and totals grow with the serials: they are looked for by halves, and
	// need no index that every append would have to pay for.
	if q.FromRow > 0 || q.FromAt > 0 || q.FromTotal > 0 {
		first, found, err := h.search(ctx, key, stream, from, to, "e.row_no >= ? AND e.at_ms >= ? AND e.total_bytes >= ?", bounded(q.FromRow), q.FromAt, bounded(q.FromTotal))
		if err != nil {
			return nil, err
		}
		if found {
			from = first
		}
	}
	if q.ToRow > 0 || q.ToAt > 0 {
		above, found, err := h.search(ctx, key, stream, from, to, "e.row_no > ? OR e.at_ms > ?", orMost(bounded(q.ToRow)), orMost(q.ToAt))
		if err != nil {
			return nil, err
		}
		if found && above > 0 {
			to = min(to, above-1)
		}
	}
	if from > to {
		return nil, nil
	}
	statement, args := page(&q, from, to)
	sum := sumOf(key)
	err = h.ask(ctx, func(scan func(...any) error) error {
		var payload []byte
		var after []any
		if !q.Bare {
			after = append(after, &payload)
		}
		e, err := scanEntry(scan, nil, after...)
		e.Payload = payload
		entries = append(entries, e)
		return err
	}, statement, append([]any{sum[:], []byte(stream)}, args...)...)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// bounded is a number as databases have it.
func bounded(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// orMost is a bound that is never reached if there is none.
func orMost(n int64) int64 {
	if n <= 0 {
		return math.MaxInt64
	}
	return n
}

// page is the statement that reads the entries of a query from one serial to another. It
// has all bounds of the query besides, because entries may have been added since those
// two were found.
func page(q *storage.LogQuery, from, to uint64) (statement string, args []any) {
	var b strings.Builder
	b.WriteString("SELECT " + entryColumns)
	if !q.Bare {
		b.WriteString(", payload")
	}
	b.WriteString(" FROM {entries} WHERE " + ofLog + " AND serial >= ? AND serial <= ?")
	args = append(args, bounded(from), bounded(to))
	for _, one := range []struct {
		set   bool
		where string
		value any
	}{
		{q.FromRow > 0, "row_no >= ?", bounded(q.FromRow)},
		{q.ToRow > 0, "row_no <= ?", bounded(q.ToRow)},
		{q.FromAt > 0, "at_ms >= ?", q.FromAt},
		{q.ToAt > 0, "at_ms <= ?", q.ToAt},
		{q.FromTotal > 0, "total_bytes >= ?", bounded(q.FromTotal)},
		{q.Subject != "", "subject = ?", []byte(q.Subject)},
	} {
		if one.set {
			b.WriteString(" AND " + one.where)
			args = append(args, one.value)
		}
	}
	if q.Rows {
		b.WriteString(" AND is_row = 1")
	}
	b.WriteString(" ORDER BY serial")
	if q.Reverse {
		b.WriteString(" DESC")
	}
	b.WriteString(" LIMIT ?")
	return b.String(), append(args, int64(q.Limit))
}

// search finds the serial of the first entry between two that is as asked, and the one
// after the last if there is none. All after one that is are. It is one statement, which
// halves what is left some twenty times for a million entries.
func (h *History) search(ctx context.Context, key storage.LogKey, stream string, from, to uint64, is string, values ...any) (serial uint64, found bool, err error) {
	half := "/"
	if h.dialect == MySQL {
		half = "DIV"
	}
	statement := `WITH RECURSIVE span (log_id, low, high) AS (
			SELECT id, CASE WHEN first_serial > ? THEN first_serial ELSE ? END, CASE WHEN last_serial < ? THEN last_serial ELSE ? END + 1
			FROM {logs} WHERE key_sum = ? AND stream = ?
		UNION ALL
			SELECT span.log_id, CASE WHEN ` + is + ` THEN span.low ELSE e.serial + 1 END, CASE WHEN ` + is + ` THEN e.serial ELSE span.high END
			FROM span JOIN {entries} e ON e.log_id = span.log_id AND e.serial = span.low + (span.high - span.low) ` + half + ` 2
			WHERE span.low < span.high
		) SELECT low FROM span WHERE low >= high`
	sum := sumOf(key)
	low, high := bounded(from), min(bounded(to), math.MaxInt64-1)
	args := []any{low, low, high, high, sum[:], []byte(stream)}
	err = h.ask(ctx, func(scan func(...any) error) error {
		found = true
		return scan(&serial)
	}, statement, slices.Concat(args, values, values)...)
	return serial, found, err
}

// Latest implements storage.History. It is one statement for each 128 subjects.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	if err := h.usable(ctx); err != nil {
		return nil, err
	}
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	if len(subjects) > 0 && subjects[0] == "" {
		subjects = subjects[1:]
	}
	latest := map[string]storage.LogEntry{}
	for some := range slices.Chunk(subjects, maxPiece) {
		statement, args := h.latest(key, stream, padded(h.dialect, some))
		err := h.ask(ctx, func(scan func(...any) error) error {
			var payload []byte
			e, err := scanEntry(scan, nil, &payload)
			e.Payload = payload
			latest[e.Subject] = e
			return err
		}, statement, args...)
		if err != nil {
			return nil, err
		}
	}
	return latest, nil
}

// latest is the statement that reads the newest entries of some subjects. MySQL jumps
// through an index from group to group, and is slow with what is made of many queries.
// The others would read all entries of the subjects for groups.
func (h *History) latest(key storage.LogKey, stream string, subjects []string) (statement string, args []any) {
	sum := sumOf(key)
	if h.dialect == MySQL {
		args = append(args, sum[:], []byte(stream))
		for _, subject := range subjects {
			args = append(args, []byte(subject))
		}
		return `SELECT e.serial, e.row_no, e.is_row, e.at_ms, e.total_bytes, e.size_bytes, e.subject, e.once_key, e.payload
			FROM (SELECT log_id, MAX(serial) AS serial FROM {entries} WHERE ` + ofLog + " AND subject IN (" + marks(len(subjects)) + `) GROUP BY log_id, subject) newest
			JOIN {entries} e ON e.log_id = newest.log_id AND e.serial = newest.serial`, args
	}
	parts := make([]string, len(subjects))
	for i, subject := range subjects {
		parts[i] = "SELECT * FROM (SELECT " + entryColumns + ", payload FROM {entries} WHERE " + ofLog + " AND subject = ? ORDER BY serial DESC LIMIT 1) AS s" + strconv.Itoa(i)
		args = append(args, sum[:], []byte(stream), []byte(subject))
	}
	return strings.Join(parts, " UNION ALL "), args
}

// Due implements storage.History. It also removes some of what logs held that were reset,
// if Reset has not come to its end.
func (h *History) Due(ctx context.Context, now time.Time, limit int) (due []storage.LogKey, err error) {
	if err := h.sweepAll(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	err = h.ask(ctx, func(scan func(...any) error) error {
		var app, channel []byte
		err := scan(&app, &channel)
		due = append(due, storage.LogKey{App: string(app), Channel: string(channel)})
		return err
	}, "SELECT app, channel FROM {logs} WHERE due_at >= 0 AND due_at < ? ORDER BY due_at LIMIT ?", now.UnixMilli(), int64(limit))
	return due, err
}
