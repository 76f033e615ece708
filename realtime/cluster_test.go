package realtime_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

func TestClusterPublish(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	a, b := nodes[0].dial(), nodes[1].dial()
	a.join("room", "")
	b.join("room", "")
	a.expect("subscription_count")
	nodes[0].publish("room", "e", `{"n":1}`, b.conn.ID())
	nodes[0].publish("room", "e", `{"n":2}`)
	for _, p := range []*peer{a, b} {
		p.quietAfter(t, func(frames []string) {
			text := strings.Join(frames, "\n")
			if got := strings.Count(text, `\"n\":2`); got != 1 {
				t.Errorf("the event came %d times: %s", got, text)
			}
			if got, want := strings.Count(text, `\"n\":1`), map[*peer]int{a: 1, b: 0}[p]; got != want {
				t.Errorf("the event for all but one came %d times, want %d", got, want)
			}
		})
	}
	// What is not wanted is not carried.
	nodes[1].bus.mu.Lock()
	if !nodes[1].bus.wanted[protocol.Topic{App: "app-id", Channel: "room"}] || len(nodes[1].bus.wanted) != 1 {
		t.Errorf("wanted is %v", nodes[1].bus.wanted)
	}
	nodes[1].bus.mu.Unlock()
	b.conn.Disconnect(true)
	until(t, "end of the interest", func() bool {
		nodes[1].bus.mu.Lock()
		defer nodes[1].bus.mu.Unlock()
		return len(nodes[1].bus.wanted) == 0
	})
}

