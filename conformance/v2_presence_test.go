package conformance

import (
	"strings"
	"testing"
	"time"
)

// grace is how long the server with features keeps a member of V2 whose network failed.
const grace = time.Second

// Checklist: protocol 29, 54, 72, 89, 90, 91, 92
func TestV2Presence(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		ada, old, again := s.peer(), s.old(), s.peer()
		ada.send("sockudo:subscribe", "", ada.wish(lobby, `{"user_id":"u1","user_info":{"name":"Ada"}}`, ""))
		ada.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":{\"name\":\"Ada\"}},\"count\":1}}","message_id":"…","stream_id":"…","serial":0}`)
		old.joinAs(lobby, `{"user_id":"u2","user_info":{"name":"Bob"}}`)
		ada.expect(`{"event":"sockudo_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"u2\",\"user_info\":{\"name\":\"Bob\"}}","message_id":"…"}`)
		again.joinAs(lobby, `{"user_id":"u1","user_info":{"name":"Other"}}`)
		ada.joinAmong(lobby, `{"user_id":"u1"}`, `"u1":{"name":"Ada"}`, `"u2":{"name":"Bob"}`)
		numeric := s.peer()
		numeric.joinAs(lobby, `{"user_id":7}`)
		for _, p := range []*peer{ada, again} {
			p.expect(`{"event":"sockudo_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"7\",\"user_info\":{}}","message_id":"…"}`)
		}
		old.expect(`{"event":"pusher_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"7\",\"user_info\":{}}"}`)
		numeric.leave(lobby)
		for _, p := range []*peer{ada, again} {
			p.expect(`{"event":"sockudo_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"7\"}","message_id":"…"}`)
		}
		old.expect(`{"event":"pusher_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"7\"}"}`)
		ada.close()
		again.quiet(lobby)
		old.event("mark")
		again.close()
		old.expect(`{"event":"pusher_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"u1\"}"}`)
	})
}

// joinAmong subscribes to a presence channel and holds the members against a list of
// entries of the hash, in any order.
func (p *peer) joinAmong(channel, member string, hash ...string) {
	p.stage.Helper()
	var data struct {
		Presence struct {
			IDs   []string          `json:"ids"`
			Hash  map[string]string `json:"-"`
			Count int               `json:"count"`
		} `json:"presence"`
	}
	answer := p.joinAs(channel, member).inner(p.stage)
	unmarshal(p.stage, []byte(answer), &data)
	if data.Presence.Count != len(hash) || len(data.Presence.IDs) != len(hash) {
		p.stage.Errorf("%d members: %s", len(hash), answer)
	}
	for _, entry := range hash {
		if !strings.Contains(plain(answer), entry) {
			p.stage.Errorf("%s is not in %s", entry, answer)
		}
	}
}

// Checklist: protocol 93, 94, 95, 97
func TestV2PresenceMembers(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby, hall, user := s.own("presence-lobby"), s.own("presence-hall"), s.own("u1")
		p, watcher := s.peer(), s.peer()
		p.send("sockudo:subscribe", "", p.wish(lobby, `{"user_info":{}}`, ""))
		p.refused(4300, lobby, "user_id")
		p.send("sockudo:subscribe", "", p.wish(lobby, "", ""))
		p.refused(4000, lobby, "Missing channel_data for presence channel")
		p.signin(user, `"user_info":{"name":"Ada"}`)
		p.send("sockudo:subscribe", "", p.wish(lobby, "", ""))
		p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":{\"name\":\"Ada\"}},\"count\":1}}","message_id":"…","stream_id":"…","serial":0}`)
		p.joinAs(hall, `{"user_id":"other"}`)
		watcher.joinAs(lobby, `{"user_id":"w"}`)
		watcher.joinAs(hall, `{"user_id":"w"}`)
		p.close()
		left := map[string]bool{}
		for range 2 {
			left[plain(watcher.event("sockudo_internal:member_removed").text)] = true
		}
		for _, want := range []string{
			`{"event":"sockudo_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"u1\"}","message_id":"…"}`,
			`{"event":"sockudo_internal:member_removed","channel":"presence-hall","data":"{\"user_id\":\"other\"}","message_id":"…"}`,
		} {
			if !left[want] {
				s.Errorf("%v lacks %s", left, want)
			}
		}
	})
}

