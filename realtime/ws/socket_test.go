package ws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
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

// Checklist: protocol 1, 35, 39
func TestRoundTrip(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, nil)
		c := s.dial()
		c.subscribe("orders")
		s.publish("orders", `"x"`)
		c.expect(`{"event":"e","channel":"orders","data":"x"}`)
		c.send(`{"event":"pusher:ping","data":{}}`)
		c.expect(`{"event":"pusher:pong"}`)
		pong := make(chan string, 1)
		c.SetPongHandler(func(data string) error { pong <- data; return nil })
		if err := c.WriteControl(websocket.PingMessage, []byte("nonce-42"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		c.send(`{"event":"pusher:ping","data":{}}`)
		c.expect(`{"event":"pusher:pong"}`)
		if got := <-pong; got != "nonce-42" {
			t.Errorf("pong carries %q", got)
		}
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		c.expectClose(1000, "")
		s.waitSockets(0)
	})
}

// Checklist: protocol 15, 16, 17, 18, 19, 25, 26, 134
func TestRefusalsAreAnErrorAndAClose(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, func(a *storage.App, _ *realtime.Settings) { a.AllowedOrigins = []string{"https://good"} })
		for _, test := range []struct {
			url    string
			code   int
			reason string
		}{
			{strings.Replace(s.url(), "app-key", "nobody", 1), 4001, "Application does not exist"},
			{s.url(), 4009, "Origin not allowed"},
			{s.url() + "&token=x", 4009, "Authentication error: capability tokens require protocol V2"},
		} {
			var header http.Header
			if strings.Contains(test.url, "token") {
				header = http.Header{"Origin": {"https://good"}}
			}
			c, _, err := s.tryDial(test.url, header)
			if err != nil {
				t.Fatal(err)
			}
			c.expectClose(test.code, test.reason)
		}
		c, _, err := s.tryDial(s.url(), http.Header{"Origin": {"https://good"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.read(); !strings.Contains(got, "connection_established") {
			t.Error(got)
		}
	})
}

// Checklist: protocol 4, 5, 7, 23, 24
func TestHTTPRefusals(t *testing.T) {
	s := newServer(t, false, func(_ *storage.App, s *realtime.Settings) {
		s.Rate = realtime.RateSettings{Upgrades: realtime.Rate{Max: 8, Window: time.Minute}}
	})
	for query, want := range map[string]int{"protocol=256": 400, "protocol=": 400, "echo_messages=yes": 400, "protocol=2&format=xml": 400} {
		_, resp, err := s.tryDial(strings.Split(s.url(), "?")[0]+"?"+query, nil)
		if err == nil || resp == nil || resp.StatusCode != want {
			t.Errorf("%s: %v", query, resp)
		}
	}
	for _, test := range []struct {
		method, version string
		want            int
	}{{"GET", "", 400}, {"POST", "13", 405}, {"GET", "12", 400}} {
		req, _ := http.NewRequest(test.method, s.URL+"/app/app-key", nil)
		if test.version != "" {
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "websocket")
			req.Header.Set("Sec-WebSocket-Version", test.version)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%+v: %d", test, resp.StatusCode)
		}
	}
	s.dial()
	_, resp, err := s.tryDial(s.url(), nil)
	if err == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-RateLimit-Limit") != "8" {
		t.Errorf("%+v", resp)
	}
}

// Checklist: protocol 24
// Checklist: configuration 93
func TestDrainingAndConnectionsPerAddress(t *testing.T) {
	s := newServer(t, false, func(_ *storage.App, s *realtime.Settings) { s.Rate = realtime.RateSettings{ConnectionsPerIP: 2} })
	a := s.dial()
	s.dial()
	_, resp, err := s.tryDial(s.url(), nil)
	if err == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%+v", resp)
	}
	_ = a.Close()
	s.waitSockets(1)
	b := s.dial()
	go s.hub.Drain(context.Background())
	b.expectClose(4200, "Server shutting down")
	_, resp, err = s.tryDial(s.url(), nil)
	if err == nil || resp.StatusCode != 503 {
		t.Errorf("%+v", resp)
	}
}

