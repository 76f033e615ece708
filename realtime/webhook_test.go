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
	"github.com/sockudo/caddy-sockudo/storage/memory"
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
	b.conn.Disconnect()
	s.expect(t, "room", occupied("room"), counted("room", 1), counted("room", 2), counted("room", 1))
	a.conn.Disconnect()
	until(t, "end of the channel", func() bool { return slices.Contains(s.lines("room"), vacated("room")) })

	a, b = f.dial(), f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	b.join("presence-x", `{"user_id":"u1"}`)
	s.expect(t, "presence-x", occupied("presence-x"), added("presence-x", "u1"))
	a.conn.Disconnect()
	b.conn.Disconnect()
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
	a.conn.Disconnect()
	a = f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	// What is told of another channel later shows that nothing was told of this one.
	b := f.dial()
	b.join("room", "")
	s.expectLast(t, "", occupied("room"))
	b.conn.Disconnect()
	s.expect(t, "", occupied("presence-x"), added("presence-x", "u1"), occupied("room"), vacated("room"))
	gone := time.Now()
	a.conn.Disconnect()
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
			a.conn.Disconnect()
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
	b.conn.Disconnect() // nobody will have heard of it
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
	a.conn.Disconnect()
	b.conn.Disconnect()
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

// Checklist: configuration 55
func TestClusterWebhooksOnce(t *testing.T) {
	s := &sink{delay: 10 * time.Millisecond}
	nodes := newCluster(t, 3, func(app *storage.App, settings *realtime.Settings) {
		webhooks(s, 50*time.Millisecond, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated, protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved)(app, settings)
		settings.Cluster.NodeTimeout = time.Minute // a node that a busy machine holds up is not to be given up
	})
	for c := range 20 {
		channel := fmt.Sprint("presence-", c)
		var conns []*peer
		for i, n := range nodes {
			p := n.dial()
			p.join(channel, fmt.Sprintf(`{"user_id":"u%d"}`, i%2))
			conns = append(conns, p)
		}
		until(t, "three events", func() bool { return exactly(s, channel, 3) })
		for _, p := range conns {
			p.conn.Disconnect()
		}
		until(t, "six events", func() bool { return exactly(s, channel, 6) })
	}
	for c := range 20 {
		channel := fmt.Sprint("presence-", c)
		got := s.of(channel)
		slices.Sort(got)
		want := []string{occupied(channel), vacated(channel), added(channel, "u0"), added(channel, "u1"), removed(channel, "u0"), removed(channel, "u1")}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("told %q", got)
		}
	}
}

// of are the events of one channel.
func (s *sink) of(channel string) (lines []string) {
	for _, line := range s.lines(channel) {
		if strings.Contains(line, fmt.Sprintf(`"channel":%q`, channel)) {
			lines = append(lines, line)
		}
	}
	return lines
}

func exactly(s *sink, channel string, n int) bool { return len(s.of(channel)) == n }

// A node that was killed is told to be gone once, by one of those that are left.
func TestClusterWebhooksOfAKilledNode(t *testing.T) {
	s := new(sink)
	nodes := newCluster(t, 3, webhooks(s, 20*time.Millisecond, protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved))
	var want []string
	for i := range 30 {
		channel, user := fmt.Sprint("presence-", i), fmt.Sprint("ghost-", i)
		nodes[2].dial().join(channel, fmt.Sprintf(`{"user_id":%q}`, user))
		want = append(want, added(channel, user))
	}
	until(t, "all there", func() bool { return sorted(s.lines("")) == sorted(want) })
	nodes[2].die()
	for i := range 30 {
		want = append(want, removed(fmt.Sprint("presence-", i), fmt.Sprint("ghost-", i)))
	}
	until(t, "all gone", func() bool { return sorted(s.lines("")) == sorted(want) })
}

// TestClusterWebhooksModel lets clients come and go at random, on nodes that come,
// go and lose each other. In the end what webhooks were told last of everybody is
// the truth; and as long as no node is killed or cut off, nothing was told twice.
func TestClusterWebhooksModel(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("calm", seed), func(t *testing.T) {
			t.Parallel()
			runWebhooksModel(t, rand.New(rand.NewPCG(seed, 11)), true)
		})
		t.Run(fmt.Sprint("rough", seed), func(t *testing.T) {
			t.Parallel()
			runWebhooksModel(t, rand.New(rand.NewPCG(seed, 12)), false)
		})
	}
}

