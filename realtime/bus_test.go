package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// bus is an engine between nodes that a test can cut. It keeps the order of each
// node, and loses what is sent to whom cannot be reached.
type bus struct {
	mu    sync.Mutex
	nodes []*busNode
}

// busNode is one node's adapter. side is the part of a divided network it is in;
// nodes of different sides do not reach each other.
type busNode struct {
	*memory.Local
	bus *bus

	mu      sync.Mutex
	wake    sync.Cond
	side    int
	gone    bool
	wanted  map[protocol.Topic]bool
	inbox   []*protocol.Envelope
	deliver func(*protocol.Envelope)
	watch   []func(bool)
	// twice delivers everything two times. The nodes' own goroutines read it.
	twice atomic.Bool
	// slow holds back everything for a time, in nanoseconds.
	slow atomic.Int64
}

func (b *bus) open(t *testing.T) *busNode {
	n := &busNode{Local: memory.NewLocal(), bus: b, wanted: map[protocol.Topic]bool{}}
	n.wake.L = &n.mu
	b.mu.Lock()
	b.nodes = append(b.nodes, n)
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run()
	}()
	t.Cleanup(func() {
		n.mu.Lock()
		n.gone = true
		n.mu.Unlock()
		n.wake.Signal()
		<-done
	})
	return n
}

func (n *busNode) run() {
	for {
		n.mu.Lock()
		for len(n.inbox) == 0 && !n.gone {
			n.wake.Wait()
		}
		if slow := time.Duration(n.slow.Load()); slow > 0 {
			n.mu.Unlock()
			time.Sleep(slow)
			n.mu.Lock()
		}
		inbox, deliver, gone := n.inbox, n.deliver, n.gone
		n.inbox = nil
		n.mu.Unlock()
		if gone {
			return
		}
		for _, e := range inbox {
			if deliver != nil {
				deliver(e)
			}
		}
	}
}

func (n *busNode) Subscribe(name string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	n.mu.Lock()
	n.deliver = deliver
	n.mu.Unlock()
	return n.Local.Subscribe(name, deliver)
}

func (n *busNode) Publish(ctx context.Context, e *protocol.Envelope) error {
	if err := n.Local.Publish(ctx, e); err != nil {
		return err
	}
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	for _, other := range n.bus.nodes {
		if other == n {
			continue
		}
		n.mu.Lock()
		side, gone := n.side, n.gone
		n.mu.Unlock()
		other.mu.Lock()
		if !gone && !other.gone && other.side == side && (e.Topic() == protocol.Topic{} || other.wanted[e.Topic()]) {
			other.inbox = append(other.inbox, e)
			if other.twice.Load() {
				other.inbox = append(other.inbox, e)
			}
		}
		other.mu.Unlock()
		other.wake.Signal()
	}
	return nil
}

func (n *busNode) Want(_ context.Context, topics ...protocol.Topic) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, topic := range topics {
		n.wanted[topic] = true
	}
	return nil
}

func (n *busNode) Unwant(topics ...protocol.Topic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, topic := range topics {
		delete(n.wanted, topic)
	}
}

func (n *busNode) WatchLink(changed func(bool)) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watch = append(n.watch, changed)
	return func() {}
}

func (n *busNode) Echo(context.Context) (time.Duration, error) { return 0, nil }

// watchers are those who are told of the engine.
func (n *busNode) watchers() []func(bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.watch)
}

// move puts a node into another part of the network, and tells it nothing.
func (n *busNode) move(side int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = side
}

// kill ends what the node hears and says, as if its process were gone.
func (n *busNode) kill() { n.move(-1 - int(time.Now().UnixNano()%1e9)) }

var _ storage.Clustered = (*busNode)(nil)

// clusterNode is a hub with its adapter.
type clusterNode struct {
	*fixture
	bus *busNode
}

// newCluster makes hubs that share a bus, a cache and their app.
func newCluster(t *testing.T, n int, change func(*storage.App, *realtime.Settings)) []*clusterNode {
	t.Helper()
	b, cache := new(bus), memory.NewCache(memory.CacheOptions{})
	nodes := make([]*clusterNode, n)
	for i := range nodes {
		nodes[i] = joinCluster(t, b, cache, i, change)
	}
	return nodes
}

func joinCluster(t *testing.T, b *bus, cache storage.Cache, i int, change func(*storage.App, *realtime.Settings)) *clusterNode {
	t.Helper()
	node := &clusterNode{bus: b.open(t)}
	node.fixture = newFixture(t, func(app *storage.App, s *realtime.Settings) {
		s.NodeID = fmt.Sprint("node-", i)
		s.Cluster = realtime.ClusterSettings{Heartbeat: 40 * time.Millisecond, NodeTimeout: time.Second, Cleanup: 50 * time.Millisecond}
		s.Drivers.Adapter, s.Drivers.Cache = node.bus, cache
		app.Features.SubscriptionCount = true
		if change != nil {
			change(app, s)
		}
	})
	return node
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// members are the users that a node sees in a presence channel.
func (n *clusterNode) members(channel string) string {
	live, err := n.hub.Live()
	if err != nil {
		n.t.Fatal(err)
	}
	defer live.Release()
	ids, err := live.Members(n.t.Context(), n.app(), channel)
	if err != nil {
		n.t.Fatal(err)
	}
	return sorted(ids)
}

func (n *clusterNode) state(channel string) realtime.ChannelState {
	live, err := n.hub.Live()
	if err != nil {
		n.t.Fatal(err)
	}
	defer live.Release()
	state, err := live.Channel(n.t.Context(), n.app(), channel)
	if err != nil {
		n.t.Fatal(err)
	}
	return state
}

// seen replays the frames of a presence channel. Nobody may come twice or go
// without having come.
func (p *peer) present(t *testing.T, channel string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	present := map[string]bool{}
	for _, text := range p.frames {
		var f struct {
			Event, Channel, Data string
		}
		if json.Unmarshal([]byte(text), &f) != nil || f.Channel != channel {
			continue
		}
		var data struct {
			UserID   string `json:"user_id"`
			Presence struct{ IDs []string }
		}
		_ = json.Unmarshal([]byte(f.Data), &data)
		switch f.Event {
		case "pusher_internal:subscription_succeeded":
			clear(present)
			for _, id := range data.Presence.IDs {
				present[id] = true
			}
		case "pusher_internal:member_added":
			if present[data.UserID] {
				t.Errorf("%s is added to %s twice", data.UserID, channel)
			}
			present[data.UserID] = true
		case "pusher_internal:member_removed":
			if !present[data.UserID] {
				t.Errorf("%s is removed from %s without having been there", data.UserID, channel)
			}
			delete(present, data.UserID)
		}
	}
	return sorted(slices.Collect(maps.Keys(present)))
}
