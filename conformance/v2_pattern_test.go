package conformance

import "testing"

// Checklist: protocol 80, 81, 82
func TestV2Patterns(t *testing.T) {
	inEncodings(t, func(s *stage) {
		eu, us, other := s.own("orders")+".eu", s.own("orders")+".us", s.own("x")+".eu"
		p, old := s.peer(), s.old()
		patterns := []string{s.own("orders") + ".*", "*" + s.own("ders") + ".eu", "o*" + s.own("s") + ".eu"}
		for _, pattern := range patterns {
			p.send("sockudo:subscribe", "", p.wish(pattern, "", ""))
			p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"` + plain(pattern) + `","data":"{}","message_id":"…"}`)
		}
		p.join(eu)
		old.join(eu)
		s.tell(eu, "a", "1")
		s.tell(us, "b", "2")
		s.tell(other, "c", "3")
		s.tell(eu, "d", "4")
		p.expect(
			`{"event":"a","channel":"orders.eu","data":"1","message_id":"…","stream_id":"…","serial":1}`,
			`{"event":"b","channel":"orders.us","data":"2","message_id":"…","stream_id":"…","serial":1}`,
			`{"event":"d","channel":"orders.eu","data":"4","message_id":"…","stream_id":"…","serial":2}`,
		)
		old.expect(`{"event":"a","channel":"orders.eu","data":"1"}`, `{"event":"d","channel":"orders.eu","data":"4"}`)
		p.leave(patterns[0])
		p.leave(eu)
		p.send("sockudo:ping", "", nil)
		p.event("sockudo:pong")
		s.tell(us, "e", "5")
		s.tell(eu, "f", "6")
		p.expect(`{"event":"f","channel":"orders.eu","data":"6","message_id":"…","stream_id":"…","serial":3}`)
		p.quiet(eu)

		old.expect(`{"event":"f","channel":"orders.eu","data":"6"}`)
		old.event("mark")
		old.send("pusher:subscribe", "", old.wish(patterns[0], "", ""))
		old.refused(4300, patterns[0], "Channel error: Wildcard subscriptions are only supported on protocol V2")
	})
}

// Checklist: protocol 83
func TestV2PatternsThatAreNone(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.peer()
		for _, name := range []string{"a*b*", "**", "private-*", "presence-*", "private-encrypted-*", "x#*", "[meta]*", "[meta]a*", "a,*", "a;*", "é*"} {
			p.send("sockudo:subscribe", "", p.wish(name, "", ""))
			p.refused(4300, name, "Channel error: ")
		}
	})
}

// Checklist: protocol 84, 156
func TestV2PatternsReadNothingPrivate(t *testing.T) {
	inEncodings(t, func(s *stage) {
		x := s.own("x")
		p, witness, user := s.peer(), s.peer(), s.own("u1")
		for _, pattern := range []string{"*" + x, "p*" + x, "*-" + x, "*" + user} {
			p.join(pattern)
		}
		witness.signin(user, "")
		witness.join("#server-to-user-" + user)
		meta := s.peer()
		meta.join("[meta]presence-" + x)
		names := []string{"private-" + x, "private-encrypted-" + x, "private-cache-" + x}
		start := map[string]position{}
		for _, name := range names {
			start[name] = witness.join(name).at()
			if name == "private-cache-"+x {
				witness.event("sockudo:cache_miss")
			}
		}
		witness.joinAs("presence-"+x, `{"user_id":"u1"}`)
		for range 3 {
			meta.next()
		}
		for _, name := range append(names, "presence-"+x, "#server-to-user-"+user) {
			s.tell(name, "secret", "1")
			witness.event("secret")
		}
		p.quiet("public-" + x)
		p.resume(start)
		if a := p.answered(); len(a.Recovered)+len(a.Failed) > 0 {
			s.Errorf("a resume through a pattern: %+v", a)
		}
		p.quiet("public-" + x)
	})
}

// Nobody publishes on what is no channel, and a socket that is left out is left out of
// patterns too.
//
// Checklist: protocol 118
func TestV2PublishesBesidePatterns(t *testing.T) {
	inEncodings(t, func(s *stage) {
		eu, pattern := s.own("orders")+".eu", s.own("orders")+".*"
		p, other := s.peer(), s.peer()
		for _, name := range []string{eu, pattern, "[meta]" + eu} {
			p.join(name)
		}
		other.join(pattern)
		for _, name := range []string{pattern, "[meta]" + eu, "*"} {
			body := `{"name":"sockudo_internal:channel_vacated","channel":"` + name + `","data":"{}"}`
			if status, answer, err := newPublisher(s.server).post(s.app, "/events", []byte(body)); err != nil || status != 400 {
				s.Errorf("%s: %d %s %v", name, status, answer, err)
			}
		}
		s.publish(`{"name":"n","channel":"` + eu + `","data":"1","socket_id":"` + p.id + `"}`)
		other.event("n")
		p.quiet(eu)
	})
}
