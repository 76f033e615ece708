package conformance

import (
	"strings"
	"testing"
)

// Checklist: protocol 57, 58, 59, 60
func TestV2ChannelNames(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.peer()
		for _, name := range []string{
			"a_b-c=d@e,f;g.h", "open:orders", "my-cache-list", "open:a:b", strings.Repeat("n", 200), "private-open:x",
		} {
			p.join(name)
		}
		for _, name := range []string{
			"a b", "a/b", "a!b", "é", "foo:bar", "#x", "open:room#u1", "x#", strings.Repeat("n", 201), "private-encrypted-" + strings.Repeat("n", 201),
		} {
			p.send("sockudo:subscribe", "", map[string]any{"channel": name, "auth": ""})
			p.refused(4300, name, "Channel error: ")
		}
		p.send("sockudo:subscribe", "", map[string]any{"channel": ""})
		p.refused(4300, "", "Channel error: ")
		p.event("sockudo:subscription_error")
	})
}

// Checklist: protocol 61, 62, 63, 65, 66, 68
func TestV2Signatures(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p, other := s.peer(), s.peer()
		for _, kind := range []string{"private-", "private-encrypted-", "private-cache-", "private-encrypted-cache-", "presence-", "presence-cache-"} {
			channel, member := s.own(kind+"x"), ""
			if strings.HasPrefix(kind, "presence-") {
				member = `{"user_id":"u1"}`
			}
			wish := p.wish(channel, member, "")
			good := wish["auth"].(string)
			for _, wish := range []map[string]any{{"channel": channel}, {"channel": channel, "auth": ""}} {
				p.send("sockudo:subscribe", "", wish)
				p.refused(4009, channel, "Authentication error: Authentication signature required for this channel")
			}
			for _, bad := range []string{
				good[:len(good)-1] + "x", strings.Replace(good, s.app.Key, "other-key", 1), other.wish(channel, member, "")["auth"].(string),
				s.app.Key + ":" + sign(s.app.Secret, p.id+":"+channel+"y"),
			} {
				wish["auth"] = bad
				p.send("sockudo:subscribe", "", wish)
				p.expect(
					`{"event":"sockudo:error","data":{"code":4009,"message":"Authentication error: Channel requires authentication"},"message_id":"…"}`,
					`{"event":"sockudo:subscription_error","channel":"`+kind+`x","data":{"type":"AuthError","error":"Channel requires authentication","status":401},"message_id":"…"}`,
				)
			}
			wish["auth"] = good
			p.send("sockudo:subscribe", "", wish)
			p.event("sockudo_internal:subscription_succeeded")
			if strings.Contains(kind, "cache-") {
				p.event("sockudo:cache_miss")
			}
		}
	})
}

// Checklist: protocol 71, 73, 74, 75, 147
func TestV2SubscribeAgainAndLeave(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders, here := s.own("orders"), s.own("here")
		p := s.peer()
		p.join(here)
		p.join(orders)
		s.tell(orders, "n", "1")
		p.expect(`{"event":"n","channel":"orders","data":"1","message_id":"…","stream_id":"…","serial":1}`)
		p.send("sockudo:subscribe", "", p.wish(orders, "", ""))
		p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{}","message_id":"…","stream_id":"…","serial":1}`)
		s.tell(orders, "n", "2")
		p.expect(`{"event":"n","channel":"orders","data":"2","message_id":"…","stream_id":"…","serial":2}`)
		p.quiet(here)
		p.leave(orders)
		p.leave(s.own("never"))
		p.send("sockudo:ping", "", nil)
		p.event("sockudo:pong")
		s.tell(orders, "n", "3")
		p.quiet(here)
		p.join(orders)
		p.send("sockudo:unsubscribe", "", orders)
		p.send("sockudo:ping", "", nil)
		p.event("sockudo:pong")
		s.tell(orders, "n", "4")
		p.quiet(here)
	})
}

// Checklist: protocol 67
func TestV2EncryptedChannels(t *testing.T) {
	inEncodings(t, func(s *stage) {
		vault := s.own("private-encrypted-vault")
		p, old := s.peer(), s.old()
		p.join(vault)
		old.join(vault)
		s.tell(vault, "secret", `{"nonce":"bm9uY2U=","ciphertext":"+/8="}`)
		p.expect(`{"event":"secret","channel":"private-encrypted-vault","data":"{\"nonce\":\"bm9uY2U=\",\"ciphertext\":\"+/8=\"}","message_id":"…","stream_id":"…","serial":1}`)
		old.expect(`{"event":"secret","channel":"private-encrypted-vault","data":"{\"nonce\":\"bm9uY2U=\",\"ciphertext\":\"+/8=\"}"}`)
	})
}

