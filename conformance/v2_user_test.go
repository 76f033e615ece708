package conformance

import "testing"

// signin signs in as a user and takes the answer. more are further members of the user
// data, as JSON.
func (p *peer) signin(user, more string) envelope {
	p.stage.Helper()
	p.send(p.prefix+":signin", "", p.signed(userData(user, more)))
	return p.event(p.prefix + ":signin_success")
}

func userData(user, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"id":` + compact(user) + more + `}`
}

// signed is the data of a signin with user data.
func (p *peer) signed(data string) map[string]any {
	auth := p.stage.app.Key + ":" + sign(p.stage.app.Secret, p.id+"::user::"+data)
	return map[string]any{"auth": auth, "user_data": data}
}

// Checklist: protocol 119, 120, 121, 122, 123
func TestV2Signin(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p, user := s.peer(), s.own("u1")
		data := userData(user, `"user_info":{"name":"Ada"}`)
		refused := func(wish any) {
			s.Helper()
			p.send("sockudo:signin", "", wish)
			p.refused(4009, "", "Authentication error: ")
		}
		good := p.signed(data)
		refused(map[string]any{"auth": good["auth"].(string) + "0", "user_data": data})
		refused(map[string]any{"auth": "other-key" + good["auth"].(string)[len(s.app.Key):], "user_data": data})
		refused(p.signed(`{"user_info":{}}`))
		refused(s.peer().signed(data))
		p.send("sockudo:signin", "", good)
		p.expect(`{"event":"sockudo:signin_success","data":{"user_data":"{\"id\":\"u1\",\"user_info\":{\"name\":\"Ada\"}}"},"message_id":"…"}`)
		p.send("sockudo:signin", "", compact(good))
		p.event("sockudo:signin_success")
		s.app = silentApp
		p = s.peer()
		refused(p.signed(data))
	})
}

// Checklist: protocol 124, 125, 126, 127
func TestV2UserEvents(t *testing.T) {
	inEncodings(t, func(s *stage) {
		user, here, lobby := s.own("u1"), s.own("here"), s.own("presence-lobby")
		mine, other := "#server-to-user-"+user, "#server-to-user-"+s.own("u2")
		p, second, old, deaf, pretender := s.peer(), s.client(inJSON, ""), s.old(), s.peer(), s.peer()
		for _, q := range []*peer{p, second, old, deaf} {
			q.signin(user, "")
			q.join(here)
		}
		p.send("sockudo:subscribe", "", p.wish(mine, "", ""))
		p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"#server-to-user-u1","data":"{}","message_id":"…","stream_id":"…","serial":0}`)
		second.join(mine)
		old.join(mine)
		pretender.joinAs(lobby, `{"user_id":"`+user+`"}`)
		for _, q := range []*peer{p, pretender} {
			q.send("sockudo:subscribe", "", q.wish(other, "", ""))
			q.refused(4009, other)
		}
		pretender.send("sockudo:subscribe", "", pretender.wish(mine, "", ""))
		pretender.refused(4009, mine)

		s.tell(mine, "notice", `{"text":"hi"}`)
		old.expect(`{"event":"notice","channel":"#server-to-user-u1","data":"{\"text\":\"hi\"}"}`)
		for _, q := range []*peer{p, second} {
			if e := q.event("notice"); e.Channel != mine || e.inner(s) != `{"text":"hi"}` {
				s.Errorf("%s", e.text)
			}
		}
		pretender.quiet(lobby)
		deaf.quiet(here)
		for _, q := range []*peer{p, second, old} {
			q.event("mark")
		}
	})
}

// Checklist: protocol 128, 129
func TestV2Watchlist(t *testing.T) {
	inEncodings(t, func(s *stage) {
		ada, bob := s.own("u1"), s.own("u2")
		p := s.peer()
		p.signin(ada, `"watchlist":[`+compact(bob)+`]`)
		state := func(name string) {
			s.Helper()
			p.expect(`{"event":"sockudo_internal:watchlist_events","data":"{\"events\":[{\"name\":\"` + name + `\",\"user_ids\":[\"u2\"]}]}","message_id":"…"}`)
		}
		state("offline")
		first, second := s.peer(), s.old()
		first.signin(bob, "")
		state("online")
		second.signin(bob, "")
		first.close()
		second.close()
		state("offline")
	})
}

// Checklist: protocol 25, 29, 130, 131
func TestV2UsersAreDisconnected(t *testing.T) {
	inEncodings(t, func(s *stage) {
		for path, want := range map[string]struct {
			code   int
			reason string
		}{
			"terminate_connections": {4009, "You got disconnected by the app."},
			"force_reconnect":       {4200, "Force reconnect requested by the app."},
		} {
			user, p, other := s.own("u1"), s.peer(), s.peer()
			p.signin(user, "")
			other.signin(s.own("u2"), "")
			s.post("/users/"+user+"/"+path, "{}")
			p.expect(`{"event":"sockudo:error","data":{"code":` + compact(want.code) + `,"message":` + compact(want.reason) + `},"message_id":"…"}`)
			if code, reason := p.ended(); code != want.code || reason != want.reason {
				s.Errorf("closed with %d %q", code, reason)
			}
			other.send("sockudo:ping", "", nil)
			other.event("sockudo:pong")
		}
	})
}

// What a user may do can stand in the user data.
func TestV2SigninCapabilities(t *testing.T) {
	inEncodings(t, func(s *stage) {
		room, other, lobby := s.own("private-room"), s.own("private-other"), s.own("presence-lobby")
		p := s.peer()
		p.join(other)
		p.signin(s.own("u1"), `"capabilities":{"subscribe":["`+room+`","presence-*"],"publish":["`+room+`"],"presence":[]}`)
		p.join(room)
		p.send("sockudo:subscribe", "", p.wish(s.own("orders"), "", ""))
		p.refused(4009, s.own("orders"))
		p.send("sockudo:subscribe", "", p.wish(lobby, `{"user_id":"u1"}`, ""))
		p.refused(4009, lobby)
		p.send("client-x", room, nil)
		p.event("client-x")
		p.send("client-x", other, nil)
		p.refused(4009, "")
	})
}
