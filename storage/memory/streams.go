package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// entryCost is what an entry of a stream takes beside its bytes, so that a cache full
// of small ones is not larger than it says.
const entryCost = 24

// stream is what a key of storage.Streams holds. A cache counts it as one entry, and
// drops it as a whole.
type stream struct {
	id      string
	last    uint64
	entries [][]byte // up to last, without a gap; never changed in place
	bytes   int      // of entries

	entriesEnd, end time.Time
}

func (s *stream) size() int64 { return int64(len(s.id) + s.bytes + entryCost*len(s.entries)) }

// next is when something of the stream ends.
func (s *stream) next() time.Time {
	if len(s.entries) > 0 && s.entriesEnd.Before(s.end) {
		return s.entriesEnd
	}
	return s.end
}

func (s *stream) position() storage.StreamPosition {
	return storage.StreamPosition{Stream: s.id, Serial: s.last}
}

func (s *stream) add(entry []byte) {
	s.entries = append(s.entries, entry)
	s.bytes += len(entry)
	s.last++
}

func (s *stream) dropOldest() {
	s.bytes -= len(s.entries[0])
	s.entries[0] = nil
	s.entries = s.entries[1:]
}

func (s *stream) clear() { s.entries, s.bytes = nil, 0 }

// page is a part of the stream, which shares its entries.
func (s *stream) page(after uint64, limit int) storage.StreamPage {
	page := storage.StreamPage{Head: s.position()}
	if len(s.entries) == 0 {
		return page
	}
	page.First = s.last - uint64(len(s.entries)) + 1
	if after >= s.last || limit <= 0 {
		return page
	}
	page.From = max(after+1, page.First)
	rest := s.entries[page.From-page.First:]
	page.Entries = slices.Clone(rest[:min(limit, len(rest))])
	return page
}

// Append adds a copy of entry. Of a stream that alone would be larger than the cache
// fewer entries are kept than the bounds allow.
func (c *Cache) Append(ctx context.Context, key, fresh string, entry []byte, b storage.StreamBounds) (storage.StreamPosition, error) {
	return c.useStream(ctx, key, fresh, b, len(entry)+entryCost, func(e *cacheEntry, now time.Time) {
		s := e.stream
		s.add(append(make([]byte, 0, len(entry)), entry...))
		for len(s.entries) > 1 && (len(s.entries) > b.Entries || s.bytes > b.Bytes || e.size() > c.options.MaxBytes) {
			s.dropOldest()
		}
		s.entriesEnd = now.Add(b.TTL)
	})
}

// Head is the position of the newest entry.
func (c *Cache) Head(ctx context.Context, key, fresh string, b storage.StreamBounds) (storage.StreamPosition, error) {
	return c.useStream(ctx, key, fresh, b, 0, func(*cacheEntry, time.Time) {})
}

// useStream finds or begins the stream of key, does something to it that needs room
// for more bytes, and prolongs it.
func (c *Cache) useStream(ctx context.Context, key, fresh string, b storage.StreamBounds, more int, do func(e *cacheEntry, now time.Time)) (storage.StreamPosition, error) {
	var none storage.StreamPosition
	if fresh == "" {
		return none, errors.New("cache: the id of a fresh stream is empty")
	}
	if err := b.Check(); err != nil {
		return none, fmt.Errorf("cache: %w", err)
	}
	if err := c.lock(ctx, key); err != nil {
		return none, err
	}
	defer c.mu.Unlock()
	now := time.Now()
	e := c.findStreamLocked(key, now)
	id := fresh
	if e != nil {
		id = e.stream.id
	}
	if least := len(key) + len(id) + more; int64(least) > c.options.MaxBytes {
		return none, fmt.Errorf("cache of %d bytes takes no stream of %d bytes: %w", c.options.MaxBytes, least, storage.ErrTooLarge)
	}
	c.sweepLocked(now)
	if e == nil {
		e = c.beginStreamLocked(key, fresh)
	}
	before := e.size()
	do(e, now)
	e.stream.end = now.Add(b.StreamTTL)
	c.bytes += e.size() - before
	c.expiry.move(e, e.stream.next())
	c.recent.MoveToFront(e.place)
	position := e.stream.position()
	c.evictLocked()
	return position, nil
}

// beginStreamLocked adds a stream, whose deadline is still to be set.
func (c *Cache) beginStreamLocked(key, id string) *cacheEntry {
	e := &cacheEntry{key: key, stream: &stream{id: id}}
	e.place = c.recent.PushFront(e)
	c.streams[key] = e
	c.expiry.add(e)
	c.bytes += e.size()
	return e
}

// After reads copies of the entries with serials above serial.
func (c *Cache) After(ctx context.Context, key string, serial uint64, limit int) (storage.StreamPage, error) {
	page, err := c.sharedPage(ctx, key, serial, limit)
	for i, entry := range page.Entries { // without the lock: what is stored never changes
		page.Entries[i] = bytes.Clone(entry)
	}
	return page, err
}

func (c *Cache) sharedPage(ctx context.Context, key string, serial uint64, limit int) (storage.StreamPage, error) {
	if err := c.lock(ctx, key); err != nil {
		return storage.StreamPage{}, err
	}
	defer c.mu.Unlock()
	e := c.findStreamLocked(key, time.Now())
	if e == nil {
		return storage.StreamPage{}, fmt.Errorf("stream: %w", storage.ErrNotFound)
	}
	c.recent.MoveToFront(e.place)
	return e.stream.page(serial, limit), nil
}

// Reset ends the stream of key if its id is id.
func (c *Cache) Reset(ctx context.Context, key, id string) error {
	if err := c.lock(ctx, key); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if e := c.streams[key]; e != nil && e.stream.id == id {
		c.expiry.remove(e)
		c.dropLocked(e)
	}
	return nil
}

// findStreamLocked is the live stream of key, without entries that have expired, or
// nil.
func (c *Cache) findStreamLocked(key string, now time.Time) *cacheEntry {
	if e := c.streams[key]; e != nil && e.past(now) {
		c.expiry.remove(e)
		c.lapseLocked(e, now)
	}
	return c.streams[key]
}

var _ storage.Streams = (*Cache)(nil)
