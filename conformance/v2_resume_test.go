package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// position is where a client has got to on a channel.
type position struct {
	StreamID      string `json:"stream_id"`
	Serial        uint64 `json:"serial"`
	LastMessageID string `json:"last_message_id,omitempty"`
}

// at is the position that a message leaves a client in.
func (e envelope) at() position { return position{e.StreamID, *e.Serial, e.MessageID} }

// resume asks for what was missed since positions on channels.
func (p *peer) resume(positions map[string]position) {
	p.stage.Helper()
	p.send("sockudo:resume", "", map[string]any{"channel_positions": positions})
}

// answered takes the end of a resume, which says what has become of each channel.
func (p *peer) answered() (a resumed) {
	p.stage.Helper()
	unmarshal(p.stage, []byte(p.event("sockudo:resume_success").inner(p.stage)), &a)
	return a
}

// resumed is the answer to a resume.
type resumed struct {
	Recovered []struct {
		Channel, Source string
		Replayed        int
		Position        position
	}
	Failed []struct{ Channel, Code, Reason string }
}

// Checklist: protocol 29, 54, 143, 145, 146, 147, 148, 149
func TestV2Resume(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		p, witness, old := s.peer(), s.peer(), s.old()
		for _, q := range []*peer{p, witness, old} {
			q.join(orders)
		}
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":1}","message_id":"mine"}`)
		last := p.event("order.created").at()
		p.drop()
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":2}","tags":{"a":"b"},"extras":{"headers":{"n":1}},"idempotency_key":"` + orders + `"}`)
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":\"lost\"}","extras":{"ephemeral":true}}`)
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":3}","delta":false}`)
		s.publish(`{"name":"order.created","channel":"` + orders + `","data":"{\"id\":4}"}`)
		var live []string
		for range 5 {
			if e := witness.event("order.created"); !strings.Contains(e.text, "lost") {
				live = append(live, e.text)
			}
			old.event("order.created")
		}
		p = s.peer()
		p.send("sockudo:subscribe", "", p.wish(orders, "", ""))
		p.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{}","message_id":"…","stream_id":"…","serial":4}`)
		p.resume(map[string]position{orders: last})
		for i := range 3 {
			if e := p.event("order.created"); e.text != live[i+1] {
				s.Errorf("replayed %s\nlive     %s", e.text, live[i+1])
			}
		}
		p.expect(`{"event":"sockudo:resume_success","data":"{\"recovered\":[{\"channel\":\"orders\",\"source\":\"hot\",\"replayed\":3,` +
			`\"position\":{\"stream_id\":\"…\",\"serial\":4,\"last_message_id\":\"…\"}}],\"failed\":[]}","message_id":"…"}`)
		s.tell(orders, "n", "5")
		last = p.event("n").at()
		// What has come live is not sent again.
		p.resume(map[string]position{orders: {last.StreamID, 4, ""}})
		if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Replayed != 0 || a.Recovered[0].Position.Serial != 5 {
			s.Errorf("%+v", a)
		}
		p = s.peer()
		p.join(orders)
		p.send("sockudo:resume", "", compact(map[string]any{"channel_positions": map[string]position{orders: last}}))
		p.expect(`{"event":"sockudo:resume_success","data":"{\"recovered\":[{\"channel\":\"orders\",\"source\":\"hot\",\"replayed\":0,` +
			`\"position\":{\"stream_id\":\"…\",\"serial\":5,\"last_message_id\":\"…\"}}],\"failed\":[]}","message_id":"…"}`)
		p = s.peer()
		p.join(orders)
		p.send("sockudo:resume", "", map[string]any{"channel_serials": map[string]int{orders: 3}})
		p.event("order.created")
		p.event("n")
		if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Replayed != 2 {
			s.Errorf("%+v", a)
		}
		old.event("n")
		old.quiet(orders)
	})
}

