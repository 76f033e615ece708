package sql

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxStatement bounds the payloads that one statement adds, unless one alone is
	// larger, and maxAppend those of a transaction, in bytes.
	maxStatement = 1 << 20
	maxAppend    = 16 << 20
)

// Append implements storage.History. It is one transaction, unless the payloads are of
// more than 16 MiB.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	good := make([]*storage.LogAppend, 0, len(appends))
	for _, a := range appends {
		switch a.Err = a.Check(); {
		case a.Err != nil:
		case int64(len(a.Payload)) > h.maxSize:
			a.Err = fmt.Errorf("%s takes entries of at most %d bytes, by its max_allowed_packet, and not %d: %w", h.place, h.maxSize, len(a.Payload), storage.ErrTooLarge)
		default:
			good = append(good, a)
		}
	}
	for len(good) > 0 {
		n, size := 0, 0
		for n < len(good) && (n == 0 || size+len(good[n].Payload) <= maxAppend) {
			size += len(good[n].Payload)
			n++
		}
		h.appendSome(ctx, good[:n], int64(size))
		good = good[n:]
	}
}

func (h *History) appendSome(ctx context.Context, appends []*storage.LogAppend, size int64) {
	var b *appending
	err := h.change(ctx, size, func(tx *transaction) error {
		b = &appending{h: h, tx: tx, appends: appends, once: map[text]storage.LogEntry{}, newest: map[text]uint64{}, outcomes: make([]outcome, len(appends))}
		return b.run()
	})
	for i, a := range appends {
		if err != nil {
			a.Err = err
			continue
		}
		a.Entry, a.Stream, a.Err = b.outcomes[i].entry, b.outcomes[i].stream, b.outcomes[i].err
	}
}

// text is one within a log: a subject, or a once.
type text struct {
	log  int64
	text string
}

// outcome is what becomes of one append if the transaction is committed.
type outcome struct {
	entry  storage.LogEntry
	stream string
	err    error
}

// added is an entry to add.
type added struct {
	log     int64
	entry   storage.LogEntry
	payload []byte
}

// appending is an Append within a transaction.
type appending struct {
	h       *History
	tx      *transaction
	appends []*storage.LogAppend

	logs     []*logRow // that of each append
	once     map[text]storage.LogEntry
	newest   map[text]uint64
	added    []added
	outcomes []outcome
}

func (b *appending) run() error {
	for _, step := range []func() error{b.lockAll, b.findOnce, b.findNewest} {
		if err := step(); err != nil {
			return err
		}
	}
	for i, a := range b.appends {
		b.outcomes[i] = b.one(a, b.logs[i])
	}
	if err := b.insert(); err != nil {
		return err
	}
	var grown []*logRow
	for _, l := range slices.Compact(sorted(b.logs)) {
		switch {
		case l.grown:
			grown = append(grown, l)
		case l.begun && l.serial == 0: // nothing has come of it
			if _, err := b.tx.exec(b.h.text("DELETE FROM {logs} WHERE id = ?"), l.id); err != nil {
				return err
			}
		}
	}
	return b.h.settle(b.tx, grown)
}

// sorted brings the same logs together.
func sorted(logs []*logRow) []*logRow {
	return slices.SortedFunc(slices.Values(logs), func(a, b *logRow) int { return slices.Compare(a.sum[:], b.sum[:]) })
}

// lockAll locks the logs of all appends, and makes those that are not there.
func (b *appending) lockAll() error {
	sums := make([][sha256.Size]byte, len(b.appends))
	fresh := map[[sha256.Size]byte]*logRow{}
	for i, a := range b.appends {
		sums[i] = sumOf(a.Key)
		if fresh[sums[i]] == nil {
			fresh[sums[i]] = &logRow{sum: sums[i], key: a.Key, stream: a.Fresh}
		}
	}
	all := make([][sha256.Size]byte, 0, len(fresh))
	for sum := range fresh {
		all = append(all, sum)
	}
	found, err := b.h.lock(b.tx, all)
	if err != nil {
		return err
	}
	var absent []*logRow
	var missing [][sha256.Size]byte
	for _, sum := range all {
		if found[sum] == nil {
			absent, missing = append(absent, fresh[sum]), append(missing, sum)
		}
	}
	if len(absent) > 0 {
		if err := b.h.begin(b.tx, absent); err != nil {
			return err
		}
		begun, err := b.h.lock(b.tx, missing)
		if err != nil {
			return err
		}
		for sum, l := range begun {
			l.begun = l.stream == fresh[sum].stream
			found[sum] = l
		}
	}
	b.logs = make([]*logRow, len(sums))
	for i, sum := range sums {
		l := found[sum]
		if l == nil {
			return errAgain
		}
		l.key, b.logs[i] = b.appends[i].Key, l
	}
	return nil
}

