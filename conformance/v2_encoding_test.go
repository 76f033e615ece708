package conformance

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// The bytes of the specification's examples, both ways.
//
// Checklist: protocol 27, 28, 30, 35
func TestV2ExampleBytes(t *testing.T) {
	s := needV2(t)
	const pong = "736f636b75646f3a706f6e67"
	for _, c := range []struct {
		dialect         dialect
		subscribe, pong string
	}{
		{
			messagePack,
			"9fb1736f636b75646f3a737562736372696265c092a46a736f6eb47b226368616e6e656c223a226f7264657273227d" + strings.Repeat("c0", 12),
			"9fac" + pong + strings.Repeat("c0", 14),
		},
		{protobuf, "0a11736f636b75646f3a7375627363726962651a161a147b226368616e6e656c223a226f7264657273227d", "0a0c" + pong},
	} {
		t.Run(c.dialect.name, func(t *testing.T) {
			s := inDialect(t, s, c.dialect)
			p := s.peer()
			example, err := hex.DecodeString(c.subscribe)
			if err != nil {
				t.Fatal(err)
			}
			p.write(websocket.BinaryMessage, example)
			if e := p.event("sockudo_internal:subscription_succeeded"); e.Channel != "orders" || string(e.Data) != `"{}"` {
				t.Errorf("%+v", e)
			}
			p.send("sockudo:ping", "", nil)
			if e := p.event("sockudo:pong"); hex.EncodeToString(e.raw) != c.pong {
				t.Errorf("pong is %x, want %s", e.raw, c.pong)
			}
		})
	}
}

// Checklist: protocol 30
func TestV2MessagePackMaps(t *testing.T) {
	d := messagePack
	d.encode = encodeMessagePackMap
	s := inDialect(t, needV2(t), d)
	orders := s.own("orders")
	p := s.peer()
	p.join(orders)
	s.tell(orders, "n", "1")
	p.event("n")
}

// A browser has no say in the opcode of what it sends, so either will do.
//
// Checklist: protocol 32
func TestV2OtherOpcode(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.peer()
		payload, err := p.encode(request{Event: "sockudo:subscribe", Data: map[string]any{"channel": s.own("orders")}})
		if err != nil {
			s.Fatal(err)
		}
		p.write(websocket.TextMessage+websocket.BinaryMessage-p.opcode, payload)
		p.event("sockudo_internal:subscription_succeeded")
	})
}

// Data arrives as it was sent, in every encoding, in V2 and in V1.
//
// Checklist: protocol 33, 54, 106, 107, 108, 143, 144, 145, 211
func TestV2DataKinds(t *testing.T) {
	inEncodings(t, func(s *stage) {
		room := s.own("private-room")
		old, sender := s.old(), s.peer()
		everybody := []*peer{sender, s.client(inJSON, ""), s.client(messagePack, ""), s.client(protobuf, "")}
		old.join(room)
		for _, p := range everybody {
			p.join(room)
		}
		serial := 0
		for _, c := range []struct {
			sent any
			want string
		}{
			{"hello", `"hello"`},
			{"42", `"42"`},
			{"", `""`},
			{"quo\"te, line\n, é, <&>", `"quo\"te, line\n, é, <&>"`},
			{map[string]any{"on": true}, `{"on":true}`},
			{map[string]any{"channel": "other", "x": 1}, `{"channel":"other","x":1}`},
			{[]any{1, "2", nil}, `[1,"2",null]`},
			{7, `7`},
			{false, `false`},
			{nil, `null`},
			{[]byte{0, 1, 255}, `[0,1,255]`},
			{structured{Channel: "c", ChannelData: "d", UserData: "u", Extra: map[string]string{"n": `{"x":1}`}}, `{"channel":"c","channel_data":"d","n":{"x":1},"user_data":"u"}`},
		} {
			switch c.sent.(type) {
			case []byte, structured:
				if sender.opcode == websocket.TextMessage {
					continue
				}
			}
			serial++
			sender.send("client-say", room, c.sent)
			for _, p := range everybody {
				p.expect(`{"event":"client-say","channel":"private-room","data":` + c.want + `,"message_id":"…","stream_id":"…","serial":` + compact(serial) + `}`)
			}
			old.expect(`{"event":"client-say","channel":"private-room","data":` + c.want + `}`)
		}
		old.send("client-reply", room, map[string]any{"a": 1})
		serial++
		for _, p := range everybody {
			p.expect(`{"event":"client-reply","channel":"private-room","data":{"a":1},"message_id":"…","stream_id":"…","serial":` + compact(serial) + `}`)
		}
		old.quiet(room)
	})
}

