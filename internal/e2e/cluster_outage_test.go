//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
)

// everybody are the members that tests of outages have: one on each node.
var everybody = []string{"n0", "n1", "n2"}

// members joins one user on each node to the room.
func (c *cluster) members() (sockets []*conn) {
	c.t.Helper()
	for _, n := range c.nodes {
		k := n.dial("http")
		k.join(room, n.name)
		sockets = append(sockets, k)
	}
	for _, k := range sockets {
		k.sees(room, everybody...)
	}
	c.agree(c.nodes, 3, everybody...)
	return sockets
}

// away waits until a node says that it is not ready.
func (n *node) away() {
	n.t.Helper()
	n.until("503 of /up", func() error {
		status, err := n.status("/up")
		if err == nil && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("/up: %d", status)
		}
		return err
	})
}

// flowsAtHome waits until the sockets of each node have got n more events of the
// node's own stream.
func (f *traffic) flowsAtHome(n int) {
	f.t.Helper()
	for i, k := range f.sockets {
		for _, s := range f.streams {
			if s.node != f.nodes[i] {
				continue
			}
			begun := k.count(s.channel)
			until(f.t, "events of the own node on "+s.node.name, func() error {
				if got := k.count(s.channel) - begun; got < n {
					return fmt.Errorf("%d of %d; %w", got, n, k.closed())
				}
				return nil
			})
		}
	}
}

// lossOnly fails the test if anything was lost on the node where it was published,
// or if anything was repeated or reordered.
func (f *traffic) lossOnly(local, remote tally) {
	f.t.Helper()
	f.faultless(local)
	if remote.repeated+remote.reordered > 0 {
		f.t.Errorf("on other nodes %v", remote)
	}
}

// sum adds up a counter over nodes.
func (c *cluster) sum(name string) (sum float64) {
	c.t.Helper()
	for _, n := range c.nodes {
		_, text, _ := strings.Cut(n.metric(name), "} ") // behind the labels
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			c.t.Fatalf("%s: %s: %v", n.name, name, err)
		}
		sum += value
	}
	return sum
}

// The engine is killed under load, and comes back when all nodes have given each
// other up: each has gone on by itself, and they are one again.
//
// Checklist: configuration 63, 64
func TestClusterEngineRestarts(t *testing.T) {
	onEngines(t, single, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, quick)
		watchers := c.members()
		f := c.traffic()
		f.flows(50)
		e.kill()
		began := time.Now()
		for i, n := range c.nodes {
			n.away()
			n.knows()
			watchers[i].sees(room, n.name)
		}
		f.flowsAtHome(50)
		e.restart()
		outage := time.Since(began)
		began = time.Now()
		for i, n := range c.nodes {
			n.up()
			watchers[i].sees(room, everybody...)
		}
		c.together()
		c.agree(c.nodes, 3, everybody...)
		back := time.Since(began)
		f.flows(50)
		local, remote := f.finish()
		f.lossOnly(local, remote)
		dropped := c.sum("sockudo_horizontal_transport_messages_dropped_total")
		if remote.lost == 0 || dropped == 0 {
			t.Errorf("lost were %d and dropped %v: there was no outage", remote.lost, dropped)
		}
		t.Logf("FIGURE %s: engine away for %v, all nodes one again %v after it is back; %d of %d events for other nodes lost, %v counted as dropped", t.Name(),
			outage.Round(time.Millisecond), back.Round(time.Millisecond), remote.lost, remote.events, dropped)
	})
}

