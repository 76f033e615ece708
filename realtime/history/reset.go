package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ResetResult is what a reset has done.
type ResetResult struct {
	// Previous is the stream that there was, "" for none, and Stream the new one.
	Previous, Stream string
	// Rows and Bytes are what was shown until then.
	Rows, Bytes uint64
}

// Reset removes everything and begins a new stream, healthy and without a row. With
// the events of a channel go their versions, which are in the same log, and their
// annotations.
//
// Nodes that hold events of the channel have to be told of the new stream whenever
// the result has one, even with an error: then only the annotations may be left.
func (l Log) Reset(ctx context.Context) (r ResetResult, err error) {
	s, err := l.stand(ctx)
	if err != nil {
		return r, err
	}
	r = ResetResult{Previous: s.Head.Stream, Rows: s.Rows(), Bytes: s.Bytes()}
	fresh := protocol.NewMessageID()
	if err := l.Store.Reset(ctx, l.Key, fresh); err != nil {
		return r, fmt.Errorf("resetting channel %q: %w", l.channel(), err)
	}
	r.Stream = fresh
	if l.kind().presence {
		return r, nil
	}
	key := AnnotationKey(l.Key.App, l.Key.Channel)
	switch _, err := l.Store.Head(ctx, key); {
	case errors.Is(err, storage.ErrNotFound):
		return r, nil
	case err != nil:
		return r, fmt.Errorf("annotations of channel %q: %w", l.channel(), err)
	}
	if err := l.Store.Reset(ctx, key, protocol.NewMessageID()); err != nil {
		return r, fmt.Errorf("resetting annotations of channel %q: %w", l.channel(), err)
	}
	return r, nil
}

// Purge says which rows go: all if both bounds are nil. One bound at most is given.
type Purge struct {
	// BeforeSerial and BeforeTime are exclusive. The time is in Unix milliseconds.
	BeforeSerial *uint64
	BeforeTime   *int64
}

// PurgeResult is what a purge has removed of what was shown.
type PurgeResult struct{ Rows, Bytes uint64 }

// Purge removes rows, with the changes that came between them, and leaves the stream,
// its numbers and its state as they are. Rows that are published meanwhile stay.
func (l Log) Purge(ctx context.Context, what Purge) (r PurgeResult, err error) {
	err = l.retry(func() error {
		r, err = l.purge(ctx, what)
		return err
	})
	return r, err
}

func (l Log) purge(ctx context.Context, what Purge) (r PurgeResult, err error) {
	s, err := l.look(ctx)
	if err != nil || s.Head.Stream == "" {
		return r, err
	}
	before := s.Head.Serial + 1
	next, err := l.purgeEnd(ctx, s, what)
	if err != nil {
		return r, err
	}
	left := Floor{}
	if next.Serial > 0 {
		before = next.Serial
		if s.Oldest.Serial > 0 {
			left = Floor{Oldest: s.Oldest, Newest: s.Newest}
			if next.Row > s.Oldest.Row {
				left.Oldest = next
			}
		}
	}
	r = PurgeResult{Rows: s.Rows() - left.Rows(), Bytes: s.Bytes() - left.Bytes()}
	if before <= s.Head.First {
		return PurgeResult{}, nil
	}
	if err := l.Store.Trim(ctx, l.Key, s.Head.Stream, before); err != nil {
		return PurgeResult{}, fmt.Errorf("purging channel %q: %w", l.channel(), err)
	}
	return r, nil
}

// purgeEnd is the first row that stays, without its payload, or none.
func (l Log) purgeEnd(ctx context.Context, s stand, what Purge) (next storage.LogEntry, err error) {
	q := storage.LogQuery{Rows: true, To: s.Head.Serial, Limit: 1, Bare: true}
	switch {
	case what.BeforeSerial != nil:
		if q.FromRow = *what.BeforeSerial; q.FromRow > s.Head.Row {
			return next, nil
		}
	case what.BeforeTime != nil:
		if q.FromAt = max(0, *what.BeforeTime); q.FromAt > s.Head.At {
			return next, nil
		}
	default:
		return next, nil
	}
	kept, err := l.Store.Read(ctx, l.Key, s.Head.Stream, q)
	if err != nil {
		return next, err
	}
	if len(kept) == 0 {
		// Either all rows are older, or the log was reset, whose rows must stay.
		return next, l.stays(ctx, s)
	}
	return kept[0], nil
}