// Checklist: protocol 30, 89
func TestV2StructuredSubscribe(t *testing.T) {
	inEncodings(t, func(s *stage) {
		if s.dialect.opcode == websocket.TextMessage {
			return
		}
		lobby, member := s.own("presence-lobby"), `{"user_id":"u1"}`
		p := s.peer()
		auth := s.app.Key + ":" + sign(s.app.Secret, p.id+":"+lobby+":"+member)
		p.send("sockudo:subscribe", "", structured{ChannelData: member, Channel: lobby, Extra: map[string]string{"auth": compact(auth)}})
		p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":{}},\"count\":1}}","message_id":"…","stream_id":"…","serial":0}`)
	})
}

// The members of an event that only V2 knows, in each encoding; V1 has the bytes that
// it always had.
//
// Checklist: protocol 33, 34, 143, 144, 145, 146
// Checklist: http-api 52, 54
func TestV2EventMembers(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders, more := s.own("orders"), s.own("more")
		p, old := s.peer(), s.old()
		p.join(orders)
		p.join(more)
		old.join(orders)
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":7}","message_id":"mine","idempotency_key":"` + orders + `",` +
			`"tags":{"z":"last","region":"eu"},"extras":{"headers":{"retry":0,"tenant":"acme","urgent":true,"zeta":-1.5},"push":{"x":1},"idempotencyKey":"k2"}}`)
		p.expect(`{"event":"order.created","channel":"orders","data":"{\"id\":7}","tags":{"region":"eu","z":"last"},"message_id":"mine",` +
			`"stream_id":"…","serial":1,"extras":{"headers":{"retry":0,"tenant":"acme","urgent":true,"zeta":-1.5}}}`)
		old.expect(`{"event":"order.created","channel":"orders","data":"{\"id\":7}"}`)

		s.publish(`{"name":"n","channel":"` + orders + `","data":"x","extras":{"ephemeral":true,"echo":false,"ai":{"transport":{"run-id":"r1"},"codec":{"messageId":"m1"}}}}`)
		p.expect(`{"event":"n","channel":"orders","data":"x","message_id":"…","extras":{"ephemeral":true,"echo":false,"ai":{"transport":{"run-id":"r1"},"codec":{"messageId":"m1"}}}}`)
		old.expect(`{"event":"n","channel":"orders","data":"x"}`)

		s.publish(`{"name":"n","channels":["` + orders + `","` + more + `"],"data":{"a":  1},"message_id":"twice"}`)
		p.expect(
			`{"event":"n","channel":"orders","data":"{\"a\":1}","message_id":"twice","stream_id":"…","serial":2}`,
			`{"event":"n","channel":"more","data":"{\"a\":1}","message_id":"…","stream_id":"…","serial":1}`,
		)
		s.publish(`{"name":"n","channel":"` + orders + `","tags":{},"extras":{"headers":{}}}`)
		p.expect(`{"event":"n","channel":"orders","data":"null","message_id":"…","stream_id":"…","serial":3}`)
		s.publish(`{"name":"n","channel":"` + orders + `","data":"not for one","socket_id":"` + p.id + `"}`)
		p.quiet(orders)
	})
}

// What is not known stays in JSON, where it is at home.
func TestV2UnknownExtras(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	orders := s.own("orders")
	p, packed := s.peer(), s.client(messagePack, "")
	p.join(orders)
	packed.join(orders)
	s.publish(`{"name":"n","channel":"` + orders + `","data":"x","extras":{"other":[1, 2],"headers":{}}}`)
	p.expect(`{"event":"n","channel":"orders","data":"x","message_id":"…","stream_id":"…","serial":1,"extras":{"other":[1, 2]}}`)
	packed.expect(`{"event":"n","channel":"orders","data":"x","message_id":"…","stream_id":"…","serial":1}`)
}

// Headers of the server are its own: nobody else can make them up.
//
// Checklist: http-api 55
func TestV2HeadersOfTheServer(t *testing.T) {
	s := inDialect(t, needV2(t), inJSON)
	orders := s.own("orders")
	p := s.peer()
	p.join(orders)
	status, answer, err := newPublisher(s.server).post(s.app, "/events", []byte(`{"name":"n","channel":"`+orders+`","data":"x","extras":{"headers":{"sockudo_action":"message.create"}}}`))
	if err != nil || status != http.StatusBadRequest || !strings.Contains(answer, "sockudo_action") {
		t.Errorf("%d %s %v", status, answer, err)
	}
	p.quiet(orders)
}

// The lengths at which frames and texts are written in another way.
//
// Checklist: protocol 33
func TestV2DataOfEverySize(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		p := s.peer()
		p.join(orders)
		for _, size := range []int{0, 1, 31, 32, 125, 126, 127, 128, 255, 256, 16383, 16384, 65535, 65536, 100 << 10} {
			data := strings.Repeat("é"[:1+size%2]+"x", size)[:size]
			data = strings.ToValidUTF8(data, "?")
			s.tell(orders, "n", data)
			if e := p.event("n"); e.inner(s) != data {
				s.Errorf("%d bytes arrive as %d", size, len(e.inner(s)))
			}
		}
	})
}

// Checklist: protocol 43
func TestV2MessageSize(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p := s.peer()
		p.send("sockudo:ping", "", strings.Repeat("x", 60<<10))
		p.expect(`{"event":"sockudo:pong"}`)
		p.send("sockudo:ping", "", strings.Repeat("x", 64<<10))
		if code, _ := p.ended(); code != websocket.CloseMessageTooBig {
			s.Errorf("closed with %d", code)
		}
	})
}
