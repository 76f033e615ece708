package realtime_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// capability signs a capability token.
func capability(t *testing.T, client, id string, expires time.Duration, rights map[string][]string) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now()
	text := part(map[string]any{"alg": "HS256", "typ": "JWT", "kid": "app-key"}) + "." + part(map[string]any{
		"x-sockudo-client-id": client, "x-sockudo-capability": rights, "jti": id,
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(expires).Unix(),
	})
	mac := hmac.New(sha256.New, []byte("app-secret"))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

var everything = map[string][]string{"*": {"subscribe", "publish", "history", "presence"}}

// Checklist: protocol 133, 136, 137, 138
func TestCapabilities(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("token=" + capability(t, "user-7", "t1", time.Hour, map[string][]string{
		"orders:*": {"subscribe"}, "private-*": {"subscribe"}, "presence-lobby": {"subscribe"}, "presence-room": {"subscribe", "presence"}, "orders.*": {"subscribe"},
	}))
	p.enter("#server-to-user-user-7")
	f.publish("#server-to-user-user-7", "notice", `"x"`)
	p.next("notice", "#server-to-user-user-7")
	for _, name := range []string{"other", "presence-lobby", "presence-other", "*", "o*"} {
		p.subscribe(name, `{"user_id":"user-7"}`)
		p.refusedV2(4009, name)
	}
	p.enter("orders.*")
	p.enter("private-x")
	p.subscribe("presence-room", `{"user_id":"user-7"}`)
	p.next("sockudo_internal:subscription_succeeded", "presence-room")
	p.send("sockudo:subscribe", "", map[string]any{"channel": "private-y"})
	p.refusedV2(4009, "private-y", "signature required")
	p.send("client-x", "private-x", 1)
	p.expect("sockudo:error", `"code":4009`)
	p.signin(`{"id":"u1"}`)
	p.expect("sockudo:error", `"code":4009`)
}

// Capabilities of a signin limit what they list, and nothing else.
func TestSigninCapabilities(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("")
	p.signin(`{"id":"u1","capabilities":{"subscribe":["orders"]}}`)
	p.next("sockudo:signin_success", "")
	p.enter("orders")
	p.subscribe("other", "")
	p.refusedV2(4009, "other")
}

// Checklist: protocol 134, 135
func TestTokensThatAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	for name, hs := range map[string]realtime.Handshake{
		"V1":      {Key: "app-key", Terms: protocol.Terms{Token: capability(t, "u", "t", time.Hour, everything)}},
		"expired": {Key: "app-key", Terms: terms(t, "token="+capability(t, "u", "t", -time.Minute, everything))},
		"forged":  {Key: "app-key", Terms: terms(t, "token="+capability(t, "u", "t", time.Hour, everything)+"x")},
	} {
		if _, e := f.tryDial(hs); e == nil || e.Code != 4009 || !e.Close {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// Checklist: protocol 139, 140
func TestTokenIsRefreshed(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("token=" + capability(t, "u", "t1", time.Hour, map[string][]string{"a": {"subscribe"}}))
	p.send("sockudo:auth", "", map[string]any{"token": capability(t, "other", "t2", time.Hour, everything)})
	p.expect("sockudo:error", `"code":4009`)
	p.subscribe("b", "")
	p.refusedV2(4009, "b")
	p.send("sockudo:auth", "", `{"token":"`+capability(t, "u", "t3", 2*time.Hour, everything)+`"}`)
	var data struct {
		Client string `json:"client_id"`
		ID     string `json:"jti"`
		Exp    int64
	}
	if e := p.next("sockudo:auth_success", ""); json.Unmarshal(e.Data, &data) != nil || data.Client != "u" || data.ID != "t3" || data.Exp < time.Now().Unix()+7000 {
		t.Errorf("%s", e.Data)
	}
	p.enter("b")
	f.dial().send("pusher:auth", "", map[string]any{"token": "x"})
}

// Checklist: protocol 141
func TestTokenExpires(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("token=" + capability(t, "u", "t1", time.Second, everything))
	if e := p.next("sockudo:token_expired", ""); string(e.Data) != `{"code":40142,"reason":"expired"}` || e.MessageID == "" {
		t.Errorf("%s", e.Data)
	}
	p.send("sockudo:auth", "", map[string]any{"token": capability(t, "u", "t2", time.Hour, everything)})
	p.next("sockudo:auth_success", "")
	p.enter("orders")
}

// Checklist: protocol 142, 212
func TestTokenIsRevoked(t *testing.T) {
	nodes := newCluster(t, 2, func(a *storage.App, _ *realtime.Settings) { a.Features.SubscriptionCount = false })
	one, other := capability(t, "u", "t1", time.Hour, everything), capability(t, "u", "t2", time.Hour, everything)
	p, q := nodes[1].dialV2("token="+one), nodes[1].dialV2("token="+other)
	live, err := nodes[0].hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if _, err := live.Revoke(context.Background(), nodes[0].app(), realtime.Revocation{ID: "t1"}); err != nil {
		t.Fatal(err)
	}
	if e := p.next("sockudo:token_expired", ""); string(e.Data) != `{"code":40160,"reason":"revoked"}` {
		t.Errorf("%s", e.Data)
	}
	p.expectClosed(protocol.ErrTokenRevoked)
	if _, e := nodes[0].tryDial(realtime.Handshake{Key: "app-key", Terms: terms(t, "token="+one)}); e == nil || e.Code != 4009 || e.Message != protocol.ErrTokenWasRevoked.Message {
		t.Errorf("%+v", e)
	}
	q.quietV2()
	if _, err := live.Revoke(context.Background(), nodes[0].app(), realtime.Revocation{ClientID: "u"}); err != nil {
		t.Fatal(err)
	}
	q.next("sockudo:token_expired", "")
	q.expectClosed(protocol.ErrTokenRevoked)
}
