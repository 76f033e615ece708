package dynamodb

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxPage is how many items are asked for at a time.
const maxPage = 1000

// Read implements storage.History.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) (read []storage.LogEntry, err error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if q.Limit <= 0 || len(q.Subject) > storage.MaxLogText { // which no entry has
		return nil, nil
	}
	err = retried(ctx, func() (err error) {
		read, err = h.read(ctx, key, stream, &q)
		return err
	})
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	return read, nil
}

// read is errHole if an entry is missing that should be there.
func (h *History) read(ctx context.Context, key storage.LogKey, stream string, q *storage.LogQuery) ([]storage.LogEntry, error) {
	head, err := h.head(ctx, key)
	if err != nil || !head.is(stream) {
		return nil, err
	}
	r := logReader{h: h, items: itemsOf(key, stream), q: q}
	from, to, err := q.Serials(head.First, head.Serial, func(serial uint64) (storage.LogEntry, error) { return h.point(ctx, r.items, serial) })
	if err != nil || from > to {
		return nil, err
	}
	if q.Subject == "" {
		err = r.entries(ctx, from, to)
		return r.read, err
	}
	if err = r.pointers(ctx, from, to); err != nil || len(r.read) == 0 {
		return nil, err
	}
	// Nothing shows that a pointer is missing. Those that have been removed since are
	// of entries that are gone by now, so everything before them goes as well.
	if head, err = h.head(ctx, key); err != nil || !head.is(stream) {
		return nil, err
	}
	return slices.DeleteFunc(r.read, func(e storage.LogEntry) bool { return e.Serial < head.First }), nil
}

// logReader reads what a query is about.
type logReader struct {
	h     *History
	items items
	q     *storage.LogQuery
	read  []storage.LogEntry
	asked int // pages
}

// page is how many items to ask for: those that are still wanted or, where some may be
// left out, more each time.
func (r *logReader) page() int32 {
	n := r.q.Limit - len(r.read)
	if r.q.Rows {
		n = min(n, maxPage) << min(r.asked, 10)
	}
	r.asked++
	return int32(min(n, maxPage))
}

// take takes an entry if it is one that the query is about, and reports whether there
// are enough.
func (r *logReader) take(e *storage.LogEntry) bool {
	if r.q.Matches(e) {
		r.read = append(r.read, *e)
	}
	return len(r.read) == r.q.Limit
}

// query asks for the items of a log between two names.
func (r *logReader) query(ctx context.Context, low, high []byte, attributes ...string) ([]item, error) {
	ask := r.h.between(r.items.log, low, high, attributes...)
	ask.ScanIndexForward, ask.Limit = aws.Bool(!r.q.Reverse), aws.Int32(r.page())
	out, err := r.h.client.Query(ctx, ask)
	if err != nil {
		return nil, err
	}
	return out.Items, nil
}

// between asks for the items of a log between two names, as they are now.
func (h *History) between(log, low, high []byte, attributes ...string) *dynamodb.QueryInput {
	ask := &dynamodb.QueryInput{
		TableName: &h.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#log = :log AND #item BETWEEN :low AND :high"),
		ExpressionAttributeValues: item{":log": bin(log), ":low": bin(low), ":high": bin(high)},
		ExpressionAttributeNames:  map[string]string{},
	}
	if len(attributes) > 0 {
		ask.ProjectionExpression, ask.ExpressionAttributeNames = projection(attributes...)
	}
	ask.ExpressionAttributeNames["#log"], ask.ExpressionAttributeNames["#item"] = attributeLog, attributeItem
	return ask
}

