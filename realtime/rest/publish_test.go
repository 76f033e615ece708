package rest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The answer is {}, as Pusher's own libraries demand, where the checklist copies
// {"ok":true}.
// Checklist: http-api 37
func TestHTTP037Publish(t *testing.T) {
	n := newNode(t, testApp())
	a, b := n.connect().subscribe("c"), n.connect().subscribe("private-d", "")
	got := n.post("events", body("name", "e", "channels", []string{"c", "private-d"}, "data", `{"id":1}`))
	got.is(t, 200, `{}`)
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("Connection") != "" {
		t.Errorf("headers: %v", got.header)
	}
	if got := a.wait("e").text; got != `{"event":"e","channel":"c","data":"{\"id\":1}"}` {
		t.Error(got)
	}
	if got := b.wait("e").text; got != `{"event":"e","channel":"private-d","data":"{\"id\":1}"}` {
		t.Error(got)
	}
}

// Checklist: http-api 38, 39
func TestHTTP038Targets(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("a").subscribe("b")
	n.post("events", body("name", "e1", "channels", []string{"a"}, "channel", "b")).is(t, 200, `{}`)
	n.post("events", body("name", "e2", "channels", nil, "channel", "b")).is(t, 200, `{}`)
	n.post("events", body("name", "e3", "channels", []string{"a", "a", "a"})).is(t, 200, `{}`)
	s.settle("a").settle("b")
	if got := s.events("e1"); len(got) != 1 || got[0].Channel != "a" {
		t.Errorf("channels and channel: %v", got)
	}
	if got := s.events("e2"); len(got) != 1 || got[0].Channel != "b" {
		t.Errorf("channels null: %v", got)
	}
	if got := s.events("e3"); len(got) != 1 {
		t.Errorf("a channel named twice got %d", len(got))
	}
	const text = "Request must contain 'channels' (list) or 'channel' (string)"
	n.post("events", body("name", "e", "channels", []string{}, "channel", "a")).fails(t, 400, "missing_channel_info", text)
	n.post("events", body("name", "e", "channel", nil)).fails(t, 400, "missing_channel_info", text)
	n.post("events", body("name", "e")).fails(t, 400, "missing_channel_info", text)
}

// Checklist: http-api 40
func TestHTTP040Name(t *testing.T) {
	n := newNode(t, testApp())
	for _, name := range []any{nil, ""} {
		n.post("events", body("name", name, "channel", "c")).fails(t, 400, "invalid_input", "Event name is required")
	}
	n.post("events", body("name", strings.Repeat("x", 200), "channel", "c")).is(t, 200, `{}`)
	n.post("events", body("name", strings.Repeat("x", 201), "channel", "c")).fails(t, 400, "limit_exceeded", "exceeds maximum length of 200")
	n.post("events", body("name", strings.Repeat("ä", 101), "channel", "c")).fails(t, 400, "limit_exceeded", "exceeds maximum length of 200")
	own := newNode(t, testApp(func(a *storage.App) { a.Limits.MaxEventNameLength = 3 }))
	own.post("events", body("name", "abcd", "channel", "c")).fails(t, 400, "limit_exceeded", "Event name 'abcd' exceeds maximum length of 3")
}

// Checklist: http-api 41
func TestHTTP041Data(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	for i, c := range []struct{ sent, data string }{
		{`"data":{"a": [1, "x\"y"]},`, `"{\"a\":[1,\"x\\\"y\"]}"`},
		{`"data":12.50,`, `"12.50"`},
		{`"data":[ true, null ],`, `"[true,null]"`},
		{`"data":null,`, `"null"`},
		{``, `"null"`},
		{`"data":"plain",`, `"plain"`},
		{`"data":"a\u0062\/\ud83d\ude00",`, `"a\u0062\/\ud83d\ude00"`},
		{`"data":"ü\u0000",`, `"ü\u0000"`},
	} {
		name := fmt.Sprintf("e%d", i)
		n.post("events", `{`+c.sent+`"name":"`+name+`","channel":"c"}`).is(t, 200, `{}`)
		if got, want := s.wait(name).text, `{"event":"`+name+`","channel":"c","data":`+c.data+`}`; got != want {
			t.Errorf("%s came as %s", c.sent, got)
		}
	}
}

