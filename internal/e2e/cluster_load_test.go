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
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// await waits for a frame that has all parts in it, wherever it stands.
func (k *conn) await(parts ...string) string {
	k.t.Helper()
	var frame string
	until(k.t, fmt.Sprintf("frame with %q", parts), func() error {
		var err error
		frame, err = k.find(parts...)
		return err
	})
	return frame
}

// find is the last frame that has all parts in it.
func (k *conn) find(parts ...string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, frame := range slices.Backward(k.frames) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(frame, part) }) {
			return frame, nil
		}
	}
	if k.err != nil {
		return "", k.err
	}
	return "", fmt.Errorf("it is not among %d frames", len(k.frames))
}

// join subscribes to a channel, and waits until that has succeeded. user is who
// joins a presence channel.
func (k *conn) join(channel, user string) {
	k.t.Helper()
	kind, member, auth := protocol.ParseChannel(channel), "", ""
	if user != "" {
		member = `{"user_id":"` + user + `"}`
	}
	if kind.Signed() {
		auth = protocol.SignChannel("app-key", "app-secret", k.id, channel, member)
	}
	data, err := json.Marshal(map[string]string{"channel": channel, "channel_data": member, "auth": auth})
	if err != nil {
		k.t.Fatal(err)
	}
	k.send(`{"event":"pusher:subscribe","data":` + string(data) + `}`)
	k.await("subscription_succeeded", `"channel":"`+channel+`"`)
}

// signin signs a user in.
func (k *conn) signin(user string, watched ...string) {
	k.t.Helper()
	data, err := json.Marshal(map[string]any{"id": user, "watchlist": watched})
	if err != nil {
		k.t.Fatal(err)
	}
	request, err := json.Marshal(map[string]string{"auth": protocol.SignUser("app-key", "app-secret", k.id, string(data)), "user_data": string(data)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.send(`{"event":"pusher:signin","data":` + string(request) + `}`)
	k.await("signin_success")
}

// roster is what a client was told of the members of a channel.
type roster struct {
	present        map[string]bool
	added, removed map[string]int
	// faults are events that cannot follow on those before them.
	faults []string
}

func (r *roster) String() string {
	var ids []string
	for id := range r.present {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, ",")
}

// roster replays what came on a channel.
func (k *conn) roster(channel string) *roster {
	r := &roster{present: map[string]bool{}, added: map[string]int{}, removed: map[string]int{}}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, frame := range k.frames {
		if !strings.Contains(frame, channel) {
			continue
		}
		var m struct{ Event, Channel, Data string }
		if json.Unmarshal([]byte(frame), &m) != nil || m.Channel != channel {
			continue
		}
		var data struct {
			UserID   string                 `json:"user_id"`
			Presence struct{ IDs []string } `json:"presence"`
		}
		if json.Unmarshal([]byte(m.Data), &data) != nil {
			continue
		}
		switch strings.TrimPrefix(m.Event, "pusher_internal:") {
		case "subscription_succeeded":
			for _, id := range data.Presence.IDs {
				r.present[id] = true
			}
		case "member_added":
			if r.present[data.UserID] {
				r.faults = append(r.faults, data.UserID+" came twice")
			}
			r.added[data.UserID]++
			r.present[data.UserID] = true
		case "member_removed":
			if !r.present[data.UserID] {
				r.faults = append(r.faults, data.UserID+" went without having come")
			}
			r.removed[data.UserID]++
			delete(r.present, data.UserID)
		}
	}
	return r
}

// sees waits until a client was told of exactly these members.
func (k *conn) sees(channel string, users ...string) *roster {
	k.t.Helper()
	slices.Sort(users)
	var r *roster
	until(k.t, "members as the client sees them", func() error {
		if err := k.closed(); err != nil {
			return err
		}
		if r = k.roster(channel); r.String() != strings.Join(users, ",") {
			return fmt.Errorf("it sees %s, want %q", r, users)
		}
		return nil
	})
	if len(r.faults) > 0 {
		k.t.Errorf("member events that cannot be: %q", r.faults)
	}
	return r
}

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