// A member of V2 whose network fails stays for a while, one of V1 does not, and
// neither does one that says goodbye. The removal of one that failed later shows that
// the time of one that failed before is over.
//
// Checklist: protocol 98, 99, 100, 101
func TestV2PresenceGrace(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		watchers := []*peer{s.peer(), s.old()}
		for _, w := range watchers {
			w.joinAs(lobby, `{"user_id":"watcher"}`)
		}
		come := func(p *peer, user string) *peer {
			s.Helper()
			p.joinAs(lobby, `{"user_id":"`+user+`"}`)
			return p
		}
		hear := func(event, user string) {
			s.Helper()
			for _, w := range watchers {
				e := w.event(w.prefix + "_internal:" + event)
				if !strings.Contains(e.text, `\"user_id\":\"`+user+`\"`) {
					s.Fatalf("%s %s: %s", event, user, e.text)
				}
			}
		}
		polite, old := come(s.peer(), "polite"), come(s.old(), "old")
		back, gone, twice := come(s.peer(), "back"), come(s.peer(), "gone"), come(s.peer(), "twice")
		for _, user := range []string{"polite", "old", "back", "gone", "twice"} {
			hear("member_added", user)
		}
		come(s.peer(), "twice")

		back.drop()
		twice.drop()
		start := time.Now()
		gone.drop()
		old.drop()
		hear("member_removed", "old")
		polite.close()
		hear("member_removed", "polite")
		if took := time.Since(start); took > grace*9/10 {
			s.Errorf("V1's drop and V2's goodbye took %s", took)
		}
		returned := s.peer()
		returned.joinAs(lobby, `{"user_id":"back"}`)
		hear("member_removed", "gone")
		if took := time.Since(start); took < grace {
			s.Errorf("V2's drop took %s", took)
		}
		for _, w := range watchers {
			w.quiet(lobby)
			for _, other := range watchers {
				if other != w {
					other.event("mark")
				}
			}
		}
		returned.close()
		hear("member_removed", "back")
	})
}

// Checklist: protocol 29, 102, 105
func TestV2PresenceUpdate(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		ada, bob, old := s.peer(), s.client(inJSON, ""), s.old()
		ada.joinAs(lobby, `{"user_id":"u1","user_info":{"name":"Ada"}}`)
		bob.joinAs(lobby, `{"user_id":"u2"}`)
		ada.event("sockudo_internal:member_added")
		old.joinAs(lobby, `{"user_id":"u3"}`)
		ada.event("sockudo_internal:member_added")
		bob.event("sockudo_internal:member_added")
		for i, r := range []request{
			{Event: "sockudo:presence_update", Data: compact(map[string]any{"channel": lobby, "data": map[string]any{"n": 0}})},
			{Event: "sockudo:presence_update", Data: map[string]any{"channel": lobby, "data": map[string]any{"n": 1}}},
			{Event: "pusher:presence_update", Channel: lobby, Data: map[string]any{"user_info": map[string]any{"n": 2}}},
			{Event: "sockudo:presence_update", Channel: lobby, Data: map[string]any{"n": 3}},
		} {
			ada.ask(r)
			for _, p := range []*peer{ada, bob} {
				p.expect(`{"event":"sockudo_internal:presence_update","channel":"presence-lobby","data":"{\"user_id\":\"u1\",\"user_info\":{\"n\":` + compact(i) + `}}","message_id":"…"}`)
			}
		}
		ada.send("sockudo_internal:presence_update", "", map[string]any{"channel": lobby, "data": map[string]any{"n": 9}})
		late := s.peer()
		late.joinAmong(lobby, `{"user_id":"u4"}`, `"u1":{"n":3}`, `"u2":{}`, `"u3":{}`, `"u4":{}`)
		old.expect(`{"event":"pusher_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"u4\",\"user_info\":{}}"}`)
		late.close()
		old.event("pusher_internal:member_removed")
	})
}

