//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

const (
	// fillBatch is how many events are added at once.
	fillBatch = 2000
	// fillTimeout bounds that.
	fillTimeout = time.Minute
	// fillStep is the time between two events of a filled channel.
	fillStep = 3 * time.Millisecond
)

// filled is a channel that has a past.
type filled struct {
	channel string
	rows    int
	began   time.Time // of the first event
}

// at is when the event with a number, from 1, was published.
func (f filled) at(row int) int64 { return f.began.Add(time.Duration(row-1) * fillStep).UnixMilli() }

// fill makes the past of channels as if it had been published, by way of the driver.
func (s historyStore) fill(ctx context.Context, all ...filled) error {
	h, err := sql.OpenHistory(ctx, s.server(), sql.HistoryOptions{TablePrefix: s.prefix(), Timeout: fillTimeout})
	if err != nil {
		return err
	}
	defer h.Close()
	start := time.Now()
	for _, f := range all {
		for row := 1; row <= f.rows; row += fillBatch {
			if err := f.append(ctx, h, row, min(fillBatch, f.rows-row+1)); err != nil {
				return fmt.Errorf("filling %s: %w", s.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "%s: %s events in %s, %.1f s\n", s.name, grouped(f.rows), f.channel, time.Since(start).Seconds())
	}
	return nil
}

// prefix begins the names of the tables.
func (s historyStore) prefix() string {
	if s.name == inSQLite {
		return ""
	}
	return s.place
}

// append adds so many events from a row on.
func (f filled) append(ctx context.Context, h storage.History, row, events int) error {
	batch := make([]*storage.LogAppend, events)
	for i := range batch {
		at := f.at(row + i)
		record := history.Record{
			Event: "bench", Channel: f.channel, MessageID: fmt.Sprintf("00000000-0000-4000-8000-%012d", row+i), PublishedAt: at,
			Data: fmt.Appendf(nil, `"event %010d %080d"`, row+i, 0),
		}
		batch[i] = &storage.LogAppend{Key: history.Key("app-id", f.channel), Fresh: "filled-" + f.channel, At: at, Row: true, Keep: 24 * time.Hour, Payload: record.Append(nil)}
	}
	h.Append(ctx, batch)
	for _, a := range batch {
		if a.Err != nil {
			return a.Err
		}
	}
	return nil
}
