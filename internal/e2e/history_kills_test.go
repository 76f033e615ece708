//go:build unix

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// writers are publishers that try an event again, under its id, until it is accepted.
type writers struct {
	all sync.WaitGroup
	mu  sync.Mutex
	// accepted are how many events of each writer were, by channel.
	accepted map[string]map[string]int
	total    atomic.Int64
	retried  atomic.Int64
	// refused are the answers other than 200, and unsafe those of them that do not say
	// that the event may be tried again.
	refused, unsafe []string
}

func newWriters() *writers { return &writers{accepted: map[string]map[string]int{}} }

// write starts a writer that publishes on a channel, one event after the other, each by
// way of the server that is chosen for the attempt.
func (w *writers) write(ctx context.Context, name, channel string, pause time.Duration, server func() *caddy) {
	w.all.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			data := fmt.Sprint(name, "-", n)
			for wait.For(context.Background(), pause) {
				status, answer, err := server().keyed(channel, "numbered", data, "id-"+channel+"-"+data)
				if err == nil && status == http.StatusOK {
					break
				}
				if w.retried.Add(1); err == nil {
					w.mu.Lock()
					w.refused = append(w.refused, fmt.Sprint(data, ": ", status, answer))
					w.mu.Unlock()
				}
				if err == nil && status < 500 {
					w.mu.Lock()
					w.unsafe = append(w.unsafe, fmt.Sprint(data, ": ", status, answer))
					w.mu.Unlock()
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			w.mu.Lock()
			if w.accepted[channel] == nil {
				w.accepted[channel] = map[string]int{}
			}
			w.accepted[channel][name] = n + 1
			w.mu.Unlock()
			w.total.Add(1)
		}
	})
}

// end waits for the writers, whose context has ended.
func (w *writers) end(t *testing.T) {
	t.Helper()
	w.all.Wait()
	if len(w.unsafe) > 0 {
		t.Errorf("%d events were refused for good: %q", len(w.unsafe), w.unsafe[:min(5, len(w.unsafe))])
	}
}

// kept compares the history of a channel with what was accepted.
func (w *writers) kept(t *testing.T, channel string, rows []row) {
	t.Helper()
	sum := 0
	for _, n := range w.accepted[channel] {
		sum += n
	}
	lost, repeated, reordered := inOrder(datas(rows), w.accepted[channel])
	if lost+repeated+reordered > 0 || len(rows) != sum {
		t.Errorf("%s: of %d accepted events %d are lost, %d repeated and %d reordered in %d rows", channel, sum, lost, repeated, reordered, len(rows))
	}
}

// A server that is killed at any moment has kept what it has accepted, once and in the
// order of each publisher, and its clients go on where they were.
//
// Checklist: http-api 88, 90
// Checklist: http-api 111
func TestHistorySurvivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	// Not beside the tests of clusters, whose nodes would have to wait for it.
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		surviveKills(t, sqliteHistory, 6, 3000)
	})
	for _, name := range []string{"postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			surviveKills(t, historyIn(t, name, nil), 3, 600)
		})
	}
}

func surviveKills(t *testing.T, store logStore, kills, events int) {
	c := keeping(t, func(c *caddy) string { return store.block(c.dir, "") })
	server := func() *caddy { return c.caddy }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	channels := []string{"orders", "trades", "news"}
	var reading sync.WaitGroup
	var readers []*reader
	for _, channel := range channels {
		for k := range 2 {
			r := &reader{channel: channel, stay: time.Duration(1+2*k) * time.Second}
			readers = append(readers, r)
			r.visit(ctx, c.caddy, 100*time.Millisecond)
			reading.Go(func() { r.run(ctx, server) })
		}
	}
	w := newWriters()
	for i := range 9 {
		w.write(ctx, fmt.Sprint("p", i), channels[i%len(channels)], time.Millisecond, server)
	}
	began := time.Now()
	for range kills {
		time.Sleep(time.Duration(200+rand.IntN(1200)) * time.Millisecond)
		c.kill()
		c.launch(c.text("", ""))
		c.up()
	}
	until(t, "events", func() error {
		if n := w.total.Load(); n < int64(events) {
			return fmt.Errorf("%d of %d were accepted", n, events)
		}
		return nil
	})
	stop()
	w.end(t)
	reading.Wait()
	took := time.Since(began)
	for _, channel := range channels {
		rows := c.rows(channel)
		if rows[0].Serial != 1 {
			t.Errorf("%s begins with %d", channel, rows[0].Serial)
		}
		w.kept(t, channel, rows)
		for _, r := range readers {
			if r.channel == channel {
				r.matches(c.caddy, rows)
			}
		}
	}
	sum := reader{}
	for _, r := range readers {
		sum.add(r)
	}
	if sum.failed > 0 { // the store has not answered in time
		t.Logf("%q", sum.reasons)
		for line := range strings.Lines(c.log.String()) {
			if strings.Contains(line, "client has missed") {
				t.Log(line)
			}
		}
	}
	if sum.failed*10 > sum.hot+sum.cold {
		t.Errorf("%d resumes were refused, and %d not", sum.failed, sum.hot+sum.cold)
	}
	t.Logf("FIGURE %s: %d kills in %v, %d events accepted after %d attempts that failed: 0 lost, 0 repeated, 0 reordered in pages of history; %d visits of %d clients, %d resumes from memory and %d from history, %d refused with %d events before them, all others once and in order",
		t.Name(), kills, took.Round(100*time.Millisecond), w.total.Load(), w.retried.Load(), sum.visits, len(readers), sum.hot, sum.cold, sum.failed, sum.missed)
}

func (r *reader) add(other *reader) {
	r.visits += other.visits
	r.hot += other.hot
	r.cold += other.cold
	r.failed += other.failed
	r.missed += other.missed
	r.reasons = append(r.reasons, other.reasons...)
}

// matches compares what a reader has got with the rows of history, each of which is an
// event with the row's serial.
func (r *reader) matches(c *caddy, rows []row) {
	c.t.Helper()
	r.catchUp(c, rows[len(rows)-1].Serial)
	for _, f := range r.all {
		if f.Serial == 0 || f.Serial > uint64(len(rows)) || rows[f.Serial-1].Message.Data != f.Data || rows[f.Serial-1].ID != f.MessageID {
			c.t.Errorf("a reader of %s has got %+v, which is not in the history", r.channel, f)
			return
		}
	}
	if got := len(rows) - int(r.first) + 1; got != len(r.all)+int(r.missed) {
		c.t.Errorf("a reader of %s has got %d events of %d", r.channel, len(r.all), got)
	}
}
