package realtime_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Checklist: protocol 3, 14, 35, 46, 51, 53, 54
func TestV2Prefixes(t *testing.T) {
	f := newFixture(t, nil)
	p, e := f.tryDial(realtime.Handshake{Key: "app-key", Terms: terms(t, "")})
	if e != nil {
		t.Fatal(e)
	}
	if established := p.next("sockudo:connection_established", ""); !uuid4.MatchString(established.MessageID) {
		t.Errorf("message_id %q", established.MessageID)
	}
	for _, prefix := range []string{"pusher:", "sockudo:", "pusher_internal:", "sockudo_internal:"} {
		p.send(prefix+"ping", "", map[string]any{})
		p.expectExact(`{"event":"sockudo:pong"}`)
		p.send(prefix+"subscribe", "", map[string]any{"channel": "orders", "auth": ""})
		if s := p.next("sockudo_internal:subscription_succeeded", "orders"); s.text() != "{}" || !uuid4.MatchString(s.MessageID) || s.Serial != nil {
			t.Errorf("%+v", s)
		}
	}
	p.send("foo", "", "bar")
	p.send("sockudo:foo", "", nil)
	p.quietV2()
	p.send("sockudo:subscribe", "", map[string]any{"channel": ""})
	p.refusedV2(4300, "")
}

// V2 clients get the tags, the extras and an id of each event; V1 clients the same
// bytes as ever.
//
// Checklist: protocol 143, 144, 34
func TestV2EventMembers(t *testing.T) {
	f := newFixture(t, nil)
	v1, v2 := f.dial(), f.dialV2("")
	v1.join("orders", "")
	v2.subscribe("orders", "")
	v2.next("sockudo_internal:subscription_succeeded", "orders")
	f.say(realtime.Event{
		Channel: "orders", Name: "order.created", Data: json.RawMessage(`{"id":7}`), MessageID: "m-1",
		Tags:   protocol.Tags{{Key: "region", Value: "eu"}},
		Extras: extras(t, `{"headers":{"tenant":"acme","retry":0,"urgent":true},"idempotencyKey":"k","push":{"x":1},"other":[1, 2]}`),
	})
	v1.expectExact(`{"event":"order.created","channel":"orders","data":"{\"id\":7}"}`)
	v2.expectExact(`{"event":"order.created","channel":"orders","data":"{\"id\":7}","tags":{"region":"eu"},"message_id":"m-1","extras":{"headers":{"tenant":"acme","retry":0,"urgent":true},"other":[1, 2]}}`)
	f.publish("orders", "e", `"x"`)
	v1.expectExact(`{"event":"e","channel":"orders","data":"x"}`)
	if e := v2.next("e", "orders"); !uuid4.MatchString(e.MessageID) || e.Serial != nil || e.StreamID != "" {
		t.Errorf("%+v", e)
	}
}

// Checklist: protocol 106, 107, 108, 113, 117, 211
func TestV2Echo(t *testing.T) {
	f := newFixture(t, nil)
	v1, loud, silent := f.dial(), f.dialV2(""), f.dialV2("echo_messages=false")
	v1.join("private-room", "")
	for _, p := range []*peer{loud, silent} {
		p.subscribe("private-room", "")
		p.next("sockudo_internal:subscription_succeeded", "private-room")
	}
	loud.send("client-typing", "private-room", map[string]any{"on": true})
	for _, p := range []*peer{loud, silent} {
		e := p.next("client-typing", "private-room")
		if string(e.Data) != `{"on":true}` || e.MessageID == "" {
			t.Errorf("%+v", e)
		}
	}
	v1.expectExact(`{"event":"client-typing","channel":"private-room","data":{"on":true}}`)
	silent.conn.Receive([]byte(`{"event":"client-x","channel":"private-room","data":"s","message_id":"mine","tags":{"a":"b"},"extras":{"headers":{"a":"b"}},"user_id":"u"}`))
	e := loud.next("client-x", "private-room")
	if e.text() != "s" || e.MessageID == "mine" || e.Tags != nil || e.Extras != nil || e.UserID != "" {
		t.Errorf("%+v", e)
	}
	v1.expectExact(`{"event":"client-x","channel":"private-room","data":"s"}`)
	silent.quietV2()
	v1.send("client-y", "private-room", nil)
	silent.next("client-y", "private-room")
	v1.quiet()
}

