//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// reader is a V2 client that reads one channel, loses its connection again and again,
// and goes on where it was.
type reader struct {
	channel string
	stay    time.Duration // how long a visit takes at most

	stream string
	serial uint64
	lastID string
	// first is the serial of the first event, and all are the events from it on.
	first uint64
	all   []v2Frame
	// hot and cold count resumes by where the events came from, failed those that
	// were refused, and visits the connections.
	hot, cold, failed, visits int
	// missed are the events that it was told that it cannot have.
	missed          uint64
	told            bool // and has got none since
	faults, reasons []string
}

// run visits servers until ctx ends.
func (r *reader) run(ctx context.Context, server func() *caddy) {
	for ctx.Err() == nil {
		r.visit(ctx, server(), r.stay/4+rand.N(r.stay))
		wait.For(ctx, 20*time.Millisecond)
	}
}

// visit stays until the connection is lost, or as long as it is to.
func (r *reader) visit(ctx context.Context, c *caddy, stay time.Duration) {
	k, err := c.tryDial("http", "/app/app-key?protocol=2")
	if err != nil {
		return
	}
	defer func() {
		_ = k.w.rw.Close()
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, text := range k.frames {
			r.take(text)
		}
	}()
	r.visits++
	if r.stream != "" {
		position, _ := json.Marshal(map[string]any{"channel_positions": map[string]any{
			r.channel: map[string]any{"stream_id": r.stream, "serial": r.serial, "last_message_id": r.lastID},
		}})
		text, _ := json.Marshal(string(position))
		if k.w.send(`{"event":"sockudo:resume","data":`+string(text)+`}`) != nil {
			return
		}
	}
	if k.w.send(`{"event":"sockudo:subscribe","data":{"channel":"`+r.channel+`"}}`) != nil {
		return
	}
	for end := time.Now().Add(stay); k.closed() == nil && time.Now().Before(end); {
		if !wait.For(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// take takes what came. Whatever does not follow on what was there is a fault, unless
// the client was told so.
func (r *reader) take(text string) {
	var f v2Frame
	if json.Unmarshal([]byte(text), &f) != nil {
		return
	}
	switch {
	case f.Event == "sockudo_internal:subscription_succeeded":
		if r.stream == "" {
			r.stream, r.serial = f.StreamID, f.Serial
			r.first = f.Serial + 1
		}
	case f.Event == "sockudo:resume_failed":
		r.failed++
		r.told = true
		r.reasons = append(r.reasons, text)
	case f.Event == "sockudo:resume_success":
		data, _ := f.Data.(string)
		r.hot += strings.Count(data, `"source":"hot"`)
		r.cold += strings.Count(data, `"source":"cold"`)
	case f.Event == "numbered" || strings.HasPrefix(f.Event, "sockudo:message."):
		if r.told && f.StreamID == r.stream && f.Serial > r.serial {
			r.missed += f.Serial - r.serial - 1
		} else if f.StreamID != r.stream || f.Serial != r.serial+1 {
			r.faults = append(r.faults, fmt.Sprintf("%d of %.4s comes after %d of %.4s", f.Serial, f.StreamID, r.serial, r.stream))
		}
		r.stream, r.serial, r.lastID, r.told = f.StreamID, f.Serial, f.MessageID, false
		r.all = append(r.all, f)
	}
}

// catchUp visits a server until the reader has got the event with a serial.
func (r *reader) catchUp(c *caddy, serial uint64) {
	c.t.Helper()
	for range 40 {
		if r.serial >= serial {
			break
		}
		r.visit(c.t.Context(), c, 300*time.Millisecond)
	}
	if r.serial != serial {
		c.t.Errorf("a reader of %s ends at %d, and the channel at %d", r.channel, r.serial, serial)
	}
	if len(r.faults) > 0 {
		c.t.Errorf("%d faults of a reader of %s: %q", len(r.faults), r.channel, r.faults[:min(5, len(r.faults))])
	}
}
