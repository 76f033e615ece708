package realtime_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pinged is a peer that counts control pings and answers them while it is alive.
type pinged struct {
	*peer
	pings atomic.Int32
	alive atomic.Bool
}

func (p *pinged) Ping() {
	p.pings.Add(1)
	if p.alive.Load() {
		p.conn.Heard()
	}
}

// Close ends the connection as a socket does whose client has been lost.
func (p *pinged) Close(e *protocol.Error) {
	p.mu.Lock()
	first := p.closed == nil
	if first {
		p.closed = e
	}
	p.mu.Unlock()
	if first && p.conn != nil {
		go p.conn.Disconnect(false)
	}
}

func dialPinged(t *testing.T, f *fixture) *pinged {
	t.Helper()
	p := &pinged{peer: &peer{t: t}}
	conn, e := f.hub.Connect(t.Context(), p, realtime.Handshake{Key: "app-key", Terms: terms(t, "")})
	if e != nil {
		t.Fatal(e)
	}
	p.conn = conn
	p.next("sockudo:connection_established", "")
	return p
}

// V2 clients are pinged by control frames, and never by events.
//
// Checklist: protocol 40, 41
// Checklist: configuration 108
func TestV2ClientsArePinged(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) {
		s.ActivityTimeout, s.Socket.PingInterval, s.PongTimeout, s.Socket.IdleTimeout = time.Second, 300*time.Millisecond, time.Second, 0
		s.Presence.GraceV2 = time.Hour
	})
	p := dialPinged(t, f)
	p.alive.Store(true)
	p.subscribe("presence-x", `{"user_id":"u1"}`)
	p.next("sockudo_internal:subscription_succeeded", "presence-x")
	// The interval is never less than five seconds.
	until(t, "second ping", func() bool { return p.pings.Load() >= 2 })
	p.alive.Store(false)
	until(t, "end of a client that does not answer", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.closed == protocol.ErrPongTimeout
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.frames) != p.seen {
		t.Errorf("the client was told %q", p.frames[p.seen:])
	}
}

// A V2 client that has sent nothing for too long is closed with 1001, and its member
// stays for a while: it was lost.
//
// Checklist: protocol 42
// Checklist: configuration 108
func TestIdleV2ClientsAreClosed(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) {
		s.Socket.PingInterval, s.Socket.IdleTimeout = 0, 1500*time.Millisecond
	})
	watcher := f.dial()
	watcher.join("presence-x", `{"user_id":"w"}`)
	p := dialPinged(t, f)
	p.subscribe("presence-x", `{"user_id":"u1"}`)
	watcher.expect("member_added")
	p.expectClosed(protocol.ErrIdle)
	if n := p.pings.Load(); n != 0 {
		t.Errorf("%d pings although they are off", n)
	}
	watcher.quiet()
	if f.hub.Sockets() != 1 {
		t.Errorf("%d sockets", f.hub.Sockets())
	}
}