// Checklist: configuration 52, 53, 54
func TestClusterPresence(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	ada, bob := nodes[0].dial(), nodes[1].dial()
	ada.join("presence-x", `{"user_id":"ada","user_info":{"name":"Ada"}}`)
	until(t, "ada on the other node", func() bool { return nodes[1].members("presence-x") == "ada" })
	bob.subscribe("presence-x", `{"user_id":"bob"}`)
	bob.expectExact(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-x","data":"{\"presence\":{\"ids\":[\"ada\",\"bob\"],\"hash\":{\"ada\":{\"name\":\"Ada\"},\"bob\":{}},\"count\":2}}"}`)
	ada.expectExact(`{"event":"pusher_internal:member_added","channel":"presence-x","data":"{\"user_id\":\"bob\",\"user_info\":{}}"}`)

	// Two sockets of one user, on two nodes, are one member.
	bob2 := nodes[0].dial()
	bob2.join("presence-x", `{"user_id":"bob"}`)
	until(t, "three subscriptions", func() bool { return nodes[1].state("presence-x").Subscriptions == 3 })
	if state := nodes[0].state("presence-x"); state.Users != 2 || state.Subscriptions != 3 {
		t.Errorf("%+v", state)
	}
	bob.conn.Disconnect(true)
	until(t, "two subscriptions", func() bool { return nodes[0].state("presence-x").Subscriptions == 2 })
	ada.quiet()
	bob2.conn.Disconnect(true)
	ada.expectExact(`{"event":"pusher_internal:member_removed","channel":"presence-x","data":"{\"user_id\":\"bob\"}"}`)
	ada.quiet()
	ada.conn.Disconnect(true)
	until(t, "vacated channel", func() bool {
		return !nodes[1].state("presence-x").Occupied() && nodes[1].members("presence-x") == ""
	})
}

func TestClusterPresenceLimit(t *testing.T) {
	nodes := newCluster(t, 2, func(app *storage.App, _ *realtime.Settings) { app.Limits.MaxPresenceMembersPerChannel = 1 })
	nodes[0].dial().join("presence-x", `{"user_id":"ada"}`)
	until(t, "ada on the other node", func() bool { return nodes[1].members("presence-x") == "ada" })
	p := nodes[1].dial()
	p.subscribe("presence-x", `{"user_id":"bob"}`)
	p.refused(4100, "presence-x")
}

func TestClusterCounts(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	a, b := nodes[0].dial(), nodes[1].dial()
	a.join("room", "")
	a.expect("subscription_count", `\"subscription_count\":1`)
	b.join("room", "")
	a.expect("subscription_count", `\"subscription_count\":2`)
	b.conn.Disconnect(true)
	a.expect("subscription_count", `\"subscription_count\":1`)
}

func TestClusterAppQuota(t *testing.T) {
	nodes := newCluster(t, 2, func(app *storage.App, _ *realtime.Settings) { app.Limits.MaxConnections = 1 })
	a := nodes[0].dial()
	refused := func() bool {
		p, e := nodes[1].tryDial(realtime.Handshake{Key: "app-key"})
		if e == nil {
			p.conn.Disconnect(true)
		}
		return e != nil && e.Code == protocol.ErrAppOverQuota.Code
	}
	until(t, "refusal over the app's quota", refused)
	a.conn.Disconnect(true)
	until(t, "admission", func() bool { return !refused() })
}

// Checklist: configuration 56
func TestClusterUsers(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	watcher, bob := nodes[0].dial(), nodes[1].dial()
	watcher.signin(`{"id":"ada","watchlist":["bob"]}`)
	watcher.expect("signin_success")
	watcher.expect("watchlist_events", `offline`, "bob")
	bob.signin(`{"id":"bob"}`)
	bob.expect("signin_success")
	watcher.expect("watchlist_events", `online`, "bob")
	again := nodes[1].dial()
	again.signin(`{"id":"carol","watchlist":["ada"]}`)
	again.expect("signin_success")
	if first := again.expect("watchlist_events", "ada"); !strings.Contains(first, "online") { // she comes a moment later
		again.expect("watchlist_events", "online", "ada")
	}

	nodes[0].publish("#server-to-user-bob", "hello", `{}`)
	bob.expect("hello")
	live, err := nodes[0].hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if err := live.CloseUser(t.Context(), nodes[0].app(), "bob", protocol.ErrShutdown); err != nil {
		t.Fatal(err)
	}
	bob.expectClosed(protocol.ErrShutdown)
	watcher.expect("watchlist_events", "offline", "bob")
}

// Checklist: configuration 58, 59, 60
func TestClusterNodeIsKilled(t *testing.T) {
	nodes := newCluster(t, 3, nil)
	var watchers []*peer
	for i, n := range nodes[:2] {
		p := n.dial()
		p.join("presence-x", fmt.Sprintf(`{"user_id":"w%d"}`, i))
		watchers = append(watchers, p)
	}
	dead := nodes[2]
	for _, user := range []string{"ghost", "both"} {
		dead.dial().join("presence-x", `{"user_id":"`+user+`"}`)
	}
	nodes[1].dial().join("presence-x", `{"user_id":"both"}`)
	for _, n := range nodes {
		until(t, "agreement", func() bool { return n.members("presence-x") == "both,ghost,w0,w1" })
	}
	dead.bus.kill()
	for i, n := range nodes[:2] {
		until(t, "end of the ghost", func() bool { return n.members("presence-x") == "both,w0,w1" })
		if state := n.state("presence-x"); state.Subscriptions != 3 {
			t.Errorf("node %d counts %+v", i, state)
		}
		if got := watchers[i].present(t, "presence-x"); got != "both,w0,w1" {
			t.Errorf("the client of node %d sees %s", i, got)
		}
		if left := n.hub.Nodes(); len(left) != 1 {
			t.Errorf("node %d knows %+v", i, left)
		}
	}
}

// Checklist: configuration 61
func TestClusterGracefulLeave(t *testing.T) {
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) { s.Cluster.NodeTimeout = time.Hour })
	nodes[1].dial().join("presence-x", `{"user_id":"bob"}`)
	until(t, "bob", func() bool { return nodes[0].members("presence-x") == "bob" })
	nodes[1].hub.Close(t.Context())
	until(t, "end of bob", func() bool { return nodes[0].members("presence-x") == "" && len(nodes[0].hub.Nodes()) == 0 })
}

// Checklist: configuration 71
func TestClusterPartitionHeals(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	a, b := nodes[0].dial(), nodes[1].dial()
	a.join("presence-x", `{"user_id":"a"}`)
	b.join("presence-x", `{"user_id":"b"}`)
	both := func() bool { return nodes[0].members("presence-x") == "a,b" && nodes[1].members("presence-x") == "a,b" }
	until(t, "both", both)
	nodes[1].bus.move(1)
	until(t, "two halves", func() bool { return nodes[0].members("presence-x") == "a" && nodes[1].members("presence-x") == "b" })
	nodes[1].dial().join("presence-x", `{"user_id":"meanwhile"}`)
	b.conn.Disconnect(true)
	nodes[1].bus.move(0)
	until(t, "one view", func() bool {
		return nodes[0].members("presence-x") == "a,meanwhile" && nodes[1].members("presence-x") == "a,meanwhile"
	})
	if got := a.present(t, "presence-x"); got != "a,meanwhile" {
		t.Errorf("the client sees %s", got)
	}
}

