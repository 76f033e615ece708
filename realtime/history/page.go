package history

import (
	"context"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Page is one page of the history of a channel, or of its presence history.
type Page struct {
	Query Query
	// Rows are in the order of the query. Row and At of each are what readers see.
	Rows []Row
	// More says that further rows can be had with Next.
	More bool
	Next string
	// Truncated says that rows which were asked for are not kept any more.
	Truncated bool
	// Floor is what the history had when the page was read.
	Floor Floor

	log Log
}

// Row is a row, and the newest version of its message if it can be changed.
type Row struct {
	storage.LogEntry
	// Latest is nil for a row that is shown as it is.
	Latest *storage.LogEntry
}

// Page reads a page: events, or what PresenceKey names. It holds what there was at
// one moment. Rows that are published meanwhile do not shift it, and a page of a history
// that was reset meanwhile is read from the new one, unless it has a cursor, which has
// expired then.
//
// A *QueryError says what is wrong with the query.
func (l Log) Page(ctx context.Context, q Query) (p *Page, err error) {
	c, err := l.prepare(&q)
	if err != nil {
		return nil, err
	}
	err = l.retry(func() error {
		p, err = l.page(ctx, q, c)
		return err
	})
	return p, err
}

func (l Log) page(ctx context.Context, q Query, c *cursor) (*Page, error) {
	s, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.trusts(s); err != nil {
		return nil, err
	}
	r := s.rowsIn(q.Bounds)
	if c != nil {
		if err := l.kind().expired(c, s.Head.Stream, s.oldest()); err != nil {
			return nil, err
		}
		r.follow(c.Serial, q.OldestFirst)
	}
	p := &Page{Query: q, Floor: s.Floor, Truncated: s.truncated(q.Bounds), log: l}
	entries, more, err := l.read(ctx, s, r, q.OldestFirst, q.Limit)
	if err != nil {
		return nil, err
	}
	if p.More = more; more {
		p.Next = l.next(&q, s.Head.Stream, entries[len(entries)-1].Row)
	}
	p.Rows, err = l.latest(ctx, s, entries)
	return p, err
}

// follow leaves what comes after a row in the order of the query.
func (r *rows) follow(row uint64, fromOldest bool) {
	switch {
	case !fromOldest:
		r.high = min(r.high, row-1) // there is no row zero
	case row >= r.high:
		r.low, r.high = 1, 0
	default:
		r.low = max(r.low, row+1)
	}
}

// latest finds the newest versions of messages, all at once.
func (l Log) latest(ctx context.Context, s stand, entries []storage.LogEntry) ([]Row, error) {
	read := make([]Row, len(entries))
	var subjects []string
	for i := range entries {
		read[i].LogEntry = entries[i]
		if l.Retention.Versions && entries[i].Subject != "" && !l.kind().presence {
			subjects = append(subjects, entries[i].Subject)
			read[i].Latest = &read[i].LogEntry
		}
	}
	if len(subjects) == 0 {
		return read, nil
	}
	if s.Head.Row == s.Head.Serial { // nothing was ever changed
		l.shown(0, len(subjects), 0)
		return read, nil
	}
	latest, err := l.Store.Latest(ctx, l.Key, s.Head.Stream, subjects)
	if err != nil {
		return nil, err
	}
	if len(latest) == 0 {
		if err := l.stays(ctx, s); err != nil {
			return nil, err
		}
	}
	var substituted, current, gone int
	for i := range read {
		if read[i].Latest == nil {
			continue
		}
		e, ok := latest[read[i].Subject]
		switch {
		case !ok:
			gone++
			read[i].Latest = nil // so that the row is shown as it was stored
			continue
		case e.Serial == read[i].Serial:
			current++
		default:
			substituted++
		}
		read[i].Latest = &e
	}
	l.shown(substituted, current, gone)
	return read, nil
}

func (l Log) shown(substituted, current, gone int) {
	if l.Shown != nil {
		l.Shown(substituted, current, gone)
	}
}

// truncated says whether rows within bounds are not shown any more (HTTP API, section
// 4.4). Of a history in which nothing is left, all that there ever was has gone.
func (s stand) truncated(b Bounds) bool {
	oldest := s.oldest()
	switch {
	case s.Head.Row == 0:
		return false
	case b.StartSerial != nil && *b.StartSerial < oldest:
		return true
	case b.StartTime != nil && s.Oldest.Serial > 0:
		return *b.StartTime < s.Oldest.At
	case b.StartTime != nil:
		return *b.StartTime <= s.Head.At
	}
	return b.StartSerial == nil && oldest > 1
}

// Volatile is a store whose logs end with the process.
type Volatile interface {
	// Volatile reports whether they do.
	Volatile() bool
}

func (l Log) volatile() bool {
	v, ok := l.Store.(Volatile)
	return ok && v.Volatile()
}

// trusts is ErrUnhealthy for a log that is not read from. A presence history that ends
// with the process is read all the same, and says so: it never had more to give.
func (l Log) trusts(s stand) error {
	if s.healthy() || l.kind().presence && l.volatile() {
		return nil
	}
	state := s.Head.State
	return fmt.Errorf("channel %q is %s since %d (%s): %w", l.channel(), state.Name, state.Since, state.Reason, ErrUnhealthy)
}
