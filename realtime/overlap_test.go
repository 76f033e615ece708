package realtime_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Three nodes move from one engine to another, one after the other, while every one
// of them publishes: every client gets every event once and in order, and nobody
// comes or goes.
func TestClusterAdapterIsReplaced(t *testing.T) {
	first, second, cache := new(bus), new(bus), memory.NewCache(memory.CacheOptions{})
	patient := func(_ *storage.App, s *realtime.Settings) { s.Cluster.NodeTimeout = time.Minute }
	var nodes []*clusterNode
	var clients []*peer
	for i := range 3 {
		n := joinCluster(t, first, cache, i, patient)
		n.bus.slow.Store(int64(30 * time.Millisecond)) // so that the new one is ahead of it
		nodes = append(nodes, n)
		c := n.dial()
		c.join("room", "")
		c.join("presence-x", fmt.Sprintf(`{"user_id":"u%d"}`, i))
		clients = append(clients, c)
	}
	for _, n := range nodes {
		until(t, "all members", func() bool { return n.members("presence-x") == "u0,u1,u2" })
	}
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	published := make([]int, len(nodes))
	for i, n := range nodes {
		publishing.Go(func() {
			for ctx.Err() == nil {
				n.publish("room", fmt.Sprint("from-", i), fmt.Sprintf(`{"n":"<%d>"}`, published[i]))
				published[i]++
				time.Sleep(time.Millisecond)
			}
		})
	}
	var overlaps []*realtime.Overlap
	for _, n := range nodes {
		n.bus = second.open(t)
		s := n.settings
		s.Drivers.Adapter = n.bus
		n.activate(s)
		o := n.hub.Detach(t.Context(), n.generation-1)
		if o == nil {
			t.Fatal("the adapter is left at once")
		}
		overlaps = append(overlaps, o)
		if len(overlaps) < len(nodes) && o.Moved() {
			t.Error("a node says that all have moved, while some have not")
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, o := range overlaps {
		until(t, "end of the overlap", o.Moved)
		if err := o.End(t.Context()); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	stop()
	publishing.Wait()
	for c, p := range clients {
		for i, n := range published {
			last := fmt.Sprintf("<%d>", n-1)
			until(t, "last event", func() bool { return strings.Contains(p.text(fmt.Sprint("from-", i)), last) })
			seen := -1
			for _, part := range strings.Split(p.text(fmt.Sprint("from-", i)), "<")[1:] {
				var got int
				if _, err := fmt.Sscanf(part, "%d>", &got); err != nil || got != seen+1 {
					t.Fatalf("client %d got event %d of node %d after %d: %v", c, got, i, seen, err)
				}
				seen = got
			}
			if seen != n-1 {
				t.Errorf("client %d got %d of %d events of node %d", c, seen+1, n, i)
			}
		}
		if got := p.present(t, "presence-x"); got != "u0,u1,u2" {
			t.Errorf("client %d sees %s", c, got)
		}
		if left := strings.Count(p.text("member_removed"), "member_removed"); left > 0 {
			t.Errorf("client %d saw %d members leave", c, left)
		}
	}
}

// text is the frames of a client that name an event.
func (p *peer) text(event string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, f := range p.frames {
		if strings.Contains(f, event) {
			found = append(found, f)
		}
	}
	return strings.Join(found, "\n")
}

// An adapter that is the same, or that of a hub which ends, is not kept.
func TestNoOverlap(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	n := nodes[0]
	n.activate(n.settings)
	if o := n.hub.Detach(t.Context(), n.generation-1); o != nil {
		t.Error("an overlap of an adapter with itself")
	}
	alone := newCluster(t, 1, nil)[0]
	s := alone.settings
	s.Drivers.Adapter = new(bus).open(t)
	alone.activate(s)
	if o := alone.hub.Detach(t.Context(), alone.generation-1); o != nil {
		t.Error("an overlap without other nodes")
	}
	n.hub.Close(t.Context())
	if o := n.hub.Detach(t.Context(), n.generation); o != nil {
		t.Error("an overlap in a hub that has ended")
	}
}