// A master is killed under load and a replica takes its place: for the nodes that is
// an outage which ends by itself.
//
// Checklist: configuration 63
func TestClusterFailover(t *testing.T) {
	onEngines(t, []string{"sentinel", "redis_cluster", "redis_cluster sharded"}, func(t *testing.T, e *engine) {
		if e.prepare != nil {
			e.prepare()
		}
		c := startCluster(t, e.everywhere, patient)
		watchers := c.members()
		f := c.traffic()
		f.flows(50)
		began := time.Now()
		e.failOver()
		took := time.Since(began)
		began = time.Now()
		f.flows(50)
		flows := time.Since(began)
		for _, n := range c.nodes {
			n.up()
		}
		c.nodes[2].dial("http").join(room, "late")
		for _, k := range watchers {
			if r := k.sees(room, "late", "n0", "n1", "n2"); len(r.removed) > 0 {
				t.Errorf("members were removed: %v", r.removed)
			}
		}
		c.together()
		c.agree(c.nodes, 4, "late", "n0", "n1", "n2")
		local, remote := f.finish()
		f.lossOnly(local, remote)
		t.Logf("FIGURE %s: a master killed, another in its place after %v, events of all nodes come everywhere %v later; %d of %d events for other nodes lost; no socket closed", t.Name(),
			took.Round(time.Millisecond), flows.Round(time.Millisecond), remote.lost, remote.events)
	})
}

// partition is a cluster of which the third node reaches the engine by a proxy.
func partition(t *testing.T, e *engine) (*cluster, *outage.Proxy) {
	proxy := outage.NewProxy(t, e.addr)
	return startCluster(t, func(i int) string {
		if i == 2 {
			return e.adapter(proxy.Addr())
		}
		return e.adapter(e.addr)
	}, quick), proxy
}

// One node is cut off. Both sides see the other's members go. While it lasts, one
// comes and one goes on each side; when it is over, all see the same.
//
// Checklist: configuration 71
func TestClusterSplitBrain(t *testing.T) {
	for name, part := range map[string]func(*outage.Proxy){"Cut": (*outage.Proxy).Cut, "Stall": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, single, func(t *testing.T, e *engine) { splitBrain(t, e, part) })
		})
	}
}

func splitBrain(t *testing.T, e *engine, part func(*outage.Proxy)) {
	c, proxy := partition(t, e)
	watchers := c.members()
	leaver := c.nodes[2].dial("http")
	leaver.join(room, "leaver")
	for _, k := range watchers {
		k.sees(room, "leaver", "n0", "n1", "n2")
	}
	f := c.traffic()
	f.flows(50)
	part(proxy)
	began := time.Now()
	watchers[0].sees(room, "n0", "n1")
	watchers[1].sees(room, "n0", "n1")
	watchers[2].sees(room, "leaver", "n2")
	c.nodes[0].knows("n1")
	c.nodes[2].knows()
	split := time.Since(began)
	c.nodes[0].dial("http").join(room, "late-0")
	c.nodes[2].dial("http").join(room, "late-2")
	_ = leaver.w.rw.Close()
	watchers[1].sees(room, "late-0", "n0", "n1")
	watchers[2].sees(room, "late-2", "n2")
	f.flowsAtHome(50)
	proxy.Mend()
	lasted := time.Since(began)
	began = time.Now()
	all := []string{"late-0", "late-2", "n0", "n1", "n2"}
	for i, k := range watchers {
		r := k.sees(room, all...)
		for _, other := range everybody {
			here := (other == "n2") == (i == 2)
			if away := btoi(!here); r.removed[other] != away {
				t.Errorf("%s was removed %d times for the client of %s, want %d", other, r.removed[other], c.nodes[i].name, away)
			}
		}
		if r.removed["leaver"] != 1 {
			t.Errorf("who left meanwhile was removed %d times for the client of %s", r.removed["leaver"], c.nodes[i].name)
		}
	}
	c.together()
	c.agree(c.nodes, 5, all...)
	healed := time.Since(began)
	f.flows(50)
	local, remote := f.finish()
	f.lossOnly(local, remote)
	t.Logf("FIGURE %s: two halves after %v, %v long, one again %v after that; 0 ghosts, each member of the other half gone once and come back once; %d of %d events for other nodes lost", t.Name(),
		split.Round(time.Millisecond), lasted.Round(time.Millisecond), healed.Round(time.Millisecond), remote.lost, remote.events)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
