package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
)

// token is a capability token, as an application's backend would sign it. What a test
// changes is a claim or a member of the header; nil leaves it out.
type token struct {
	header, claims map[string]any
	secret         string
}

func (s *stage) token(client, id string, life time.Duration, rights map[string][]string) token {
	now := time.Now()
	return token{
		map[string]any{"alg": "HS256", "typ": "JWT", "kid": s.app.Key},
		map[string]any{
			"x-sockudo-client-id": client, "x-sockudo-capability": rights,
			"iat": now.Unix(), "exp": now.Add(life).Unix(), "jti": id,
		},
		s.app.Secret,
	}
}

// with is the token with another claim, or without it.
func (k token) with(claim string, value any) token {
	claims := maps.Clone(k.claims)
	if claims[claim] = value; value == nil {
		delete(claims, claim)
	}
	k.claims = claims
	return k
}

func (k token) String() string {
	coding := base64.RawURLEncoding
	signed := coding.EncodeToString([]byte(compact(k.header))) + "." + coding.EncodeToString([]byte(compact(k.claims)))
	mac := hmac.New(sha256.New, []byte(k.secret))
	mac.Write([]byte(signed))
	return signed + "." + coding.EncodeToString(mac.Sum(nil))
}

// bearer is a client with a token.
func (s *stage) bearer(k token) *peer {
	s.Helper()
	return s.client(s.dialect, "&token="+url.QueryEscape(k.String()))
}

func (p *peer) refresh(k token) {
	p.stage.Helper()
	p.send("sockudo:auth", "", map[string]any{"token": k.String()})
}

func (p *peer) refusedOn(channel, member string) {
	p.stage.Helper()
	p.send("sockudo:subscribe", "", p.wish(channel, member, ""))
	p.refused(4009, channel)
}

// Checklist: protocol 133, 136, 137, 138
func TestV2Token(t *testing.T) {
	inEncodings(t, func(s *stage) {
		user, mark := s.own("user-7"), s.own("x")
		p := s.bearer(s.token(user, s.own("jti"), time.Hour, map[string][]string{
			"open:*": {"subscribe", "history"}, "private-" + mark: {"subscribe", "publish"}, "private-read-" + mark: {"subscribe"},
			"presence-a" + mark: {"subscribe", "presence"}, "presence-b" + mark: {"subscribe"}, "presence-c" + mark: {"presence"},
		}))
		p.join("#server-to-user-" + user)
		s.tell("#server-to-user-"+user, "notice", "hi")
		p.event("notice")
		p.join("open:" + mark)
		p.join("open:*")
		p.refusedOn(mark, "")
		p.refusedOn("*", "")
		p.refusedOn("[meta]"+mark, "")
		p.join("[meta]open:" + mark)
		p.joinAs("presence-a"+mark, `{"user_id":"u"}`)
		p.refusedOn("presence-b"+mark, `{"user_id":"u"}`)
		p.refusedOn("presence-c"+mark, `{"user_id":"u"}`)
		p.send("sockudo:subscribe", "", map[string]any{"channel": "private-" + mark, "auth": s.app.Key + ":" + sign(s.app.Secret, "other")})
		p.refused(4009, "private-"+mark, "Channel requires authentication")
		p.join("private-" + mark)
		p.send("client-x", "private-"+mark, nil)
		p.event("client-x")
		p.join("private-read-" + mark)
		p.send("client-x", "private-read-"+mark, nil)
		p.refused(4009, "")
		p.send("sockudo:signin", "", p.signed(userData(user, "")))
		p.refused(4009, "", "cannot sign in")

		all := s.bearer(s.token(user, s.own("all"), time.Hour, map[string][]string{"*": {"subscribe"}}))
		all.join(mark)
		all.join("*")
	})
}