// While echo control is off, V2 clients get their own events whatever they ask for.
func TestV2EchoControlOff(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Extras.Echo = false; s.Extras.EchoDefault = false })
	p := f.dialV2("echo_messages=false")
	p.subscribe("private-room", "")
	p.next("sockudo_internal:subscription_succeeded", "private-room")
	p.send("client-x", "private-room", 1)
	p.next("client-x", "private-room")
}

// Checklist: protocol 81, 82, 84
func TestPatterns(t *testing.T) {
	f := newFixture(t, nil)
	p, all, v1 := f.dialV2(""), f.dialV2(""), f.dial()
	for _, name := range []string{"orders.*", "orders.eu", "*.eu"} {
		p.subscribe(name, "")
		if s := p.next("sockudo_internal:subscription_succeeded", name); s.text() != "{}" {
			t.Errorf("%+v", s)
		}
	}
	all.subscribe("*", "")
	all.next("sockudo_internal:subscription_succeeded", "*")
	v1.join("orders.eu", "")
	f.publish("orders.eu", "a", `"1"`)
	f.publish("orders.us", "b", `"2"`)
	f.publish("x.eu", "c", `"3"`)
	f.publish("other", "d", `"4"`)
	p.next("a", "orders.eu")
	p.next("b", "orders.us")
	p.next("c", "x.eu")
	p.quietV2()
	v1.expectExact(`{"event":"a","channel":"orders.eu","data":"1"}`)
	v1.quiet()
	for _, name := range []string{"a", "b", "c", "d"} {
		if e := parseFrame(t, all.expect()); e.Event != name {
			t.Errorf("%+v", e)
		}
	}
	for _, name := range []string{"private-x", "presence-x", "private-encrypted-x", "#server-to-user-u1"} {
		f.publish(name, "secret", `"x"`)
	}
	v1.join("presence-lobby", `{"user_id":"u1"}`)
	all.quietV2()
	p.send("sockudo:unsubscribe", "", "orders.*")
	f.publish("orders.us", "gone", `"x"`)
	f.publish("orders.eu", "kept", `"x"`)
	p.next("kept", "orders.eu")
	p.quietV2()
	for _, channel := range f.channels() {
		if strings.Contains(channel, "*") {
			t.Errorf("the pattern %s is listed as a channel", channel)
		}
	}
}

func (f *fixture) channels() (names []string) {
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	states, err := live.Channels(f.t.Context(), f.app(), "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range states {
		names = append(names, s.Name)
	}
	return names
}

// Checklist: protocol 83
func TestPatternRefusals(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("")
	for _, name := range []string{"a*b*", "private-*", "presence-*", "x#*", "a,*", "[meta]*", "é*"} {
		p.send("sockudo:subscribe", "", map[string]any{"channel": name})
		p.refusedV2(4300, name)
	}
	p.send("sockudo:subscribe", "", map[string]any{"channel": "orders.*", "rewind": 5})
	p.refusedV2(4300, "orders.*", "rewind")
}

// Checklist: protocol 162
func TestRewindWithoutHistory(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dialV2("")
	p.send("sockudo:subscribe", "", map[string]any{"channel": "orders", "rewind": 5})
	p.refusedV2(4300, "orders", "Channel rewind is disabled by policy for channel 'orders'")
	f.publish("orders", "x", `1`)
	p.quietV2()
}

