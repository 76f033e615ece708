package history

import (
	"fmt"
	"strings"
)

// QueryError says what is wrong with a query, as a text for the one who has asked.
type QueryError struct{ Message string }

// Error implements error.
func (e *QueryError) Error() string { return e.Message }

func refuse(format string, values ...any) *QueryError {
	return &QueryError{fmt.Sprintf(format, values...)}
}

// Query asks for one page of a history (HTTP API, section 4.3).
type Query struct {
	// Limit is the most that the page has.
	Limit       int
	OldestFirst bool
	// Cursor is what the page before has given, "" for the first one.
	Cursor string
	Bounds Bounds

	// What follows is for a client that asks by its socket (section 6.8).

	// Socket says that a client asks, which is told Attach, and the stream of messages
	// that can be changed too.
	Socket bool
	// UntilAttach leaves out rows after Attach, the newest one at the moment of the
	// client's subscription. Nil means that none is known.
	UntilAttach bool
	Attach      *uint64
	// DropTags leaves tags out of the messages.
	DropTags bool
}

// Bounds are the rows that a query is about, all inclusive. Nil is none.
type Bounds struct {
	StartSerial *uint64 `json:"start_serial"`
	EndSerial   *uint64 `json:"end_serial"`
	// StartTime and EndTime are in Unix milliseconds.
	StartTime *int64 `json:"start_time_ms"`
	EndTime   *int64 `json:"end_time_ms"`
}

func (b Bounds) equal(c Bounds) bool {
	return same(b.StartSerial, c.StartSerial) && same(b.EndSerial, c.EndSerial) && same(b.StartTime, c.StartTime) && same(b.EndTime, c.EndTime)
}

func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (b Bounds) check() error {
	switch {
	case b.StartSerial != nil && b.EndSerial != nil && *b.StartSerial > *b.EndSerial:
		return refuse("start_serial must be less than or equal to end_serial")
	case b.StartTime != nil && b.EndTime != nil && *b.StartTime > *b.EndTime:
		return refuse("start_time_ms must be less than or equal to end_time_ms")
	}
	return nil
}

// The words of a direction in answers and cursors.
const (
	newestFirst = "newest_first"
	oldestFirst = "oldest_first"
)

// ParseDirection reads a direction. The empty word, of one who says nothing, is the
// newest first.
func ParseDirection(word string) (fromOldest bool, err error) {
	switch strings.ToLower(word) {
	case "", newestFirst, "backwards", "reverse":
		return false, nil
	case oldestFirst, "forwards", "forward":
		return true, nil
	}
	return false, refuse("Invalid direction '%s'. Accepted values: newest_first, oldest_first, backwards, forwards", word)
}

func (q *Query) direction() string {
	if q.OldestFirst {
		return oldestFirst
	}
	return newestFirst
}

// prepare checks the query, gives its bounds their final values and reads its cursor,
// which is nil if there is none.
func (l Log) prepare(q *Query) (*cursor, error) {
	k := l.kind()
	if q.Limit <= 0 {
		return nil, refuse("%s limit must be greater than 0", k.title)
	}
	if err := q.Bounds.check(); err != nil {
		return nil, err
	}
	if q.UntilAttach {
		if q.Attach == nil {
			return nil, refuse("No attach_serial is recorded for channel '%s'", l.channel())
		}
		if end := q.Bounds.EndSerial; end == nil || *end > *q.Attach {
			q.Bounds.EndSerial = q.Attach
		}
	}
	if q.Cursor == "" {
		return nil, nil //nolint:nilnil // the first page has no cursor
	}
	c, err := k.parseCursor(q.Cursor)
	if err != nil {
		return nil, err
	}
	return c, l.match(c, q)
}

// kind is what differs between the histories of events and of presence.
type kind struct {
	title, word string
	// counted is what a retained row is called, and proven what a healthy state allows.
	counted, proven string
	presence        bool
}

var (
	ofEvents   = kind{title: "History", word: "history", counted: "messages", proven: "recovery_allowed"}
	ofPresence = kind{title: "Presence history", word: "presence history", counted: "events", proven: "continuity_proven", presence: true}
)

func (l Log) kind() kind {
	if strings.HasPrefix(l.Key.Channel, presencePrefix) {
		return ofPresence
	}
	return ofEvents
}

// channel is the channel that the log is about.
func (l Log) channel() string { return strings.TrimPrefix(l.Key.Channel, presencePrefix) }
