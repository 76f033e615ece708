package conformance

import (
	"strings"
	"testing"
)

// Checklist: protocol 107, 108, 118
func TestV2Echo(t *testing.T) {
	inEncodings(t, func(s *stage) {
		room := s.own("private-room")
		loud, silent, asked := s.peer(), s.client(s.dialect, "&echo_messages=false"), s.client(s.dialect, "&echo_messages=true")
		old := s.client(inV1, "&echo_messages=true")
		for _, p := range []*peer{loud, silent, asked, old} {
			p.join(room)
		}
		for i, sender := range []*peer{loud, silent, asked, old} {
			sender.send("client-x", room, map[string]any{"n": i})
			for _, p := range []*peer{loud, silent, asked, old} {
				if p != sender || sender == loud || sender == asked {
					if e := p.event("client-x"); string(e.Data) != `{"n":`+compact(i)+`}` {
						s.Errorf("%s, want %d", e.text, i)
					}
				}
			}
		}
		s.publish(`{"name":"n","channel":"` + room + `","data":"x","socket_id":"` + loud.id + `"}`)
		for _, p := range []*peer{silent, asked, old} {
			p.event("n")
		}
		loud.quiet(room)
		for _, p := range []*peer{silent, asked, old} {
			p.event("mark")
		}
	})
}

// Checklist: protocol 113, 114, 117, 143
func TestV2ClientEventMembers(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby, room := s.own("presence-lobby"), s.own("private-room")
		sender, p, old := s.peer(), s.peer(), s.old()
		for i, who := range []*peer{sender, p, old} {
			who.joinAs(lobby, `{"user_id":"u`+compact(i)+`"}`)
			who.join(room)
			for _, earlier := range []*peer{sender, p}[:i] {
				earlier.event("sockudo_internal:member_added")
			}
		}
		more := map[string]any{"user_id": "forged", "message_id": "forged", "tags": map[string]string{"a": "b"}, "extras": headers{"a": "b"}, "name": "forged", "stream_id": "forged"}
		sender.ask(request{"client-typing", lobby, map[string]any{"on": true}, more})
		for _, who := range []*peer{sender, p} {
			who.expect(`{"event":"client-typing","channel":"presence-lobby","data":{"on":true},"user_id":"u0","message_id":"…","stream_id":"…","serial":1}`)
		}
		old.expect(`{"event":"client-typing","channel":"presence-lobby","data":{"on":true},"user_id":"u0"}`)
		sender.ask(request{"client-typing", room, map[string]any{"on": true}, more})
		for _, who := range []*peer{sender, p} {
			who.expect(`{"event":"client-typing","channel":"private-room","data":{"on":true},"message_id":"…","stream_id":"…","serial":1}`)
		}
		old.expect(`{"event":"client-typing","channel":"private-room","data":{"on":true}}`)
		old.ask(request{"client-typing", lobby, "x", more})
		p.expect(`{"event":"client-typing","channel":"presence-lobby","data":"x","user_id":"u2","message_id":"…","stream_id":"…","serial":2}`)
	})
}

// Checklist: protocol 109, 110, 111, 112, 116
func TestV2ClientEventRefusals(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders, room, vault, foreign := s.own("orders"), s.own("private-room"), s.own("private-encrypted-vault"), s.own("private-other")
		p, other := s.peer(), s.peer()
		for _, channel := range []string{orders, room, vault} {
			p.join(channel)
		}
		other.join(foreign)
		refused := func(code int, event, channel string, words ...string) {
			s.Helper()
			p.send(event, channel, map[string]any{})
			p.refused(code, "", words...)
		}
		refused(4301, "client-x", "", "Channel required for client event")
		refused(4301, "client-x", orders, "private or presence channels")
		refused(4301, "client-x", vault)
		refused(4301, "client-x", foreign, "is not subscribed to channel "+foreign)
		refused(4301, "client-x", "private-*")
		refused(4301, "client-x", "[meta]"+room)
		refused(4000, "client-"+strings.Repeat("x", 194), room, "Invalid event name: ")
		refused(4300, "client-x", "private-"+strings.Repeat("x", 193), "Channel name invalid: ")
		p.send("client-"+strings.Repeat("x", 193), room, nil)
		p.next()
		other.quiet(foreign)
		s.app = silentApp
		p = s.peer()
		p.join(room)
		refused(4301, "client-x", room, "Client events are not enabled for this app")
	})
}