// Checklist: protocol 86, 87, 88
func TestMetaChannels(t *testing.T) {
	f := newFixture(t, nil)
	watcher, a := f.dialV2(""), f.dial()
	watcher.subscribe("[meta]orders", "")
	watcher.next("sockudo_internal:subscription_succeeded", "[meta]orders")
	counts := func(event string, n int) {
		t.Helper()
		want := fmt.Sprintf(`{"channel":"orders","subscription_count":%d}`, n)
		if e := watcher.next("sockudo_internal:"+event, "[meta]orders"); string(e.Data) != want {
			t.Errorf("%s: %s, want %s", event, e.Data, want)
		}
	}
	a.join("orders", "")
	counts("channel_occupied", 1)
	counts("subscription_count", 1)
	b := f.dialV2("")
	b.subscribe("orders", "")
	counts("subscription_count", 2)
	a.send("pusher:unsubscribe", "", map[string]any{"channel": "orders"})
	counts("subscription_count", 1)
	b.lost()
	counts("channel_vacated", 0)

	for name, auth := range map[string]string{
		"[meta]private-x": protocol.SignChannel("app-key", "app-secret", watcher.conn.ID(), "private-y", ""), "[meta]presence-x": "",
	} {
		watcher.send("sockudo:subscribe", "", map[string]any{"channel": name, "auth": auth})
		watcher.refusedV2(4009, name)
	}
	watcher.send("sockudo:subscribe", "", map[string]any{"channel": "[meta]presence-x", "auth": protocol.SignChannel("app-key", "app-secret", watcher.conn.ID(), "presence-x", "")})
	watcher.next("sockudo_internal:subscription_succeeded", "[meta]presence-x")
	a.join("presence-x", `{"user_id":"u1"}`)
	if e := watcher.next("sockudo_internal:member_added", "[meta]presence-x"); string(e.Data) != `{"channel":"presence-x","user_id":"u1"}` {
		t.Errorf("%s", e.Data)
	}
	watcher.next("sockudo_internal:channel_occupied", "[meta]presence-x")
	watcher.next("sockudo_internal:subscription_count", "[meta]presence-x")
	if got := f.channels(); len(got) != 1 || got[0] != "presence-x" {
		t.Errorf("channels %v", got)
	}
}

// Checklist: protocol 98, 99, 100, 101
func TestPresenceGrace(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Presence.GraceV2 = 600 * time.Millisecond })
	watcher := f.dial()
	watcher.join("presence-x", `{"user_id":"w"}`)
	join := func(query string) *peer {
		p := f.dialV2(query)
		p.subscribe("presence-x", `{"user_id":"u1"}`)
		p.next("sockudo_internal:subscription_succeeded", "presence-x")
		return p
	}
	p := join("")
	watcher.expect("member_added")
	p.lost()
	time.Sleep(100 * time.Millisecond)
	p = join("")
	watcher.quiet() // nobody has noticed
	p.conn.Disconnect(true)
	watcher.expect("member_removed") // at once, whatever is left of the first connection

	p = join("")
	watcher.expect("member_added")
	began := time.Now()
	p.lost()
	watcher.expect("member_removed")
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("removed after %v", d)
	}
	watcher.quiet()

	v1 := f.dial()
	v1.join("presence-x", `{"user_id":"u2"}`)
	watcher.expect("member_added")
	v1.lost()
	watcher.expect("member_removed", "u2")
}

// Checklist: protocol 102, 103, 104, 105
func TestPresenceUpdate(t *testing.T) {
	f := newFixture(t, nil)
	v1, a, b := f.dial(), f.dialV2(""), f.dialV2("")
	v1.join("presence-x", `{"user_id":"v1"}`)
	for user, p := range map[string]*peer{"a": a, "b": b} {
		p.subscribe("presence-x", `{"user_id":"`+user+`"}`)
	}
	settle := func() { time.Sleep(30 * time.Millisecond) }
	settle()
	for _, p := range []*peer{v1, a, b} {
		p.quietAfter(t, func(frames []string) { p.seen = len(frames) })
	}
	for i, text := range []string{
		`{"event":"sockudo:presence_update","data":"{\"channel\":\"presence-x\",\"data\":{\"n\":0}}"}`,
		`{"event":"sockudo:presence_update","data":{"channel":"presence-x","data":{"n":1}}}`,
		`{"event":"sockudo:presence_update","channel":"presence-x","data":{"user_info":{"n":2}}}`,
		`{"event":"pusher:presence_update","channel":"presence-x","data":{"n":3}}`,
	} {
		a.conn.Receive([]byte(text))
		want := fmt.Sprintf(`{"user_id":"a","user_info":{"n":%d}}`, i)
		for _, p := range []*peer{a, b} {
			if e := p.next("sockudo_internal:presence_update", "presence-x"); e.text() != want {
				t.Errorf("%s, want %s", e.text(), want)
			}
		}
	}
	v1.quiet()
	c := f.dialV2("")
	c.subscribe("presence-x", `{"user_id":"c"}`)
	if s := c.next("sockudo_internal:subscription_succeeded", "presence-x"); !strings.Contains(s.text(), `"a":{"n":3}`) {
		t.Errorf("%s", s.text())
	}
	a.next("sockudo_internal:member_added", "presence-x")
	refuse := func(code int, text string) {
		t.Helper()
		a.conn.Receive([]byte(text))
		a.expect("sockudo:error", fmt.Sprintf(`"code":%d`, code))
	}
	refuse(4000, `{"event":"sockudo:presence_update","channel":"presence-x","data":"`+strings.Repeat("x", 1024)+`"}`)
	refuse(4000, `{"event":"sockudo:presence_update","channel":"orders","data":1}`)
	refuse(4000, `{"event":"sockudo:presence_update","channel":"presence-other","data":1}`)
	a.conn.Receive([]byte(`{"event":"sockudo_internal:presence_update","channel":"presence-x","data":1}`))
	for range 6 {
		a.conn.Receive([]byte(`{"event":"sockudo:presence_update","channel":"presence-x","data":1}`))
		a.next("sockudo_internal:presence_update", "presence-x")
	}
	refuse(4301, `{"event":"sockudo:presence_update","channel":"presence-x","data":1}`)
}

