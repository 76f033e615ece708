//go:build unix

package e2e

import (
	"testing"
	"time"
)

// mostLostBySwitch is how many events for other nodes may be lost while nodes are on
// different engines, each counted once for every socket that misses it.
const mostLostBySwitch = 1_000_000

// All nodes change to another engine and back by reloads, one node after the other,
// under load: no socket is closed and no member goes, no node misses an event of its
// own, and in the end all is as before.
func TestClusterSwitchesEngine(t *testing.T) {
	for _, pair := range switches {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			onEngines(t, func(t *testing.T, from *engine) {
				switchEngine(t, from, engines[pair[1]](t))
			}, pair[0])
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
			f.flowsAtHome(10)
		}
		windows += time.Since(began)
		f.flows(50)
		c.agree(c.nodes, 3, everybody...)
	}
	c.together()
	local, remote := f.finish()
	f.faultless(local)
	if remote.lost > mostLostBySwitch || remote.repeated+remote.reordered > 0 {
		t.Errorf("on other nodes %v, want at most %d lost", remote, mostLostBySwitch)
	}
	for _, k := range watchers {
		if r := k.sees(room, everybody...); len(r.removed) > 0 {
			t.Errorf("members were removed: %v", r.removed)
		}
	}
	c.agree(c.nodes, 3, everybody...)
	t.Logf("FIGURE %s: there and back by reloads of one node after the other, %v with nodes on different engines; no socket closed, no member event; %d of %d events for other nodes lost", t.Name(),
		windows.Round(time.Millisecond), remote.lost, remote.events)
}
