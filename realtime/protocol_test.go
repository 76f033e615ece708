package realtime_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: protocol 1, 11, 12, 13
func TestConnectionEstablished(t *testing.T) {
	f := newFixture(t, nil)
	p, e := f.tryDial(realtime.Handshake{Key: "app-key"})
	if e != nil {
		t.Fatal(e)
	}
	p.expectExact(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"` + p.conn.ID() + `\",\"activity_timeout\":120}"}`)
}

// Checklist: protocol 15, 16, 17, 18, 19, 20, 134
// Checklist: configuration 44, 102
func TestConnectRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*storage.App, *realtime.Settings)
		hs     realtime.Handshake
		want   *protocol.Error
	}{
		"unknown key":    {nil, realtime.Handshake{Key: "other"}, protocol.ErrAppNotFound},
		"disabled":       {func(a *storage.App, _ *realtime.Settings) { a.Enabled = false }, realtime.Handshake{Key: "app-key"}, protocol.ErrAppDisabled},
		"quota":          {func(a *storage.App, _ *realtime.Settings) { a.Limits.MaxConnections = 1 }, realtime.Handshake{Key: "app-key"}, protocol.ErrAppOverQuota},
		"node":           {func(_ *storage.App, s *realtime.Settings) { s.MaxConnections = 1 }, realtime.Handshake{Key: "app-key"}, protocol.ErrNodeOverCapacity},
		"origin":         {func(a *storage.App, _ *realtime.Settings) { a.AllowedOrigins = []string{"https://good"} }, realtime.Handshake{Key: "app-key", Origin: "https://bad"}, protocol.ErrOrigin},
		"missing origin": {func(a *storage.App, _ *realtime.Settings) { a.AllowedOrigins = []string{"https://good"} }, realtime.Handshake{Key: "app-key"}, protocol.ErrOrigin},
		"token on V1":    {nil, realtime.Handshake{Key: "app-key", Terms: protocol.Terms{Token: "t"}}, protocol.ErrTokenOnV1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, test.change)
			if name == "quota" || name == "node" {
				f.dial()
			}
			_, e := f.tryDial(test.hs)
			if e != test.want {
				t.Fatalf("got %v, want %v", e, test.want)
			}
			if e.Code >= 4000 && !e.Close {
				t.Error("the refusal does not close")
			}
		})
	}
}

// A closed connection makes room for another one.
func TestQuotaIsGivenBack(t *testing.T) {
	f := newFixture(t, func(a *storage.App, s *realtime.Settings) { a.Limits.MaxConnections, s.MaxConnections = 1, 1 })
	for range 3 {
		f.dial().conn.Disconnect(true)
	}
	if f.hub.Sockets() != 0 {
		t.Errorf("%d sockets left", f.hub.Sockets())
	}
}

// Checklist: protocol 35, 46, 51, 52, 54
func TestPrefixesAndUnknownEvents(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	for _, prefix := range []string{"pusher:", "sockudo:", "pusher_internal:", "sockudo_internal:"} {
		p.send(prefix+"ping", "", map[string]any{})
		p.expectExact(`{"event":"pusher:pong"}`)
		p.send(prefix+"subscribe", "", map[string]any{"channel": "orders", "auth": ""})
		p.expectExact(`{"event":"pusher_internal:subscription_succeeded","channel":"orders","data":"{}"}`)
	}
	p.send("foo", "", "bar")
	p.send("pusher:foo", "", nil)
	p.send("pusher:pong", "", nil)
	p.quiet()
}

// Checklist: protocol 44, 45, 50
func TestMalformedMessagesKeepTheConnection(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	for _, text := range []string{"x", "[]", "\xff\xfe", `{"event":1}`, `{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":"{"}`, strings.Repeat(`[`, 60000)} {
		p.conn.Receive([]byte(text))
		frame := p.expect("pusher:error", `"code":4000`, "Invalid message format")
		var decoded struct {
			Data struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal([]byte(frame), &decoded); err != nil || decoded.Data.Code != 4000 || decoded.Data.Message == "" {
			t.Errorf("%s: %v", frame, err)
		}
	}
	p.conn.Receive([]byte(`{}`))
	p.expectError(4000, "Event name is required")
	p.quiet()
}

// Checklist: protocol 57, 58, 59, 60, 80, 83, 85, 161
func TestSubscribeRefusals(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) {
		a.Namespaces = map[string]*storage.Namespace{"chat": {Name: "chat"}}
	})
	p := f.dial()
	for _, channel := range []string{"", "a b", "a/b", "a!", "é", "foo:bar", "#x", "orders.*", "a*b*", "private-*", "[meta]orders", strings.Repeat("x", 201), "private-"} {
		p.send("pusher:subscribe", "", map[string]any{"channel": channel, "auth": ""})
		p.refused(4300, channel)
	}
	p.send("pusher:subscribe", "", map[string]any{"channel": "orders", "rewind": 5})
	p.refused(4300, "orders", "rewind")
	for _, channel := range []string{"chat:bar", strings.Repeat("x", 200), "a_b-c=d@e,f;g.h"} {
		p.join(channel, "")
	}
}

