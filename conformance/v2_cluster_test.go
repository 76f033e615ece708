//go:build unix

package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// startNodes starts two servers with features that share a Redis.
func startNodes(t *testing.T) (nodes [2]*server) {
	t.Helper()
	needV2(t)
	store := redistest.Start(t)
	for i := range nodes {
		s, err := newServer()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.remove)
		shared := " redis {\naddress " + store.Addr() + "\n}\n"
		s.conf.Extra = features + "adapter" + shared + "cache" + shared
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("log of node %d:\n%s", i, s.log.since(0, 8<<10))
			}
		})
		nodes[i] = s
	}
	return nodes
}

// Clients on two nodes are to each other as on one.
//
// Checklist: protocol 82, 86, 87, 98, 99, 101, 102, 125, 142, 145, 148, 195, 211, 212
func TestV2OnTwoNodes(t *testing.T) {
	nodes := startNodes(t)
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			a := inDialect(t, nodes[0], d)
			b := *a
			b.server = nodes[1]
			for name, play := range map[string]func(a, b *stage){
				"events": playEvents, "presence": playPresence, "users": playUsers, "resume": playResume, "stream": playTravels,
			} {
				t.Run(name, func(t *testing.T) {
					a, b := *a, b
					a.T, b.T, a.number = t, t, stages.Add(1)
					b.number = a.number
					play(&a, &b)
				})
			}
		})
	}
}

// hearsOf does something on the other node until the client hears of it: nodes tell
// each other within moments who is subscribed to patterns, not at once.
func (p *peer) hearsOf(do func()) {
	p.stage.Helper()
	for start := time.Now(); ; {
		do()
		if _, err := p.poll(50 * time.Millisecond); err == nil {
			break
		}
		if time.Since(start) > patience {
			p.stage.Fatalf("%s: nothing comes from the other node", p.name)
		}
	}
	for { // what was done more often than needed
		if _, err := p.poll(200 * time.Millisecond); err != nil {
			return
		}
	}
}

// playEvents shows events, patterns, filters, counts and echoes on both nodes.
func playEvents(a, b *stage) {
	eu, room := a.own("orders")+".eu", a.own("private-room")
	here, there, old := a.peer(), b.peer(), b.old()
	there.join(a.own("orders") + ".*")
	there.hearsOf(func() { a.tell(a.own("orders")+".us", "warm", "") })
	there.join("[meta]" + eu)
	here.join(eu)
	for _, event := range []string{"channel_occupied", "subscription_count"} {
		there.expect(`{"event":"sockudo_internal:` + event + `","channel":"[meta]orders.eu","data":{"channel":"orders.eu","subscription_count":1},"message_id":"…"}`)
	}
	for _, s := range []*stage{a, b} {
		s.publish(`{"name":"n","channel":"` + eu + `","data":"1","tags":{"a":"b"},"extras":{"headers":{"n":1}}}`)
		if x, y := here.event("n"), there.event("n"); x.text != y.text {
			a.Errorf("%s\n%s", x.text, y.text)
		}
	}
	for _, p := range []*peer{here, there, old} {
		p.join(room)
	}
	for i, p := range []*peer{here, there, old} {
		p.send("client-x", room, map[string]any{"from": i})
		want := `"channel":"private-room","data":{"from":` + compact(i) + `}`
		for _, q := range []*peer{here, there} {
			q.expect(`{"event":"client-x",` + want + `,"message_id":"…","stream_id":"…","serial":` + compact(i+1) + `}`)
		}
		if p != old {
			old.expect(`{"event":"client-x",` + want + `}`)
		}
	}
	here.close()
	there.expect(`{"event":"sockudo_internal:channel_vacated","channel":"[meta]orders.eu","data":{"channel":"orders.eu","subscription_count":0},"message_id":"…"}`)
	late := b.peer()
	late.joinWith(eu, "", `"filter":{"tags":{"key":"a","cmp":"ex"}}`)
	for range 2 {
		there.next()
	}
	a.tell(eu, "n", "without tags")
	a.publish(`{"name":"n","channel":"` + eu + `","data":"with tags","tags":{"a":"b"}}`)
	if e := late.event("n"); e.inner(b) != "with tags" {
		a.Error(e.text)
	}
}