// Checklist: configuration 57
func TestClusterNewcomerSeesAll(t *testing.T) {
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) { s.Limits.PresenceMembers = 1000 })
	var want []string
	for i := range 400 { // more than one word holds
		id := fmt.Sprintf("user-%03d", i)
		want = append(want, id)
		nodes[i%2].dial().join(fmt.Sprint("presence-", i%3), fmt.Sprintf(`{"user_id":%q,"user_info":{"x":%q}}`, id, strings.Repeat("x", 1500)))
	}
	third := joinCluster(t, nodes[0].bus.bus, nodes[0].settings.Drivers.Cache, 2, nil)
	until(t, "all members", func() bool {
		var all []string
		for c := range 3 {
			all = append(all, strings.Split(third.members(fmt.Sprint("presence-", c)), ",")...)
		}
		return sorted(all) == strings.Join(want, ",")
	})
	until(t, "complete view", func() bool {
		nodes := third.hub.Nodes()
		return len(nodes) == 2 && nodes[0].Complete && nodes[1].Complete
	})
}

func TestClusterDuplicatesAreDropped(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	nodes[1].bus.twice.Store(true)
	p := nodes[1].dial()
	p.join("room", "")
	for i := range 100 {
		nodes[0].publish("room", "e", fmt.Sprintf(`{"n":"<%d>"}`, i))
	}
	p.quietAfter(t, func(frames []string) {
		text := strings.Join(frames, "\n")
		for i := range 100 {
			if got := strings.Count(text, fmt.Sprintf("<%d>", i)); got != 1 {
				t.Errorf("event %d came %d times", i, got)
			}
		}
	})
}

// TestClusterModel lets clients come and go at random on three nodes while nodes
// are cut off, joined again, killed and started. When all is quiet, every node and
// every client sees exactly who is there, and no client has ever seen anybody come
// twice or go without having come.
func TestClusterModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runClusterModel(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

type modelClient struct {
	*peer
	node  *clusterNode
	joins map[string]string // user by channel
}

func runClusterModel(t *testing.T, random *rand.Rand) {
	b, cache := new(bus), memory.NewCache(memory.CacheOptions{})
	next := 0
	start := func() *clusterNode {
		next++
		return joinCluster(t, b, cache, next, func(_ *storage.App, s *realtime.Settings) { s.Cluster.NodeTimeout = 600 * time.Millisecond })
	}
	nodes := []*clusterNode{start(), start(), start()}
	var clients []*modelClient
	channels := []string{"presence-a", "presence-b", "presence-c"}
	for range 400 {
		switch what := random.IntN(100); {
		case what < 30:
			node := nodes[random.IntN(len(nodes))]
			clients = append(clients, &modelClient{node.dial(), node, map[string]string{}})
		case what < 65 && len(clients) > 0:
			c := clients[random.IntN(len(clients))]
			if channel := channels[random.IntN(3)]; c.joins[channel] == "" {
				c.joins[channel] = fmt.Sprint("u", random.IntN(12))
				c.subscribe(channel, fmt.Sprintf(`{"user_id":%q}`, c.joins[channel]))
			}
		case what < 80 && len(clients) > 0:
			c := clients[random.IntN(len(clients))]
			for channel := range c.joins {
				c.send("pusher:unsubscribe", "", map[string]any{"channel": channel})
				delete(c.joins, channel)
				break
			}
		case what < 90 && len(clients) > 0:
			i := random.IntN(len(clients))
			clients[i].conn.Disconnect(true)
			clients = slices.Delete(clients, i, i+1)
		case what < 94:
			nodes[random.IntN(len(nodes))].bus.move(random.IntN(2))
		case what < 97:
			for _, n := range nodes {
				n.bus.move(0)
			}
		case what == 97:
			i := random.IntN(len(nodes))
			nodes[i].bus.kill()
			clients = slices.DeleteFunc(clients, func(c *modelClient) bool { return c.node == nodes[i] })
			nodes[i] = start()
		default:
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		}
	}
	for _, n := range nodes {
		n.bus.move(0)
	}
	for _, channel := range channels {
		there, count := map[string]bool{}, 0
		for _, c := range clients {
			if user := c.joins[channel]; user != "" {
				there[user] = true
				count++
			}
		}
		var ids []string
		for id := range there {
			ids = append(ids, id)
		}
		want := sorted(ids)
		for i, n := range nodes {
			until(t, fmt.Sprintf("agreement of node %d on %s", i, channel), func() bool {
				return n.members(channel) == want && n.state(channel).Subscriptions == count
			})
		}
		for _, c := range clients {
			if c.joins[channel] != "" {
				until(t, "agreement of a client", func() bool { return c.present(t, channel) == want })
			}
		}
	}
}
