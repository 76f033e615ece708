package storage

import (
	"context"
	"fmt"
	"time"
)

// History keeps logs: what was published on a channel, and what became of it. It is
// durable where its driver is, and nodes that share it see one log.
//
// A log holds entries with serials from 1 without a gap, under an id that no other
// log ever has. Entries are only ever added at the end and removed from the
// beginning. Some of them are rows, which are counted by themselves: the second row of
// a log has row 2, whatever its serial. At, Row and Total of later entries are never
// less than those of earlier ones.
//
// A call that has failed may have been carried out all the same, unless the error is
// ErrConflict, ErrExists or ErrTooLarge, which change nothing.
type History interface {
	// Append adds entries, each to its own log, and sets the Entry and the Err of each.
	// One that fails does not keep the others from being added. Those of one log are
	// added in their order. When Append returns, entries without an Err are as durable
	// as the driver makes anything.
	Append(ctx context.Context, appends []*LogAppend)
	// Head tells where a log stands. A log that does not exist is ErrNotFound.
	Head(ctx context.Context, key LogKey) (LogHead, error)
	// Read reads entries of the log with the id stream, at most q.Limit. A log with
	// another id, or none, has no entries.
	Read(ctx context.Context, key LogKey, stream string, q LogQuery) ([]LogEntry, error)
	// Latest reads the newest entry of each subject. Those without one are left out.
	Latest(ctx context.Context, key LogKey, stream string, subjects []string) (map[string]LogEntry, error)
	// Trim removes the entries of the log with the id stream whose serials are less than
	// before. It may do so in steps, the oldest entries first, and is bounded by ctx.
	// Another log is left as it is.
	Trim(ctx context.Context, key LogKey, stream string, before uint64) error
	// Reset removes everything of a log, and begins another one with the id fresh, which
	// no log ever had. It is no error when there is none yet.
	Reset(ctx context.Context, key LogKey, fresh string) error
	// Mark notes a state with the log of the id stream, if its Since is later than that of
	// the state that is there. Another log is left as it is.
	Mark(ctx context.Context, key LogKey, stream string, state LogState) error
	// Due lists logs whose oldest entry was due to go before now, at most limit, in any
	// order. A driver whose store removes what is due by itself lists none.
	Due(ctx context.Context, now time.Time, limit int) ([]LogKey, error)
	Close() error
}

// ErrExists says that an entry with the same Once is there already.
var ErrExists = fmt.Errorf("entry is there already: %w", ErrConflict)

// LogKey names a log. Both texts together are at most 1 KiB, of any bytes.
type LogKey struct{ App, Channel string }

// LogAppend is one entry to add.
type LogAppend struct {
	Key LogKey
	// Fresh is the id of the log if it does not exist yet. It was never given for another.
	Fresh string
	// At is when it is published, in Unix milliseconds. An entry is never older than the
	// one before it: it has At of that one, if that is later.
	At int64
	// Row says that the entry is counted as a row, and that its payload counts in Total.
	Row bool
	// Subject is what the entry is about, at most 256 bytes, and empty for nothing.
	Subject string
	// Once is at most 256 bytes. If it is not empty, the entry is added only if the log
	// has no entry with the same: otherwise Err is ErrExists, and Entry the one that is
	// there.
	Once string
	// After is nil, or the serial of the newest entry of the subject, zero for none: if
	// it is another, Err is ErrConflict. ErrExists goes before it.
	After *uint64
	// Payload is at most 4 MiB. An entry that is larger than the store takes has
	// ErrTooLarge.
	Payload []byte
	// Keep is how long the oldest entry of the log may stay, from the newest Append on.
	// Zero is for ever.
	Keep time.Duration

	// Entry is set when Err is nil or ErrExists, with Stream. Its payload is not.
	Entry LogEntry
	// Stream is the id of the log.
	Stream string
	Err    error
}

// LogEntry is one entry of a log.
type LogEntry struct {
	Serial uint64
	// Row is the number of rows up to this entry: if IsRow, its own number.
	Row   uint64
	IsRow bool
	// At is in Unix milliseconds.
	At int64
	// Total is the sum of the payloads of all rows up to this entry that there ever were,
	// in bytes.
	Total uint64
	// Size is the length of the payload, in bytes.
	Size          int
	Subject, Once string
	Payload       []byte
}

