package rest

import (
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: http-api 31
func TestHTTP031ChannelLength(t *testing.T) {
	name := func(n int) string { return strings.Repeat("x", n) }
	publish := func(n *node, channel string, ok bool) {
		t.Helper()
		got := n.post("events", body("name", "e", "channel", channel))
		if ok {
			got.is(t, 200, `{}`)
		} else {
			got.fails(t, 400, "invalid_input", "Channel name too long. Max length is ")
		}
	}
	plain := newNode(t, testApp())
	publish(plain, name(200), true)
	publish(plain, name(201), false)
	plain.get("channels/"+name(201)).fails(t, 400, "invalid_input", "Max length is 200")
	own := newNode(t, testApp(func(a *storage.App) {
		a.Limits.MaxChannelNameLength = 20
		a.Namespaces = map[string]*storage.Namespace{"ns": {Name: "ns", MaxChannelNameLength: 30}}
	}))
	publish(own, name(20), true)
	publish(own, name(21), false)
	publish(own, "ns:"+name(27), true)
	publish(own, "ns:"+name(28), false)
	hub := newNode(t, testApp(), func(s *realtime.Settings) { s.Limits.ChannelNameLength = 10 })
	publish(hub, name(10), true)
	publish(hub, name(11), false)
}

// Checklist: http-api 32, 33, 34, 35
func TestHTTP032ChannelNames(t *testing.T) {
	room := &storage.Namespace{Name: "chat", Pattern: `^chat:[a-z0-9]+$`}
	if err := room.Compile(); err != nil {
		t.Fatal(err)
	}
	spaced := newNode(t, testApp(func(a *storage.App) {
		a.Namespaces = map[string]*storage.Namespace{"chat": room, "limited": {Name: "limited", AllowUserLimitedChannels: true}}
	}))
	bare := newNode(t, testApp())
	for _, c := range []struct {
		n       *node
		channel string
		text    string // of the refusal, "" for none
	}{
		{bare, "aZ09-_=@,;.", ""},
		{bare, "a:b", "Unknown channel namespace 'a'"},
		{bare, "a#b", "not allowed"},
		{bare, "a b", "invalid characters"},
		{bare, "a/b", "invalid characters"},
		{bare, "a*", "invalid characters"},
		{bare, "[meta]a", "invalid characters"},
		{bare, "ä", "invalid characters"},
		{bare, "", "must not be empty"},
		{bare, "private-", "must not be empty"},
		{spaced, "chat:1", ""},
		{spaced, "private-chat:1", ""},
		{spaced, "other:1", "Unknown channel namespace 'other'"},
		{spaced, "chat:UPPER", "does not match the pattern"},
		{spaced, "limited:room#u1", ""},
		{spaced, "limited:room#u1,u2", ""},
		{spaced, "chat:1#u1", "not allowed"},
		{spaced, "limited:room#u1#u2", "invalid user"},
		{spaced, "limited:room#", "empty user"},
		{spaced, "limited:room#u1,,u2", "empty user"},
	} {
		got := c.n.post("events", body("name", "e", "channel", c.channel))
		if c.text == "" {
			got.is(t, 200, `{}`)
		} else {
			got.fails(t, 400, "invalid_input", c.text)
		}
	}
}

// Checklist: http-api 36
func TestHTTP036ServerToUser(t *testing.T) {
	n := newNode(t, testApp())
	first, second, other, nobody := n.connect().signin("u1"), n.connect().signin("u1"), n.connect().signin("u2"), n.connect()
	n.post("events", body("name", "e", "channel", "#server-to-user-u1", "data", "d")).is(t, 200, `{}`)
	for _, s := range []*socket{first, second} {
		if got := s.wait("e").text; got != `{"event":"e","channel":"#server-to-user-u1","data":"d"}` {
			t.Error(got)
		}
	}
	// Deliveries to users are made at once, so what has not come will not.
	if len(other.events("e"))+len(nobody.events("e")) > 0 {
		t.Error("somebody else got it")
	}
	n.post("events", body("name", "e", "channel", "#server-to-user-")).fails(t, 400, "invalid_input", "")
}