// Checklist: protocol 43, 44
// Checklist: configuration 106, 110
func TestBadMessages(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, func(_ *storage.App, s *realtime.Settings) { s.Socket.MaxPayload = 4096 })
		bystander := s.dial()
		bystander.subscribe("orders")

		c := s.dial()
		c.send("not json")
		if got := c.read(); !strings.Contains(got, `"code":4000`) {
			t.Error(got)
		}
		if err := c.WriteMessage(websocket.BinaryMessage, []byte(`{"event":"pusher:ping"}`)); err != nil {
			t.Fatal(err)
		}
		c.expect(`{"event":"pusher:pong"}`)
		if err := c.WriteMessage(websocket.BinaryMessage, []byte("\xff\xfe")); err != nil {
			t.Fatal(err)
		}
		if got := c.read(); !strings.Contains(got, `"code":4000`) {
			t.Error(got)
		}
		fits := `{"event":"foo","data":"` + strings.Repeat("x", 4096-24-1) + `"}`
		c.send(fits + strings.Repeat(" ", 4096-len(fits)))
		c.send(`{"event":"pusher:ping"}`)
		c.expect(`{"event":"pusher:pong"}`)
		_ = c.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 4097))
		c.expectClose(protocol.CloseTooBig, "")

		c = s.dial()
		c.send("{\"event\":\"\xff\"}")
		c.expectClose(protocol.CloseInvalidUTF8, "")

		s.publish("orders", `"still here"`)
		bystander.expect(`{"event":"e","channel":"orders","data":"still here"}`)
		s.waitSockets(1)
	})
}

// Fragments, with control frames between them, make one message; a bad fragment
// fails at once.
//
// Checklist: configuration 110
func TestFragments(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, nil)
		c := s.dial()
		w, err := c.NextWriter(websocket.TextMessage)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`{"event":"pusher:subscr`, `ibe","data":{"channel":"orders"`, `,"auth":""}}`} {
			if _, err := io.WriteString(w, part); err != nil {
				t.Fatal(err)
			}
			_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			time.Sleep(5 * time.Millisecond)
		}
		_ = w.Close()
		c.expect(`{"event":"pusher_internal:subscription_succeeded","channel":"orders","data":"{}"}`)

		d := s.dial()
		_, _ = d.NetConn().Write([]byte{0x01, 0x83, 0, 0, 0, 0, 'a', 0xff, 'b'}) // unfinished, invalid UTF-8
		d.expectClose(protocol.CloseInvalidUTF8, "")

		e := s.dial()
		_, _ = e.NetConn().Write([]byte{0x81, 0x01, 'x'}) // not masked
		e.expectClose(websocket.CloseProtocolError, "")
		s.waitSockets(1)
	})
}

func TestCheckUTF8(t *testing.T) {
	for _, test := range []struct {
		in string
		ok bool
		n  int
	}{{"", true, 0}, {"abc", true, 3}, {"é☃😀", true, 9}, {"a\xc3", true, 1}, {"a\xf0\x9f\x98", true, 1}, {"a\xff", false, 1}, {"\xed\xa0\x80", false, 0}, {"\xc3x", false, 0}, {"\xf4\x90", false, 0}} {
		if n, ok := checkUTF8([]byte(test.in), 0); ok != test.ok || n != test.n {
			t.Errorf("%q: %d %v", test.in, n, ok)
		}
	}
}

