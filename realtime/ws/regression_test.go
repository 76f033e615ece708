package ws

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// brokenLimiter panics when a slot is given back.
type brokenLimiter struct {
	storage.RateLimiter
	called *atomic.Int32
}

func (b brokenLimiter) Release(context.Context, string, string) error {
	b.called.Add(1)
	panic("a bug of a driver")
}

// A panic of a driver while a connection ends neither ends the server nor keeps
// the connection open.
func TestPanicWhileAConnectionEnds(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		var called atomic.Int32
		s := newServer(t, secure, func(_ *storage.App, s *realtime.Settings) {
			s.Rate.ConnectionsPerIP, s.Rate.SkipPrivate = 10, false
			s.Drivers.RateLimiter = brokenLimiter{s.Drivers.RateLimiter, &called}
		})
		bystander, c := s.dial(), s.dial()
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		c.expectClose(1000, "")
		_ = c.NetConn().SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err := c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection stays open: %d bytes, %v", n, err)
		}
		s.waitSockets(1)
		if called.Load() != 1 {
			t.Errorf("%d slots given back", called.Load())
		}
		bystander.send(`{"event":"pusher:ping"}`)
		bystander.expect(`{"event":"pusher:pong"}`)
	})
}

// pipedSocket is a socket whose writes wait until the other end reads them.
func pipedSocket(t *testing.T) (*socket, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	return socketOver(t, near, far), far
}

func socketOver(t *testing.T, near, far net.Conn) *socket {
	t.Helper()
	hub := realtime.NewHub(t.Name())
	s := &socket{hub: hub, raw: near, fd: -1}
	t.Cleanup(func() {
		s.shut()
		_ = far.Close()
		hub.Close(context.Background())
	})
	_ = far.SetReadDeadline(time.Now().Add(2 * time.Second))
	return s
}

// Closing a TLS client that reads nothing does not wait for it to take an
// alert, under a lock that its worker needs.
func TestClosingAStuckTLSClientStallsNobody(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	config := web.TLS.Clone()
	web.Close()
	config.SessionTicketsDisabled = true // which would be written after the handshake
	near, far := net.Pipe()
	secure := tls.Server(near, config)
	s := socketOver(t, secure, far)
	handshake := make(chan error, 1)
	go func() {
		handshake <- tls.Client(far, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context())
	}()
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-handshake; err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.shut()
		s.Deliver(protocol.TextFrame([]byte("x")), 1, nil)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Error("the worker waits for a client that reads nothing")
	}
}

// A burst over the bounds does not close a client before it could have read any
// of it; a multiple of the bounds does.
func TestBurstMayExceedTheBoundsForAMoment(t *testing.T) {
	const joined = 900 // of the 1000 frames of the default bound
	frame := protocol.TextFrame([]byte("x"))
	s, far := pipedSocket(t)
	for range 3 {
		s.Deliver(bytes.Repeat(frame, joined), joined, nil)
	}
	if s.out.isClosing() {
		t.Fatal("closed by a burst")
	}
	if _, err := io.ReadFull(far, make([]byte, 3*joined*len(frame))); err != nil {
		t.Fatal(err)
	}

	s, _ = pipedSocket(t)
	for range burstFactor + 3 {
		s.Deliver(bytes.Repeat(frame, joined), joined, nil)
	}
	if !s.out.isClosing() {
		t.Error("a burst has no bound")
	}

	s, _ = pipedSocket(t)
	for range 2 {
		s.Deliver(bytes.Repeat(frame, joined), joined, nil)
	}
	time.Sleep(burstTime + 50*time.Millisecond)
	s.Deliver(frame, 1, nil)
	if !s.out.isClosing() {
		t.Error("a client that takes nothing is not closed")
	}
}

// Nothing follows a close frame that answers the client's, whatever was
// delivered meanwhile.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	s, far := pipedSocket(t)
	answer := []byte(protocol.CloseFrame(1000, ""))
	if _, err := (inlet{s}).Write(answer); err != nil {
		t.Fatal(err)
	}
	s.Deliver(protocol.TextFrame([]byte("late")), 1, nil)
	s.Send(protocol.Ping.Frame(protocol.FormatV1))
	s.Close(protocol.ErrShutdown)
	s.Ping()
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("got %q, %v", got, err)
	}
	_ = far.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := far.Read(make([]byte, 1)); n > 0 {
		t.Errorf("something follows: %v", err)
	}
}

func (c *client) join(channel, user string) {
	c.t.Helper()
	data := `{"user_id":"` + user + `"}`
	text, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": map[string]string{
		"channel": channel, "channel_data": data, "auth": protocol.SignChannel("app-key", "app-secret", c.id, channel, data),
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(text))
	if got := c.read(); !strings.Contains(got, "subscription_succeeded") {
		c.t.Fatal(got)
	}
}

// A peer that does not answer a ping leaves its presence channels with the
// timeout, not when the closing handshake is given up.
func TestPongTimeoutRemovesTheMemberAtOnce(t *testing.T) {
	s := newServer(t, false, func(_ *storage.App, s *realtime.Settings) {
		s.ActivityTimeout, s.PongTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	dead := s.dial() // from here on it neither reads nor writes by itself
	dead.join("presence-x", "dead")
	watcher := s.dial()
	watcher.join("presence-x", "watcher")
	start := time.Now()
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	wg.Go(func() {
		for !stop.Load() && watcher.WriteMessage(websocket.TextMessage, []byte(`{"event":"pusher:ping"}`)) == nil {
			time.Sleep(50 * time.Millisecond)
		}
	})
	for {
		_ = watcher.SetReadDeadline(start.Add(closeGrace - time.Second))
		_, text, err := watcher.ReadMessage()
		if err != nil {
			t.Fatalf("the member is still there after %v: %v", time.Since(start), err)
		}
		if strings.Contains(string(text), "member_removed") {
			break
		}
	}
	s.waitSockets(1)
	if took := time.Since(start); took > closeGrace-time.Second {
		t.Errorf("took %v", took)
	}
}