// holds reports whether a log has entries.
func (l *logRow) holds() bool { return l.first <= l.serial }

// findOnce reads the entries that are there already.
func (b *appending) findOnce() error {
	var asked []text
	for i, a := range b.appends {
		if a.Once != "" && b.logs[i].holds() {
			asked = append(asked, text{b.logs[i].id, a.Once})
		}
	}
	return b.find(asked, "SELECT log_id, "+entryColumns+" FROM {entries} WHERE ", "log_id = ? AND once_key = ?", " OR ", func(_ []text, scan func(...any) error) error {
		var log int64
		e, err := scanEntry(scan, &log)
		b.once[text{log, e.Once}] = e
		return err
	})
}

// findNewest reads the serials of the newest entries of the subjects that matter.
func (b *appending) findNewest() error {
	var asked []text
	for i, a := range b.appends {
		if a.After != nil && a.Subject != "" && b.logs[i].holds() {
			asked = append(asked, text{b.logs[i].id, a.Subject})
		}
	}
	const newest = "SELECT %, COALESCE(MAX(serial), 0) FROM {entries} WHERE log_id = ? AND subject = ?"
	return b.find(asked, "", newest, " UNION ALL ", func(asked []text, scan func(...any) error) error {
		var i int
		var serial uint64
		err := scan(&i, &serial)
		b.newest[asked[i]] = serial
		return err
	})
}

// find reads rows about texts of logs. The statement has a part for each, in which a
// percent sign stands for the number of the text.
func (b *appending) find(asked []text, statement, part, between string, f func(asked []text, scan func(...any) error) error) error {
	for some := range slices.Chunk(asked, maxPiece) {
		some = padded(b.h.dialect, some)
		parts, args := make([]string, len(some)), make([]any, 0, 2*len(some))
		for i, of := range some {
			parts[i] = strings.Replace(part, "%", strconv.Itoa(i), 1)
			args = append(args, of.log, []byte(of.text))
		}
		err := b.tx.query(func(scan func(...any) error) error { return f(some, scan) }, b.h.text(statement+strings.Join(parts, between)), args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// one decides about one append, and moves the head of its log.
func (b *appending) one(a *storage.LogAppend, l *logRow) outcome {
	once, subject := text{l.id, a.Once}, text{l.id, a.Subject}
	if e, known := b.once[once]; known && a.Once != "" {
		return outcome{e, l.stream, storage.ErrExists}
	}
	if newest := b.newest[subject]; a.After != nil && newest != *a.After {
		return outcome{err: fmt.Errorf("the newest entry is %d: %w", newest, storage.ErrConflict)}
	}
	e := storage.LogEntry{
		Serial: l.serial + 1, Row: l.row, IsRow: a.Row, At: max(a.At, l.at), Total: l.total,
		Size: len(a.Payload), Subject: a.Subject, Once: a.Once,
	}
	if a.Row {
		e.Row++
		e.Total += uint64(e.Size)
	}
	if !l.holds() {
		l.firstAt = e.At
	}
	l.serial, l.row, l.at, l.total, l.keep, l.grown = e.Serial, e.Row, e.At, e.Total, milliseconds(a.Keep), true
	if a.Once != "" {
		b.once[once] = e
	}
	if a.Subject != "" {
		b.newest[subject] = e.Serial
	}
	b.added = append(b.added, added{l.id, e, a.Payload})
	return outcome{e, l.stream, nil}
}

// insert adds the entries.
func (b *appending) insert() error {
	for left := b.added; len(left) > 0; {
		n, size := 0, 0
		for n < len(left) && (n == 0 || size+len(left[n].payload) <= maxStatement) {
			size += len(left[n].payload)
			n++
		}
		n = b.h.dialect.pieceOf(n)
		args := make([]any, 0, 10*n)
		for i := range left[:n] {
			args = append(args, left[i].values()...)
		}
		statement := "INSERT INTO {entries} (log_id, " + entryColumns + ", payload) VALUES " + tuples(n, 10)
		if _, err := b.tx.exec(b.h.text(statement), args...); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// values are the columns of an entry.
func (a *added) values() []any {
	isRow := int64(0)
	if a.entry.IsRow {
		isRow = 1
	}
	e := &a.entry
	return []any{a.log, int64(e.Serial), int64(e.Row), isRow, e.At, int64(e.Total), int64(e.Size), nullIfEmpty(e.Subject), nullIfEmpty(e.Once), blob(a.payload)}
}

func nullIfEmpty(text string) any {
	if text == "" {
		return nil
	}
	return []byte(text)
}