// Checklist: protocol 25, 29, 134, 135
func TestV2BadTokens(t *testing.T) {
	inEncodings(t, func(s *stage) {
		good := s.token(s.own("user-7"), s.own("jti"), time.Hour, map[string][]string{"*": {"subscribe"}})
		now := time.Now().Unix()
		bad := map[string]string{
			"not a JWT":         "x",
			"three empty parts": "..",
			"cut off":           good.String()[:len(good.String())-2],
			"wrong secret":      token{good.header, good.claims, "other"}.String(),
			"alg none":          token{map[string]any{"alg": "none", "kid": s.app.Key}, good.claims, s.app.Secret}.String(),
			"alg HS512":         token{map[string]any{"alg": "HS512", "kid": s.app.Key}, good.claims, s.app.Secret}.String(),
			"no kid":            token{map[string]any{"alg": "HS256"}, good.claims, s.app.Secret}.String(),
			"another kid":       token{map[string]any{"alg": "HS256", "kid": "other"}, good.claims, s.app.Secret}.String(),
			"too large":         good.with("more", strings.Repeat("x", 8192)).String(),
		}
		for _, claim := range []string{"jti", "iat", "exp", "x-sockudo-client-id", "x-sockudo-capability"} {
			bad["no "+claim] = good.with(claim, nil).String()
		}
		for _, c := range []struct {
			claim string
			value any
		}{
			{"exp", now - 31},
			{"exp", now + 86500},
			{"exp", "soon"},
			{"iat", now + 40},
			{"nbf", now + 40},
			{"jti", ""},
			{"jti", strings.Repeat("j", 129)},
			{"x-sockudo-client-id", ""},
			{"x-sockudo-client-id", strings.Repeat("c", 129)},
			{"x-sockudo-capability", map[string][]string{"*": {"fly"}}},
			{"x-sockudo-capability", map[string][]string{"": {"subscribe"}}},
			{"x-sockudo-capability", []string{"subscribe"}},
		} {
			bad[fmt.Sprintf("%s %v", c.claim, c.value)] = good.with(c.claim, c.value).String()
		}
		for name, text := range bad {
			p := s.dial(s.dialect, "&token="+url.QueryEscape(text))
			e, err := p.poll(patience)
			if err != nil || e.Event != "sockudo:error" || !strings.Contains(e.text, `"data":{"code":4009,"message":"Authentication error: `) {
				s.Errorf("%s: %s %v", name, e.text, err)
				continue
			}
			if code, _ := p.ended(); code != 4009 {
				s.Errorf("%s: closed with %d", name, code)
			}
		}
		// What is just inside the rules.
		for _, k := range []token{
			good, good.with("iat", now-60).with("exp", now-20), good.with("iat", now+20), good.with("nbf", now+20),
			good.with("x-sockudo-capability", `{"*":["subscribe","annotation_publish","message-update-own"]}`),
		} {
			s.bearer(k)
		}
	})
	s := inDialect(t, needV2(t), inV1)
	p := s.dial(inV1, "&token="+url.QueryEscape(s.token("user-7", s.own("jti"), time.Hour, map[string][]string{"*": {"subscribe"}}).String()))
	p.expect(`{"event":"pusher:error","data":{"code":4009,"message":"Authentication error: capability tokens require protocol V2"}}`)
	if code, _ := p.ended(); code != 4009 {
		t.Errorf("closed with %d", code)
	}
}

