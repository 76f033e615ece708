package conformance

import "testing"

// Checklist: protocol 85, 86, 87
func TestV2MetaChannels(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		watcher, old, p := s.peer(), s.old(), s.peer()
		watcher.send("sockudo:subscribe", "", watcher.wish("[meta]"+orders, "", ""))
		watcher.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"[meta]orders","data":"{}","message_id":"…"}`)
		count := func(event, n string) {
			s.Helper()
			watcher.expect(`{"event":"sockudo_internal:` + event + `","channel":"[meta]orders","data":{"channel":"orders","subscription_count":` + n + `},"message_id":"…"}`)
		}
		old.join(orders)
		count("channel_occupied", "1")
		count("subscription_count", "1")
		p.join(orders)
		count("subscription_count", "2")
		p.join(orders)
		old.send("pusher:unsubscribe", "", map[string]any{"channel": orders})
		count("subscription_count", "1")
		p.close()
		count("channel_vacated", "0")
		again := s.peer()
		again.join(orders)
		count("channel_occupied", "1")
		count("subscription_count", "1")
		again.drop()
		count("channel_vacated", "0")
		watcher.leave("[meta]" + orders)
		watcher.join(orders)
		watcher.quiet(orders)

		old.send("pusher:subscribe", "", old.wish("[meta]"+orders, "", ""))
		old.refused(4300, "[meta]"+orders, "Channel error: Meta channels are only supported on protocol V2")
		old.send("pusher:ping", "", nil)
		old.expect(`{"event":"pusher:pong"}`)
	})
}

// Checklist: protocol 86
func TestV2MetaOfPresence(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		watcher, p, second := s.peer(), s.peer(), s.peer()
		watcher.joinAs("[meta]"+lobby, `{"user_id":"watcher"}`)
		member := func(event string) {
			s.Helper()
			watcher.expect(`{"event":"sockudo_internal:` + event + `","channel":"[meta]presence-lobby","data":{"channel":"presence-lobby","user_id":"u1"},"message_id":"…"}`)
		}
		count := func(event, n string) {
			s.Helper()
			watcher.expect(`{"event":"sockudo_internal:` + event + `","channel":"[meta]presence-lobby","data":{"channel":"presence-lobby","subscription_count":` + n + `},"message_id":"…"}`)
		}
		p.joinAs(lobby, `{"user_id":"u1"}`)
		member("member_added")
		count("channel_occupied", "1")
		count("subscription_count", "1")
		second.joinAs(lobby, `{"user_id":"u1"}`)
		count("subscription_count", "2")
		p.send("sockudo:presence_update", "", map[string]any{"channel": lobby, "data": map[string]any{"status": "busy"}})
		member("presence_update")
		p.close()
		count("subscription_count", "1")
		second.close()
		member("member_removed")
		count("channel_vacated", "0")
	})
}

// Checklist: protocol 88
func TestV2MetaNeedsTheRightsOfTheChannel(t *testing.T) {
	inEncodings(t, func(s *stage) {
		x := s.own("private-x")
		p := s.peer()
		p.send("sockudo:subscribe", "", map[string]any{"channel": "[meta]" + x})
		p.refused(4009, "[meta]"+x, "signature required")
		p.send("sockudo:subscribe", "", map[string]any{"channel": "[meta]" + x, "auth": s.app.Key + ":" + sign(s.app.Secret, p.id+":private-y")})
		p.refused(4009, "[meta]"+x)
		p.join("[meta]" + x)
		for _, name := range []string{"[meta]", "[meta]a b", "[meta][meta]orders", "[meta]foo:bar", "[meta]#server-to-user-u1"} {
			p.send("sockudo:subscribe", "", map[string]any{"channel": name})
			if e := p.event("sockudo:error"); name == "" {
				s.Error(e.text)
			}
			p.event("sockudo:subscription_error")
		}
	})
}
