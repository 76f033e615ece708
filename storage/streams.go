package storage

import (
	"context"
	"fmt"
	"time"
)

// Streams is a Cache that numbers what is published on a channel, so that a client
// which comes back, to another node if they share the cache, gets what it has missed.
// A stream is what one key holds: entries with serials from 1 without a gap, under an
// id that no other stream ever has. Keys are at most 1 KiB, and apart from those of
// values.
//
// Every call is one step: nobody sees half of it. What is lost is lost with the id:
// after a crash or a failover of the store that may have lost something, when the
// store made room, or when the stream was not used for its StreamTTL, the key begins
// another stream. Only entries may go before their stream, the oldest first.
//
// A call that has failed may have been carried out all the same, unless the error is
// ErrFull, which changes nothing.
type Streams interface {
	// Append adds an entry and returns its position. A key without a stream begins one
	// by the id fresh, which is not empty and was never given for another stream. An
	// entry that is larger than the store takes is ErrTooLarge.
	Append(ctx context.Context, key, fresh string, entry []byte, b StreamBounds) (StreamPosition, error)
	// Head is the position of the newest entry, with serial 0 in a stream that has had
	// none. A key without a stream begins one by the id fresh, as in Append. The stream
	// lives on for its StreamTTL, and its entries no longer than they would have.
	Head(ctx context.Context, key, fresh string, b StreamBounds) (StreamPosition, error)
	// After reads the entries with serials above serial, oldest first, at most limit;
	// none if limit is not positive. Reading does not prolong anything. A key without a
	// stream is ErrNotFound.
	After(ctx context.Context, key string, serial uint64, limit int) (StreamPage, error)
	// Reset ends the stream of a key if its id is stream: the next call begins another.
	// A key with another stream, or without one, is no error.
	Reset(ctx context.Context, key, stream string) error
}

// StreamBounds say how much of a stream is kept. All of them are positive. The last
// call on a stream says what holds for it, whoever made it.
type StreamBounds struct {
	// Entries is the number of entries kept, and Bytes their size in sum. The newest
	// entry is kept in any case.
	Entries, Bytes int
	// TTL is how long entries are kept after the last Append.
	TTL time.Duration
	// StreamTTL is how long the id and the last serial are kept after the last Append
	// or Head. It is not less than TTL.
	StreamTTL time.Duration
}

// Check names the first bound that cannot be, and its value.
func (b StreamBounds) Check() error {
	for _, bound := range []struct {
		name  string
		value int64
	}{{"Entries", int64(b.Entries)}, {"Bytes", int64(b.Bytes)}, {"TTL", int64(b.TTL)}} {
		if bound.value <= 0 {
			return fmt.Errorf("stream bounds: %s %d is not positive", bound.name, bound.value)
		}
	}
	if b.StreamTTL < b.TTL {
		return fmt.Errorf("stream bounds: StreamTTL %v is less than TTL %v", b.StreamTTL, b.TTL)
	}
	return nil
}

// StreamPosition is a place in a stream.
type StreamPosition struct {
	Stream string
	Serial uint64
}

// StreamPage is a part of a stream.
type StreamPage struct {
	// Head is the position of the newest entry there ever was.
	Head StreamPosition
	// First is the serial of the oldest entry that is kept, zero when none is. All from
	// there to the head are kept.
	First uint64
	// From is the serial of the first of Entries, zero when there are none; the others
	// follow without a gap. It is above the one asked for by more than one if those
	// between are no longer kept.
	From    uint64
	Entries [][]byte
}
