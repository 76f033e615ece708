package realtime_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// sink records what webhooks are told. Nodes of a cluster share one. It loses a
// part of what it is told, and says so, a moment later.
type sink struct {
	lose  float64
	delay time.Duration

	mu   sync.Mutex
	told []protocol.WebhookEvent
	// down refuses everything.
	down bool
}

func (s *sink) Tell(_ string, events []protocol.WebhookEvent, settled func(bool)) {
	s.mu.Lock()
	kept := !s.down && rand.Float64() >= s.lose
	if kept {
		s.told = append(s.told, events...)
	}
	s.mu.Unlock()
	switch {
	case settled == nil:
	case s.delay == 0:
		settled(kept)
	default:
		time.AfterFunc(time.Duration(rand.Int64N(int64(s.delay))), func() { settled(kept) })
	}
}

// nodeSink is that of one node, which can die.
type nodeSink struct {
	*sink
	dead atomic.Bool
}

func (s *nodeSink) Tell(app string, events []protocol.WebhookEvent, settled func(bool)) {
	if !s.dead.Load() {
		s.sink.Tell(app, events, settled)
	}
}

// die kills a node: it says and tells nothing more.
func (n *clusterNode) die() {
	n.settings.Webhooks.Sink.(*nodeSink).dead.Store(true)
	n.bus.kill()
}

// lines are the events told so far of channels that begin with prefix.
func (s *sink) lines(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, e := range s.told {
		if strings.HasPrefix(e.Channel, prefix) {
			e.ID = ""
			lines = append(lines, string(e.AppendJSON(nil)))
		}
	}
	return lines
}