// entries reads the entries from one serial to another, all of which should be there.
func (r *logReader) entries(ctx context.Context, from, to uint64) error {
	for from <= to {
		var attributes []string
		if r.q.Bare {
			attributes = bare
		}
		found, err := r.query(ctx, r.items.entry(from), r.items.entry(to), attributes...)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("serials %d to %d: %w", from, to, errHole)
		}
		for _, i := range found {
			e, err := r.items.entryOf(i, r.q.Bare)
			if err != nil {
				return err
			}
			next := &from
			if r.q.Reverse {
				next = &to
			}
			if e.Serial != *next {
				return fmt.Errorf("serial %d: %w", *next, errHole)
			}
			if r.take(&e) {
				return nil
			}
			if r.q.Reverse {
				to--
			} else {
				from++
			}
		}
	}
	return nil
}

// pointers reads the entries of the query's subject from one serial to another.
func (r *logReader) pointers(ctx context.Context, from, to uint64) error {
	for from <= to {
		found, err := r.query(ctx, r.items.pointer(r.q.Subject, from), r.items.pointer(r.q.Subject, to), attributeItem)
		if err != nil || len(found) == 0 {
			return err
		}
		serials := make([]uint64, len(found))
		for n, i := range found {
			a := reader{item: i}
			if serials[n], err = r.items.serialOf(a.binary(attributeItem), pointerItem); err != nil {
				return err
			}
		}
		entries, err := r.h.entriesAt(ctx, r.items, serials, r.q.Bare)
		if err != nil {
			return err
		}
		for n := range entries {
			if r.take(&entries[n]) {
				return nil
			}
		}
		if last := serials[len(serials)-1]; r.q.Reverse {
			to = last - 1
		} else {
			from = last + 1
		}
	}
	return nil
}

// entriesAt are the entries with serials, all of which should be there, in their order.
func (h *History) entriesAt(ctx context.Context, s items, serials []uint64, isBare bool) ([]storage.LogEntry, error) {
	wanted := make([]item, len(serials))
	for n, serial := range serials {
		wanted[n] = at(s.log, s.entry(serial))
	}
	var attributes []string
	if isBare {
		attributes = bare
	}
	found, err := h.getAll(ctx, wanted, attributes...)
	if err != nil {
		return nil, err
	}
	known := make(map[uint64]storage.LogEntry, len(found))
	for _, i := range found {
		e, err := s.entryOf(i, isBare)
		if err != nil {
			return nil, err
		}
		known[e.Serial] = e
	}
	entries := make([]storage.LogEntry, len(serials))
	for n, serial := range serials {
		e, is := known[serial]
		if !is {
			return nil, fmt.Errorf("serial %d: %w", serial, errHole)
		}
		entries[n] = e
	}
	return entries, nil
}

// Latest implements storage.History.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (latest map[string]storage.LogEntry, err error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	subjects = slices.Clone(subjects)
	slices.Sort(subjects)
	subjects = slices.DeleteFunc(slices.Compact(subjects), func(s string) bool { return s == "" || len(s) > storage.MaxLogText })
	if len(subjects) == 0 {
		return nil, nil
	}
	err = retried(ctx, func() (err error) {
		latest, err = h.latest(ctx, key, stream, subjects)
		return err
	})
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	return latest, nil
}

func (h *History) latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	head, err := h.head(ctx, key)
	if err != nil || !head.is(stream) {
		return nil, err
	}
	s := itemsOf(key, stream)
	wanted := make([]item, len(subjects))
	for n, subject := range subjects {
		wanted[n] = at(s.log, s.newest(subject))
	}
	found, err := h.getAll(ctx, wanted, attributeSerial)
	if err != nil {
		return nil, err
	}
	var serials []uint64
	for _, i := range found {
		r := reader{item: i}
		serial := r.unsigned(attributeSerial)
		if r.err != nil {
			return nil, fmt.Errorf("the guard of a subject is broken: %w", r.err)
		}
		if serial >= head.First {
			serials = append(serials, serial)
		}
	}
	entries, err := h.entriesAt(ctx, s, serials, false)
	if err != nil {
		return nil, err
	}
	latest := make(map[string]storage.LogEntry, len(entries))
	for _, e := range entries {
		latest[e.Subject] = e
	}
	return latest, nil
}
