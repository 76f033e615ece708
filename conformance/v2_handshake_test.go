package conformance

import (
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
)

// Checklist: protocol 3, 10, 11, 12, 14, 27, 28
func TestV2Welcome(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.dial(s.dialect, "&client=conformance&version=1.0&flash=false&x=1")
		p.expect(`{"event":"sockudo:connection_established","data":"{\"socket_id\":\"…\",\"activity_timeout\":120}","message_id":"…"}`)
		if a, b := s.peer(), s.peer(); a.id == b.id {
			s.Errorf("two connections with the socket id %s", a.id)
		}
	})
}

// Checklist: protocol 6, 7, 8, 9
func TestV2EncodingsByName(t *testing.T) {
	s := needV2(t)
	for query, d := range map[string]dialect{
		"protocol=2":                                             inJSON,
		"protocol=2&format=":                                     inJSON,
		"protocol=2&format=json":                                 inJSON,
		"protocol=2&format=JSON":                                 inJSON,
		"protocol=2&format=%20json%20":                           inJSON,
		"protocol=2&format=msgpack":                              messagePack,
		"protocol=2&format=MessagePack":                          messagePack,
		"protocol=2&format=protobuf":                             protobuf,
		"protocol=2&format=%20PROTO":                             protobuf,
		"protocol=2&append_mode=full":                            inJSON,
		"protocol=2&append_mode=delta&append_rollup_window=40":   inJSON,
		"protocol=2&append_mode=":                                inJSON,
		"protocol=7&format=msgpack":                              inV1,
		"protocol=7&format=xml&append_mode=foo":                  inV1,
		"protocol=3&append_rollup_window=30&echo_messages=false": inV1,
	} {
		t.Run(query, func(t *testing.T) {
			d.query = query
			inDialect(t, s, d).peer()
		})
	}
}

// Checklist: protocol 4, 5, 7, 8
func TestV2RefusedHandshakes(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	for _, query := range []string{
		"protocol=2&format=xml", "protocol=2&append_mode=foo", "protocol=2&append_rollup_window=30",
		"protocol=2&append_rollup_window=x", "protocol=2&echo_messages=yes", "protocol=7&echo_messages=1",
		"protocol=256", "protocol=-1", "protocol=abc", "protocol=",
	} {
		conn, res, err := s.handshake(query, nil)
		if err == nil {
			conn.Close()
			t.Errorf("%s is accepted", query)
			continue
		}
		if res == nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v, %v", query, err, res)
		}
	}
}

// What is refused after the upgrade is told in the version and in the encoding of the
// connection, once.
//
// Checklist: protocol 15, 16, 17, 19, 20, 25, 29, 50
func TestV2RefusedConnections(t *testing.T) {
	inEncodings(t, func(s *stage) {
		for _, c := range []struct {
			app    app
			header http.Header
			code   int
			reason string
		}{
			{app{Key: "nobody"}, nil, 4001, "Application does not exist"},
			{bannedApp, nil, 4003, "Application is disabled"},
			{guardedApp, nil, 4009, "Origin not allowed"},
			{guardedApp, http.Header{"Origin": {"https://elsewhere.example.com"}}, 4009, "Origin not allowed"},
		} {
			s.app = c.app
			p := s.dialFrom(s.dialect, "", c.header)
			p.expect(`{"event":"sockudo:error","data":{"code":` + compact(c.code) + `,"message":` + compact(c.reason) + `},"message_id":"…"}`)
			if code, reason := p.ended(); code != c.code || reason != c.reason {
				s.Errorf("closed with %d %q, want %d %q", code, reason, c.code, c.reason)
			}
		}
	})
	s := inDialect(t, needV2(t), inJSON)
	s.app = fullApp
	s.peer()
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		p := s.dial(d, "")
		p.refused(4004, "")
		if code, _ := p.ended(); code != 4004 {
			t.Errorf("closed with %d", code)
		}
	}
	s.app = guardedApp
	p := s.dialFrom(inJSON, "", http.Header{"Origin": {allowedOrigin}})
	p.event("sockudo:connection_established")
	if p.opcode != websocket.TextMessage {
		t.Error("not JSON")
	}
}

// Checklist: protocol 35, 51, 53, 54, 56
func TestV2Prefixes(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		p, old := s.peer(), s.old()
		for _, prefix := range []string{"pusher:", "sockudo:", "pusher_internal:", "sockudo_internal:"} {
			p.send(prefix+"ping", "", map[string]any{})
			p.expect(`{"event":"sockudo:pong"}`)
			p.send(prefix+"subscribe", "", map[string]any{"channel": orders, "auth": ""})
			p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{}","message_id":"…","stream_id":"…","serial":0}`)
			p.send(prefix+"subscribe", "", compact(map[string]any{"channel": orders}))
			p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{}","message_id":"…","stream_id":"…","serial":0}`)
			old.send(prefix+"ping", "", map[string]any{})
			old.expect(`{"event":"pusher:pong"}`)
			old.send(prefix+"subscribe", "", map[string]any{"channel": orders})
			old.expect(`{"event":"pusher_internal:subscription_succeeded","channel":"orders","data":"{}"}`)
		}
	})
}

// Checklist: protocol 31, 44, 45, 46, 50
func TestV2MessagesThatCannotBeRead(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.peer()
		good, err := p.encode(request{Event: "sockudo:ping", Data: map[string]any{}})
		if err != nil {
			s.Fatal(err)
		}
		p.write(p.opcode, append(good, 'x'))
		p.refused(4000, "", "Invalid message format: ")
		p.write(p.opcode, good[:len(good)-1])
		p.refused(4000, "", "Invalid message format: ")
		p.ask(request{Event: "", Channel: "orders"})
		p.refused(4000, "", "Event name is required")
		p.send("foo", "", "bar")
		p.send("sockudo:foo", "", nil)
		p.send("sockudo:ping", "", nil)
		p.expect(`{"event":"sockudo:pong"}`)
	})
}
