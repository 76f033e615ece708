//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is of all nodes: users, events for them, cached events, idempotent publishes,
// counts.
//
// Checklist: configuration 52, 53, 54, 56, 57, 76
func TestClusterShares(t *testing.T) {
	onEngines(t, kinds, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, patient)
		a, b, last := c.nodes[0], c.nodes[1], c.nodes[2]

		t.Log("watchlists, and the connections of a user on two nodes")
		watcher, one, two := a.dial("http"), b.dial("http"), last.dial("http")
		watcher.signin("ada", "bob")
		watcher.await("watchlist_events", "offline", "bob")
		one.signin("bob")
		watcher.await("watchlist_events", "online", "bob")
		two.signin("bob")
		status, text, err := a.call("POST", "/apps/app-id/users/bob/force_reconnect", "", "{}")
		if err != nil || status != http.StatusOK {
			t.Fatal(status, text, err)
		}
		one.expectClosed(4200)
		two.expectClosed(4200)
		until(t, "second word that bob is offline", func() error {
			if n := watcher.occurrences("watchlist_events", "offline", "bob"); n != 2 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		three := last.dial("http")
		three.signin("bob")
		if err := a.publish("#server-to-user-bob", "hello", "{}", ""); err != nil {
			t.Fatal(err)
		}
		three.await("hello")
		if status, text, err := b.call("POST", "/apps/app-id/users/bob/terminate_connections", "", "{}"); err != nil || status != http.StatusOK {
			t.Fatal(status, text, err)
		}
		three.expectClosed(4009)

		t.Log("the last event of a cache channel")
		if err := a.publish("cache-prices", "price", "42", ""); err != nil {
			t.Fatal(err)
		}
		late := last.dial("http")
		late.join("cache-prices", "")
		late.await(`"price"`, "42")

		t.Log("one idempotency key on two nodes")
		late.join("orders", "")
		for _, n := range []*node{a, b, last, a} {
			if err := n.publish("orders", "order", "7", "the-same-key"); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range c.nodes { // of each node, which keeps the order of its own
			if err := n.publish("orders", "end-of-"+n.name, "", ""); err != nil {
				t.Fatal(err)
			}
			late.await("end-of-" + n.name)
		}
		if n := late.occurrences(`"order"`, "orders"); n != 1 {
			t.Errorf("the event came %d times", n)
		}

		t.Log("presence: a user on two nodes is one member")
		first, second, third := a.dial("http"), b.dial("http"), last.dial("http")
		first.join(room, "ada")
		second.join(room, "bob")
		third.join(room, "bob")
		c.agree(c.nodes, 3, "ada", "bob")
		_ = second.w.rw.Close()
		c.agree(c.nodes, 2, "ada", "bob")
		if r := first.sees(room, "ada", "bob"); r.added["bob"] != 1 || r.removed["bob"] != 0 {
			t.Errorf("bob came %d times and went %d times", r.added["bob"], r.removed["bob"])
		}
		_ = third.w.rw.Close()
		first.sees(room, "ada")
		c.agree(c.nodes, 1, "ada")
		t.Logf("FIGURE %s: watchlists, events for users, force_reconnect (4200), terminate_connections (4009), cache channels, one publish for 4 calls with one key, and the same /channels, channel and /users from %d nodes", t.Name(), len(c.nodes))
	})
}

// Sockets of one address are counted on all nodes together. Those of a node that is
// killed are no longer counted after the lease.
//
// Checklist: configuration 93, 94
func TestClusterConnectionsPerIP(t *testing.T) {
	const lease, limit = 5 * time.Second, 6
	onEngines(t, []string{"nats"}, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, patient+"rate_limiter redis {\naddress STORE\nlease "+lease.String()+"\nlimits {\nconnection_per_ip 6\n}\napi 1000000 60s\nupgrades 1000000 60s\n}\n")
		var sockets []*conn
		for i := range limit {
			sockets = append(sockets, c.nodes[i%3].dial("http"))
		}
		refused := func(n *node) error {
			k, err := n.tryDial("http", path)
			if err == nil {
				_ = k.w.rw.Close()
				return fmt.Errorf("%s admits one more", n.name)
			}
			if !strings.Contains(err.Error(), "429") {
				return err
			}
			return nil
		}
		for _, n := range c.nodes {
			if err := refused(n); err != nil {
				t.Error(err)
			}
		}
		_ = sockets[0].w.rw.Close()
		until(t, "place for one after one has gone", func() error {
			k, err := c.nodes[1].tryDial("http", path)
			if err == nil {
				sockets[0] = k
			}
			return err
		})
		if err := refused(c.nodes[0]); err != nil {
			t.Error(err)
		}
		c.nodes[2].kill()
		began := time.Now()
		for i := range 2 { // of the killed node
			until(t, "place of a socket of the killed node", func() error {
				_, err := c.nodes[i].tryDial("http", path)
				return err
			})
		}
		took := time.Since(began)
		for _, n := range c.nodes[:2] {
			if err := refused(n); err != nil {
				t.Error(err)
			}
		}
		t.Logf("FIGURE %s: the %dth socket of an address refused by each of 3 nodes; places of a killed node free after %v, with a lease of %v", t.Name(), limit+1, took.Round(time.Millisecond), lease)
	})
}
