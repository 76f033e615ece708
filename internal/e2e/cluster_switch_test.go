//go:build unix

package e2e

import (
	"testing"
	"time"
)

// All nodes change to another engine and back by reloads, one node after the other,
// under load. While some use the one and some the other, nothing is lost either: no
// socket is closed, no member goes, and every event comes everywhere, once and in order.
func TestClusterSwitchesEngine(t *testing.T) {
	for _, pair := range [][]string{{"nats", "redis"}, {"redis", "redis_cluster sharded"}} {
		t.Run("to "+pair[1], func(t *testing.T) {
			onEngines(t, pair[:1], func(t *testing.T, from *engine) {
				switchEngine(t, from, engines[pair[1]](t))
			})
		})
	}
}

func switchEngine(t *testing.T, from, to *engine) {
	c := startCluster(t, from.everywhere, patient)
	watchers := c.members()
	f := c.traffic()
	f.flows(50)
	var windows time.Duration
	for _, e := range []*engine{to, from} {
		began := time.Now()
		for i, n := range c.nodes {
			n.reload(e.everywhere(i))
			f.flows(10)
		}
		windows += time.Since(began)
		f.flows(50)
		c.agree(c.nodes, 3, everybody...)
	}
	c.together()
	local, remote := f.finish()
	f.faultless(local)
	f.faultless(remote)
	for _, k := range watchers {
		if r := k.sees(room, everybody...); len(r.removed) > 0 {
			t.Errorf("members were removed: %v", r.removed)
		}
	}
	c.agree(c.nodes, 3, everybody...)
	t.Logf("FIGURE %s: there and back by reloads of one node after the other, %v with nodes on different engines; no socket closed, no member event; of %d events for other nodes %d lost and %d reordered", t.Name(),
		windows.Round(time.Millisecond), remote.events, remote.lost, remote.reordered)
}
