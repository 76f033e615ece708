package scylladb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxReads is how often reading is begun anew because others trim meanwhile.
	maxReads = 5
	// payloadPage is how many entries with their payloads the server gives at a time.
	payloadPage = 32
)

// errHole says that an entry is not there that has to be, by the head: others have
// trimmed the log since the head was read, or a replica does not have it yet.
var errHole = errors.New("an entry of the log is missing")

// entryColumns are those of an entry, but for its payload.
var entryColumns = []string{"row_count", "is_row", "at", "total", "size", "subject", "once"}

// selection begins a statement that reads entries.
func (h *History) selection(bare bool) string {
	statement := "SELECT serial, " + strings.Join(entryColumns, ", ")
	if !bare {
		statement += ", payload"
	}
	return statement + " FROM " + h.table
}

// into is what an entry is read into.
func into(e *storage.LogEntry, bare bool) []any {
	to := []any{&e.Serial, &e.Row, &e.IsRow, &e.At, &e.Total, &e.Size, &e.Subject, &e.Once}
	if !bare {
		to = append(to, &e.Payload)
	}
	return to
}

const (
	ofPart   = " WHERE log = ? AND stream = ? AND part = ?"
	backward = " ORDER BY stream DESC, part DESC, serial DESC"
)

// entry reads one entry without its payload. It is errHole if there is none.
func (h *History) entry(ctx context.Context, log []byte, stream string, serial uint64, level gocql.Consistency) (e storage.LogEntry, err error) {
	err = h.session.Query(h.selection(true)+itsKey, log, []byte(stream), []byte(entryPart), serial).
		Consistency(level).Idempotent(true).ScanContext(ctx, into(&e, true)...)
	if errors.Is(err, gocql.ErrNotFound) {
		err = errHole
	}
	return e, err
}

// writeID is what was written together with an entry.
func (h *History) writeID(ctx context.Context, log []byte, stream string, serial uint64) (id string, err error) {
	err = h.session.Query("SELECT write_id FROM "+h.table+itsKey, log, []byte(stream), []byte(entryPart), serial).
		Consistency(gocql.Serial).Idempotent(true).ScanContext(ctx, &id)
	if errors.Is(err, gocql.ErrNotFound) {
		err = errHole
	}
	return id, err
}

