package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// When the master dies, or freezes and does not know that it is none any more, both
// nodes meet at the new one. The replica was subscribed to by nobody.
//
// Checklist: configuration 63
func TestAdapterSentinelFailover(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(*redistest.Server){"killed": (*redistest.Server).Kill, "frozen": (*redistest.Server).Freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sentinels := redistest.StartSentinels(t, "")
			o := sentinelOptions(sentinels)
			a, b := newNode(t, o, AdapterOptions{}, "c"), newNode(t, o, AdapterOptions{}, "c")
			exchange(t, []string{"c"}, a, b)
			master, replica := sentinels.Servers[0], sentinels.Servers[1]
			disturb(master)
			until(t, "word of the loss", func() bool { return len(a.heard()) > 0 && len(b.heard()) > 0 })
			a.publish(t, "c", "alone")
			if !slices.Contains(a.events(), "alone") {
				t.Error("an event was not delivered on its own node")
			}
			until(t, "word that all is well", func() bool { return a.backAgain() && b.backAgain() })
			exchange(t, []string{"c"}, a, b)
			if n := strings.Count(replica.MustDo("PUBSUB", "CHANNELS"), "#3:app:c"); n != 1 {
				t.Error("the nodes do not meet at the new master")
			}
			if name == "frozen" {
				master.Thaw()
				exchange(t, []string{"c"}, a, b)
				// Nobody has gone back.
				if text := replica.MustDo("PUBSUB", "NUMSUB", "sockudo_adapter::#3:app:c"); !strings.HasSuffix(text, "\n2") {
					t.Errorf("the new master has %q", text)
				}
			}
		})
	}
}

// startFailing starts a cluster that survives the loss of a master.
func startFailing(t *testing.T) (c *redistest.Cluster, o Options) {
	t.Helper()
	c = redistest.StartCluster(t)
	c.AddReplicas(t)
	return c, Options{Cluster: true, Addresses: c.Addrs()}
}

// When a master of a cluster dies or freezes, nodes meet at those that are left and
// at its replica.
//
// Checklist: configuration 63
func TestAdapterClusterFailover(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(*redistest.Server){"killed": (*redistest.Server).Kill, "frozen": (*redistest.Server).Freeze} {
		for _, sharded := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " sharded ", sharded), func(t *testing.T) {
				t.Parallel()
				cluster, o := startFailing(t)
				options := AdapterOptions{Sharded: sharded}
				var nodes []*node
				for range 3 {
					nodes = append(nodes, newNode(t, o, options, fewChannels...))
				}
				exchange(t, fewChannels, nodes...)
				victim := cluster.Nodes[1]
				if !sharded {
					victim = holding(t, cluster)
				}
				disturb(victim)
				until(t, "word of a loss and its end", func() bool { return slices.ContainsFunc(nodes, (*node).backAgain) })
				for _, n := range nodes {
					until(t, "link", func() bool { return n.LinkStats().Up })
				}
				exchange(t, fewChannels, nodes...)
				if name == "frozen" {
					victim.Thaw()
					exchange(t, fewChannels, nodes...)
				}
			})
		}
	}
}

// holding is a master of a cluster that a node is connected to.
func holding(t *testing.T, cluster *redistest.Cluster) *redistest.Server {
	t.Helper()
	for _, master := range cluster.Nodes {
		if strings.Contains(master.MustDo("PUBSUB", "CHANNELS"), "#control") {
			return master
		}
	}
	t.Fatal("no master has a subscriber")
	return nil
}

// When slots move to another master, channels follow, and the link goes on. What
// was published in between may be missing; that is told.
func TestAdapterFollowsSlots(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	o, options := Options{Cluster: true, Addresses: cluster.Addrs()}, AdapterOptions{Sharded: true}
	a, b := newNode(t, o, options, fewChannels...), newNode(t, o, options, fewChannels...)
	exchange(t, fewChannels, a, b)
	for _, channel := range fewChannels {
		slot := slotOf(a.dialer.names.of(protocol.Topic{App: "app", Channel: channel}))
		from := min(slot*3/slotCount, 2)
		cluster.MoveSlot(slot, cluster.Nodes[from], cluster.Nodes[(from+1)%3])
		// One who knows nothing of this asks the wrong one first.
		late := "late in the slot of {" + a.dialer.names.of(protocol.Topic{App: "app", Channel: channel}) + "}"
		if err := b.Want(t.Context(), protocol.Topic{App: "app", Channel: late}); err != nil {
			t.Error(err)
		}
		exchange(t, []string{channel}, a, b)
		event := "first on " + channel
		a.publish(t, late, event)
		until(t, "event on a channel that was asked for in the wrong place", func() bool { return slices.Contains(b.events(), event) })
	}
	until(t, "end of the outage", func() bool { return a.LinkStats().Up && b.LinkStats().Up })
	for _, n := range []*node{a, b} {
		if s := n.LinkStats(); s.Reconnects != 0 || s.Dropped != 0 || s.Missed < uint64(len(fewChannels)) {
			t.Errorf("%+v", s)
		}
	}
	for _, node := range cluster.Nodes { // nobody is left behind
		if strings.Contains(node.MustDo("PUBSUB", "CHANNELS"), "app") {
			t.Error("a channel that is not sharded")
		}
	}
}

// Slots that move while somebody publishes keep the order of what comes.
func TestAdapterOrderWhileSlotsMove(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	o, options := Options{Cluster: true, Addresses: cluster.Addrs()}, AdapterOptions{Sharded: true}
	a, b := newNode(t, o, options), newNode(t, o, options, "c")
	slot := slotOf(a.dialer.names.of(protocol.Topic{App: "app", Channel: "c"}))
	at := min(slot*3/slotCount, 2)
	done := make(chan struct{})
	var moving sync.WaitGroup
	moving.Go(func() {
		for range 10 {
			next := (at + 1) % 3
			cluster.MoveSlot(slot, cluster.Nodes[at], cluster.Nodes[next])
			at = next
			time.Sleep(50 * time.Millisecond)
		}
		close(done)
	})
	sent := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for range 50 {
			a.publish(t, "c", strconv.Itoa(sent))
			sent++
		}
		if err := a.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	moving.Wait()
	exchange(t, []string{"c"}, b)
	last, count := -1, 0
	for _, event := range b.events() {
		n, err := strconv.Atoi(event)
		if err != nil {
			continue
		}
		if n <= last {
			t.Fatalf("%d came after %d", n, last)
		}
		last = n
		count++
	}
	s := b.LinkStats()
	t.Logf("%d of %d came, %d gaps", count, sent, s.Missed)
	if count < sent/2 || s.Reconnects != 0 || a.LinkStats().Dropped != 0 {
		t.Errorf("%d of %d came: %+v", count, sent, s)
	}
}
