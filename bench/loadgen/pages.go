//go:build linux

package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// errPage is wrapped when a page is not what it must be.
var errPage = errors.New("loadgen: another page was expected")

// Pages reads pages of the history of a channel, each reader one after the other.
type Pages struct {
	// Channel is the one whose history is read.
	Channel string
	// Queries are the parameters of the requests, which take turns.
	Queries []map[string]string
	// Next says that the page behind the one that a query gives is read, by its cursor.
	// Cursors are asked for before the measurement.
	Next bool
	// Rows is how many every page must have.
	Rows int
	// Readers is how many connections read. Default 1, at most 99.
	Readers int
	// Warm passes before the measurement, Measure is its length; at most a minute each.
	Warm, Measure time.Duration
}

// page is what matters of an answer.
type page struct {
	Items  []json.RawMessage `json:"items"`
	Cursor string            `json:"next_cursor"`
}

// Run implements Scenario.
func (o Pages) Run(ctx context.Context, target Target) (Result, error) {
	setDefault(&o.Readers, 1)
	if err := errors.Join(
		checkBounds(
			bounded{"queries", len(o.Queries), 1, 100_000},
			bounded{"rows", o.Rows, 1, 1000},
			bounded{"readers", o.Readers, 1, maxPublishers},
		),
		checkPhases(o.Warm, o.Measure),
	); err != nil {
		return Result{}, err
	}
	if _, err := target.sockaddr(); err != nil {
		return Result{}, err
	}
	queries, err := o.following(ctx, target)
	if err != nil {
		return Result{}, err
	}
	return countCalls(ctx, target, calls{
		unit: "pages", units: 1, by: newPublishing(target, o.Readers, []string{o.Channel}, form{}), warm: o.Warm, measure: o.Measure,
		one: func(ctx context.Context, l *lane, turn int64) (func() error, error) {
			text, err := o.read(ctx, l, queries[turn%int64(len(queries))])
			return func() error { _, err := o.check(text); return err }, err
		},
	})
}

// following are the queries, or those of the pages behind theirs.
func (o Pages) following(ctx context.Context, target Target) ([]map[string]string, error) {
	if !o.Next {
		return o.Queries, nil
	}
	l := newLane(target, 0, nil, form{})
	defer l.close()
	next := make([]map[string]string, len(o.Queries))
	for i, query := range o.Queries {
		text, err := o.read(ctx, l, query)
		if err != nil {
			return nil, err
		}
		p, err := o.check(text)
		if err != nil || p.Cursor == "" {
			return nil, errors.Join(fmt.Errorf("%w: one with a cursor, query %v", errPage, query), err)
		}
		next[i] = map[string]string{"cursor": p.Cursor}
		maps.Copy(next[i], query)
	}
	return next, nil
}

func (o Pages) read(ctx context.Context, l *lane, query map[string]string) ([]byte, error) {
	return l.exchange(ctx, func(now time.Time) []byte {
		return l.target.signedGet("channels/"+o.Channel+"/history", query, now)
	})
}

func (o Pages) check(text []byte) (p page, err error) {
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("page of %d bytes: %w", len(text), err)
	}
	if len(p.Items) != o.Rows {
		return p, fmt.Errorf("%w: %d rows, not %d", errPage, o.Rows, len(p.Items))
	}
	return p, nil
}