// Checklist: http-api 42
func TestHTTP042PayloadLimit(t *testing.T) {
	own := newNode(t, testApp(func(a *storage.App) { a.Limits.MaxEventPayloadInKB = 2 }))
	hub := newNode(t, testApp(), func(s *realtime.Settings) { s.Limits.EventPayload = 2048 })
	for _, n := range []*node{own, hub} {
		fits := strings.Repeat("x", 2048)
		n.post("events", body("name", "e", "channel", "c", "data", fits)).is(t, 200, `{}`)
		n.post("events", body("name", "e", "channel", "c", "data", fits+"x")).fails(t, 413, "payload_too_large", "Event payload size (2049 bytes) for event 'e' exceeds limit (2KB)")
		// What counts is the value, not how it was written.
		n.post("events", `{"name":"e","channel":"c","data":"`+strings.Repeat(`\n`, 2048)+`"}`).is(t, 200, `{}`)
		n.post("events", `{"name":"e","channel":"c","data":"`+strings.Repeat(`\n`, 2049)+`"}`).fails(t, 413, "payload_too_large", "(2049 bytes)")
		n.post("events", `{"name":"e","channel":"c","data":["`+strings.Repeat("x", 2044)+`" ]}`).is(t, 200, `{}`)
		n.post("events", `{"name":"e","channel":"c","data":["`+strings.Repeat("x", 2045)+`" ]}`).fails(t, 413, "payload_too_large", "(2049 bytes)")
	}
	odd := newNode(t, testApp(), func(s *realtime.Settings) { s.Limits.EventPayload = 5 })
	odd.post("events", body("name", "e", "channel", "c", "data", "123456")).fails(t, 413, "payload_too_large", "exceeds limit (5 bytes)")
}

// Checklist: http-api 43
func TestHTTP043ChannelCount(t *testing.T) {
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("c%d", i))
		}
		return list
	}
	hub := newNode(t, testApp())
	hub.post("events", body("name", "e", "channels", names(100))).is(t, 200, `{}`)
	hub.post("events", body("name", "e", "channels", names(101))).fails(t, 400, "limit_exceeded", "Number of channels (101) exceeds limit (100)")
	own := newNode(t, testApp(func(a *storage.App) { a.Limits.MaxEventChannelsAtOnce = 2 }))
	own.post("events", body("name", "e", "channels", names(2))).is(t, 200, `{}`)
	own.post("events", body("name", "e", "channels", names(3))).fails(t, 400, "limit_exceeded", "Number of channels (3) exceeds limit (2)")
}

// Checklist: http-api 44, 45
func TestHTTP044SocketID(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	keep := &keeper{Adapter: drivers.Adapter}
	drivers.Adapter = keep
	n := startNode(t, "node-1", drivers)
	sender, other := n.connect().subscribe("c").signin("u"), n.connect().subscribe("c").signin("u")
	for _, channel := range []string{"c", "#server-to-user-u"} {
		n.post("events", body("name", "not-to-sender", "channel", channel, "socket_id", sender.conn.ID())).is(t, 200, `{}`)
	}
	for _, id := range []any{"", "x", "1.2.3", "1.x", "1", nil, "99.99", strings.Repeat("9", 50) + ".1"} {
		n.post("events", body("name", "to-all", "channel", "c", "socket_id", id)).is(t, 200, `{}`)
	}
	for _, e := range keep.kept[2:] {
		if e.Except != "" && e.Except != "99.99" {
			t.Errorf("a malformed id has gone on: %q", e.Except)
		}
	}
	sender.settle("c")
	other.settle("c")
	if got := len(sender.events("not-to-sender")); got != 0 {
		t.Errorf("the sender got %d", got)
	}
	if got := len(other.events("not-to-sender")); got != 2 {
		t.Errorf("the other got %d of 2", got)
	}
	if a, b := len(sender.events("to-all")), len(other.events("to-all")); a != 8 || b != 8 {
		t.Errorf("with malformed ids: %d and %d of 8", a, b)
	}
}