// Checklist: protocol 139, 140
func TestV2TokenRefresh(t *testing.T) {
	inEncodings(t, func(s *stage) {
		user, orders, chat := s.own("user-7"), s.own("orders"), s.own("chat")
		old, p := s.old(), s.bearer(s.token(user, s.own("j1"), time.Hour, map[string][]string{orders: {"subscribe"}}))
		p.refusedOn(chat, "")
		p.refresh(s.token(s.own("other"), s.own("j2"), time.Hour, map[string][]string{chat: {"subscribe"}}))
		p.refused(4009, "", "Authentication error: ")
		p.refresh(token{secret: "x"})
		p.refused(4009, "", "Authentication error: ")
		p.refusedOn(chat, "")
		p.join(orders)
		fresh := s.token(user, s.own("j3"), time.Hour, map[string][]string{chat: {"subscribe"}})
		p.refresh(fresh)
		p.expect(`{"event":"sockudo:auth_success","data":{"client_id":"user-7","jti":"j3","exp":` + compact(fresh.claims["exp"]) + `},"message_id":"…"}`)
		p.join(chat)
		p.refusedOn(orders, "")
		p.send("sockudo:auth", "", compact(map[string]string{"token": fresh.String()}))
		p.event("sockudo:auth_success")

		anybody := s.peer()
		anybody.join(orders)
		anybody.refresh(fresh.with("jti", s.own("j4")))
		anybody.event("sockudo:auth_success")
		anybody.join("#server-to-user-" + user)
		anybody.refusedOn(orders, "")
		signed := s.peer()
		signed.signin(s.own("somebody"), "")
		signed.refresh(fresh)
		signed.refused(4009, "")
		old.send("pusher:auth", "", map[string]any{"token": fresh.String()})
		old.refused(4009, "")
	})
}

// Checklist: protocol 141
func TestV2TokenExpiry(t *testing.T) {
	inEncodings(t, func(s *stage) {
		user, orders := s.own("user-7"), s.own("orders")
		short := func(id string) token {
			return s.token(user, s.own(id), 2*time.Second, map[string][]string{orders: {"subscribe"}})
		}
		expiring, refreshed := s.bearer(short("j1")), s.bearer(short("j2"))
		refreshed.refresh(s.token(user, s.own("j3"), time.Hour, map[string][]string{orders: {"subscribe"}}))
		refreshed.event("sockudo:auth_success")
		expiring.expect(`{"event":"sockudo:token_expired","data":{"code":40142,"reason":"expired"},"message_id":"…"}`)
		expiring.join(orders)
		refreshed.join(orders)
		refreshed.quiet(orders)
		expiring.event("mark")
		expiring.refresh(s.token(user, s.own("j4"), time.Hour, map[string][]string{orders: {"subscribe"}}))
		expiring.event("sockudo:auth_success")
		expiring.quiet(orders)
	})
}

// Checklist: protocol 142
// Checklist: http-api 86
func TestV2TokenRevocation(t *testing.T) {
	inEncodings(t, func(s *stage) {
		rights := map[string][]string{"*": {"subscribe"}}
		ada, bob := s.own("ada"), s.own("bob")
		first, second := s.token(ada, s.own("j1"), time.Hour, rights), s.token(ada, s.own("j2"), time.Hour, rights)
		a1, a2, b := s.bearer(first), s.bearer(second), s.bearer(s.token(bob, s.own("j3"), time.Hour, rights))
		gone := func(p *peer) {
			s.Helper()
			p.expect(
				`{"event":"sockudo:token_expired","data":{"code":40160,"reason":"revoked"},"message_id":"…"}`,
				`{"event":"sockudo:error","data":{"code":4009,"message":"capability token revoked"},"message_id":"…"}`,
			)
			if code, reason := p.ended(); code != 4009 || reason != "capability token revoked" {
				s.Errorf("closed with %d %q", code, reason)
			}
		}
		again := func(k token) {
			s.Helper()
			p := s.dial(s.dialect, "&token="+url.QueryEscape(k.String()))
			p.refused(4009, "", "capability token has been revoked")
			if code, _ := p.ended(); code != 4009 {
				s.Errorf("closed with %d", code)
			}
		}
		if answer := s.post("/revocations", `{"jti":"`+s.own("j1")+`"}`); answer != `{"revoked_jti":true,"revoked_client_id":false,"closed_connections":1}` {
			s.Error(answer)
		}
		gone(a1)
		again(first)
		a2.refresh(first)
		a2.refused(4009, "", "capability token has been revoked")
		a2.join(s.own("orders"))
		s.post("/revocations", `{"client_id":"`+ada+`"}`)
		gone(a2)
		again(second)
		b.join(s.own("orders"))
		b.quiet(s.own("orders"))
	})
}