// LogHead is where a log stands.
type LogHead struct {
	Stream string
	// Serial, Row, At and Total are those of the newest entry there ever was, and zero in
	// a log that has had none.
	Serial, Row uint64
	At          int64
	Total       uint64
	// First is the serial of the oldest entry that is kept, and Serial+1 when none is.
	First uint64
	State LogState
}

// LogState is a note about a log. The zero value says that it is healthy.
type LogState struct {
	// Name is a word such as "degraded", empty for healthy, and Reason why it is so.
	Name, Reason string
	// Node is the node that has noted it.
	Node string
	// Since is when it was noted, in Unix milliseconds.
	Since int64
}

// LogQuery says which entries are read. Bounds are inclusive, and zero is none; an
// entry is read if it is within all of them.
type LogQuery struct {
	From, To       uint64 // serials
	FromRow, ToRow uint64
	FromAt, ToAt   int64
	FromTotal      uint64
	// Rows leaves out what is no row.
	Rows bool
	// Subject leaves out what is about anything else, unless it is empty.
	Subject string
	// Reverse reads the newest entries first. Otherwise the oldest come first.
	Reverse bool
	// Limit is positive.
	Limit int
	// Bare leaves out payloads.
	Bare bool
}

// Matches reports whether an entry is one that the query is about.
func (q *LogQuery) Matches(e *LogEntry) bool {
	return e.Serial >= q.From && (q.To == 0 || e.Serial <= q.To) &&
		e.Row >= q.FromRow && (q.ToRow == 0 || e.Row <= q.ToRow) &&
		e.At >= q.FromAt && (q.ToAt == 0 || e.At <= q.ToAt) &&
		e.Total >= q.FromTotal &&
		(e.IsRow || !q.Rows) && (q.Subject == "" || e.Subject == q.Subject)
}

// Serials are the bounds of the query as serials of the entries from first to last,
// which are kept: from is above to if there are none. It reads some of them, without
// their payloads, for drivers whose stores find entries by serial alone.
func (q *LogQuery) Serials(first, last uint64, read func(serial uint64) (LogEntry, error)) (from, to uint64, err error) {
	from, to = max(q.From, first), last
	if q.To != 0 {
		to = min(to, q.To)
	}
	if q.FromRow > 0 || q.FromAt > 0 || q.FromTotal > 0 {
		from, err = search(from, to, read, func(e LogEntry) bool { return e.Row >= q.FromRow && e.At >= q.FromAt && e.Total >= q.FromTotal })
	}
	if err == nil && (q.ToRow > 0 || q.ToAt > 0) {
		to, err = search(from, to, read, func(e LogEntry) bool { return q.ToRow > 0 && e.Row > q.ToRow || q.ToAt > 0 && e.At > q.ToAt })
		to--
	}
	return from, to, err
}

// search is the first serial of those from low to high whose entry is as asked, and
// high+1 if there is none. All after one that is are.
func search(low, high uint64, read func(uint64) (LogEntry, error), is func(LogEntry) bool) (uint64, error) {
	for low <= high {
		middle := low + (high-low)/2
		e, err := read(middle)
		if err != nil {
			return 0, err
		}
		if !is(e) {
			low = middle + 1
		} else if high = middle - 1; middle == 0 {
			break
		}
	}
	return low, nil
}

// The most that an entry may take.
const (
	MaxLogText    = 256
	MaxLogPayload = 4 << 20
)

// Check names what cannot be in an entry, and its value. Too large a payload is
// ErrTooLarge.
func (a *LogAppend) Check() error {
	switch {
	case a.Key.Channel == "" || len(a.Key.App)+len(a.Key.Channel) > 1024:
		return fmt.Errorf("log: the key %q of app %q must be of 1 to 1024 bytes", a.Key.Channel, a.Key.App)
	case a.Fresh == "" || len(a.Fresh) > MaxLogText:
		return fmt.Errorf("log: the id %q must be of 1 to %d bytes", a.Fresh, MaxLogText)
	case len(a.Subject) > MaxLogText || len(a.Once) > MaxLogText:
		return fmt.Errorf("log: subject %q and once %q must be at most %d bytes", a.Subject, a.Once, MaxLogText)
	case len(a.Payload) > MaxLogPayload:
		return fmt.Errorf("log: an entry of %d bytes: %w", len(a.Payload), ErrTooLarge)
	}
	return nil
}
