package surrealdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/sockudo/caddy-sockudo/storage"
)

// byID reads entries by their serials, in the order of these, without those
// that are not there.
func (h *History) byID(ctx context.Context, b branch, serials []uint64, columns string) ([]storage.LogEntry, error) {
	ids := make([]models.RecordID, len(serials))
	for i, serial := range serials {
		ids[i] = b.entry(serial)
	}
	list, vars := sources(ids)
	var records []entryRecord
	if err := h.ask(ctx, "SELECT "+columns+" FROM "+list, vars, &records); err != nil {
		return nil, err
	}
	place := make(map[uint64]int, len(serials))
	for i, serial := range serials {
		place[serial] = i
	}
	found := entries(records)
	slices.SortFunc(found, func(a, b storage.LogEntry) int { return cmp.Compare(place[a.Serial], place[b.Serial]) })
	return found, nil
}

// already reads which entries are there with one of the texts as their Once, without
// their payloads.
func (h *History) already(ctx context.Context, b branch, once []string) (map[string]storage.LogEntry, error) {
	if len(once) == 0 {
		return nil, nil //nolint:nilnil // nothing is asked
	}
	ids := make([]models.RecordID, len(once))
	for i, text := range once {
		ids[i] = b.once(text)
	}
	known, err := h.serialsOf(ctx, ids)
	if err != nil || len(known) == 0 {
		return nil, err
	}
	found, err := h.byID(ctx, b, slices.Collect(maps.Values(known)), entryColumns)
	there := map[string]storage.LogEntry{}
	for _, e := range found {
		there[e.Once] = e
	}
	return there, err
}

// newest reads the serials of the newest entries of subjects.
func (h *History) newest(ctx context.Context, b branch, subjects []string) (map[string]uint64, error) {
	if len(subjects) == 0 {
		return nil, nil //nolint:nilnil // nothing is asked
	}
	ids := make([]models.RecordID, len(subjects))
	for i, subject := range subjects {
		ids[i] = b.about(subject, 0)
	}
	return h.serialsOf(ctx, ids)
}

func (h *History) serialsOf(ctx context.Context, ids []models.RecordID) (map[string]uint64, error) {
	list, vars := sources(ids)
	var records []serialRecord
	err := h.ask(ctx, "SELECT key, serial FROM "+list, vars, &records)
	return serials(records), err
}

// sources lists records to select from. Each is a parameter of its own: of records in
// one parameter, 3.0 finds that no database is chosen.
func sources(ids []models.RecordID) (list string, vars map[string]any) {
	var text strings.Builder
	vars = make(map[string]any, len(ids))
	for i, id := range ids {
		name := "i" + strconv.Itoa(i)
		if vars[name] = id; i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("$" + name)
	}
	return text.String(), vars
}

// Latest implements storage.History.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	ctx, done, err := h.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	for range maxMoves {
		var latest map[string]storage.LogEntry
		if latest, err = h.latestOnce(ctx, logID(key), stream, subjects); !errors.Is(err, errMoved) {
			return latest, h.fail(ctx, err)
		}
	}
	return nil, h.fail(ctx, fmt.Errorf("log of %s: %w", key.Channel, err))
}

func (h *History) latestOnce(ctx context.Context, id, stream string, subjects []string) (map[string]storage.LogEntry, error) {
	latest := map[string]storage.LogEntry{}
	s, _, err := h.readHead(ctx, id)
	if err != nil || s.Stream != stream || s.version == 0 || s.empty() {
		return latest, err
	}
	r := &reader{History: h, branch: branch{tables: h.names, id: id, stream: stream}, head: s}
	subjects = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(subjects))), func(s string) bool { return s == "" })
	for some := range slices.Chunk(subjects, maxPage) {
		known, err := h.newest(ctx, r.branch, some)
		if err != nil {
			return nil, err
		}
		for serials := range slices.Chunk(slices.Collect(maps.Values(known)), r.step(maxPage, false)) {
			found, err := h.byID(ctx, r.branch, serials, r.columns())
			if err != nil {
				return nil, err
			}
			if len(found) != len(serials) {
				return nil, errMoved
			}
			for _, e := range found {
				latest[e.Subject] = e
			}
		}
	}
	return latest, nil
}

// probes is how many entries a search reads at once.
const probes = 32

// bound finds the bounds of the query as serials: from is above to if nothing lies
// between them.
func (r *reader) bound(ctx context.Context) (err error) {
	q, s := r.q, r.head
	r.from, r.to = max(q.From, s.First), s.Serial
	if q.To != 0 {
		r.to = min(r.to, q.To)
	}
	if q.FromRow > s.Row || q.FromAt > s.At || q.FromTotal > s.Total {
		r.from = r.to + 1
		return nil
	}
	if q.FromRow > 0 || q.FromAt > 0 || q.FromTotal > 0 {
		r.from = max(r.from, q.FromRow) // a row's number is never above its serial
		r.from, err = r.search(ctx, r.from, r.to, func(e *storage.LogEntry) bool {
			return e.Row >= q.FromRow && e.At >= q.FromAt && e.Total >= q.FromTotal
		})
	}
	if err == nil && (q.ToRow > 0 && q.ToRow < s.Row || q.ToAt > 0 && q.ToAt < s.At) {
		r.to, err = r.search(ctx, r.from, r.to, func(e *storage.LogEntry) bool {
			return q.ToRow > 0 && e.Row > q.ToRow || q.ToAt > 0 && e.At > q.ToAt
		})
		r.to--
	}
	return err
}

// search is the first serial from low to high whose entry is as asked, and high+1 if
// there is none. All after one that is are. It looks at many at a time, because an
// answer takes longer than an entry.
func (r *reader) search(ctx context.Context, low, high uint64, is func(*storage.LogEntry) bool) (uint64, error) {
	if low > high {
		return high + 1, nil
	}
	end := high + 1 // is as asked, or is not there
	for low < end {
		n := min(end-low, uint64(max(2, r.step(probes, false))))
		serials := make([]uint64, n)
		for i := range n {
			serials[i] = low + (end-low)/n*i + (end-low)%n*i/n
		}
		found, err := r.byID(ctx, r.branch, serials, "serial, row, at, total")
		if err != nil {
			return 0, err
		}
		if uint64(len(found)) != n {
			return 0, errMoved
		}
		i := slices.IndexFunc(found, func(e storage.LogEntry) bool { return is(&e) })
		if i >= 0 {
			end = found[i].Serial
		}
		switch {
		case i > 0:
			low = found[i-1].Serial + 1
		case i < 0:
			low = found[n-1].Serial + 1
		}
	}
	return end, nil
}
