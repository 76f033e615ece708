//go:build unix

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// waiting is a clock for loops that wait for something.
func waiting(t *testing.T) func(what string) bool {
	deadline := time.Now().Add(60 * time.Second)
	return func(what string) bool {
		t.Helper()
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come to an end", what)
		}
		time.Sleep(20 * time.Millisecond)
		return true
	}
}

// A server is killed again and again while it plans and sends. Every publish that it has
// accepted comes to its end, with counters that add up, and every device gets it.
//
// Checklist: push 64, 68, 69
func TestPushSurvivesKills(t *testing.T) {
	const devices, rounds, each = 200, 5, 3
	f := pushtest.NewFCM(t)
	f.SetLatency(20 * time.Millisecond)
	c := newCaddy(t)
	c.secure = freePort(t)
	text := c.caddyfile(config{block: pushBlock(t, f, "")})
	up := func() {
		c.launch(text)
		c.waitFor("the site", func() bool {
			status, err := c.status("/up")
			return err == nil && status == http.StatusOK
		})
	}
	up()
	ids := make([]string, devices)
	for i := range ids {
		ids[i] = fmt.Sprintf("device-%04d", i)
	}
	c.devices("room", ids...)
	var accepted []string
	for round := range rounds {
		for n := range each {
			id := fmt.Sprintf("p-%d-%d", round, n)
			if ok, err := c.notify("room", id); err != nil || !ok {
				t.Fatalf("publishing: %v", err)
			}
			accepted = append(accepted, id)
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		_ = c.cmd.Process.Kill()
		<-c.exited
		up()
	}
	for _, id := range accepted {
		s := c.ended(id)
		n := s.Counters
		if n.Planned != devices || n.Succeeded != devices || s.State != "succeeded" {
			t.Errorf("%s ended as %+v", id, s)
		}
	}
	got, again := deliveries(f), 0
	for _, publish := range accepted {
		for _, id := range ids {
			n := got[id+" "+publish]
			if n == 0 {
				t.Errorf("%s did not get %s", id, publish)
			}
			again += max(n-1, 0)
		}
	}
	t.Logf("FIGURE push: %d kills, %d publishes to %d devices: 0 lost, %d sent again that were under way", rounds, len(accepted), devices, again)
	if most := rounds * 64 / 4 * 32; again > most {
		t.Errorf("%d notifications were sent again, and at most %d can have been under way", again, most)
	}
}