func runWebhooksModel(t *testing.T, random *rand.Rand, calm bool) {
	s := &sink{lose: 0.1, delay: 20 * time.Millisecond}
	b, cache := new(bus), memory.NewCache(memory.CacheOptions{})
	next := 0
	start := func() *clusterNode {
		next++
		return joinCluster(t, b, cache, next, func(app *storage.App, settings *realtime.Settings) {
			webhooks(s, 30*time.Millisecond, protocol.WebhookMemberAdded, protocol.WebhookMemberRemoved)(app, settings)
			settings.Cluster.NodeTimeout = 600 * time.Millisecond
			if calm { // a node that a busy machine holds up is not to be given up
				settings.Cluster.NodeTimeout = 10 * time.Second
			}
		})
	}
	nodes := []*clusterNode{start(), start(), start()}
	type client struct {
		*peer
		node  *clusterNode
		joins map[string]string
	}
	var clients []*client
	for range 300 {
		switch what := random.IntN(100); {
		case what < 30:
			node := nodes[random.IntN(len(nodes))]
			clients = append(clients, &client{node.dial(), node, map[string]string{}})
		case what < 65 && len(clients) > 0:
			c := clients[random.IntN(len(clients))]
			if channel := fmt.Sprint("presence-", random.IntN(8)); c.joins[channel] == "" {
				c.joins[channel] = fmt.Sprint("u", random.IntN(8))
				c.subscribe(channel, fmt.Sprintf(`{"user_id":%q}`, c.joins[channel]))
			}
		case what < 85 && len(clients) > 0:
			i := random.IntN(len(clients))
			clients[i].conn.Disconnect()
			clients = slices.Delete(clients, i, i+1)
		case what < 88 && !calm:
			nodes[random.IntN(len(nodes))].bus.move(random.IntN(2))
		case what < 91:
			for _, n := range nodes {
				n.bus.move(0)
			}
		case what == 91 && !calm:
			heal(t, nodes)
			i := random.IntN(len(nodes))
			nodes[i].die()
			clients = slices.DeleteFunc(clients, func(c *client) bool { return c.node == nodes[i] })
			nodes[i] = start()
		case what == 92: // a node comes or goes by itself, as in a rolling restart
			if len(nodes) < 5 {
				nodes = append(nodes, start())
				break
			}
			if !calm {
				heal(t, nodes)
			}
			i := random.IntN(len(nodes))
			nodes[i].hub.Close(t.Context())
			clients = slices.DeleteFunc(clients, func(c *client) bool { return c.node == nodes[i] })
			nodes = slices.Delete(nodes, i, i+1)
		default:
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
	}
	for _, n := range nodes {
		n.bus.move(0)
	}
	present := map[string]bool{}
	for _, c := range clients {
		for channel, user := range c.joins {
			present[channel+" "+user] = true
		}
	}
	var wrong string
	defer func() {
		if wrong != "" {
			t.Log(wrong)
		}
	}()
	until(t, "agreement with what was told", func() bool {
		wrong = s.disagrees(present)
		return wrong == ""
	})
	if twice := s.twice(); calm && twice != "" {
		t.Errorf("told twice: %s", twice)
	}
}

// heal makes the network whole before a node is taken away: what only that one has
// told and nobody else knows would be lost with it.
func heal(t *testing.T, nodes []*clusterNode) {
	for _, n := range nodes {
		n.bus.move(0)
	}
	time.Sleep(300 * time.Millisecond) // until gaps show
	until(t, "whole network", func() bool { return wholeNetwork(nodes) })
}

// wholeNetwork reports whether each node knows all that the others have.
func wholeNetwork(nodes []*clusterNode) bool {
	for _, n := range nodes {
		known := 0
		for _, other := range n.hub.Nodes() {
			if other.Complete && slices.ContainsFunc(nodes, func(n *clusterNode) bool { return n.settings.NodeID == other.Node }) {
				known++
			}
		}
		if known != len(nodes)-1 {
			return false
		}
	}
	return true
}

// disagrees names a member whose last event is not the truth.
func (s *sink) disagrees(present map[string]bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := map[string]bool{}
	for _, e := range s.told {
		last[e.Channel+" "+e.UserID] = e.Name == protocol.WebhookMemberAdded
	}
	for member, there := range last {
		if there != present[member] {
			return fmt.Sprintf("%s is told to be there: %v", member, there)
		}
	}
	for member := range present {
		if !last[member] {
			return fmt.Sprintf("%s was never told", member)
		}
	}
	return ""
}

// twice names a member of whom the same was told two times in a row.
func (s *sink) twice() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := map[string]string{}
	for _, e := range s.told {
		member := e.Channel + " " + e.UserID
		if last[member] == e.Name || last[member] == "" && e.Name == protocol.WebhookMemberRemoved {
			return e.Name + " " + member
		}
		last[member] = e.Name
	}
	return ""
}