func (s *sink) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// expect waits until exactly the events want were told of channels that begin with
// prefix, in that order.
func (s *sink) expect(t *testing.T, prefix string, want ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		got := s.lines(prefix)
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || time.Now().After(end) {
			t.Fatalf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// webhooks makes an app ask for events, all if none is named.
func webhooks(s *sink, debounce time.Duration, names ...string) func(*storage.App, *realtime.Settings) {
	if len(names) == 0 {
		names = protocol.WebhookNames()
	}
	return func(app *storage.App, settings *realtime.Settings) {
		app.Webhooks = []storage.Webhook{{URL: "https://hooks.example", EventTypes: names}}
		settings.Webhooks = realtime.WebhookSettings{Sink: &nodeSink{sink: s}, Debounce: debounce}
	}
}

func occupied(channel string) string {
	return fmt.Sprintf(`{"name":"channel_occupied","channel":%q}`, channel)
}

func vacated(channel string) string {
	return fmt.Sprintf(`{"name":"channel_vacated","channel":%q}`, channel)
}

func added(channel, user string) string {
	return fmt.Sprintf(`{"name":"member_added","channel":%q,"user_id":%q}`, channel, user)
}

func removed(channel, user string) string {
	return fmt.Sprintf(`{"name":"member_removed","channel":%q,"user_id":%q}`, channel, user)
}

func counted(channel string, n int) string {
	return fmt.Sprintf(`{"name":"subscription_count","channel":%q,"subscription_count":%d}`, channel, n)
}

func TestWebhooksOfChannels(t *testing.T) {
	s := new(sink)
	f := newFixture(t, webhooks(s, 0))
	a, b := f.dial(), f.dial()
	a.join("room", "")
	s.expect(t, "room", occupied("room"), counted("room", 1))
	b.join("room", "")
	s.expect(t, "room", occupied("room"), counted("room", 1), counted("room", 2))
	b.conn.Disconnect(true)
	s.expect(t, "room", occupied("room"), counted("room", 1), counted("room", 2), counted("room", 1))
	a.conn.Disconnect(true)
	until(t, "end of the channel", func() bool { return slices.Contains(s.lines("room"), vacated("room")) })

	a, b = f.dial(), f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	b.join("presence-x", `{"user_id":"u1"}`)
	s.expect(t, "presence-x", occupied("presence-x"), added("presence-x", "u1"))
	a.conn.Disconnect(true)
	b.conn.Disconnect(true)
	until(t, "end of the member", func() bool { return len(s.lines("presence-x")) == 4 })
	if got := s.lines("presence-x"); !slices.Contains(got, removed("presence-x", "u1")) || !slices.Contains(got, vacated("presence-x")) {
		t.Errorf("told %q", got)
	}
}

func TestWebhooksOfConnections(t *testing.T) {
	s := new(sink)
	f := newFixture(t, webhooks(s, 0))
	a, b := f.dial(), f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	b.join("private-x", "")
	a.send("client-typing", "presence-x", map[string]any{"at": 1})
	b.send("client-typing", "private-x", "text")
	s.expectLast(t, "presence-x", `{"name":"client_event","channel":"presence-x","event":"client-typing","data":"{\"at\":1}","socket_id":"`+a.conn.ID()+`","user_id":"u1"}`)
	s.expectLast(t, "private-x", `{"name":"client_event","channel":"private-x","event":"client-typing","data":"text","socket_id":"`+b.conn.ID()+`"}`)
	a.subscribe("cache-x", "")
	s.expectLast(t, "cache-x", `{"name":"cache_miss","channel":"cache-x","data":"{}"}`)
	f.publish("cache-x", "e", `{}`)
	b.join("cache-x", "")
	until(t, "second subscription", func() bool { return slices.Contains(s.lines("cache-x"), counted("cache-x", 2)) })
	if n := strings.Count(strings.Join(s.lines("cache-x"), "\n"), "cache_miss"); n != 1 {
		t.Errorf("%d misses were told", n)
	}
	for _, e := range s.told {
		if e.ID == "" || e.TimeMS < time.Now().Add(-time.Minute).UnixMilli() {
			t.Errorf("%+v lacks an id or a time", e)
		}
	}
}

// expectLast waits until an event is told.
func (s *sink) expectLast(t *testing.T, prefix, want string) {
	t.Helper()
	until(t, want, func() bool { return slices.Contains(s.lines(prefix), want) })
}

// A user's own channel is not one that webhooks hear of.
func TestWebhooksLeaveOutUserChannels(t *testing.T) {
	s := new(sink)
	f := newFixture(t, webhooks(s, 0))
	a := f.dial()
	a.signin(`{"id":"u1"}`)
	a.expect("signin_success")
	a.join("#server-to-user-u1", "")
	a.join("room", "")
	s.expect(t, "", occupied("room"), counted("room", 1))
}

// Checklist: http-api 160
func TestWebhooksOfABlip(t *testing.T) {
	s := new(sink)
	const debounce = 300 * time.Millisecond
	f := newFixture(t, webhooks(s, debounce, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated, protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved))
	a := f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	s.expect(t, "", occupied("presence-x"), added("presence-x", "u1"))
	a.conn.Disconnect(true)
	a = f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	// What is told of another channel later shows that nothing was told of this one.
	b := f.dial()
	b.join("room", "")
	s.expectLast(t, "", occupied("room"))
	b.conn.Disconnect(true)
	s.expect(t, "", occupied("presence-x"), added("presence-x", "u1"), occupied("room"), vacated("room"))
	gone := time.Now()
	a.conn.Disconnect(true)
	s.expectLast(t, "", removed("presence-x", "u1"))
	if took := time.Since(gone); took < debounce {
		t.Errorf("told after %v", took)
	}
	s.expectLast(t, "", vacated("presence-x"))
}

// Each time somebody comes back the wait begins anew.
func TestWebhooksWaitFromTheLastDeparture(t *testing.T) {
	const debounce = time.Second
	for attempt := range 10 {
		s := new(sink)
		f := newFixture(t, webhooks(s, debounce, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated))
		var gone time.Time
		for range 6 {
			a := f.dial()
			a.join("room", "")
			s.expectLast(t, "", occupied("room"))
			a.conn.Disconnect(true)
			gone = time.Now()
			time.Sleep(debounce / 4)
		}
		if slices.Contains(s.lines(""), vacated("room")) {
			continue // the machine is slow: a pause was longer than it should be
		}
		s.expect(t, "", occupied("room"), vacated("room"))
		if took := time.Since(gone); took < debounce {
			t.Errorf("told %v after the last departure, in attempt %d", took, attempt)
		}
		return
	}
	t.Error("the machine is too slow for this test")
}

func TestWebhooksTellAgainWhatWasNotKept(t *testing.T) {
	s := new(sink)
	s.setDown(true)
	f := newFixture(t, webhooks(s, 0, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated))
	a := f.dial()
	a.join("room", "")
	b := f.dial()
	b.join("brief", "")
	time.Sleep(50 * time.Millisecond)
	b.conn.Disconnect(true) // nobody will have heard of it
	time.Sleep(50 * time.Millisecond)
	s.setDown(false)
	s.expect(t, "", occupied("room"))
}

// A webhook that is added hears of changes from then on, one that is removed of none.
func TestWebhooksOfAReload(t *testing.T) {
	s := new(sink)
	f := newFixture(t, nil)
	a := f.dial()
	a.join("old", "")
	f.load(f.newSettings(webhooks(s, 0, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated)))
	b := f.dial()
	b.join("old", "")
	b.join("new", "")
	s.expect(t, "", occupied("new"))
	a.conn.Disconnect(true)
	b.conn.Disconnect(true)
	until(t, "both vacated", func() bool { return len(s.lines("")) == 3 })
	f.load(f.newSettings(nil))
	c := f.dial()
	c.join("later", "")
	f.load(f.newSettings(webhooks(s, 0, protocol.WebhookChannelOccupied, protocol.WebhookMemberAdded)))
	c.join("last", "")
	s.expectLast(t, "last", occupied("last"))
	if got := s.lines("later"); len(got) > 0 {
		t.Errorf("told %q", got)
	}
}

// The end of the last node is told before it ends.
func TestWebhooksOfTheEnd(t *testing.T) {
	s := new(sink)
	f := newFixture(t, webhooks(s, time.Hour, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated))
	f.dial().join("room", "")
	s.expect(t, "", occupied("room"))
	f.hub.Close(t.Context())
	if got := s.lines(""); !slices.Equal(got, []string{occupied("room"), vacated("room")}) {
		t.Errorf("told %q", got)
	}
}