// Checklist: protocol 150, 151, 153
func TestV2ResumeThatFails(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders, chat := s.own("orders"), s.own("chat")
		p, witness := s.peer(), s.peer()
		orderStart, chatStart := witness.join(orders).at(), witness.join(chat).at()
		for range window + 1 {
			s.tell(orders, "n", "1")
			witness.event("n")
		}
		p.join(orders)
		p.join(chat)
		const other = "00000000-0000-4000-8000-000000000000"
		p.resume(map[string]position{orders: orderStart, chat: {other, 0, ""}})
		p.expect(
			`{"event":"sockudo:resume_failed","channel":"chat","data":"{\"channel\":\"chat\",\"code\":\"stream_reset\",\"reason\":\"stream_id_mismatch\",`+
				`\"expected_stream_id\":\"…\",\"current_stream_id\":\"…\",\"oldest_available_serial\":null,\"newest_available_serial\":0}","message_id":"…"}`,
			`{"event":"sockudo:resume_failed","channel":"orders","data":"{\"channel\":\"orders\",\"code\":\"position_expired\",\"reason\":\"recovery_window_exceeded\",`+
				`\"expected_stream_id\":\"…\",\"current_stream_id\":\"…\",\"oldest_available_serial\":2,\"newest_available_serial\":21}","message_id":"…"}`,
			`{"event":"sockudo:resume_success","data":"{\"recovered\":[],\"failed\":[{\"channel\":\"chat\",\"code\":\"stream_reset\",\"reason\":\"stream_id_mismatch\",`+
				`\"expected_stream_id\":\"…\",\"current_stream_id\":\"…\",\"oldest_available_serial\":null,\"newest_available_serial\":0},`+
				`{\"channel\":\"orders\",\"code\":\"position_expired\",\"reason\":\"recovery_window_exceeded\",`+
				`\"expected_stream_id\":\"…\",\"current_stream_id\":\"…\",\"oldest_available_serial\":2,\"newest_available_serial\":21}]}","message_id":"…"}`,
		)
		p.resume(map[string]position{orders: {orderStart.StreamID, window + 2, ""}, chat: chatStart})
		if e := p.event("sockudo:resume_failed"); !strings.Contains(e.text, "continuity_unverifiable") {
			s.Error(e.text)
		}
		if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Channel != chat || len(a.Failed) != 1 || a.Failed[0].Channel != orders {
			s.Errorf("%+v", a)
		}
		p = s.peer()
		p.join(orders)
		p.resume(map[string]position{orders: {orderStart.StreamID, 1, ""}})
		for range window {
			p.event("n")
		}
		p.answered()
	})
}

// Checklist: protocol 154, 156
func TestV2ResumeRefusals(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		p, old := s.peer(), s.old()
		start := p.join(orders).at()
		old.join(orders)
		for _, data := range []any{map[string]any{}, map[string]any{"channel_positions": map[string]any{}}, "{}"} {
			p.send("sockudo:resume", "", data)
			p.refused(4302, "", "No channel recovery positions provided")
		}
		for _, data := range []any{nil, 7, "x", map[string]any{"channel_positions": 7}, map[string]any{"channel_positions": map[string]any{orders: "x"}}} {
			p.send("sockudo:resume", "", data)
			if e := p.event("sockudo:error"); !strings.Contains(e.text, `"code":4000`) && !(data == nil && strings.Contains(e.text, `"code":4302`)) {
				s.Errorf("%v: %s", data, e.text)
			}
		}
		s.tell(orders, "n", "1")
		p.event("n")
		old.event("n")
		old.resume(map[string]position{orders: start})
		old.refused(4000, "", "Protocol error: ")
		old.quiet(orders)
		s.app = silentApp
		p = s.peer()
		if e := p.join(orders); e.StreamID != "" || e.Serial != nil {
			s.Errorf("a position without recovery: %s", e.text)
		}
		p.resume(map[string]position{orders: start})
		p.refused(4301, "", "Connection recovery is not enabled")
	})
}

// A position waits for a subscription that is still being authorized, and one for a
// channel that is never subscribed brings nothing.
//
// Checklist: protocol 156
func TestV2ResumeBeforeSubscribing(t *testing.T) {
	inEncodings(t, func(s *stage) {
		room, other, here := s.own("private-room"), s.own("private-other"), s.own("here")
		p, witness := s.peer(), s.peer()
		start := p.join(room).at()
		foreign := witness.join(other).at()
		p.drop()
		s.tell(room, "n", "1")
		s.tell(other, "secret", "2")
		p = s.peer()
		hereStart := p.join(here).at()
		p.resume(map[string]position{room: start, other: foreign, here: hereStart})
		if a := p.answered(); len(a.Recovered) != 1 || len(a.Failed) != 0 || a.Recovered[0].Channel != here {
			s.Errorf("%+v", a)
		}
		p.quiet(here)
		p.join(room)
		p.expect(`{"event":"n","channel":"private-room","data":"1","message_id":"…","stream_id":"…","serial":1}`)
		if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Channel != room || a.Recovered[0].Replayed != 1 {
			s.Errorf("%+v", a)
		}
		p.resume(map[string]position{other: foreign})
		p.answered()
		p.send("sockudo:subscribe", "", map[string]any{"channel": other, "auth": "x:y"})
		p.refused(4009, other)
		p.quiet(here)
	})
}

