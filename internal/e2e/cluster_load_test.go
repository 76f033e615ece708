//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// stream publishes numbered events to a channel of its own by way of one node, one
// after the other. A call that fails is repeated with the same idempotency key.
type stream struct {
	node    *node
	channel string
	stop    func()
	done    chan struct{}
	// sent is how many were accepted, and repeated how many calls failed.
	sent, repeated int
}

func (n *node) stream(pause time.Duration) *stream {
	ctx, stop := context.WithCancel(n.t.Context())
	s := &stream{node: n, channel: "stream-" + n.name, stop: stop, done: make(chan struct{})}
	go s.run(ctx, pause)
	return s
}

func (s *stream) run(ctx context.Context, pause time.Duration) {
	defer close(s.done)
	for wait.For(ctx, pause) {
		n := strconv.Itoa(s.sent)
		if err := s.node.publish(s.channel, "numbered", n, s.channel+n); err != nil {
			s.repeated++
			continue
		}
		s.sent++
	}
}

// end ends a stream. sent and repeated may be read then.
func (s *stream) end() {
	s.stop()
	<-s.done
}

// traffic is a stream by way of each node, and two sockets on each node that are
// subscribed to all of them.
type traffic struct {
	t       *testing.T
	streams []*stream
	sockets []*conn
	nodes   []*node // of the sockets
	began   time.Time
}

func (c *cluster) traffic() *traffic {
	f := &traffic{t: c.t, began: time.Now()}
	for _, n := range c.nodes {
		for range 2 {
			k := n.dial("http")
			for _, other := range c.nodes {
				k.join("stream-"+other.name, "")
			}
			f.sockets, f.nodes = append(f.sockets, k), append(f.nodes, n)
		}
	}
	for _, n := range c.nodes {
		f.streams = append(f.streams, n.stream(2*time.Millisecond))
	}
	return f
}

// flows waits until every socket has got n more events of every stream.
func (f *traffic) flows(n int) {
	f.t.Helper()
	var before []int
	for _, k := range f.sockets {
		for _, s := range f.streams {
			before = append(before, k.count(s.channel))
		}
	}
	for i, k := range f.sockets {
		for _, s := range f.streams {
			begun := before[0]
			before = before[1:]
			until(f.t, "events of "+s.channel+" on "+f.nodes[i].name, func() error {
				if got := k.count(s.channel) - begun; got < n {
					return fmt.Errorf("%d of %d; %w", got, n, k.closed())
				}
				return nil
			})
		}
	}
}

// count is how many events of a stream have come.
func (k *conn) count(channel string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counts == nil {
		k.counts = map[string]int{}
	}
	for _, frame := range k.frames[k.counted:] {
		var m struct{ Event, Channel string }
		if json.Unmarshal([]byte(frame), &m) == nil && m.Event == "numbered" {
			k.counts[m.Channel]++
		}
	}
	k.counted = len(k.frames)
	return k.counts[channel]
}

// tally is what sockets have got of streams.
type tally struct{ events, lost, repeated, reordered int }

func (a *tally) add(b tally) {
	a.events += b.events
	a.lost += b.lost
	a.repeated += b.repeated
	a.reordered += b.reordered
}

func (a tally) String() string {
	return fmt.Sprintf("%d events: %d lost, %d repeated, %d reordered", a.events, a.lost, a.repeated, a.reordered)
}

// finish ends the streams of all nodes that live, and waits until a last event of
// each has come everywhere: what has not come before it is lost. It tells what came
// to sockets on the node of a stream, and to those on others; the streams and sockets
// of dead nodes apart.
func (f *traffic) finish(dead ...*node) (local, remote tally) {
	f.t.Helper()
	took := time.Since(f.began)
	var repeated int
	for _, s := range f.streams {
		s.finish(f, dead)
		repeated += s.repeated
	}
	for i, k := range f.sockets {
		if slices.Contains(dead, f.nodes[i]) {
			continue
		}
		if err := k.closed(); err != nil {
			f.t.Errorf("a socket on %s was closed: %v", f.nodes[i].name, err)
		}
		for _, s := range f.streams {
			switch {
			case slices.Contains(dead, s.node):
			case s.node == f.nodes[i]:
				local.add(k.tally(s))
			default:
				remote.add(k.tally(s))
			}
		}
	}
	f.t.Logf("FIGURE %s: %d sockets for %v, %d calls repeated; on the node itself %v; on others %v", f.t.Name(), len(f.sockets), took.Round(100*time.Millisecond), repeated, local, remote)
	return local, remote
}

func (s *stream) finish(f *traffic, dead []*node) {
	f.t.Helper()
	s.end()
	if slices.Contains(dead, s.node) {
		return
	}
	until(f.t, "last event of "+s.channel, func() error {
		if err := s.node.publish(s.channel, "last", "", ""); err != nil {
			return err
		}
		for end := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			missing := 0
			for i, k := range f.sockets {
				if slices.Contains(dead, f.nodes[i]) {
					continue
				}
				if _, err := k.find(`"last"`, s.channel); err != nil {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
			if time.Now().After(end) {
				return fmt.Errorf("it has not come to %d sockets", missing)
			}
		}
	})
}

// tally compares what came of a stream with what was accepted.
func (k *conn) tally(s *stream) tally {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen, last := make([]int, s.sent), -1
	result := tally{events: s.sent}
	for _, frame := range k.frames {
		if !strings.Contains(frame, s.channel) {
			continue
		}
		var m struct{ Event, Channel, Data string }
		if json.Unmarshal([]byte(frame), &m) != nil || m.Event != "numbered" || m.Channel != s.channel {
			continue
		}
		n, err := strconv.Atoi(m.Data)
		if err != nil || n >= s.sent {
			continue // its call had no answer when the stream ended
		}
		if seen[n]++; seen[n] > 1 {
			result.repeated++
		} else if n < last {
			result.reordered++
		}
		last = max(last, n)
	}
	for _, n := range seen {
		if n == 0 {
			result.lost++
		}
	}
	return result
}

// faultless fails the test if anything was lost, repeated or reordered.
func (f *traffic) faultless(tallies ...tally) {
	f.t.Helper()
	for _, got := range tallies {
		if got.lost+got.repeated+got.reordered > 0 {
			f.t.Errorf("of %v", got)
		}
	}
}