// A client that stops reading is closed with 4100; others get everything.
//
// Checklist: protocol 49
// Checklist: configuration 103, 105
func TestSlowConsumerIsClosed(t *testing.T) {
	for _, bound := range []string{"messages", "bytes"} {
		modes(t, func(t *testing.T, secure bool) {
			s := newServer(t, secure, func(_ *storage.App, s *realtime.Settings) {
				s.Limits.EventPayload = 0
				if bound == "bytes" {
					s.Socket.MaxMessages, s.Socket.MaxBytes = 0, 256<<10
				}
			})
			slow, fast := s.dial(), s.dial()
			slow.subscribe("orders")
			fast.subscribe("orders")
			data := `"` + strings.Repeat("x", 8<<10) + `"`
			const total = 2500
			var wg sync.WaitGroup
			var got atomic.Int64
			wg.Go(func() {
				for range total {
					if !strings.Contains(fast.read(), `"event":"e"`) {
						t.Error("not an event")
					}
					got.Add(1)
				}
			})
			for i := range total {
				s.publish("orders", data)
				for int64(i)-got.Load() > 10 {
					time.Sleep(100 * time.Microsecond)
				}
			}
			wg.Wait()
			s.waitSockets(1)
		})
	}
}

// With drop, what does not fit is left out, and the socket stays usable.
//
// Checklist: configuration 104
func TestSlowConsumerDrops(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, func(_ *storage.App, s *realtime.Settings) {
			s.Socket.DropWhenFull, s.Socket.MaxBytes, s.Limits.EventPayload = true, 64<<10, 0
		})
		c := s.dial()
		c.subscribe("orders")
		data := `"` + strings.Repeat("x", 32<<10) + `"`
		for range 800 {
			s.publish("orders", data)
		}
		// The client reads again before it asks for an answer: what must not be dropped
		// closes a socket that takes nothing.
		got, pong := 0, false
		for !pong {
			if got == 20 {
				c.send(`{"event":"pusher:ping"}`)
			}
			if text := c.read(); strings.Contains(text, "pong") {
				pong = true
			} else {
				got++
			}
		}
		if got == 0 || got == 800 {
			t.Errorf("%d of 800 messages came", got)
		}
		s.waitSockets(1)
	})
}

// Idle clear-text sockets have no goroutine of their own on Linux, and closing
// leaves nothing behind.
func TestIdleSocketsHaveNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems wait with a goroutine") // by design, not for want of something
	}
	s := newServer(t, false, nil)
	s.dial()
	time.Sleep(50 * time.Millisecond)
	before := runtime.NumGoroutine()
	clients := make([]*client, 200)
	for i := range clients {
		clients[i] = s.dial()
		clients[i].subscribe(fmt.Sprintf("c-%d", i))
	}
	time.Sleep(100 * time.Millisecond)
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines for 200 sockets", after-before)
	}
	for _, c := range clients {
		_ = c.Close()
	}
	s.waitSockets(1)
}

// A peer that vanishes without a word, and one that resets.
func TestAbruptEnds(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, nil)
		for range 20 {
			c := s.dial()
			c.subscribe("orders")
			if tcp, ok := c.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = c.NetConn().Close()
		}
		s.publish("orders", `"x"`)
		s.waitSockets(0)
	})
}

// Closing from the server reaches a client that does not read or answer, within
// a bound.
func TestCloseOfADeadPeer(t *testing.T) {
	s := newServer(t, false, nil)
	s.dial()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	start := time.Now()
	s.hub.Drain(ctx)
	s.waitSockets(0)
	if took := time.Since(start); took > closeGrace+3*time.Second {
		t.Errorf("took %v", took)
	}
}

// Joined bursts arrive complete and in order over a socket that is sometimes full.
func TestBurstOrder(t *testing.T) {
	modes(t, func(t *testing.T, secure bool) {
		s := newServer(t, secure, func(_ *storage.App, s *realtime.Settings) { s.Socket.MaxMessages, s.Socket.MaxBytes = 0, 64<<20 })
		c := s.dial()
		c.subscribe("orders")
		const total = 20000
		go func() {
			for i := range total {
				s.publish("orders", fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", i%700)))
			}
		}()
		for i := range total {
			if got := c.read(); !strings.HasPrefix(got, fmt.Sprintf(`{"event":"e","channel":"orders","data":"%d `, i)) {
				t.Fatalf("message %d: %.80s", i, got)
			}
		}
	})
}