// entries reads entries by their serials, in the order of these. It is errHole if one
// of them is missing.
func (h *History) entries(ctx context.Context, log []byte, stream string, serials []uint64, bare bool, level gocql.Consistency) ([]storage.LogEntry, error) {
	there := map[uint64]storage.LogEntry{}
	for some := range slices.Chunk(serials, payloadPage) {
		rows := h.session.Query(h.selection(bare)+ofPart+" AND serial IN ?", log, []byte(stream), []byte(entryPart), some).
			Consistency(level).Idempotent(true).IterContext(ctx)
		for e := (storage.LogEntry{}); rows.Scan(into(&e, bare)...); e = (storage.LogEntry{}) {
			there[e.Serial] = e
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	list := make([]storage.LogEntry, 0, len(serials))
	for _, serial := range serials {
		e, ok := there[serial]
		if !ok {
			return nil, errHole
		}
		list = append(list, e)
	}
	return list, nil
}

// newest is the serial of the newest entry of a subject that is kept, zero for none.
func (h *History) newest(ctx context.Context, log []byte, l *logHead, subject string, level gocql.Consistency) (serial uint64, err error) {
	err = h.session.Query("SELECT serial FROM "+h.table+ofPart+" AND serial >= ?"+backward+" LIMIT 1", log, []byte(l.Stream), []byte(subjectPart+subject), l.First).
		Consistency(level).Idempotent(true).ScanContext(ctx, &serial)
	if errors.Is(err, gocql.ErrNotFound) {
		err = nil
	}
	return serial, err
}

// withOnce are the serials of the entries that are kept in the given parts.
func (h *History) withOnce(ctx context.Context, log []byte, l *logHead, parts [][]byte) (serials []uint64, err error) {
	rows := h.session.Query("SELECT serial FROM "+h.table+" WHERE log = ? AND stream = ? AND part IN ?", log, []byte(l.Stream), parts).
		Consistency(gocql.Serial).Idempotent(true).IterContext(ctx)
	for serial := uint64(0); rows.Scan(&serial); {
		if serial >= l.First {
			serials = append(serials, serial)
		}
	}
	return serials, rows.Close()
}

// again reads until there is no hole: first what a quorum says, and then with the
// serial level.
func (h *History) again(ctx context.Context, read func(ctx context.Context, level gocql.Consistency) error) error {
	ctx, done, err := h.begin(ctx, callTimeout)
	if err != nil {
		return err
	}
	defer done()
	level := gocql.LocalQuorum
	for n := 1; ; n++ {
		err = read(ctx, level)
		if !errors.Is(err, errHole) || n == maxReads || !pause(ctx, n) {
			return h.fail(ctx, err)
		}
		level = gocql.Serial
	}
}

// Read implements storage.History.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) (read []storage.LogEntry, err error) {
	log := logOf(key)
	err = h.again(ctx, func(ctx context.Context, level gocql.Consistency) (err error) {
		read, err = h.read(ctx, log, stream, q, level)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the log of %s: %w", key.Channel, err)
	}
	return read, nil
}

func (h *History) read(ctx context.Context, log []byte, stream string, q storage.LogQuery, level gocql.Consistency) ([]storage.LogEntry, error) {
	if q.Limit <= 0 {
		return nil, nil
	}
	l, err := h.head(ctx, log, level)
	if err != nil || l.Stream != stream || l.empty() {
		return nil, err
	}
	from, to, err := q.Serials(l.First, l.Serial, func(serial uint64) (storage.LogEntry, error) { return h.entry(ctx, log, stream, serial, level) })
	if err != nil || from > to {
		return nil, err
	}
	r := &reading{h: h, log: log, stream: stream, q: q, from: from, to: to, level: level}
	if q.Subject != "" {
		return r.ofSubject(ctx)
	}
	return r.all(ctx)
}

// reading reads the entries from one serial to another.
type reading struct {
	h        *History
	log      []byte
	stream   string
	q        storage.LogQuery
	from, to uint64
	level    gocql.Consistency
}

// in reads rows of a part of the log, in the order of the query.
func (r *reading) in(ctx context.Context, selection, part string, page int) *gocql.Iter {
	statement := selection + ofPart + " AND serial >= ? AND serial <= ?"
	if r.q.Reverse {
		statement += backward
	}
	return r.h.session.Query(statement, r.log, []byte(r.stream), []byte(part), r.from, r.to).
		Consistency(r.level).Idempotent(true).PageSize(min(page, r.q.Limit)).IterContext(ctx)
}

// all reads entries of all subjects. None may be missing between those that are read.
func (r *reading) all(ctx context.Context) (read []storage.LogEntry, err error) {
	page := payloadPage
	if r.q.Bare {
		page = pageSize
	}
	rows := r.in(ctx, r.h.selection(r.q.Bare), entryPart, page)
	left := r.to - r.from + 1
	for e := (storage.LogEntry{}); left > 0 && len(read) < r.q.Limit && rows.Scan(into(&e, r.q.Bare)...); e = (storage.LogEntry{}) {
		next := r.to - left + 1
		if r.q.Reverse {
			next = r.from + left - 1
		}
		if e.Serial != next {
			return nil, errors.Join(errHole, rows.Close())
		}
		if left--; r.q.Matches(&e) {
			read = append(read, e)
		}
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if left > 0 && len(read) < r.q.Limit {
		return nil, errHole
	}
	return read, nil
}

// ofSubject reads entries of one subject.
func (r *reading) ofSubject(ctx context.Context) (read []storage.LogEntry, err error) {
	rows := r.in(ctx, "SELECT serial FROM "+r.h.table, subjectPart+r.q.Subject, pageSize)
	for more := true; more && len(read) < r.q.Limit; {
		var some []uint64
		for len(some) < min(payloadPage, r.q.Limit-len(read)) {
			serial := uint64(0)
			if more = rows.Scan(&serial); !more {
				break
			}
			some = append(some, serial)
		}
		entries, err := r.h.entries(ctx, r.log, r.stream, some, r.q.Bare, r.level)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		for _, e := range entries {
			if r.q.Matches(&e) {
				read = append(read, e)
			}
		}
	}
	return read, rows.Close()
}

// Latest implements storage.History.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (latest map[string]storage.LogEntry, err error) {
	log := logOf(key)
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	err = h.again(ctx, func(ctx context.Context, level gocql.Consistency) (err error) {
		latest, err = h.latest(ctx, log, stream, subjects, level)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the log of %s: %w", key.Channel, err)
	}
	return latest, nil
}

func (h *History) latest(ctx context.Context, log []byte, stream string, subjects []string, level gocql.Consistency) (map[string]storage.LogEntry, error) {
	l, err := h.head(ctx, log, level)
	if err != nil || l.Stream != stream || l.empty() {
		return nil, err
	}
	serials := make([]uint64, len(subjects))
	err = each(len(subjects), func(i int) (err error) {
		if subjects[i] != "" {
			serials[i], err = h.newest(ctx, log, l, subjects[i], level)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	entries, err := h.entries(ctx, log, stream, slices.DeleteFunc(serials, func(serial uint64) bool { return serial == 0 }), false, level)
	latest := map[string]storage.LogEntry{}
	for _, e := range entries {
		latest[e.Subject] = e
	}
	return latest, err
}
