package realtime_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// A pattern brings the events that other nodes publish, each once.
//
// Checklist: protocol 82, 212
func TestClusterPatterns(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	p := nodes[1].dialV2("")
	p.enter("orders.*")
	p.enter("orders.eu")
	a := nodes[0].dial()
	a.join("elsewhere", "") // the app is known there
	until(t, "news of the pattern", func() bool { return nodes[0].state("orders.*").Subscriptions == 1 })
	a.seen = 0
	for i := range 3 {
		nodes[0].publish("orders.eu", "e", fmt.Sprint(i))
		nodes[0].publish("orders.us", "u", fmt.Sprint(i))
		nodes[0].publish("private-orders", "secret", `"x"`)
	}
	p.quietAfter(t, func(frames []string) {
		text := strings.Join(frames, "\n")
		for _, part := range []string{`"e"`, `"u"`} {
			if n := strings.Count(text, `{"event":`+part); n != 3 {
				t.Errorf("%s came %d times: %s", part, n, text)
			}
		}
		if strings.Contains(text, "secret") {
			t.Error(text)
		}
	})
}

// A member's new user_info is that of all nodes, whoever joins there.
//
// Checklist: protocol 102
func TestClusterPresenceUpdate(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	a, b, v1 := nodes[0].dialV2(""), nodes[1].dialV2(""), nodes[1].dial()
	a.subscribe("presence-x", `{"user_id":"a"}`)
	until(t, "the member", func() bool { return nodes[1].members("presence-x") == "a" })
	b.subscribe("presence-x", `{"user_id":"b"}`)
	v1.join("presence-x", `{"user_id":"c"}`)
	b.next("sockudo_internal:subscription_succeeded", "presence-x")
	b.next("sockudo_internal:member_added", "presence-x")
	for i := range 2 {
		a.send("sockudo:presence_update", "presence-x", map[string]any{"n": i})
		if e := b.next("sockudo_internal:presence_update", "presence-x"); e.text() != fmt.Sprintf(`{"user_id":"a","user_info":{"n":%d}}`, i) {
			t.Errorf("%s", e.text())
		}
	}
	v1.quiet()
	c := nodes[1].dialV2("")
	c.subscribe("presence-x", `{"user_id":"b"}`)
	if s := c.next("sockudo_internal:subscription_succeeded", "presence-x"); !strings.Contains(s.text(), `"a":{"n":1}`) {
		t.Errorf("%s", s.text())
	}
}

// A member who comes back to another node has never been away, and leaves there at
// once.
//
// Checklist: protocol 98
func TestClusterPresenceGrace(t *testing.T) {
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) { s.Presence.GraceV2 = 5 * time.Second })
	watcher, p := nodes[1].dial(), nodes[0].dialV2("")
	watcher.join("presence-x", `{"user_id":"w"}`)
	p.subscribe("presence-x", `{"user_id":"u"}`)
	watcher.expect("member_added", "u")
	p.lost()
	time.Sleep(50 * time.Millisecond)
	if got := nodes[1].members("presence-x"); got != "u,w" {
		t.Fatalf("members %s", got)
	}
	back := nodes[1].dialV2("")
	back.subscribe("presence-x", `{"user_id":"u"}`)
	back.next("sockudo_internal:subscription_succeeded", "presence-x")
	watcher.quiet()
	until(t, "one subscription less", func() bool { return nodes[0].state("presence-x").Subscriptions == 2 })
	watcher.quiet()
	back.conn.Disconnect(true)
	watcher.expect("member_removed", "u")
}

// The counts that meta channels tell are those of all nodes.
//
// Checklist: protocol 86
func TestClusterMeta(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	p := nodes[1].dialV2("")
	p.enter("[meta]orders")
	a := nodes[0].dialV2("")
	a.enter("orders")
	p.next("sockudo_internal:channel_occupied", "[meta]orders")
	p.next("sockudo_internal:subscription_count", "[meta]orders")
	a.lost()
	p.next("sockudo_internal:channel_vacated", "[meta]orders")
}

// What a node has missed while it was cut off comes with the link, without waiting
// for another event.
func TestLinkBringsWhatWasMissed(t *testing.T) {
	streams := &sharedStreams{}
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) {
		s.Recovery.Enabled, s.Drivers.Streams = true, streams
	})
	p := nodes[1].dialV2("")
	p.enter("orders")
	p.expect("subscription_count")
	nodes[1].bus.move(1)
	for i := range 3 {
		nodes[0].publish("orders", "e", fmt.Sprint(i))
	}
	p.quietV2()
	nodes[1].bus.move(0)
	for _, up := range nodes[1].bus.watchers() {
		up(true)
	}
	for i := range 3 {
		if e := p.next("e", "orders"); *e.Serial != uint64(i+1) {
			t.Errorf("%+v", e)
		}
	}
}

// Tags that clients are not to see stay away from them by whichever way an event comes:
// with the link, late from the store, or in a replay.
func TestTagsStayAwayOnEveryWay(t *testing.T) {
	streams := &sharedStreams{}
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) {
		s.Recovery.Enabled, s.Drivers.Streams, s.Filters.KeepTags = true, streams, false
	})
	say := func() {
		nodes[0].say(realtime.Event{Channel: "orders", Name: "e", Data: json.RawMessage(`"x"`), Tags: protocol.Tags{{Key: "a", Value: "b"}}})
	}
	p := nodes[1].dialV2("")
	at := position(p.enter("orders"))
	p.expect("subscription_count")
	hidden := func(way string) {
		t.Helper()
		if e := p.next("e", "orders"); len(e.Tags) > 0 {
			t.Errorf("%s: %s", way, e.Tags)
		}
	}
	say()
	hidden("link")
	nodes[1].bus.move(1)
	say()
	nodes[1].bus.move(0)
	say()
	hidden("store")
	hidden("after it")
	for i, n := range nodes {
		q := n.dialV2("")
		q.resume(at)
		q.resumed()
		q.enter("orders")
		replayed, _ := q.resumed()
		if len(replayed) != 3 {
			t.Fatalf("node %d: %v", i, replayed)
		}
		for _, e := range replayed {
			if len(e.Tags) > 0 {
				t.Errorf("node %d, replay: %s", i, e.Tags)
			}
		}
	}
}

// A client that comes to another node goes on there, and one whose position is of a
// node of its own is told that it cannot.
//
// Checklist: protocol 148, 150
func TestResumeOnAnotherNode(t *testing.T) {
	for _, shared := range []bool{true, false} {
		streams := &sharedStreams{}
		nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) {
			s.Recovery.Enabled = true
			if shared {
				s.Drivers.Streams = streams
			}
		})
		p := nodes[0].dialV2("")
		at := position(p.enter("orders"))
		p.lost()
		for i := range 3 {
			nodes[0].publish("orders", "e", fmt.Sprint(i))
		}
		nodes[0].bus.kill()
		p = nodes[1].dialV2("")
		p.resume(at)
		p.resumed()
		p.enter("orders")
		replayed, result := p.resumed()
		switch {
		case shared && (len(replayed) != 3 || len(result.Recovered) != 1 || *replayed[2].Serial != 3):
			t.Errorf("shared: %v %+v", replayed, result)
		case !shared && (len(result.Failed) != 1 || result.Failed[0].Code != "stream_reset"):
			t.Errorf("not shared: %v %+v", replayed, result)
		}
	}
}
