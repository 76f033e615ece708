package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Errors of readers that are not the caller's.
var (
	// ErrUnhealthy says that the log has a state in which nothing is read from it.
	ErrUnhealthy = errors.New("the history needs a reset")
	// ErrMoved says that the log was reset, or has lost rows, while it was read, again
	// and again.
	ErrMoved = errors.New("the history was changed while it was read")
	// ErrHole says that rows are missing between others.
	ErrHole = errors.New("the history has a hole")
)

// readTries is how often a read begins anew when the log has changed under it.
const readTries = 5

// stand is where a log stands, in which the floor and the head belong together.
type stand struct{ Floor }

// oldest is the number of the first row that is shown. If none is, it is the one that
// the next row will have.
func (s stand) oldest() uint64 {
	if s.Oldest.Serial > 0 {
		return s.Oldest.Row
	}
	return s.Head.Row + 1
}

// healthy reports whether the log can be trusted.
func (s stand) healthy() bool { return s.Head.State.Name == "" }

// stand finds where the log stands.
func (l Log) stand(ctx context.Context) (s stand, err error) {
	err = l.retry(func() error {
		s, err = l.look(ctx)
		return err
	})
	return s, err
}

// look is one try of stand. Floor reads in steps, between which the log may have been
// reset: then no row is found although there were some, and that is ErrMoved.
func (l Log) look(ctx context.Context) (s stand, err error) {
	if s.Floor, err = l.Floor(ctx); err != nil || s.Oldest.Serial > 0 || s.Head.Row == 0 {
		return s, err
	}
	return s, l.stays(ctx, s)
}

// stays is ErrMoved if the log is another one by now, or has lost rows that were
// shown.
func (l Log) stays(ctx context.Context, s stand) error {
	head, err := l.Store.Head(ctx, l.Key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		head = storage.LogHead{}
	case err != nil:
		return err
	}
	if head.Stream != s.Head.Stream || s.Oldest.Serial > 0 && head.First > s.Oldest.Serial {
		return ErrMoved
	}
	return nil
}

// retry begins again while the log changes.
func (l Log) retry(read func() error) error {
	err := ErrMoved
	for i := 0; i < readTries && errors.Is(err, ErrMoved); i++ {
		err = read()
	}
	if errors.Is(err, ErrMoved) {
		return fmt.Errorf("%s of channel %q: %w", l.kind().word, l.channel(), err)
	}
	return err
}

// rows are the numbers of the rows that are read, none if low is above high, and the
// times between which they were published.
type rows struct {
	low, high uint64
	from, to  int64
	timed     bool
}

// rowsIn are the shown rows within bounds.
func (s stand) rowsIn(b Bounds) rows {
	r := rows{low: s.oldest(), high: s.Head.Row, timed: b.StartTime != nil || b.EndTime != nil}
	if b.StartSerial != nil {
		r.low = max(r.low, *b.StartSerial)
	}
	if b.EndSerial != nil {
		r.high = min(r.high, *b.EndSerial)
	}
	if b.StartTime != nil {
		r.from = max(0, *b.StartTime)
	}
	if b.EndTime != nil {
		if r.to = *b.EndTime; r.to <= 0 {
			r.high = 0 // nothing is as old, and zero would mean any time
		}
	}
	return r
}

// read reads the first rows of those, at most limit, in the order that is asked. They
// follow each other without a gap. more says that there are others.
func (l Log) read(ctx context.Context, s stand, r rows, fromOldest bool, limit int) (read []storage.LogEntry, more bool, err error) {
	if r.low > r.high {
		return nil, false, nil
	}
	read, err = l.Store.Read(ctx, l.Key, s.Head.Stream, storage.LogQuery{
		To: s.Head.Serial, FromRow: r.low, ToRow: r.high, FromAt: r.from, ToAt: r.to, Rows: true, Reverse: !fromOldest, Limit: limit + 1,
	})
	if err != nil {
		return nil, false, err
	}
	if !r.whole(read, fromOldest, limit+1) {
		if err := l.stays(ctx, s); err != nil {
			return nil, false, err
		}
		if !r.timed || !consecutive(read, fromOldest) {
			return nil, false, fmt.Errorf("rows %d to %d of channel %q: %w", r.low, r.high, l.channel(), ErrHole)
		}
	}
	if more = len(read) > limit; more {
		read = read[:limit]
	}
	return read, more, nil
}

// whole reports whether these are certainly all rows that were there: the log may
// lose its oldest ones, or be another one, while it is read.
func (r rows) whole(read []storage.LogEntry, fromOldest bool, limit int) bool {
	if !consecutive(read, fromOldest) {
		return false
	}
	if r.timed {
		return len(read) == limit && !fromOldest
	}
	first := r.high
	if fromOldest {
		first = r.low
	}
	count := r.high - r.low + 1
	return uint64(len(read)) == min(count, uint64(limit)) && read[0].Row == first
}

// consecutive reports whether no row is missing between others.
func consecutive(read []storage.LogEntry, fromOldest bool) bool {
	for i := 1; i < len(read); i++ {
		earlier, later := read[i].Row, read[i-1].Row
		if fromOldest {
			earlier, later = later, earlier
		}
		if earlier+1 != later {
			return false
		}
	}
	return true
}
