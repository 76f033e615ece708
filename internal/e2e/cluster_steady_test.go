//go:build unix

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Events published by way of every node reach the sockets of every node, each once
// and in order.
//
// Checklist: configuration 49, 50, 62
func TestClusterSteady(t *testing.T) {
	onEngines(t, kinds, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, "")
		f := c.traffic()
		f.flows(1000)
		local, remote := f.finish()
		f.faultless(local, remote)
	})
}

// Nodes load other configurations, one after the other and again and again, and
// nobody notices.
//
// Checklist: configuration 117
func TestClusterRollingReloads(t *testing.T) {
	const rounds = 3
	onEngines(t, kinds, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, "")
		var watchers []*conn
		for _, n := range c.nodes {
			k := n.dial("http")
			k.join(room, n.name)
			watchers = append(watchers, k)
		}
		c.agree(c.nodes, 3, "n0", "n1", "n2")
		f := c.traffic()
		for range rounds {
			for _, n := range c.nodes {
				f.flows(20)
				n.reload("")
			}
		}
		f.flows(20)
		local, remote := f.finish()
		f.faultless(local, remote)
		for _, k := range watchers {
			if r := k.sees(room, "n0", "n1", "n2"); len(r.removed) > 0 {
				t.Errorf("members were removed: %v", r.removed)
			}
		}
		c.agree(c.nodes, 3, "n0", "n1", "n2")
		t.Logf("FIGURE %s: %d reloads of each of %d nodes, no socket closed, no member event", t.Name(), rounds, len(c.nodes))
	})
}

// A node that is told to end takes its members along at once: the others would wait
// for an hour otherwise.
//
// Checklist: configuration 61
func TestClusterGracefulLeave(t *testing.T) {
	onEngines(t, kinds, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, patient)
		stay, leaver := c.nodes[:2], c.nodes[2]
		var watchers []*conn
		for _, n := range stay {
			k := n.dial("http")
			k.join(room, n.name)
			watchers = append(watchers, k)
		}
		var leaving []string
		for i := range 10 {
			user := fmt.Sprint("leaving-", i)
			leaver.dial("http").join(room, user)
			leaving = append(leaving, user)
		}
		c.agree(c.nodes, 12, append([]string{"n0", "n1"}, leaving...)...)
		f := c.traffic()
		f.flows(50)
		began := time.Now()
		leaver.signal(syscall.SIGTERM)
		for _, k := range watchers {
			r := k.sees(room, "n0", "n1")
			for _, user := range leaving {
				if r.removed[user] != 1 {
					t.Errorf("%s was removed %d times", user, r.removed[user])
				}
			}
		}
		gone := time.Since(began)
		for i, n := range stay {
			n.knows(stay[1-i].name)
		}
		forgotten := time.Since(began)
		<-leaver.exited
		c.agree(stay, 2, "n0", "n1")
		local, remote := f.finish(leaver)
		f.faultless(local, remote)
		t.Logf("FIGURE %s: %d members of a node that was told to end gone on the others after %v, the node after %v", t.Name(), len(leaving), gone.Round(time.Millisecond), forgotten.Round(time.Millisecond))
	})
}

// A node that publishes only takes no sockets. What it publishes arrives.
//
// Checklist: configuration 72
func TestClusterRoleAPI(t *testing.T) {
	onEngines(t, []string{"nats"}, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, patient)
		n := c.nodes[2]
		plain := n.text
		n.text = func(adapter, more string) string { return plain(adapter, "role api\n"+more) }
		n.reload("")
		if status, err := n.status(path); err != nil || status != 404 {
			t.Errorf("a socket is answered with %d, %v", status, err)
		}
		k := c.nodes[0].dial("http")
		k.join("orders", "")
		for i := range 100 {
			if err := n.publish("orders", "numbered", fmt.Sprint(i), ""); err != nil {
				t.Fatal(err)
			}
		}
		k.await(`"data":"99"`)
		if got := k.tally(&stream{channel: "orders", sent: 100}); got != (tally{events: 100}) {
			t.Errorf("of %v", got)
		}
		k.join(room, "ada")
		c.agree(c.nodes, 1, "ada")
		t.Logf("FIGURE %s: 100 events of a node without sockets came, each once and in order", t.Name())
	})
}

// Nodes that nothing joins are each alone, and say so.
//
// Checklist: configuration 69
func TestClusterOfNone(t *testing.T) {
	var nodes []*caddy
	var sockets []*conn
	for range 2 {
		n := start(t, config{block: "adapter local"})
		k := n.dial("http")
		k.subscribe("orders")
		nodes, sockets = append(nodes, n), append(sockets, k)
	}
	for i, n := range nodes {
		if err := n.publish("orders", "order", fmt.Sprint("of node ", i), ""); err != nil {
			t.Fatal(err)
		}
		sockets[i].expect(fmt.Sprint("of node ", i)) // the next, and so nothing of the other came before
		if want := "the adapter is local: events reach the clients of this node only"; !strings.Contains(n.log.String(), want) {
			t.Errorf("node %d does not say that %s", i, want)
		}
	}
}