// A V2 client gets the events of its user once it has subscribed to them; a V1 client
// needs no subscription.
//
// Checklist: protocol 124, 125, 126, 127
func TestV2UserEvents(t *testing.T) {
	f := newFixture(t, nil)
	v1, v2, other := f.dial(), f.dialV2(""), f.dialV2("")
	v1.signin(`{"id":"u1"}`)
	v1.expect("signin_success")
	v2.signin(`{"id":"u1"}`)
	v2.next("sockudo:signin_success", "")
	other.subscribe("#server-to-user-u1", "")
	other.refusedV2(4009, "#server-to-user-u1")
	f.publish("#server-to-user-u1", "one", `"x"`)
	v1.expectExact(`{"event":"one","channel":"#server-to-user-u1","data":"x"}`)
	v2.quietV2()
	v1.join("#server-to-user-u1", "")
	v2.subscribe("#server-to-user-u1", "")
	v2.next("sockudo_internal:subscription_succeeded", "#server-to-user-u1")
	f.publish("#server-to-user-u1", "two", `"x"`)
	v1.expectExact(`{"event":"two","channel":"#server-to-user-u1","data":"x"}`)
	v1.quiet()
	if e := v2.next("two", "#server-to-user-u1"); e.MessageID == "" {
		t.Errorf("%+v", e)
	}
	v2.quietV2()
	other.quietV2()
}

// Checklist: protocol 76, 77
func TestV2CachedEvents(t *testing.T) {
	f := newFixture(t, withRecovery)
	p := f.dialV2("")
	p.subscribe("cache-x", "")
	p.next("sockudo_internal:subscription_succeeded", "cache-x")
	if m := p.next("sockudo:cache_miss", "cache-x"); m.text() != "{}" || m.Serial != nil {
		t.Errorf("%+v", m)
	}
	f.publish("cache-x", "price", `{"btc":1}`)
	live := p.next("price", "cache-x")
	q := f.dialV2("")
	q.subscribe("cache-x", "")
	q.next("sockudo_internal:subscription_succeeded", "cache-x")
	if e := q.next("price", "cache-x"); e.text() != `{"btc":1}` || e.MessageID == live.MessageID || e.Serial != nil || e.StreamID != "" {
		t.Errorf("%+v", e)
	}
}

// Namespaces may refuse V2 clients what they do, and names may list who may come.
//
// Checklist: protocol 60
func TestV2Namespaces(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) {
		a.Namespaces = map[string]*storage.Namespace{
			"mute": {Name: "mute", NoPublish: true}, "closed": {Name: "closed", NoSubscribe: true}, "alone": {Name: "alone", NoPresence: true},
			"team": {Name: "team", AllowUserLimitedChannels: true},
		}
	})
	p := f.dialV2("")
	for _, name := range []string{"closed:x", "private-closed:x", "presence-alone:x"} {
		p.subscribe(name, `{"user_id":"u"}`)
		p.refusedV2(4009, name)
	}
	p.subscribe("private-mute:x", "")
	p.next("sockudo_internal:subscription_succeeded", "private-mute:x")
	p.send("client-x", "private-mute:x", 1)
	p.expect("sockudo:error", `"code":4009`)
	p.subscribe("team:room#u1,u2", "")
	p.refusedV2(4009, "team:room#u1,u2")
	p.signin(`{"id":"u2"}`)
	p.next("sockudo:signin_success", "")
	p.subscribe("team:room#u1,u2", "")
	p.next("sockudo_internal:subscription_succeeded", "team:room#u1,u2")
	v1 := f.dial()
	v1.join("closed:x", "") // the flags are for V2 clients
}