// playPresence shows members that come, change, fail, return and leave elsewhere.
func playPresence(a, b *stage) {
	lobby := a.own("presence-lobby")
	here, old := a.peer(), a.old()
	here.joinAs(lobby, `{"user_id":"u1"}`)
	old.joinAs(lobby, `{"user_id":"v1"}`)
	here.event("sockudo_internal:member_added")
	both := func(event, data string) {
		a.Helper()
		here.expect(`{"event":"sockudo_internal:` + event + `","channel":"presence-lobby","data":"` + data + `","message_id":"…"}`)
		old.expect(`{"event":"pusher_internal:` + event + `","channel":"presence-lobby","data":"` + data + `"}`)
	}
	there, eyes := b.peer(), b.peer()
	known := eyes.joinAs(lobby, `{"user_id":"w"}`).text
	for !strings.Contains(known, `"u1\`) || !strings.Contains(known, `"v1\`) {
		known += eyes.event("sockudo_internal:member_added").text
	}
	both("member_added", `{\"user_id\":\"w\",\"user_info\":{}}`)
	there.joinAmong(lobby, `{"user_id":"u2","user_info":{"name":"Bob"}}`, `"u1":{}`, `"v1":{}`, `"w":{}`, `"u2":{"name":"Bob"}`)
	both("member_added", `{\"user_id\":\"u2\",\"user_info\":{\"name\":\"Bob\"}}`)
	there.send("sockudo:presence_update", "", map[string]any{"channel": lobby, "data": map[string]any{"busy": true}})
	for _, p := range []*peer{here, there} {
		p.expect(`{"event":"sockudo_internal:presence_update","channel":"presence-lobby","data":"{\"user_id\":\"u2\",\"user_info\":{\"busy\":true}}","message_id":"…"}`)
	}
	gone := b.peer()
	gone.joinAs(lobby, `{"user_id":"gone"}`)
	both("member_added", `{\"user_id\":\"gone\",\"user_info\":{}}`)
	there.event("sockudo_internal:member_added")

	// One fails and returns on the other node, the other fails for good.
	start := time.Now()
	there.drop()
	gone.drop()
	returned := a.peer()
	returned.joinAs(lobby, `{"user_id":"u2"}`)
	both("member_removed", `{\"user_id\":\"gone\"}`)
	if took := time.Since(start); took < grace {
		a.Errorf("the drop took %s", took)
	}
	returned.event("sockudo_internal:member_removed")
	returned.close()
	both("member_removed", `{\"user_id\":\"u2\"}`)
}

// playUsers shows users, watchlists, and tokens that are revoked, on another node.
func playUsers(a, b *stage) {
	ada, bob := a.own("u1"), a.own("u2")
	here, there, old := a.peer(), b.peer(), b.old()
	here.signin(ada, `"watchlist":[`+compact(bob)+`]`)
	here.event("sockudo_internal:watchlist_events")
	there.signin(bob, "")
	if e := here.event("sockudo_internal:watchlist_events"); !strings.Contains(e.text, "online") {
		a.Error(e.text)
	}
	old.signin(ada, "")
	here.join("#server-to-user-" + ada)
	b.tell("#server-to-user-"+ada, "notice", "hi")
	here.event("notice")
	old.event("notice")
	a.post("/users/"+bob+"/terminate_connections", "{}")
	there.refused(4009, "")
	if code, _ := there.ended(); code != 4009 {
		a.Errorf("closed with %d", code)
	}
	if e := here.event("sockudo_internal:watchlist_events"); !strings.Contains(e.text, "offline") {
		a.Error(e.text)
	}
	bearer := b.bearer(a.token(a.own("t"), a.own("jti"), time.Hour, map[string][]string{"*": {"subscribe"}}))
	a.post("/revocations", `{"jti":"`+a.own("jti")+`"}`)
	bearer.expect(`{"event":"sockudo:token_expired","data":{"code":40160,"reason":"revoked"},"message_id":"…"}`)
}

// playResume shows a client that goes on from where it was on the other node, also
// where messages are published on both and by clients.
func playResume(a, b *stage) {
	orders, room := a.own("orders"), a.own("private-room")
	witness, p := b.peer(), a.peer()
	start := map[string]position{orders: p.join(orders).at(), room: p.join(room).at()}
	for channel, at := range start {
		if other := witness.join(channel).at(); other.StreamID != at.StreamID || other.Serial != at.Serial {
			a.Errorf("positions %+v and %+v", at, other)
		}
	}
	p.drop()
	var live []string
	for n := range 6 {
		[]*stage{a, b}[n%2].tell(orders, "n", compact(n))
		live = append(live, witness.event("n").text)
	}
	witness.send("client-x", room, nil)
	live = append(live, witness.event("client-x").text)
	for _, s := range []*stage{b, a} {
		p = s.peer()
		p.resume(start)
		p.answered()
		for _, channel := range []string{orders, room} {
			p.send("sockudo:subscribe", "", p.wish(channel, "", ""))
		}
		var missed []string
		for len(missed) < len(live) {
			if e := p.next(); !strings.HasPrefix(e.Event, "sockudo") {
				missed = append(missed, e.text)
			}
		}
		if got, want := strings.Join(missed, "\n"), strings.Join(live, "\n"); got != want {
			a.Errorf("missed\n%s\nlive\n%s", got, want)
		}
	}
}

// playTravels shows clients that lose their connections amid a stream of messages, and
// continue on the other node each time.
func playTravels(a, b *stage) { playStream(a, func(int) {}, a.server, b.server) }