// Checklist: protocol 58
func TestAppChannelLimit(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) { a.Limits.MaxChannelNameLength = 5 })
	p := f.dial()
	p.join("12345", "")
	p.subscribe("123456", "")
	p.refused(4300, "123456")
}

// Checklist: protocol 61, 62, 63, 65, 66, 68, 70
func TestSignedChannels(t *testing.T) {
	f := newFixture(t, nil)
	p, other := f.dial(), f.dial()
	for _, channel := range []string{"private-x", "private-encrypted-x", "private-cache-x", "private-encrypted-cache-x", "presence-x", "presence-cache-x"} {
		data := ""
		if strings.HasPrefix(channel, "presence") {
			data = `{"user_id":"u1"}`
		}
		for auth, text := range map[string]string{
			"":             "signature required",
			"app-key:0123": "requires authentication",
			protocol.SignChannel("other-key", "app-secret", p.conn.ID(), channel, data):   "requires authentication",
			protocol.SignChannel("app-key", "app-secret", other.conn.ID(), channel, data): "requires authentication",
		} {
			p.send("pusher:subscribe", "", map[string]any{"channel": channel, "auth": auth, "channel_data": data})
			p.expectError(4009, text)
			p.expect("pusher:subscription_error", `"channel":"`+channel+`"`, `"status":401`)
		}
		p.join(channel, data)
		if strings.Contains(channel, "cache-") {
			p.expectExact(`{"event":"pusher:cache_miss","channel":"` + channel + `","data":"{}"}`)
		}
	}
}

// Checklist: protocol 71, 73, 74, 75
func TestRepeatSubscribeAndUnsubscribe(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("orders", "")
	p.join("orders", "")
	f.publish("orders", "e", `"1"`)
	p.expectExact(`{"event":"e","channel":"orders","data":"1"}`)
	p.quiet()
	p.send("pusher:unsubscribe", "", map[string]any{"channel": "nowhere"})
	p.send("pusher:unsubscribe", "", "orders")
	f.publish("orders", "e", `"2"`)
	p.quiet()
	p.join("orders", "")
	f.publish("orders", "e", `"3"`)
	p.expect(`"3"`)
}

// Checklist: protocol 76, 77, 78, 79, 69, 70
// Checklist: http-api 60
func TestCacheChannels(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Limits.CacheTTL = 300 * time.Millisecond })
	p := f.dial()
	p.join("private-cache-x", "")
	p.expect("cache_miss")
	f.publish("private-cache-x", "price", `{"btc":1}`)
	p.expectExact(`{"event":"price","channel":"private-cache-x","data":"{\"btc\":1}"}`)
	p.send("client-x", "private-cache-x", map[string]int{"a": 1})
	q := f.dial()
	q.join("private-cache-x", "")
	q.expectExact(`{"event":"price","channel":"private-cache-x","data":"{\"btc\":1}"}`)
	q.join("private-cache-x", "") // once more: replayed once more
	q.expect("price")
	q.join("my-cache-list", "") // not a cache channel
	q.quiet()
	time.Sleep(350 * time.Millisecond)
	r := f.dial()
	r.join("private-cache-x", "")
	r.expect("cache_miss")
}

// Checklist: protocol 67
func TestEncryptedPayloadIsUntouched(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("private-encrypted-x", "")
	f.publish("private-encrypted-x", "e", `"{\"nonce\":\"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9\",\"ciphertext\":\"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A=\"}"`)
	p.expectExact(`{"event":"e","channel":"private-encrypted-x","data":"{\"nonce\":\"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9\",\"ciphertext\":\"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A=\"}"}`)
}

// Checklist: protocol 47, 48
func TestMessageRate(t *testing.T) {
	for _, terminate := range []bool{false, true} {
		f := newFixture(t, func(a *storage.App, _ *realtime.Settings) {
			a.Limits.MessageRate = &storage.MessageRate{MaxAttempts: 5, Decay: time.Minute, Terminate: terminate}
		})
		p := f.dial()
		for range 5 {
			p.send("pusher:ping", "", nil)
			p.expect("pong")
		}
		p.send("pusher:ping", "", nil)
		if terminate {
			p.expectClosed(protocol.ErrRateTerminated)
		} else {
			p.expectError(4301, "rate limit")
		}
	}
}