// What a client missed of presence, of its user and through a pattern comes too. A
// repeated subscription to a presence channel, with which clients follow a failed
// resume, is answered.
//
// Checklist: protocol 72, 148
func TestV2ResumeOfManyKinds(t *testing.T) {
	inEncodings(t, func(s *stage) {
		lobby, eu, user := s.own("presence-lobby"), s.own("orders")+".eu", s.own("u1")
		mine, pattern := "#server-to-user-"+user, s.own("orders")+".*"
		connect := func() *peer {
			s.Helper()
			p := s.peer()
			p.signin(user, "")
			p.join(pattern)
			return p
		}
		p := connect()
		s.tell(eu, "n", "0")
		positions := map[string]position{eu: p.event("n").at()}
		positions[lobby] = p.joinAs(lobby, `{"user_id":"u1"}`).at()
		positions[mine] = p.join(mine).at()
		p.drop()
		s.tell(eu, "n", "1")
		s.tell(lobby, "n", "2")
		s.tell(mine, "n", "3")
		p = connect()
		p.joinAs(lobby, `{"user_id":"u1"}`)
		p.join(mine)
		p.resume(positions)
		var data []string
		for range 3 {
			data = append(data, p.event("n").inner(s))
		}
		slices.Sort(data)
		if a := p.answered(); !slices.Equal(data, []string{"1", "2", "3"}) || len(a.Recovered) != 3 {
			s.Errorf("%v %+v", data, a)
		}
		p.joinAs(lobby, `{"user_id":"u1"}`)
	})
}

// Checklist: protocol 157
func TestV2ResumeWithFilters(t *testing.T) {
	inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		p := s.peer()
		const filter = `"filter":{"events":["a"],"tags":{"key":"region","cmp":"eq","val":"eu"}}`
		start := p.joinWith(orders, "", filter).at()
		p.drop()
		for i, e := range []string{`"name":"a","tags":{"region":"us"}`, `"name":"a","tags":{"region":"eu"}`, `"name":"b","tags":{"region":"eu"}`} {
			s.publish(`{"channel":"` + orders + `","data":"` + compact(i) + `",` + e + `}`)
		}
		p = s.peer()
		p.joinWith(orders, "", filter)
		p.resume(map[string]position{orders: start})
		p.expect(
			`{"event":"a","channel":"orders","data":"1","tags":{"region":"eu"},"message_id":"…","stream_id":"…","serial":2}`,
			`{"event":"sockudo:resume_success","data":"{\"recovered\":[{\"channel\":\"orders\",\"source\":\"hot\",\"replayed\":1,`+
				`\"position\":{\"stream_id\":\"…\",\"serial\":3,\"last_message_id\":\"…\"}}],\"failed\":[]}","message_id":"…"}`,
		)
	})
}

// What is older than the buffer keeps it is gone, and the client is told.
//
// Checklist: protocol 150, 151
func TestV2ResumeTooLate(t *testing.T) {
	inEncodings(t, func(s *stage) {
		s.app = forgetfulApp
		orders := s.own("orders")
		witness, p := s.peer(), s.peer()
		witness.join(orders)
		start := p.join(orders).at()
		p.drop()
		s.tell(orders, "n", "1")
		witness.event("n")
		gone := time.Now().Add(1100 * time.Millisecond) // the buffer keeps it for one second
		time.Sleep(time.Until(gone))
		p = s.peer()
		p.join(orders)
		p.resume(map[string]position{orders: start})
		p.expect(`{"event":"sockudo:resume_failed","channel":"orders","data":"{\"channel\":\"orders\",\"code\":\"position_expired\",` +
			`\"reason\":\"hot_replay_expired_and_durable_history_disabled\",\"expected_stream_id\":\"…\",\"current_stream_id\":\"…\",` +
			`\"oldest_available_serial\":null,\"newest_available_serial\":1}","message_id":"…"}`)
		p.answered()
	})
}

// What is missed may be more than a connection can be sent at once: then it is told,
// and stays connected.
//
// Checklist: protocol 151
func TestV2ResumeOfTooMuch(t *testing.T) {
	inEncodings(t, func(s *stage) {
		p, start := s.peer(), map[string]position{}
		for _, name := range []string{"a", "b", "c", "d"} {
			channel := s.own(name)
			start[channel] = p.join(channel).at()
		}
		p.drop()
		for channel := range start {
			for range 6 {
				s.tell(channel, "n", strings.Repeat("x", 64<<10))
			}
		}
		p = s.peer()
		for channel := range start {
			p.join(channel)
		}
		p.resume(start)
		replayed := 0
		for {
			e := p.next()
			if e.Event == "n" {
				replayed++
			}
			if e.Event == "sockudo:resume_success" {
				var a resumed
				unmarshal(s, []byte(e.inner(s)), &a)
				if len(a.Recovered) != 2 || len(a.Failed) != 2 || replayed != 12 || a.Failed[0].Reason != "recovery_window_exceeded" {
					s.Errorf("%d replayed: %+v", replayed, a)
				}
				break
			}
		}
		p.pong()
	})
}
