//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// pushNodes are three nodes with one push store in PostgreSQL and one queue in Redis.
func pushNodes(t *testing.T, f *pushtest.FCM) *cluster {
	store := historyIn(t, "postgres", nil).block("", "")
	store = strings.Replace(store, "history postgres", "storage postgres", 1)
	queue := "queue redis {\naddress " + redistest.Start(t).Addr() + "\n}\n"
	return startCluster(t, startNATS(t).everywhere, quick+queue+pushBlock(t, f, store)+"\n")
}

// Nodes share the work, and one that is killed leaves it to the others: every publish
// comes to its end, and every device gets it, however often a node that was killed had
// it under way.
//
// Checklist: push 64, 69, 73, 90, 109
func TestPushNodeDies(t *testing.T) {
	const devices, publishes = 150, 12
	f := pushtest.NewFCM(t)
	f.SetLatency(10 * time.Millisecond)
	c := pushNodes(t, f)
	ids := make([]string, devices)
	for i := range ids {
		ids[i] = fmt.Sprintf("device-%04d", i)
	}
	c.nodes[0].devices("room", ids...)
	for n := range publishes {
		if ok, err := c.nodes[n%3].notify("room", fmt.Sprint("p", n)); err != nil || !ok {
			t.Fatal(err)
		}
	}
	c.nodes[2].signal(syscall.SIGKILL)
	for n := range publishes {
		s := c.nodes[n%2].ended(fmt.Sprint("p", n))
		if s.State != "succeeded" || s.Counters.Planned != devices || s.Counters.Succeeded != devices {
			t.Errorf("publish %d ended as %+v", n, s)
		}
	}
	got, again := deliveries(f), 0
	for n := range publishes {
		for _, id := range ids {
			times := got[fmt.Sprint(id, " p", n)]
			if times == 0 {
				t.Errorf("%s did not get publish %d", id, n)
			}
			again += max(times-1, 0)
		}
	}
	t.Logf("FIGURE push: one of three nodes killed, %d publishes to %d devices: 0 lost, %d sent again that were under way", publishes, devices, again)
	if most := 64 / 4 * 32; again > most {
		t.Errorf("%d notifications were sent again, and at most %d can have been under way", again, most)
	}
}

// Whoever is in the presence channel, by whatever node, is not notified.
func TestPushLeavesOutWhoIsPresent(t *testing.T) {
	f := pushtest.NewFCM(t)
	c := pushNodes(t, f)
	for user, id := range map[string]string{"ann": "of-ann", "bob": "of-bob"} {
		c.nodes[0].must("POST", "/deviceRegistrations", map[string]any{
			"id": id, "clientId": user, "formFactor": "phone", "platform": "android", "timezone": "UTC", "locale": "en",
			"push": map[string]any{"recipient": map[string]string{"transportType": "gcm", "registrationToken": id}},
		})
		c.nodes[0].must("POST", "/channelSubscriptions", map[string]string{"channel": "room", "deviceId": id})
	}
	k := c.nodes[1].dial("http")
	k.join("presence-room", "ann")
	publish := func(id string, delay int) {
		c.nodes[2].must("POST", "/publish", map[string]any{
			"publishId": id, "recipients": []map[string]string{{"type": "channel", "channel": "room"}}, "payload": map[string]string{"title": id, "body": "B"},
			"suppressIfPresent": map[string]any{"channel": "presence-room", "delaySeconds": delay},
		})
	}
	c.nodes[2].until("member on another node", func() error {
		status, answer, err := c.nodes[2].call("GET", "/apps/app-id/channels/presence-room/users", "", "")
		if err == nil && (status != http.StatusOK || !strings.Contains(answer, "ann")) {
			err = fmt.Errorf("%d %s", status, answer)
		}
		return err
	})
	publish("now", 0)
	if s := c.nodes[0].ended("now"); s.Counters.Planned != 1 || f.Attempts("of-ann") != 0 || f.Attempts("of-bob") != 1 {
		t.Errorf("it ended as %+v, with %d and %d attempts", s, f.Attempts("of-ann"), f.Attempts("of-bob"))
	}
	// With a delay it is looked then: who has gone by that time is notified.
	publish("later", 3)
	k.send(`{"event":"pusher:unsubscribe","data":{"channel":"presence-room"}}`)
	if s := c.nodes[0].ended("later"); s.Counters.Planned != 2 || f.Attempts("of-ann") != 1 {
		t.Errorf("it ended as %+v", s)
	}
}