// Checklist: protocol 156
func TestV2EventsOnV1(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.send("sockudo:resume", "", map[string]any{"channel_positions": map[string]any{"orders": 1}})
	p.expectError(4000)
	p.send("sockudo:auth", "", map[string]any{"token": "x"})
	p.expectError(4009)
	p.send("sockudo:channel_history", "", map[string]any{"channel": "orders"})
	p.expectError(4000, "channel_history is only supported on protocol V2")
	p.send("sockudo:presence_update", "", map[string]any{"channel": "presence-x"})
	p.expectError(4000)
	p.send("pusher:enable_delta_compression", "", nil)
	p.send("pusher:delta_sync_error", "", map[string]any{"channel": "x"})
	p.quiet()
}

// No frame of V1 has a member besides event, channel, data and, on client events
// of presence channels, user_id. Asking for deltas changes nothing.
//
// Checklist: protocol 143, 193
func TestMembersOfV1Frames(t *testing.T) {
	f := newFixture(t, nil)
	p, q := f.dial(), f.dial()
	p.send("sockudo:enable_delta_compression", "", map[string]any{"algorithms": []string{"fossil"}})
	for _, k := range []*peer{p, q} {
		k.subscribe("presence-cache-x", `{"user_id":"u"}`)
		k.subscribe("orders", "")
		k.signin(`{"id":"u","watchlist":["v"]}`)
	}
	for i := range 20 {
		f.publish("orders", "tick", `{"symbol":"BTC","p":`+strings.Repeat("1", i+1)+`}`)
	}
	q.send("client-x", "presence-cache-x", map[string]string{"message_id": "mine"})
	q.send("pusher:subscribe", "", map[string]any{"channel": "private-no"})
	q.conn.Receive([]byte("x"))
	p.quietAfter(t, func(frames []string) { checkMembers(t, frames, 20) })
	q.quietAfter(t, func(frames []string) { checkMembers(t, frames, 20) })
}

func checkMembers(t *testing.T, frames []string, ticks int) {
	t.Helper()
	for _, frame := range frames {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(frame), &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if name != "event" && name != "channel" && name != "data" && (name != "user_id" || !strings.Contains(frame, `"client-x"`)) {
				t.Errorf("%s has the member %s", frame, name)
			}
		}
		if strings.HasPrefix(frame, `{"event":"tick"`) {
			ticks--
		}
		if strings.HasPrefix(frame, `{"event":"sockudo`) {
			t.Errorf("%s is not of V1", frame)
		}
	}
	if ticks != 0 {
		t.Errorf("%d ticks are missing", ticks)
	}
}

// Checklist: protocol 36, 37, 38
// Checklist: configuration 107
func TestHeartbeat(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) {
		s.ActivityTimeout, s.PongTimeout = time.Second, time.Second
	})
	silent, talking := f.dial(), f.dial()
	silent.expect(`{"event":"pusher:ping"}`)
	talking.expect(`{"event":"pusher:ping"}`)
	talking.send("foo", "", nil) // any message will do
	silent.expectClosed(protocol.ErrPongTimeout)
	talking.mu.Lock()
	closed := talking.closed
	talking.mu.Unlock()
	if closed != nil {
		t.Error("a connection that answered was closed:", closed)
	}
	talking.expect(`{"event":"pusher:ping"}`)
}

// Checklist: protocol 132
// Checklist: configuration 109
func TestAuthorizationTimeout(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.AuthenticationTimeout = 500 * time.Millisecond })
	nobody, signed, member := f.dial(), f.dial(), f.dial()
	signed.signin(`{"id":"u1"}`)
	member.join("private-x", "")
	nobody.join("orders", "")
	nobody.expectClosed(protocol.ErrNotAuthorized)
	time.Sleep(300 * time.Millisecond)
	if f.hub.Sockets() != 2 {
		t.Errorf("%d sockets left, want 2", f.hub.Sockets())
	}
}

// Checklist: protocol 118
// Checklist: http-api 44, 51
func TestPublishExcludesSocket(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.dial(), f.dial()
	a.join("orders", "")
	b.join("orders", "")
	f.publish("orders", "e", `"x"`, a.conn.ID())
	b.expectExact(`{"event":"e","channel":"orders","data":"x"}`)
	a.quiet()
}

func TestNoSettings(t *testing.T) {
	hub := realtime.NewHub("empty")
	defer hub.Close(context.Background())
	if _, err := hub.Live(); err != realtime.ErrNoSettings { //nolint:errorlint // identity
		t.Error(err)
	}
	if _, e := hub.Connect(context.Background(), &peer{t: t}, realtime.Handshake{}); e != protocol.ErrShutdown {
		t.Error(e)
	}
}
