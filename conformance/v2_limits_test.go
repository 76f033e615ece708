package conformance

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Checklist: protocol 25, 29, 47, 48, 115
func TestV2RateLimits(t *testing.T) {
	inEncodings(t, func(s *stage) {
		room := s.own("private-room")
		s.app = limitedApp
		p := s.peer()
		p.join(room)
		for range 4 {
			p.pong()
		}
		p.send("client-x", room, nil)
		p.refused(4301, "", "Client event rejected due to rate limit")
		p.send("sockudo:ping", "", nil)
		p.refused(4301, "")
		s.tell(room, "n", "1")
		p.event("n")

		s.app = strictApp
		p = s.peer()
		p.join(room)
		for range 2 {
			p.send("client-x", room, nil)
			p.event("client-x")
		}
		p.send("client-x", room, nil)
		p.refused(4301, "", "Client event rejected due to rate limit")
		p.pong()
		p.send("sockudo:ping", "", nil)
		p.expect(`{"event":"sockudo:error","data":{"code":4301,"message":"Connection closed due to client event rate limit"},"message_id":"…"}`)
		if code, reason := p.ended(); code != 4301 || reason != "Connection closed due to client event rate limit" {
			s.Errorf("closed with %d %q", code, reason)
		}
	})
}

// A client that does not read is closed, told why in its encoding, and costs nobody
// else anything. What it had not been sent before is what it can ask for afterwards:
// there is no gap in what it got.
//
// Checklist: protocol 29, 49
func TestV2SlowReader(t *testing.T) {
	inEncodings(t, func(s *stage) {
		s.app = patientApp
		flood := s.own("flood")
		conn, _, err := s.handshake(s.dialect.query, nil)
		if err != nil {
			s.Fatal(err)
		}
		defer conn.Close()
		wish, err := s.dialect.encode(request{Event: "sockudo:subscribe", Data: map[string]string{"channel": flood}})
		if err != nil {
			s.Fatal(err)
		}
		if err := conn.WriteMessage(s.dialect.opcode, wish); err != nil {
			s.Fatal(err)
		}
		witness := s.peer()
		witness.join(flood)
		const published = 120 // all of it while the server still waits for the client
		body := strings.Repeat("x", 64<<10)
		for n := range published {
			s.tell(flood, "n", body)
			if e := witness.event("n"); *e.Serial != uint64(n+1) {
				s.Fatalf("serial %d", *e.Serial)
			}
		}
		var last uint64
		for heard := 0; ; heard++ {
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				s.Fatal(err)
			}
			opcode, payload, err := conn.ReadMessage()
			if closed, ok := err.(*websocket.CloseError); ok { //nolint:errorlint // as gorilla returns it
				if closed.Code != 4100 || heard < 3 || last >= published {
					s.Errorf("closed with %d after %d messages, the last with serial %d", closed.Code, heard, last)
				}
				return
			}
			if err != nil {
				s.Fatalf("after serial %d: %v", last, err)
			}
			e, err := s.dialect.decode(payload)
			switch {
			case err != nil || opcode != s.dialect.opcode:
				s.Fatalf("%v: opcode %d", err, opcode)
			case e.Event == "n" && *e.Serial != last+1:
				s.Fatalf("serial %d after %d", *e.Serial, last)
			case e.Event == "n":
				last++
			case e.Event == "sockudo:error" && !strings.Contains(string(e.Data), `"code":4100`):
				s.Errorf("%s", e.text)
			}
		}
	})
}

// With the default settings there are no positions, and every event has an id.
//
// Checklist: protocol 144, 147, 154
func TestV2WithoutRecovery(t *testing.T) {
	shared := needOurs(t)
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		t.Run(d.name, func(t *testing.T) {
			s := inDialect(t, shared, d)
			s.app = openApp
			orders, lobby := s.own("orders"), s.own("presence-lobby")
			p := s.peer()
			p.send("sockudo:subscribe", "", p.wish(orders, "", ""))
			p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{}","message_id":"…"}`)
			s.tell(orders, "n", "1")
			p.expect(`{"event":"n","channel":"orders","data":"1","message_id":"…"}`)
			s.publish(`{"name":"n","channel":"` + orders + `","data":"1","message_id":"mine"}`)
			p.expect(`{"event":"n","channel":"orders","data":"1","message_id":"mine"}`)
			p.joinAs(lobby, `{"user_id":"u1"}`)
			p.send("client-x", lobby, nil)
			p.expect(`{"event":"client-x","channel":"presence-lobby","data":null,"user_id":"u1","message_id":"…"}`)
			p.resume(map[string]position{orders: {"x", 1, ""}})
			p.refused(4301, "", "Connection recovery is not enabled")
		})
	}
}

// The server asks a silent client of V2 with a control frame, never with an event.
// What shortens its patience is loaded while clients are connected, and counts for
// them.
//
// Checklist: protocol 39, 40, 42
func TestV2Heartbeat(t *testing.T) {
	server := needV2(t)
	s := inDialect(t, server, inJSON)
	t.Cleanup(func() { reload(s, 0) })
	load := func(words string) {
		t.Helper()
		conf := server.conf
		conf.Extra += words
		if status, answer := server.load(t, conf); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	asked := s.peer()
	load("activity_timeout 1s\nwebsocket {\nping_interval 1s\n}\n")
	pong := make(chan string, 1)
	asked.conn.SetPongHandler(func(payload string) error {
		pong <- payload
		return nil
	})
	if err := asked.conn.WriteControl(websocket.PingMessage, []byte("nonce"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-pong:
		if payload != "nonce" {
			t.Errorf("pong with %q", payload)
		}
	case <-time.After(patience):
		t.Fatal("no control pong")
	}
	// Half of the activity timeout, but five seconds at least.
	if _, err := asked.poll(5800 * time.Millisecond); err == nil {
		t.Error("an event")
	}
	asked.mu.Lock()
	pings := asked.pings
	asked.mu.Unlock()
	if len(pings) != 1 || len(pings[0]) != 8 {
		t.Errorf("control pings: %q", pings)
	}
	asked.pong()

	var idle []*peer
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		idle = append(idle, s.client(d, ""))
	}
	load("websocket {\nidle_timeout 1s\n}\n")
	for _, p := range append(idle, asked) {
		if code, reason := p.ended(); code != websocket.CloseGoingAway || reason != "Connection idle timeout" {
			t.Errorf("%s: closed with %d %q", p.name, code, reason)
		}
	}
}

// Checklist: protocol 18, 24, 25, 29
func TestV2ShutdownAndCapacity(t *testing.T) {
	needV2(t)
	server, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.remove)
	server.conf.Extra = features + "max_connections 3\n"
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	s := inDialect(t, server, inJSON)
	dialects := []dialect{inJSON, messagePack, protobuf}
	var connected []*peer
	for _, d := range dialects {
		connected = append(connected, s.client(d, ""))
	}
	closed := func(p *peer, code int, reason string) {
		t.Helper()
		p.expect(`{"event":"sockudo:error","data":` + compact(json.RawMessage(`{"code":`+compact(code)+`,"message":"`+reason+`"}`)) + `,"message_id":"…"}`)
		if c, r := p.ended(); c != code || r != reason {
			t.Errorf("%s: closed with %d %q", p.name, c, r)
		}
	}
	for _, d := range dialects {
		closed(s.dial(d, ""), 4100, "Over capacity")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.stop() }()
	for _, p := range connected {
		closed(p, 4200, "Server shutting down")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
