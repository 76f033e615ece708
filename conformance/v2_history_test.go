package conformance

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// count publishes numbered events, from 1 on.
func (s *stage) count(channel string, to int) {
	s.Helper()
	for i := range to {
		s.tell(channel, "n", strconv.Itoa(i+1))
	}
}

// Checklist: protocol 143, 145, 146, 147
func TestV2PositionsWithHistory(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		room, lobby := s.own("private-room"), s.own("presence-lobby")
		p, old := s.peer(), s.old()
		p.send("sockudo:subscribe", "", p.wish(room, "", ""))
		first := p.next()
		if got := plain(first.text); got != `{"event":"sockudo_internal:subscription_succeeded","channel":"private-room","data":"{\"attach_serial\":0}","message_id":"…","stream_id":"…","serial":0}` {
			s.Error(got)
		}
		old.send("pusher:subscribe", "", old.wish(room, "", ""))
		old.expect(`{"event":"pusher_internal:subscription_succeeded","channel":"private-room","data":"{}"}`)
		s.tell(room, "n", "1")
		old.send("client-n", room, map[string]any{"n": 2})
		p.expect(`{"event":"n","channel":"private-room","data":"1","message_id":"…","stream_id":"…","serial":1}`)
		last := p.next()
		if last.Event != "client-n" || last.StreamID != first.StreamID || *last.Serial != 2 {
			s.Errorf("%s after %s", last.text, first.text)
		}
		s.publish(`{"name":"gone","channel":"` + room + `","data":"x","extras":{"ephemeral":true}}`)
		p.expect(`{"event":"gone","channel":"private-room","data":"x","message_id":"…","extras":{"ephemeral":true}}`)
		late := s.peer()
		late.send("sockudo:subscribe", "", late.wish(room, "", ""))
		late.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"private-room","data":"{\"attach_serial\":2}","message_id":"…","stream_id":"…","serial":2}`)
		late.send("sockudo:subscribe", "", late.wish(lobby, `{"user_id":"u1"}`, ""))
		late.expect(`{"event":"sockudo_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":{}},\"count\":1},\"attach_serial\":0}","message_id":"…","stream_id":"…","serial":0}`)
		o := s.get("/channels/" + room + "/history")
		o.is(s, "items.0.serial", "2", "items.1.serial", "1", "items.2.serial", "absent", "items.0.stream_id", first.StreamID, "items.0.message_id", last.MessageID)
	})
}

// rewound subscribes with a rewind, and takes all that comes until it is done.
func (p *peer) rewound(channel, rewind, more string) (past []envelope, done document) {
	p.stage.Helper()
	if more != "" {
		more = "," + more
	}
	p.joinWith(channel, "", `"rewind":`+rewind+more)
	for {
		e := p.next()
		if e.Event == "sockudo:rewind_complete" {
			unmarshal(p.stage, e.Data, &done)
			return past, done
		}
		past = append(past, e)
	}
}

// texts are the data of events.
func texts(s *stage, events []envelope) (all string) {
	s.Helper()
	for _, e := range events {
		all += e.inner(s) + " "
	}
	return strings.TrimSpace(all)
}

// Checklist: protocol 158, 159, 163
func TestV2Rewind(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders, many, short := s.own("orders"), s.own("many"), "short:"+s.own("orders")
		s.count(orders, 5)
		s.count(many, pageSize+2)
		s.count(short, 5)
		p := s.peer()
		p.send("sockudo:subscribe", "", p.wish(orders, "", `"rewind":2`))
		p.expect(
			`{"event":"sockudo_internal:subscription_succeeded","channel":"orders","data":"{\"attach_serial\":5}","message_id":"…","stream_id":"…","serial":5}`,
			`{"event":"n","channel":"orders","data":"4","message_id":"…","stream_id":"…","serial":4}`,
			`{"event":"n","channel":"orders","data":"5","message_id":"…","stream_id":"…","serial":5}`,
			`{"event":"sockudo:rewind_complete","channel":"orders","data":{"historical_count":2,"live_count":0,"complete":false,"truncated_by_retention":false,"truncated_by_limit":true},"message_id":"…"}`,
		)
		for _, c := range []struct{ channel, rewind, past, complete, retention, limit string }{
			{orders, `5`, "1 2 3 4 5", "true", "false", "false"},
			{orders, `99`, "1 2 3 4 5", "true", "false", "false"},
			{orders, `"2"`, "4 5", "false", "false", "true"},
			{orders, `{"count":1}`, "5", "false", "false", "true"},
			{orders, `{"seconds":60}`, "1 2 3 4 5", "true", "false", "false"},
			{orders, `{"duration_seconds":60}`, "1 2 3 4 5", "true", "false", "false"},
			{many, `99`, "3 4 5 6 7 8 9 10 11 12", "false", "false", "true"},
			{many, `{"seconds":60}`, "1 2 3 4 5 6 7 8 9 10", "false", "false", "true"},
			{short, `5`, "3 4 5", "false", "true", "false"},
			{short, `3`, "3 4 5", "true", "false", "false"},
			{short, `2`, "4 5", "false", "false", "true"},
			{s.own("unused"), `5`, "", "true", "false", "false"},
		} {
			past, done := s.peer().rewound(c.channel, c.rewind, "")
			if got := texts(s, past); got != c.past {
				s.Errorf("%s of %s: %s", c.rewind, c.channel, got)
			}
			done.is(s, "historical_count", strconv.Itoa(len(past)), "live_count", "0", "complete", c.complete, "truncated_by_retention", c.retention, "truncated_by_limit", c.limit)
		}
	})
}

// What was rewound is what was live.
//
// Checklist: protocol 158
func TestV2RewindAsItWas(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		witness := s.peer()
		witness.join(orders)
		s.publish(`{"name":"a","channel":"` + orders + `","data":{"n":1},"message_id":"mine","tags":{"region":"eu","z":"1"},"extras":{"headers":{"n":1,"t":"x"}}}`)
		s.publish(`{"name":"b","channel":"` + orders + `","data":"2","tags":{"region":"eu"}}`)
		s.publish(`{"name":"a","channel":"` + orders + `","data":"3","tags":{"region":"us"}}`)
		s.publish(`{"name":"a","channel":"` + orders + `","data":"4","tags":{"region":"eu"}}`)
		var live []string
		for range 4 {
			live = append(live, witness.next().text)
		}
		past, _ := s.peer().rewound(orders, "4", "")
		var again []string
		for _, e := range past {
			again = append(again, e.text)
		}
		if !slices.Equal(again, live) {
			s.Errorf("rewound\n%s\nlive\n%s", strings.Join(again, "\n"), strings.Join(live, "\n"))
		}
		filter := `"filter":{"events":["a"],"tags":{"key":"region","cmp":"eq","val":"eu"}}`
		past, done := s.peer().rewound(orders, "2", filter)
		if len(past) != 2 || past[0].text != live[0] || past[1].text != live[3] {
			s.Errorf("filtered: %v", past)
		}
		done.is(s, "historical_count", "2", "complete", "true")
		past, done = s.peer().rewound(orders, "1", filter)
		if len(past) != 1 || past[0].text != live[3] {
			s.Errorf("filtered: %v", past)
		}
		done.is(s, "truncated_by_limit", "true")
	})
}

// Checklist: protocol 159, 161, 162
// Checklist: http-api 118
func TestV2RewindRefused(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders, here := s.own("orders"), s.own("here")
		p, old := s.peer(), s.old()
		p.join(here)
		old.join(here)
		for _, wrong := range []string{`0`, `-1`, `"x"`, `{}`, `1.5`, `true`, `[1]`, `{"count":0}`, `{"seconds":"x"}`, `{"count":1,"seconds":1}`} {
			p.send("sockudo:subscribe", "", p.wish(orders, "", `"rewind":`+wrong))
			if e := p.event("sockudo:error"); !strings.Contains(e.text, `"code":4000`) {
				s.Errorf("%s: %s", wrong, e.text)
			}
		}
		for _, name := range []string{"still:" + orders, orders + "*", "[meta]" + orders} {
			p.send("sockudo:subscribe", "", p.wish(name, "", `"rewind":1`))
			p.refused(4300, name, "Channel error: ")
		}
		old.send("pusher:subscribe", "", old.wish(orders, "", `"rewind":1`))
		old.refused(4300, orders, "Channel error: Channel rewind is only supported on protocol V2")
		s.tell(orders, "n", "1")
		p.quiet(here)
		old.quiet2(here)
		none := s.bearer(s.token(s.own("u"), s.own("j"), time.Hour, map[string][]string{"*": {"subscribe"}}))
		none.send("sockudo:subscribe", "", none.wish(orders, "", `"rewind":1`))
		none.refused(4009, orders)
		s.app = oblivionApp
		p = s.peer()
		p.send("sockudo:subscribe", "", p.wish(orders, "", `"rewind":1`))
		p.refused(4300, orders, "Channel error: Channel rewind is disabled by policy for channel '"+orders+"'")
	})
}

// quiet2 proves that nothing but the mark of another client's quiet has come.
func (p *peer) quiet2(channel string) {
	p.stage.Helper()
	p.event("mark")
	p.quiet(channel)
}

// flow publishes numbered events, as fast as it can, until it is told to stop. Then it
// says how many there are.
func (s *stage) flow(channel string) (stop func() uint64) {
	ended, last := make(chan struct{}), make(chan uint64, 1)
	stop = sync.OnceValue(func() uint64 {
		close(ended)
		return <-last
	})
	s.Cleanup(func() { stop() })
	go func() {
		pub := newPublisher(s.server)
		for n := uint64(0); ; n++ {
			select {
			case <-ended:
				last <- n
				return
			default:
			}
			body := `{"name":"n","channel":"` + channel + `","data":"` + strconv.FormatUint(n+1, 10) + `"}`
			if status, answer, err := pub.post(s.app, "/events", []byte(body)); err != nil || status != http.StatusOK {
				s.Errorf("%d %s %v", status, answer, err)
				last <- n
				return
			}
		}
	}()
	return stop
}

// Events that are published while clients rewind come once, and none is missing.
//
// Checklist: protocol 160
// Checklist: http-api 117
func TestV2RewindWhileEventsCome(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		flow := s.flow(orders)
		live := 0
		var peers []*peer
		var next []uint64
		for try := 0; try < 10 || live == 0 && try < 200; try++ {
			p := s.peer()
			past, done := p.rewound(orders, "5", "")
			for i, e := range past {
				if *e.Serial != *past[0].Serial+uint64(i) || e.inner(s) != strconv.FormatUint(*e.Serial, 10) {
					s.Fatalf("%s at %d", e.text, i)
				}
			}
			historical, _ := strconv.Atoi(done.at("historical_count"))
			more, _ := strconv.Atoi(done.at("live_count"))
			if historical+more != len(past) {
				s.Fatalf("%d events and %s", len(past), compact(done))
			}
			live += more
			if len(past) > 0 {
				peers, next = append(peers, p), append(next, *past[len(past)-1].Serial+1)
			}
		}
		last := flow()
		for i, p := range peers {
			for n := next[i]; n <= last; n++ {
				if e := p.event("n"); *e.Serial != n {
					s.Fatalf("%s instead of %d", e.text, n)
				}
			}
		}
		if live == 0 {
			s.Errorf("nothing came live in %d rewinds: this shows nothing", len(peers))
		}
	})
}

// pages asks for a page of history, and takes the answer.
func (p *peer) pages(data any) (o document) {
	p.stage.Helper()
	p.send("sockudo:channel_history", "", data)
	e := p.event("sockudo:channel_history")
	unmarshal(p.stage, e.Data, &o)
	return o
}

// Checklist: protocol 164, 165, 166
// Checklist: http-api 108
func TestV2ChannelHistory(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders := s.own("orders")
		s.count(orders, 3)
		p := s.peer()
		p.join(orders)
		s.publish(`{"name":"n","channel":"` + orders + `","data":{"n":4},"tags":{"a":"b"},"extras":{"headers":{"h":1}},"message_id":"four"}`)
		fourth := p.event("n")
		s.tell(orders, "n", "5")
		p.event("n")
		for _, data := range []any{
			map[string]any{"channel": orders},
			compact(map[string]any{"channel": orders}),
			map[string]any{"params": map[string]any{"channel": orders}},
			map[string]any{"channel": orders, "params": map[string]any{"limit": 99}},
		} {
			o := p.pages(data)
			if got := o.all("items", "serial"); !slices.Equal(got, []string{"5", "4", "3", "2", "1"}) {
				s.Errorf("%v: %v", data, got)
			}
			o.is(s, "has_more", "false", "next_cursor", "null", "continuity.complete", "true", "continuity.retained_messages", "5", "continuity.stream_id", fourth.StreamID,
				"limit", strconv.Itoa(pageSize), "direction", "newest_first", "bounds.until_attach", "false", "bounds.attach_serial", "3", "items.1.event_name", "n",
				"items.1.operation_kind", "append", "items.1.message_id", "four", "stream_state.durable_state", "healthy")
			var live map[string]any
			unmarshal(s, json.RawMessage(fourth.text), &live)
			if got := o["items"].([]any)[1].(map[string]any)["message"]; !reflect.DeepEqual(got, any(live)) {
				s.Errorf("%v was %v", got, live)
			}
		}
		for _, word := range []string{"newest_first", "oldest_first"} {
			for _, until := range []bool{false, true} {
				data := map[string]any{"channel": orders, "limit": 2, "direction": word, "until_attach": until}
				var all []string
				for more := true; more; {
					o := p.pages(data)
					all = append(all, o.all("items", "serial")...)
					if len(o.all("items", "serial")) > 2 {
						s.Error(compact(o))
					}
					more, data["cursor"] = o.at("has_more") == "true", o.at("next_cursor")
				}
				want := []string{"5", "4", "3", "2", "1"}
				if until {
					want = want[2:]
				}
				if word == "oldest_first" {
					slices.Reverse(want)
				}
				if !slices.Equal(all, want) {
					s.Errorf("%s, until attach %t: %v", word, until, all)
				}
			}
		}
		for bound, want := range map[string]string{
			`"start_serial":4`: "5 4", `"start":4`: "5 4", `"end_serial":2`: "2 1", `"end":2`: "2 1", `"start":2,"end":3`: "3 2", `"start_time_ms":4102444800000`: "",
			`"end_time_ms":1`: "", `"end_serial":99,"until_attach":true`: "3 2 1", `"end_serial":1,"untilAttach":true`: "1",
		} {
			var data map[string]any
			unmarshal(s, json.RawMessage(`{"channel":"`+orders+`",`+bound+`}`), &data)
			if got := strings.Join(p.pages(data).all("items", "serial"), " "); got != want {
				s.Errorf("%s: %s", bound, got)
			}
		}
	})
}

// Checklist: protocol 167, 168
// Checklist: http-api 107
func TestV2ChannelHistoryRefused(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders, more := s.own("orders"), s.own("more")
		s.count(orders, 3)
		s.count(more, 3)
		p, old := s.peer(), s.old()
		refused := func(p *peer, code int, data map[string]any, words ...string) {
			s.Helper()
			p.send(p.prefix+":channel_history", "", data)
			p.refused(code, "", words...)
		}
		refused(p, 4301, map[string]any{"channel": orders})
		p.join(orders)
		p.join(more)
		old.join(orders)
		refused(old, 4000, map[string]any{"channel": orders}, "Protocol error: channel_history is only supported on protocol V2")
		foreign := p.pages(map[string]any{"channel": more, "limit": 1}).at("next_cursor")
		other := *s
		other.app = app{"second", "second-key", "second-secret"}
		other.count(orders, 3)
		q := other.peer()
		q.join(orders)
		abroad := q.pages(map[string]any{"channel": orders, "limit": 1}).at("next_cursor")
		own := p.pages(map[string]any{"channel": orders, "limit": 1}).at("next_cursor")
		for _, c := range []map[string]any{
			{},
			{"channel": 7},
			{"limit": 0},
			{"limit": -1},
			{"limit": "x"},
			{"direction": "sideways"},
			{"cursor": "x"},
			{"cursor": foreign},
			{"cursor": abroad},
			{"cursor": own, "direction": "oldest_first"},
			{"cursor": own, "end_serial": 2},
			{"start": 3, "end": 2},
			{"until_attach": "yes"},
		} {
			if c["channel"] == nil && len(c) > 0 {
				c["channel"] = orders
			}
			refused(p, 4000, c)
		}
		blind := s.bearer(s.token(s.own("u"), s.own("j"), time.Hour, map[string][]string{"*": {"subscribe"}}))
		blind.join(orders)
		refused(blind, 4009, map[string]any{"channel": orders})
		sees := s.bearer(s.token(s.own("u"), s.own("k"), time.Hour, map[string][]string{"*": {"subscribe"}, orders: {"subscribe", "history"}}))
		sees.join(orders)
		sees.join(more)
		sees.pages(map[string]any{"channel": orders})
		refused(sees, 4009, map[string]any{"channel": more})
		p.pages(map[string]any{"channel": orders})
		s.app = oblivionApp
		p = s.peer()
		p.join(orders)
		refused(p, 4300, map[string]any{"channel": orders}, "Channel error: Durable history is disabled by policy for channel '"+orders+"'")
	})
}
