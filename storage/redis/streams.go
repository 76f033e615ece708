package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/storage"
)

// streamKeys are in one slot, whatever the key is: what is hashed begins with a word.
func (c *Cache) streamKeys(key string) []string {
	base := c.prefix + "{stream:" + key + "}:"
	return []string{base + "head", base + "entries"}
}

// Append adds an entry, in one step of the server, which keeps the newest.
func (c *Cache) Append(ctx context.Context, key, fresh string, entry []byte, b storage.StreamBounds) (storage.StreamPosition, error) {
	if size := c.MaxSize(); int64(len(entry)) > size {
		return storage.StreamPosition{}, fmt.Errorf("entry of %d bytes, where at most %d are taken: %w", len(entry), size, storage.ErrTooLarge)
	}
	return c.useStream(ctx, appendEntry, key, fresh, b, entry, b.Entries, b.Bytes, milliseconds(b.TTL))
}

// Head is the position of the newest entry.
func (c *Cache) Head(ctx context.Context, key, fresh string, b storage.StreamBounds) (storage.StreamPosition, error) {
	return c.useStream(ctx, streamHead, key, fresh, b)
}

// useStream runs a script that may begin a stream, and answers with a position.
func (c *Cache) useStream(ctx context.Context, s *script, key, fresh string, b storage.StreamBounds, args ...any) (at storage.StreamPosition, err error) {
	if fresh == "" {
		return at, errors.New("the id of a fresh stream is empty")
	}
	if err := errors.Join(b.Check(), checkKey(key)); err != nil {
		return at, err
	}
	err = c.client.call(ctx, func(ctx context.Context) error {
		reply, err := c.client.run(ctx, s, c.streamKeys(key), append([]any{fresh, milliseconds(b.StreamTTL)}, args...)...)
		if err != nil {
			return err
		}
		at, _, err = position(reply)
		return err
	})
	return at, err
}

// position is what the answer of a script begins with, and what follows.
func position(reply any) (at storage.StreamPosition, further []any, err error) {
	list, _ := reply.([]any)
	if len(list) < 2 {
		return at, nil, fmt.Errorf("the script answers %.100v", reply)
	}
	id, ok := list[0].(string)
	serial, isNumber := list[1].(int64)
	if !ok || !isNumber || serial < 0 {
		return at, nil, fmt.Errorf("the script answers %.100v", reply)
	}
	return storage.StreamPosition{Stream: id, Serial: uint64(serial)}, list[2:], nil
}

// After reads the entries with serials above serial. It is an error if those that are
// there do not follow one another, which is so if somebody else writes there.
func (c *Cache) After(ctx context.Context, key string, serial uint64, limit int) (page storage.StreamPage, err error) {
	if err := checkKey(key); err != nil {
		return page, err
	}
	err = c.client.call(ctx, func(ctx context.Context) error {
		reply, err := c.client.run(ctx, entriesAfter, c.streamKeys(key), serial, limit)
		switch {
		case errors.Is(err, redis.Nil):
			return fmt.Errorf("stream of %q: %w", key, storage.ErrNotFound)
		case err != nil:
			return err
		}
		page, err = readPage(reply, serial)
		return err
	})
	if err != nil {
		return storage.StreamPage{}, err
	}
	return page, nil
}

func readPage(reply any, after uint64) (page storage.StreamPage, err error) {
	at, further, err := position(reply)
	if err != nil {
		return page, err
	}
	if len(further) != 2 {
		return page, fmt.Errorf("the script answers %.100v", reply)
	}
	kept, _ := further[0].(int64)
	list, _ := further[1].([]any)
	if kept < 0 || uint64(kept) > at.Serial {
		return page, fmt.Errorf("stream %s has %d of %d entries: somebody else has written there", at.Stream, kept, at.Serial)
	}
	page.Head = at
	if kept > 0 {
		page.First = at.Serial - uint64(kept) + 1
	}
	if len(list) == 0 {
		return page, nil
	}
	if after >= at.Serial || kept == 0 {
		return page, fmt.Errorf("stream %s ends at %d with %d entries, and has %d above %d: somebody else has written there", at.Stream, at.Serial, kept, len(list), after)
	}
	page.From = max(after+1, page.First)
	page.Entries, err = readEntries(list, page.From, at.Serial)
	return page, err
}

// readEntries takes the serials off entries, which follow one another up to the head.
func readEntries(list []any, from, head uint64) ([][]byte, error) {
	entries := make([][]byte, len(list))
	for i, element := range list {
		text, _ := element.(string)
		want := from + uint64(i)
		serial, err := strconv.ParseUint(text[:min(serialDigits, len(text))], 10, 64)
		if err != nil || serial != want || serial > head || len(text) < serialDigits {
			return nil, fmt.Errorf("%.16q is where entry %d of a stream should be: somebody else has written there", text, want)
		}
		entries[i] = []byte(text[serialDigits:])
	}
	return entries, nil
}

// Reset ends the stream of a key if its id is stream.
func (c *Cache) Reset(ctx context.Context, key, stream string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return c.client.call(ctx, func(ctx context.Context) error {
		_, err := c.client.run(ctx, endStream, c.streamKeys(key), stream)
		return err
	})
}

var _ storage.Streams = (*Cache)(nil)