// Checklist: protocol 69, 70, 76, 77, 79
func TestV2CacheChannels(t *testing.T) {
	inEncodings(t, func(s *stage) {
		for _, kind := range []string{"cache-", "private-cache-", "presence-cache-"} {
			prices := s.own(kind + "prices")
			p, late, old := s.peer(), s.peer(), s.old()
			join := func(p *peer) {
				s.Helper()
				if kind == "presence-cache-" {
					p.joinAs(prices, `{"user_id":"u1"}`)
					return
				}
				p.join(prices)
			}
			join(p)
			p.expect(`{"event":"sockudo:cache_miss","channel":"` + kind + `prices","data":"{}","message_id":"…"}`)
			s.publish(`{"name":"price.updated","channel":"` + prices + `","data":"{\"btc\":1}","tags":{"a":"b"},"extras":{"headers":{"a":"b"}},"message_id":"first"}`)
			p.expect(`{"event":"price.updated","channel":"` + kind + `prices","data":"{\"btc\":1}","tags":{"a":"b"},"message_id":"first","stream_id":"…","serial":1,"extras":{"headers":{"a":"b"}}}`)
			if kind == "private-cache-" {
				p.send("client-x", prices, "not cached")
				p.event("client-x")
			}
			join(late)
			late.expect(`{"event":"price.updated","channel":"` + kind + `prices","data":"{\"btc\":1}","message_id":"…"}`)
			join(old)
			old.expect(`{"event":"price.updated","channel":"` + kind + `prices","data":"{\"btc\":1}"}`)
			join(late)
			late.expect(`{"event":"price.updated","channel":"` + kind + `prices","data":"{\"btc\":1}","message_id":"…"}`)
		}
		list := s.own("my-cache-list")
		p := s.peer()
		p.join(list)
		s.tell(list, "n", "1")
		p.event("n")
		late := s.peer()
		late.join(list)
		late.quiet(list)
	})
}

// The flags of a namespace count for V2 alone, and so does the list of users in a name.
func TestV2Namespaces(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p, old := s.peer(), s.old()
		for _, channel := range []string{"closed:x", "private-closed:x"} {
			p.send("sockudo:subscribe", "", p.wish(channel, "", ""))
			p.refused(4009, channel)
			old.join(channel)
		}
		p.send("sockudo:subscribe", "", p.wish("presence-nobody:x", `{"user_id":"u1"}`, ""))
		p.refused(4009, "presence-nobody:x")
		p.join("private-nobody:x")
		mute := "private-mute:" + s.own("x")
		p.join(mute)
		old.join(mute)
		p.send("client-x", mute, "1")
		p.refused(4009, "")
		old.send("client-x", mute, "2")
		p.event("client-x")

		u1, u2 := s.own("u1"), s.own("u2")
		room := "ours:room#" + u1 + "," + u2
		p.send("sockudo:subscribe", "", p.wish(room, "", ""))
		p.refused(4009, room)
		old.join(room)
		p.signin(u2, "")
		p.join(room)
		p.send("sockudo:subscribe", "", p.wish("private-ours:room#"+u1, "", ""))
		p.refused(4009, "private-ours:room#"+u1)
	})
}

// What this server does not keep cannot be asked for, and is refused by name.
func TestV2WithoutHistory(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders, here := s.own("orders"), s.own("here")
		p, old := s.peer(), s.old()
		p.join(here)
		p.send("sockudo:subscribe", "", p.wish(orders, "", `"rewind":5`))
		p.refused(4300, orders, "Channel rewind is disabled by policy for channel '"+orders+"'")
		old.send("pusher:subscribe", "", old.wish(orders, "", `"rewind":5`))
		old.refused(4300, orders, "Channel rewind is only supported on protocol V2")
		p.send("sockudo:subscribe", "", p.wish(orders, "", `"modes":["ANNOTATION_SUBSCRIBE"]`))
		p.refused(4300, orders)
		p.joinWith(orders, "", `"modes":["OTHER"],"rewind":null`)
		for _, data := range []any{map[string]any{"channel": orders}, compact(map[string]any{"channel": orders})} {
			p.send("sockudo:channel_history", "", data)
			p.refused(4300, "", "Durable history is disabled by policy for channel '"+orders+"'")
		}
		p.send("sockudo:channel_history", "", map[string]any{"channel": "other"})
		p.refused(4301, "")
		old.send("pusher:channel_history", "", map[string]any{"channel": orders})
		old.refused(4000, "", "Protocol error: channel_history is only supported on protocol V2")
		p.send("ai-input", here, map[string]any{"text": "hi"})
		p.quiet(here)
	})
}
