package scylladb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// A log is one partition, since a transaction reaches no further. In it are:
//
//   - its head, one row with a place of its own, which says which stream there is and
//     where it stands. Every change of a log is a transaction on the condition that the
//     head is as it was read;
//   - the entries of the stream, in the part entryPart, by serial;
//   - with each entry that has a subject, a row in the part of the subject, and with
//     each that has a Once, a row in the part of that, with the serial of the entry.
//
// All of these but the head have the stream in their keys, so that what an earlier
// stream has left is never seen in a later one. And all have a serial, so that no key
// is ever written again after it was removed: what is removed can be so outside of
// transactions, at any time later, and by several at once.
//
// The head says which entry is the first that counts. What is before it does not
// count, whether it is there or not, and neither do the rows of its subject and its
// Once. So whoever stops in the middle of a Trim leaves something that nobody sees,
// which the next Trim removes.
const (
	headPart    = "h"
	entryPart   = "e"
	subjectPart = "s"
	oncePart    = "o"
	headStream  = "\x00" // that of a head; parts tell it from a stream of that name
)

// logHead is what the head of a log says. It has no Stream if there is none.
type logHead struct {
	storage.LogHead
	keep time.Duration
	gone string // a stream before this one, of which something may be left
}

// empty reports whether there are no entries.
func (l *logHead) empty() bool { return l.Stream == "" || l.First > l.Serial }

// headColumns are those of a head. All have values.
var headColumns = []string{
	"current", "last", "first", "row_count", "at", "total", "keep", "gone", "state_name", "state_reason", "state_node", "state_since",
}

// values are those of headColumns.
func (l *logHead) values() []any {
	return []any{
		[]byte(l.Stream), l.Serial, l.First, l.Row, l.At, l.Total, l.keep, []byte(l.gone),
		[]byte(l.State.Name), []byte(l.State.Reason), []byte(l.State.Node), l.State.Since,
	}
}

// itsKey names one row.
const itsKey = " WHERE log = ? AND stream = ? AND part = ? AND serial = ?"

func headKey(log []byte) []any { return []any{log, []byte(headStream), []byte(headPart), int64(0)} }

// head reads the head of a log.
func (h *History) head(ctx context.Context, log []byte, level gocql.Consistency) (*logHead, error) {
	l := new(logHead)
	err := h.session.Query("SELECT "+strings.Join(headColumns, ", ")+" FROM "+h.table+itsKey, headKey(log)...).
		Consistency(level).Idempotent(true).ScanContext(ctx, &l.Stream, &l.Serial, &l.First, &l.Row, &l.At, &l.Total, &l.keep, &l.gone,
		&l.State.Name, &l.State.Reason, &l.State.Node, &l.State.Since)
	if errors.Is(err, gocql.ErrNotFound) {
		return new(logHead), nil
	}
	return l, err
}

// began is the statement that makes the head of a log that has none, with its
// arguments.
func (h *History) began(log []byte, l *logHead) (string, []any) {
	columns := "log, stream, part, serial, " + strings.Join(headColumns, ", ")
	marks := strings.Repeat(", ?", 3+len(headColumns))
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s) IF NOT EXISTS", h.table, columns, marks), append(headKey(log), l.values()...)
}

// Head implements storage.History. It is what has been acknowledged in this data
// centre.
func (h *History) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	ctx, done, err := h.begin(ctx, callTimeout)
	if err != nil {
		return storage.LogHead{}, err
	}
	defer done()
	l, err := h.head(ctx, logOf(key), gocql.LocalQuorum)
	if err != nil {
		return storage.LogHead{}, h.fail(ctx, err)
	}
	if l.Stream == "" {
		return storage.LogHead{}, fmt.Errorf("log of %s: %w", key.Channel, storage.ErrNotFound)
	}
	return l.LogHead, nil
}

// cas makes a lightweight transaction of one statement. It reports whether it was
// applied.
func (h *History) cas(ctx context.Context, statement string, args ...any) (bool, error) {
	return h.session.Query(statement, args...).MapScanCASContext(ctx, map[string]any{})
}

// changing is one attempt to change the head of a log, which has no Stream if there
// is none. It reports whether all is done, and says by which head there is something
// to tidy up, if there may be.
type changing func(ctx context.Context, log []byte, l *logHead) (left *logHead, made bool, err error)

// change changes the head of a log: again and again, until nobody is in the way. What
// comes of a transaction whose outcome is not known is seen in the head, which is
// read with the serial level.
func (h *History) change(ctx context.Context, key storage.LogKey, limit time.Duration, try changing) error {
	ctx, done, err := h.begin(ctx, limit)
	if err != nil {
		return err
	}
	defer done()
	left, err := h.changeHead(ctx, key, try)
	if err == nil && left != nil {
		err = h.tidy(ctx, logOf(key), left) // others may go on meanwhile
	}
	return h.fail(ctx, err)
}

func (h *History) changeHead(ctx context.Context, key storage.LogKey, try changing) (left *logHead, err error) {
	unlock, err := h.locks.take(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	log := logOf(key)
	for n := 1; ; n++ {
		made := false
		l, err := h.head(ctx, log, gocql.Serial)
		if err == nil {
			left, made, err = try(ctx, log, l)
		}
		if made || err != nil && !isUncertain(err) || !pause(ctx, n) {
			return left, errors.Join(err, ctx.Err())
		}
	}
}

// pause waits before attempt n+1, the longer the more there have been. It reports
// false when there shall be none.
func pause(ctx context.Context, n int) bool {
	return wait.For(ctx, time.Duration(rand.IntN(min(n, 10)*20))*time.Millisecond)
}
