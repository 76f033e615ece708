package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxPage is how many entries are asked for at a time, and maxPageBytes about how
	// many bytes of payloads.
	maxPage      = 1000
	maxPageBytes = 8 << 20
	// maxMoves is how often a read begins again because what it reads was trimmed.
	maxMoves = 5
)

// errMoved says that entries are gone that were there when a read began.
var errMoved = errors.New("entries are missing, or trimmed all the time")

// readHead is where a log stands, with version zero if there is none, and what it was
// before that may still be there.
func (h *History) readHead(ctx context.Context, id string) (s headState, old []oldRecord, err error) {
	var found []headRecord
	err = h.ask(ctx, "SELECT "+headColumns+" FROM $id", map[string]any{"id": h.names.log(id)}, &found)
	if err != nil || len(found) == 0 {
		return headState{}, nil, err
	}
	if s, err = found[0].head(); err != nil {
		return headState{}, nil, fmt.Errorf("log %s: %w", id, err)
	}
	return s, found[0].Old, nil
}

// Head implements storage.History.
func (h *History) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return storage.LogHead{}, err
	}
	defer done()
	s, _, err := h.readHead(ctx, logID(key))
	if err != nil {
		return storage.LogHead{}, h.fail(ctx, err)
	}
	if s.version == 0 {
		return storage.LogHead{}, fmt.Errorf("log of %s: %w", key.Channel, storage.ErrNotFound)
	}
	return s.LogHead, nil
}

// Read implements storage.History.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	ctx, done, err := h.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	for range maxMoves {
		var found []storage.LogEntry
		if found, err = h.readOnce(ctx, logID(key), stream, q); !errors.Is(err, errMoved) {
			return found, h.fail(ctx, err)
		}
	}
	return nil, h.fail(ctx, fmt.Errorf("log of %s: %w", key.Channel, err))
}

// reader is one read of a log, from how it was at its beginning.
type reader struct {
	*History
	branch

	head headState
	q    storage.LogQuery
	from uint64
	to   uint64
}

func (h *History) readOnce(ctx context.Context, id, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	s, _, err := h.readHead(ctx, id)
	if err != nil || s.Stream != stream || s.version == 0 || s.empty() || q.Limit <= 0 {
		return nil, err
	}
	r := &reader{History: h, branch: branch{tables: h.names, id: id, stream: stream}, head: s, q: q}
	if err := r.bound(ctx); err != nil || r.from > r.to {
		return nil, err
	}
	if q.Subject != "" {
		return r.ofSubject(ctx)
	}
	return r.all(ctx)
}

// step is how many entries are read at a time, with payloads that may be as large as
// the largest one.
func (r *reader) step(most int, bare bool) int {
	if !bare && r.head.largest > 0 {
		most = min(most, maxPageBytes/r.head.largest)
	}
	return max(1, most)
}

// all reads what lies within the bounds.
func (r *reader) all(ctx context.Context) (found []storage.LogEntry, err error) {
	largest := r.step(maxPage, r.q.Bare)
	windows := 0
	for width := min(largest, r.q.Limit); r.from <= r.to && len(found) < r.q.Limit; width = min(width*2, largest) {
		page, err := r.window(ctx, r.next(uint64(width)))
		if err != nil {
			return nil, err
		}
		found = append(found, page...)
		windows++
	}
	found = found[:min(len(found), r.q.Limit)]
	if windows > 1 && r.q.Rows && !r.q.Reverse && len(found) > 0 {
		err = r.stillThere(ctx, found[0].Serial)
	}
	return found, err
}

// window is some serials that follow each other.
type window struct{ first, last uint64 }

func (w window) len() uint64 { return w.last - w.first + 1 }

// next takes the next entries from those that lie within the bounds.
func (r *reader) next(width uint64) (w window) {
	width = min(width, r.to-r.from+1)
	if r.q.Reverse {
		w = window{r.to - width + 1, r.to}
		r.to -= width
	} else {
		w = window{r.from, r.from + width - 1}
		r.from += width
	}
	return w
}

// window reads the entries of a window, as the query wants them.
func (r *reader) window(ctx context.Context, w window) ([]storage.LogEntry, error) {
	text := "SELECT " + r.columns() + " FROM $span"
	if r.q.Rows {
		text += " WHERE is_row"
	}
	var records []entryRecord
	if err := r.ask(ctx, text, map[string]any{"span": from(r.entry(w.first), r.entry(w.last))}, &records); err != nil {
		return nil, err
	}
	page := entries(records)
	if !r.q.Rows && uint64(len(page)) != w.len() {
		return nil, errMoved
	}
	if r.q.Reverse {
		slices.Reverse(page)
	}
	return page, nil
}

func (r *reader) columns() string {
	if r.q.Bare {
		return entryColumns
	}
	return entryColumns + ", payload"
}

// stillThere makes sure that what was read in several steps, oldest first, has no gap:
// it may have been trimmed meanwhile.
func (r *reader) stillThere(ctx context.Context, first uint64) error {
	now, _, err := r.readHead(ctx, r.id)
	if err == nil && (now.Stream != r.head.Stream || now.First > first) {
		err = errMoved
	}
	return err
}

// ofSubject reads what lies within the bounds and is about one subject.
func (r *reader) ofSubject(ctx context.Context) (found []storage.LogEntry, err error) {
	var serials []uint64
	span := from(r.about(r.q.Subject, max(1, r.from)), r.about(r.q.Subject, r.to))
	if err := r.ask(ctx, "SELECT VALUE serial FROM $span", map[string]any{"span": span}, &serials); err != nil {
		return nil, err
	}
	if r.q.Reverse {
		slices.Reverse(serials)
	}
	for size := r.step(min(maxPage, r.q.Limit), r.q.Bare); len(serials) > 0 && len(found) < r.q.Limit; {
		n := min(size, len(serials))
		page, err := r.byID(ctx, r.branch, serials[:n], r.columns())
		if err != nil {
			return nil, err
		}
		if len(page) != n {
			return nil, errMoved
		}
		for _, e := range page {
			if len(found) < r.q.Limit && r.q.Matches(&e) {
				found = append(found, e)
			}
		}
		serials = serials[n:]
	}
	return found, nil
}