// Checklist: http-api 46
func TestHTTP046OneInvalidChannel(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("first").subscribe("last")
	n.post("events", body("name", "e", "channels", []string{"first", "in valid", "x:y", "last"})).fails(t, 400, "invalid_input", "in valid")
	if s.wait("e"); len(s.settle("last").events("e")) != 2 {
		t.Errorf("valid channels got %v", s.events("e"))
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// acks reads the channels of an answer.
func (a answer) acks(t *testing.T) map[string]map[string]any {
	t.Helper()
	var m struct {
		Channels map[string]map[string]any `json:"channels"`
	}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	return m.Channels
}

// Checklist: http-api 47, 48, 49, 50
func TestHTTP047Acknowledgements(t *testing.T) {
	n := newNode(t, testApp())
	n.connect().subscribe("c")
	n.connect().subscribe("c").subscribe("presence-p", "u1")
	n.connect().subscribe("presence-p", "u1")
	for _, c := range []struct {
		members []any
		want    string // with ID for every fresh acknowledgement
	}{
		{[]any{"channel", "c", "info", "subscription_count"}, `map[c:map[acknowledgement_id:ID subscription_count:2]]`},
		{[]any{"channel", "empty", "info", "subscription_count"}, `map[empty:map[acknowledgement_id:ID subscription_count:0]]`},
		{[]any{"channels", []string{"c", "presence-p"}, "info", "user_count"}, `map[c:map[acknowledgement_id:ID] presence-p:map[acknowledgement_id:ID user_count:1]]`},
		{[]any{"channel", "presence-p", "info", " user_count , subscription_count "}, `map[presence-p:map[acknowledgement_id:ID subscription_count:2 user_count:1]]`},
		{[]any{"channel", "presence-p", "info", "user_counts"}, `map[presence-p:map[acknowledgement_id:ID]]`},
		{[]any{"channel", "c", "info", ""}, `map[c:map[acknowledgement_id:ID]]`},
		{[]any{"channel", "c", "message_id", "m-1"}, `map[c:map[acknowledgement_id:m-1]]`},
	} {
		got := n.post("events", body(append(c.members, "name", "e")...)).acks(t)
		for _, ack := range got {
			if id, _ := ack["acknowledgement_id"].(string); uuid.MatchString(id) {
				ack["acknowledgement_id"] = "ID"
			}
		}
		if text := fmt.Sprint(got); text != c.want {
			t.Errorf("%v: got %s, want %s", c.members, text, c.want)
		}
	}
	n.post("events", body("name", "e", "channel", "c", "info", nil)).is(t, 200, `{}`)
}

// Checklist: http-api 51, 53
func TestHTTP051MembersOfV2(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	n.post("events", `{"name":"e","channel":"c","data":"d","message_id":"m","tags":{"region":"eu"},"delta":false,"idempotency_key":"k","serial":1,"stream_id":"s",
		"extras":{"headers":{"priority":"high","rank":2,"vip":true},"ephemeral":true,"echo":false,"ai":{},"push":{},"idempotencyKey":"x"}}`).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
	if got := s.wait("e").text; got != `{"event":"e","channel":"c","data":"d"}` {
		t.Error(got)
	}
	for _, headers := range []string{`{"a":{}}`, `{"a":[]}`, `{"a":null}`, `[]`, `"x"`} {
		n.post("events", `{"name":"e","channel":"c","extras":{"headers":`+headers+`}}`).fails(t, 422, "invalid_input", "extras.headers must be an object of strings, numbers or booleans")
	}
	n.post("events", `{"name":"e","channel":"c","tags":null,"delta":null,"extras":null}`).is(t, 200, `{}`)
	n.post("events", `{"name":"e","channel":"c","extras":{"headers":null,"ephemeral":null,"idempotencyKey":null}}`).is(t, 200, `{}`)
}

// Checklist: http-api 60
func TestHTTP060CacheChannel(t *testing.T) {
	n := newNode(t, testApp())
	n.connect().subscribe("cache-c").wait("pusher:cache_miss")
	n.post("events", body("name", "e1", "channel", "cache-c", "data", "1")).is(t, 200, `{}`)
	n.post("events", body("name", "e2", "channel", "cache-c", "data", map[string]int{"a": 2})).is(t, 200, `{}`)
	late := n.connect().subscribe("cache-c")
	if got := late.wait("e2").text; got != `{"event":"e2","channel":"cache-c","data":"{\"a\":2}"}` {
		t.Error(got)
	}
	if len(late.events("e1"))+len(late.events("pusher:cache_miss")) > 0 {
		t.Errorf("the late subscriber has %v", late.texts())
	}
}

// The hub keeps what it is given, so nothing of it may be in a buffer that the
// next call uses.
func TestBuffersNotShared(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	keep := &keeper{Adapter: drivers.Adapter}
	cache := &brokenCache{Cache: drivers.Cache}
	drivers.Adapter, drivers.Cache = keep, cache
	n := startNode(t, "node-1", drivers)
	for i := range 50 {
		text := fmt.Sprintf("data-%02d", i)
		n.post("events", body("name", "name-"+text, "channel", "chan-"+text, "data", text, "socket_id", "1."+text[5:])).is(t, 200, `{}`)
		n.post("batch_events", `{"batch":[{"name":"name-`+text+`","channel":"chan-`+text+`","data":"`+text+`","socket_id":"1.`+text[5:]+`"}]}`).is(t, 200, `{}`)
	}
	n.post("events", body("name", "e", "channel", "first", "idempotency_key", "k1", "info", ""))
	n.post("events", body("name", "e", "channel", "other", "idempotency_key", "k2", "info", ""))
	for i, value := range cache.given {
		if string(value) != cache.wanted[i] {
			t.Errorf("the cache was given %s and has %s", cache.wanted[i], value)
		}
	}
	keep.kept = keep.kept[:100]
	for i, e := range keep.kept {
		text := fmt.Sprintf("data-%02d", i/2)
		if string(e.Data) != `"`+text+`"` || e.Event != "name-"+text || e.Channel != "chan-"+text || e.Except != "1."+text[5:] {
			t.Errorf("event %d has become %+v", i, e)
		}
	}
}