// Checklist: protocol 103, 104
func TestV2PresenceUpdateRefusals(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby, orders := s.own("presence-lobby"), s.own("orders")
		p, old := s.peer(), s.old()
		update := func(p *peer, channel string, size int) {
			s.Helper()
			info := strings.Repeat("x", size-len(`{"x":""}`))
			p.send(p.prefix+":presence_update", "", map[string]any{"channel": channel, "data": map[string]any{"x": info}})
		}
		update(p, lobby, 100)
		p.refused(4000, "")
		p.join(orders)
		update(p, orders, 100)
		p.refused(4000, "")
		p.joinAs(lobby, `{"user_id":"u1"}`)
		update(p, lobby, 1025)
		p.refused(4000, "", "1024")
		old.joinAs(lobby, `{"user_id":"u1"}`)
		update(old, lobby, 100)
		old.refused(4000, "")
		start := time.Now()
		for range 10 {
			update(p, lobby, 1024)
		}
		update(p, lobby, 100)
		heard := map[string]int{}
		for range 11 { // an error may be ahead of what others hear too
			heard[p.next().Event]++
		}
		if time.Since(start) < time.Second && (heard["sockudo_internal:presence_update"] != 10 || heard["sockudo:error"] != 1) {
			s.Errorf("%v", heard)
		}
		old.quiet(lobby)
	})
}

// The newest user_info of a member counts, whichever connection it came from.
//
// Checklist: protocol 91, 102
func TestV2PresenceUpdateOfOneOfTwoConnections(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		first, second := s.peer(), s.peer()
		first.joinAs(lobby, `{"user_id":"u1","user_info":{"n":1}}`)
		second.joinAs(lobby, `{"user_id":"u1","user_info":{"n":2}}`)
		second.send("sockudo:presence_update", lobby, map[string]any{"n": 3})
		for _, p := range []*peer{first, second} {
			p.expect(`{"event":"sockudo_internal:presence_update","channel":"presence-lobby","data":"{\"user_id\":\"u1\",\"user_info\":{\"n\":3}}","message_id":"…"}`)
		}
		second.close()
		first.quiet(lobby)
		first.joinAmong(lobby, `{"user_id":"u1"}`, `"u1":{"n":3}`)
		first.drop()
		s.peer().joinAmong(lobby, `{"user_id":"u2"}`, `"u1":{"n":3}`, `"u2":{}`)
	})
}

// A reload neither removes members that may return nor forgets to remove them.
//
// Checklist: protocol 98, 99
func TestV2PresenceGraceOverReload(t *testing.T) {
	s := inDialect(t, needV2(t), protobuf)
	lobby := s.own("presence-lobby")
	watcher, back, gone := s.peer(), s.peer(), s.peer()
	watcher.joinAs(lobby, `{"user_id":"watcher"}`)
	for user, p := range map[string]*peer{"back": back, "gone": gone} {
		p.joinAs(lobby, `{"user_id":"`+user+`"}`)
		watcher.event("sockudo_internal:member_added")
	}
	back.drop()
	start := time.Now()
	gone.drop()
	reload(s, 1)
	t.Cleanup(func() { reload(s, 0) })
	s.peer().joinAs(lobby, `{"user_id":"back"}`)
	watcher.expect(`{"event":"sockudo_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"gone\"}","message_id":"…"}`)
	if took := time.Since(start); took < grace {
		t.Errorf("the drop took %s", took)
	}
	watcher.quiet(lobby)
}
