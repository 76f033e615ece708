package history

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The prefixes of logs that are not those of a channel itself. No channel's name
// begins with a bracket but that of a meta channel, which has no log.
const (
	presencePrefix   = "[presence-history]"
	annotationPrefix = "[annotations]"
)

// Key names the log of a channel.
func Key(app, channel string) storage.LogKey { return storage.LogKey{App: app, Channel: channel} }

// PresenceKey names the log of who joined and left a presence channel.
func PresenceKey(app, channel string) storage.LogKey {
	return storage.LogKey{App: app, Channel: presencePrefix + channel}
}

// AnnotationKey names the log of the annotations of a channel's messages.
func AnnotationKey(app, channel string) storage.LogKey {
	return storage.LogKey{App: app, Channel: annotationPrefix + channel}
}

// Kind says what a log holds.
type Kind uint8

// The kinds of logs.
const (
	KindEvents Kind = iota
	KindPresence
	KindAnnotations
)

// KindOf is what a log holds, and of which channel.
func KindOf(key storage.LogKey) (kind Kind, channel string) {
	if about, ok := strings.CutPrefix(key.Channel, presencePrefix); ok {
		return KindPresence, about
	}
	if about, ok := strings.CutPrefix(key.Channel, annotationPrefix); ok {
		return KindAnnotations, about
	}
	return KindEvents, key.Channel
}

// Retention says what of a log is shown, and what is kept of it.
type Retention struct {
	// Age is how long a row is shown. Zero is for ever.
	Age time.Duration
	// Rows and Bytes bound what is shown. Zero means no bound. The newest row is shown
	// whatever its size.
	Rows  int
	Bytes int64
	// Versions says that entries outlive their rows: VersionAge is how long any entry is
	// kept, and zero is for ever.
	Versions   bool
	VersionAge time.Duration
}

// Keep is what a storage.LogAppend says about the oldest entry.
func (r Retention) Keep() time.Duration {
	switch {
	case !r.Versions:
		return r.Age
	case r.VersionAge == 0 || r.Age == 0:
		return 0
	default:
		return max(r.Age, r.VersionAge)
	}
}

// Log is one log as it is read under a retention.
type Log struct {
	Store     storage.History
	Key       storage.LogKey
	Retention Retention
	// Now is the time, in Unix milliseconds.
	Now int64
	// Shown is told of each page how many messages it shows by a newer version, how many are
	// their own newest one, and of how many no version is left. Nil for nobody.
	Shown func(substituted, current, gone int)
}

// Floor is where what is shown of a log begins.
type Floor struct {
	// Head is where the log stands.
	Head storage.LogHead
	// Oldest and Newest are the first and the last row that is shown, without payloads.
	// Both are zero when none is.
	Oldest, Newest storage.LogEntry
}

// Rows is the number of rows that are shown, and Bytes their size.
func (f Floor) Rows() uint64 {
	if f.Oldest.Serial == 0 {
		return 0
	}
	return f.Newest.Row - f.Oldest.Row + 1
}

// Bytes is the size of the rows that are shown, in bytes.
func (f Floor) Bytes() uint64 {
	if f.Oldest.Serial == 0 {
		return 0
	}
	return f.Newest.Total - f.Oldest.Total + uint64(f.Oldest.Size)
}

// Floor finds what is shown. A log that does not exist has the zero Floor.
func (l Log) Floor(ctx context.Context) (f Floor, err error) {
	f.Head, err = l.Store.Head(ctx, l.Key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return f, nil
	case err != nil || f.Head.First > f.Head.Serial:
		return f, err
	}
	newest, err := l.Store.Read(ctx, l.Key, f.Head.Stream, storage.LogQuery{Rows: true, To: f.Head.Serial, Reverse: true, Limit: 1, Bare: true})
	if err != nil || len(newest) == 0 {
		return f, err
	}
	f.Oldest, err = l.oldest(ctx, f.Head.Stream, newest[0])
	if f.Oldest.Serial > 0 {
		f.Newest = newest[0]
	}
	return f, err
}

// oldest is the first row that is shown, up to the newest one.
func (l Log) oldest(ctx context.Context, stream string, newest storage.LogEntry) (none storage.LogEntry, err error) {
	q := storage.LogQuery{Rows: true, To: newest.Serial, Limit: 2, Bare: true}
	if l.Retention.Age > 0 {
		q.FromAt = l.Now - l.Retention.Age.Milliseconds()
		if newest.At < q.FromAt {
			return none, nil
		}
	}
	if n := uint64(l.Retention.Rows); n > 0 && newest.Row > n {
		q.FromRow = newest.Row - n + 1
	}
	if n := uint64(l.Retention.Bytes); n > 0 && newest.Total > n {
		q.FromTotal = newest.Total - n
	}
	rows, err := l.Store.Read(ctx, l.Key, stream, q)
	if err != nil || len(rows) == 0 {
		return none, err
	}
	// A row whose bytes are needed only in part goes too.
	if rows[0].Total-uint64(rows[0].Size) < q.FromTotal && len(rows) > 1 {
		return rows[1], nil
	}
	if rows[0].Total-uint64(rows[0].Size) < q.FromTotal {
		return newest, nil
	}
	return rows[0], nil
}

// First finds the serial of the oldest entry from which on everything is shown or kept
// for its version, zero when nothing is. A log that does not exist is
// storage.ErrNotFound.
func (l Log) First(ctx context.Context) (head storage.LogHead, first uint64, err error) {
	head, err = l.Store.Head(ctx, l.Key)
	if err != nil || head.First > head.Serial {
		return head, 0, err
	}
	if l.Retention.Versions {
		first, err = l.kept(ctx, head)
		if first > head.Serial {
			first = 0
		}
		return head, first, err
	}
	if l.Retention.Age == 0 && l.Retention.Rows == 0 && l.Retention.Bytes == 0 {
		return head, head.First, nil
	}
	f, err := l.Floor(ctx)
	return f.Head, f.Oldest.Serial, err
}

// Retain removes what is neither shown nor kept for its versions.
func (l Log) Retain(ctx context.Context) error {
	f, err := l.Floor(ctx)
	if err != nil || f.Head.First > f.Head.Serial {
		return err
	}
	before := f.Head.Serial + 1
	if f.Oldest.Serial > 0 {
		before = f.Oldest.Serial
	}
	if l.Retention.Versions {
		kept, err := l.kept(ctx, f.Head)
		if err != nil {
			return err
		}
		before = min(before, kept)
	}
	if before <= f.Head.First {
		return nil
	}
	return l.Store.Trim(ctx, l.Key, f.Head.Stream, before)
}

// kept is the serial of the first entry that is kept for its version.
func (l Log) kept(ctx context.Context, head storage.LogHead) (uint64, error) {
	if l.Retention.VersionAge == 0 {
		return head.First, nil
	}
	first, err := l.Store.Read(ctx, l.Key, head.Stream, storage.LogQuery{FromAt: l.Now - l.Retention.VersionAge.Milliseconds(), Limit: 1, Bare: true})
	if err != nil {
		return 0, err
	}
	if len(first) == 0 {
		return head.Serial + 1, nil
	}
	return first[0].Serial, nil
}
