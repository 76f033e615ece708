//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// lostBound is how long members of a node that was killed may be seen, with the
// times of a configuration that names none.
const lostBound = 15 * time.Second

// crowd is who is in the room: a watcher on each node, guests of one node, and one
// user who is on that node and on another.
type crowd struct {
	watchers []*conn
	guests   []string
	sockets  []*conn // of the guests, and of the user on two nodes
	both     *conn   // that user on the other node
}

func (c *cluster) crowd(host *node) *crowd {
	c.t.Helper()
	w := new(crowd)
	for _, n := range c.nodes {
		k := n.dial("http")
		k.join(room, "watcher-"+n.name)
		w.watchers = append(w.watchers, k)
	}
	for i := range 10 {
		w.guests = append(w.guests, fmt.Sprint("guest-", i))
		k := host.dial("http")
		k.join(room, w.guests[i])
		w.sockets = append(w.sockets, k)
	}
	k := host.dial("http")
	k.join(room, "both")
	w.sockets = append(w.sockets, k)
	w.both = c.nodes[0].dial("http")
	w.both.join(room, "both")
	c.agree(c.nodes, 3+12, w.all("watcher-n0", "watcher-n1", "watcher-n2")...)
	return w
}

// all are the guests, the user on two nodes, and others.
func (w *crowd) all(others ...string) []string {
	return append(append(slices.Clone(w.guests), "both"), others...)
}

// wentOnce checks that for a client each member of the third node has come so often,
// and gone once.
func (w *crowd) wentOnce(k *conn, r *roster, came int) {
	k.t.Helper()
	for _, id := range append(slices.Clone(w.guests), "watcher-n2") {
		if r.removed[id] != 1 || r.added[id] != came {
			k.t.Errorf("%s went %d times and came %d times, want 1 and %d", id, r.removed[id], r.added[id], came)
		}
	}
	if r.removed["both"] > 0 {
		k.t.Error("the user who is on another node too was removed")
	}
}

// A node that is killed leaves no ghosts, with the times that are the default. It
// comes back as another.
//
// Checklist: configuration 58, 59, 60
func TestClusterNodeIsKilled(t *testing.T) {
	onEngines(t, kinds, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, "")
		stay, dead := c.nodes[:2], c.nodes[2]
		w := c.crowd(dead)
		f := c.traffic()
		f.flows(50)
		dead.kill()
		began := time.Now()
		f.streams[2].end()
		var took time.Duration
		var rosters []*roster
		for _, k := range w.watchers[:2] {
			rosters = append(rosters, k.sees(room, "both", "watcher-n0", "watcher-n1"))
			took = time.Since(began)
		}
		if took > lostBound {
			t.Errorf("the members were gone after %v, want %v at most", took, lostBound)
		}
		for i, k := range w.watchers[:2] {
			w.wentOnce(k, rosters[i], 1)
		}
		for i, n := range stay {
			n.knows(stay[1-i].name)
		}
		c.agree(stay, 3, "both", "watcher-n0", "watcher-n1")
		t.Logf("FIGURE %s: %d members of a killed node gone on the others after %v, each once; 0 ghosts", t.Name(), len(w.guests)+1, took.Round(time.Millisecond))

		dead.launch(dead.text(dead.at, ""))
		dead.up()
		c.together()
		k := dead.dial("http")
		k.join(room, "watcher-n2")
		for _, k := range append(w.watchers[:2:2], k) {
			k.sees(room, "both", "watcher-n0", "watcher-n1", "watcher-n2")
		}
		c.agree(c.nodes, 4, "both", "watcher-n0", "watcher-n1", "watcher-n2")
		local, remote := f.finish(dead)
		f.faultless(local, remote)
		lost := tally{}
		for i, k := range f.sockets {
			if f.nodes[i] != dead {
				lost.add(k.tally(f.streams[2]))
			}
		}
		if lost.repeated+lost.reordered > 0 {
			t.Errorf("of the node that was killed %v", lost)
		}
		t.Logf("FIGURE %s: what the killed node had accepted, on others %v", t.Name(), lost)
	})
}

// A node that is killed and started again at once is two for a while: the old one,
// whose guests are ghosts until it is given up, and the new one. A guest who comes
// back meanwhile was never away.
//
// Checklist: configuration 59
func TestClusterNodeRestartsAtOnce(t *testing.T) {
	onEngines(t, []string{"nats"}, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, "")
		host := c.nodes[2]
		w := c.crowd(host)
		began := time.Now()
		host.kill()
		host.launch(host.text(host.at, ""))
		host.up()
		host.dial("http").join(room, "guest-0")
		returned := time.Since(began)
		var took time.Duration
		for _, k := range w.watchers[:2] {
			r := k.sees(room, "both", "guest-0", "watcher-n0", "watcher-n1")
			took = time.Since(began)
			if r.removed["guest-1"] != 1 || r.removed["guest-0"] > 0 && returned < 7*time.Second {
				t.Errorf("removed were %v, of whom guest-0 came back after %v", r.removed, returned)
			}
		}
		c.together()
		c.agree(c.nodes, 4, "both", "guest-0", "watcher-n0", "watcher-n1")
		t.Logf("FIGURE %s: a killed node started again, its first guest back after %v and never away for others; %d ghosts gone after %v", t.Name(), returned.Round(time.Millisecond), len(w.guests), took.Round(time.Millisecond))
	})
}

// A node that stands still for longer than node_timeout is given up by the others,
// and is one of them again when it goes on.
func TestClusterNodeStandsStill(t *testing.T) {
	const still = 20 * time.Second
	onEngines(t, single, func(t *testing.T, e *engine) {
		c := startCluster(t, e.everywhere, "")
		w := c.crowd(c.nodes[2])
		f := c.traffic()
		f.flows(50)
		began := time.Now()
		thaw := c.nodes[2].freeze()
		var took time.Duration
		for _, k := range w.watchers[:2] {
			k.sees(room, "both", "watcher-n0", "watcher-n1")
			took = time.Since(began)
		}
		// What it misses: one comes, and one goes.
		c.nodes[0].dial("http").join(room, "late")
		_ = w.watchers[1].w.rw.Close()
		w.watchers[0].sees(room, "both", "late", "watcher-n0")
		time.Sleep(still - time.Since(began))
		thaw()
		woken := time.Now()
		all := w.all("late", "watcher-n0", "watcher-n2")
		r := w.watchers[0].sees(room, all...)
		w.wentOnce(w.watchers[0], r, 2)
		last := w.watchers[2].sees(room, all...)
		back := time.Since(woken)
		for _, id := range w.all("watcher-n0") {
			if last.removed[id] > 0 {
				t.Errorf("for clients of the node that stood still %s was removed", id)
			}
		}
		c.together()
		c.agree(c.nodes, 15, all...)
		for _, k := range w.sockets {
			if err := k.closed(); err != nil {
				t.Errorf("a socket of the node that stood still was closed: %v", err)
			}
		}
		local, remote := f.finish()
		if local.lost+local.repeated+local.reordered+remote.repeated+remote.reordered > 0 {
			t.Errorf("on the node itself %v, on others %v", local, remote)
		}
		t.Logf("FIGURE %s: a node that stood still for %v was given up after %v and is back %v after it goes on; 0 ghosts, no member event twice", t.Name(), still, took.Round(time.Millisecond), back.Round(time.Millisecond))
	})
}
