package realtime_test

import (
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: protocol 106, 107, 113, 114
func TestClientEvents(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.dial(), f.dial()
	a.join("private-room", "")
	b.join("private-room", "")
	for _, data := range []string{`{"on":true,"b":1.50}`, `"text"`, `[1]`, `null`} {
		a.conn.Receive([]byte(`{"event":"client-x","channel":"private-room","data":` + data + `,"user_id":"evil","extras":{"a":1},"tags":{"x":"y"}}`))
		b.expectExact(`{"event":"client-x","channel":"private-room","data":` + data + `}`)
	}
	a.send("client-x", "private-room", nil)
	b.expectExact(`{"event":"client-x","channel":"private-room","data":null}`)
	a.quiet()

	a.join("presence-room", `{"user_id":"u1"}`)
	b.join("presence-room", `{"user_id":"u2"}`)
	a.expect("member_added")
	a.conn.Receive([]byte(`{"event":"client-typing","channel":"presence-room","data":{"on":true},"user_id":"evil"}`))
	b.expectExact(`{"event":"client-typing","channel":"presence-room","data":{"on":true},"user_id":"u1"}`)
}

// Checklist: protocol 109, 110, 111, 112, 116
func TestClientEventRefusals(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) { a.Limits.MaxEventPayloadInKB = 1 })
	p := f.dial()
	p.join("orders", "")
	p.join("private-encrypted-x", "")
	p.join("private-room", "")
	for _, test := range []struct {
		event, channel string
		data           any
		code           int
		text           string
	}{
		{"client-x", "", nil, 4301, "Channel required"},
		{"client-x", "orders", nil, 4301, "private or presence"},
		{"client-x", "private-other", nil, 4301, "not subscribed"},
		{"client-x", "private-encrypted-x", nil, 4301, "encrypted"},
		{"client-" + strings.Repeat("x", 194), "private-room", nil, 4000, "too long"},
		{"client-x", "private-" + strings.Repeat("x", 200), nil, 4300, "Channel name invalid"},
		{"client-x", "private-room", strings.Repeat("x", 1023), 4301, "larger"},
		{"client-x", "orders.*", nil, 4301, "private or presence"},
		{"client-x", "[meta]private-room", nil, 4301, "private or presence"},
	} {
		p.send(test.event, test.channel, test.data)
		p.expectError(test.code, test.text)
	}
	p.send("client-x", "private-room", strings.Repeat("x", 1022))
	p.send("client-"+strings.Repeat("x", 193), "private-room", nil)
	p.quiet()

	off := newFixture(t, func(a *storage.App, _ *realtime.Settings) { a.Features.ClientMessages = false })
	q := off.dial()
	q.join("private-room", "")
	q.send("client-x", "private-room", nil)
	q.expectError(4301, "not enabled")
}

// Checklist: protocol 115
// Checklist: configuration 95
func TestClientEventRate(t *testing.T) {
	for name, change := range map[string]func(*storage.App, *realtime.Settings){
		"app": func(a *storage.App, s *realtime.Settings) {
			a.Limits.MaxClientEventsPerSecond, s.Rate.EventsPerSecond = 3, 100
		},
		"hub": func(_ *storage.App, s *realtime.Settings) { s.Rate.EventsPerSecond = 3 },
		"kill": func(a *storage.App, _ *realtime.Settings) {
			a.Limits.MaxClientEventsPerSecond, a.Limits.TerminateOnLimit = 3, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(a *storage.App, s *realtime.Settings) {
				a.Limits.DecaySeconds = 60
				change(a, s)
			})
			a, b := f.dial(), f.dial()
			a.join("private-room", "")
			b.join("private-room", "")
			for range 3 {
				a.send("client-x", "private-room", nil)
				b.expect("client-x")
			}
			a.send("client-x", "private-room", nil)
			if name == "kill" {
				a.expectClosed(protocol.ErrRateTerminated)
			} else {
				a.expectError(4301, "rate limit")
				a.quiet()
			}
			b.quiet()
		})
	}
}
