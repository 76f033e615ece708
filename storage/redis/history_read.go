package redis

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// readLooks is how many entries one script looks at, and readSize how many bytes of
	// payloads it answers with, besides one entry.
	readLooks = 1000
	readSize  = 8 << 20
	// latestSubjects is how many subjects one script is asked for.
	latestSubjects = 1000
)

// Head tells where a log stands.
func (h *History) Head(ctx context.Context, key storage.LogKey) (head storage.LogHead, err error) {
	if err := checkLog(key); err != nil {
		return head, err
	}
	word, rest, err := h.run(ctx, headOfLog, key)
	switch {
	case err != nil:
		return head, err
	case word == "none":
		return head, fmt.Errorf("log of %s: %w", key.Channel, storage.ErrNotFound)
	}
	if head, err = readHead(rest); err != nil {
		return storage.LogHead{}, h.client.fail(ctx, err)
	}
	return head, nil
}

// readHead reads the answer of headOfLog.
func readHead(rest []any) (head storage.LogHead, err error) {
	const elements = 12
	if len(rest) != elements {
		return head, fmt.Errorf("the script answers with %d elements for the head of a log", len(rest))
	}
	var n [5]uint64
	for i := range n {
		if n[i], err = number(rest[1+i]); err != nil {
			return head, err
		}
	}
	var texts [elements]string
	for i := range rest {
		texts[i], _ = rest[i].(string)
	}
	head = storage.LogHead{Stream: texts[0], Serial: n[0], Row: n[1], At: int64(n[2]), Total: n[3], First: n[4]}
	head.State = storage.LogState{Name: texts[6], Reason: texts[7], Node: texts[8]}
	since, err := strconv.ParseInt(texts[9], 10, 64)
	lost, lostErr := strconv.ParseInt(texts[11], 10, 64)
	if err := cmp.Or(err, lostErr); err != nil {
		return storage.LogHead{}, fmt.Errorf("the script answers %.100v for the state of a log", rest[9:])
	}
	head.State.Since = since
	// What somebody has noted since hides this, unless it says that the log is healthy.
	if rest[10] == int64(1) && (head.State.Name == "" || since < lost) {
		head.State = storage.LogState{Name: "degraded", Reason: failedOver, Since: max(lost, since)}
	}
	return head, nil
}

// clamp is a bound as a script can take it.
func clamp(n uint64) uint64 { return min(n, maxNumber) }

// Read reads entries, in as many steps as their size makes of it.
func (h *History) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) (read []storage.LogEntry, err error) {
	if err := checkLog(key); err != nil {
		return nil, err
	}
	for q.Limit > 0 && q.ToAt >= 0 {
		_, rest, err := h.run(ctx, readLog, key,
			stream, clamp(q.From), clamp(q.To), clamp(q.FromRow), clamp(q.ToRow), min(max(q.FromAt, 0), maxNumber), min(q.ToAt, maxNumber), clamp(q.FromTotal),
			bit(q.Rows), bit(q.Reverse), bit(q.Bare), q.Subject, q.Limit-len(read), readLooks, readSize)
		if err != nil {
			return nil, err
		}
		var next uint64
		var entries []storage.LogEntry
		if len(rest) == 0 {
			err = fmt.Errorf("the script answers %.100v", rest)
		} else if next, err = number(rest[0]); err == nil {
			entries, err = readTriples(rest[1:], q.Bare)
		}
		if err != nil {
			return nil, h.client.fail(ctx, err)
		}
		if read = append(read, entries...); next == 0 || len(read) >= q.Limit {
			return read, nil
		}
		if q.Reverse {
			q.To = next
		} else {
			q.From = next
		}
	}
	return nil, h.client.call(ctx, func(context.Context) error { return nil })
}

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// Latest reads the newest entry of each subject.
func (h *History) Latest(ctx context.Context, key storage.LogKey, stream string, subjects []string) (latest map[string]storage.LogEntry, err error) {
	if err := checkLog(key); err != nil {
		return nil, err
	}
	asked := make([]any, 0, len(subjects))
	known := map[string]bool{"": true}
	for _, subject := range subjects {
		if !known[subject] {
			known[subject] = true
			asked = append(asked, subject)
		}
	}
	if len(asked) == 0 {
		return nil, h.client.call(ctx, func(context.Context) error { return nil })
	}
	latest = map[string]storage.LogEntry{}
	for len(asked) > 0 {
		some := asked[:min(len(asked), latestSubjects)]
		_, rest, err := h.run(ctx, latestOfLog, key, append([]any{stream, readSize}, some...)...)
		if err != nil {
			return nil, err
		}
		var done int64
		if len(rest) > 0 {
			done, _ = rest[0].(int64)
		}
		if done <= 0 || done > int64(len(some)) {
			return nil, h.client.fail(ctx, fmt.Errorf("the script answers %.100v", rest))
		}
		entries, err := readTriples(rest[1:], false)
		if err != nil {
			return nil, h.client.fail(ctx, err)
		}
		for _, e := range entries {
			latest[e.Subject] = e
		}
		asked = asked[done:]
	}
	return latest, nil
}

// Due lists logs whose oldest entry was due. It also looks whether the servers are
// still the same.
func (h *History) Due(ctx context.Context, now time.Time, limit int) (due []storage.LogKey, err error) {
	if err := h.look(ctx, callTimeout); err != nil {
		return nil, err
	}
	err = h.client.call(ctx, func(ctx context.Context) error {
		const some = 64
		for first := 0; first < historyBuckets && len(due) < limit; first += some {
			pipe := h.client.Pipeline()
			var lists [some]*redis.StringSliceCmd
			for i := range lists {
				lists[i] = pipe.ZRangeByScore(ctx, h.dueKey(first+i), &redis.ZRangeBy{
					Min: "-inf", Max: "(" + strconv.FormatInt(now.UnixMilli(), 10), Count: int64(limit - len(due)),
				})
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
			for _, list := range lists {
				for _, name := range list.Val() {
					key, err := readName(name)
					if err != nil {
						return err
					}
					if len(due) < limit {
						due = append(due, key)
					}
				}
			}
		}
		return nil
	})
	return due, err
}
