package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// forgotten waits until the server does not remember any more what was published until
// now, which takes a second.
func forgotten() {
	gone := time.Now().Add(1100 * time.Millisecond)
	time.Sleep(time.Until(gone))
}

// Who comes back after the server has forgotten gets from the history what live clients
// have got.
//
// Checklist: protocol 152, 157
// Checklist: http-api 111, 116
func TestV2ResumeFromTheHistory(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		orders, quiet := s.own("orders"), s.own("quiet")
		witness, p, picky := s.peer(), s.peer(), s.peer()
		witness.join(orders)
		start := map[string]position{orders: p.join(orders).at(), quiet: p.join(quiet).at()}
		const filter = `"filter":{"events":["b"]}`
		picked := picky.joinWith(orders, "", filter).at()
		p.drop()
		picky.drop()
		s.publish(`{"name":"a","channel":"` + orders + `","data":{"n":1},"tags":{"x":"y"},"message_id":"one"}`)
		s.publish(`{"name":"b","channel":"` + orders + `","data":"2","extras":{"headers":{"h":true}}}`)
		s.publish(`{"name":"lost","channel":"` + orders + `","data":"x","extras":{"ephemeral":true}}`)
		s.tell(orders, "c", "3")
		s.tell(quiet, "q", "nobody is here")
		var live []string
		for range 4 {
			if e := witness.next(); e.Event != "lost" {
				live = append(live, e.text)
			}
		}
		forgotten()
		p = s.peer()
		p.join(orders)
		p.join(quiet)
		p.resume(start)
		var again []string
		for range 4 {
			if e := p.next(); e.Channel == orders {
				again = append(again, e.text)
			} else if e.Event != "q" {
				s.Errorf("%s", e.text)
			}
		}
		if !slices.Equal(again, live) {
			s.Errorf("resumed\n%s\nlive\n%s", strings.Join(again, "\n"), strings.Join(live, "\n"))
		}
		a := p.answered()
		if len(a.Recovered) != 2 || len(a.Failed) != 0 {
			s.Fatalf("%+v", a)
		}
		for _, r := range a.Recovered {
			if want := map[string]int{orders: 3, quiet: 1}[r.Channel]; r.Source != "cold" || r.Replayed != want || r.Position.Serial != uint64(want) {
				s.Errorf("%+v", r)
			}
		}
		picky = s.peer()
		picky.joinWith(orders, "", filter)
		picky.resume(map[string]position{orders: picked})
		if e := picky.next(); e.text != live[1] {
			s.Errorf("%s", e.text)
		}
		if a := picky.answered(); len(a.Recovered) != 1 || a.Recovered[0].Source != "cold" || a.Recovered[0].Replayed != 1 || a.Recovered[0].Position.Serial != 3 {
			s.Errorf("%+v", a)
		}
		p.resume(map[string]position{orders: a.Recovered[0].Position})
		p.event("sockudo:resume_success")
		s.tell(orders, "d", "4")
		p.event("d")
	})
}

// What cannot be had any more is told, and how.
//
// Checklist: protocol 150, 151, 153
// Checklist: http-api 112, 113
func TestV2ResumeFromTheHistoryTooLate(t *testing.T) {
	recorded.inEncodings(t, func(s *stage) {
		many, short, purged, old, reset, ahead := s.own("many"), "short:"+s.own("x"), s.own("purged"), s.own("old"), s.own("reset"), s.own("ahead")
		p := s.peer()
		start := map[string]position{}
		for _, name := range []string{many, short, purged, reset} {
			start[name] = p.join(name).at()
		}
		first := p.join(ahead).at()
		start[ahead] = position{first.StreamID, 7, ""}
		p.join(old)
		p.drop()
		s.count(many, window+1)
		for _, name := range []string{short, purged, reset, old} {
			s.count(name, 5)
		}
		s.post("/channels/"+purged+"/history/purge", `{"confirm_channel":"`+purged+`","confirm_operation":"purge","reason":"test","mode":"before_serial","before_serial":3}`)
		s.post("/channels/"+reset+"/history/reset", `{"confirm_channel":"`+reset+`","confirm_operation":"reset","reason":"test"}`)
		forgotten()
		p = s.peer()
		for _, name := range []string{many, short, purged, reset, ahead, old} {
			p.join(name)
		}
		p.resume(start)
		told := 0
		for range start {
			if e := p.event("sockudo:resume_failed"); strings.Contains(e.inner(s), `"channel":"`+e.Channel+`"`) {
				told++
			}
		}
		a := p.answered()
		got := map[string]string{}
		for _, f := range a.Failed {
			got[f.Channel] = f.Code + " " + f.Reason
		}
		for name, want := range map[string]string{
			many: "position_expired recovery_window_exceeded", short: "position_expired retained_history_floor_is_ahead_of_requested_serial",
			purged: "position_expired retained_history_floor_is_ahead_of_requested_serial", reset: "stream_reset stream_id_mismatch",
			ahead: "continuity_unverifiable position_ahead_of_stream",
		} {
			if got[name] != want {
				s.Errorf("%s: %s, want %s", name, got[name], want)
			}
		}
		if told != len(start) || len(a.Recovered) != 0 {
			s.Errorf("%d told, %+v", told, a)
		}
		p.send("sockudo:resume", "", map[string]any{"channel_serials": map[string]any{old: 0}})
		p.event("sockudo:resume_failed")
		if a := p.answered(); len(a.Failed) != 1 || a.Failed[0].Code != "continuity_unverifiable" || a.Failed[0].Reason != "legacy_serial_only_position_cannot_use_cold_recovery" {
			s.Errorf("%+v", a)
		}
		p.quiet(many)
	})
}

// A server that has ended and is started again goes on with the streams that there
// were, and clients with it.
//
// Checklist: protocol 145, 152
// Checklist: http-api 88, 111
func TestV2HistoryOverRestart(t *testing.T) {
	own := &keeping{features: recordedFeatures}
	s := &stage{T: t, server: own.need(t), app: keptApp, dialect: inJSON, number: stages.Add(1)}
	t.Cleanup(func() {
		if err := stopped(own.server); err != nil {
			t.Error(err)
		}
	})
	orders := s.own("orders")
	positions := map[string]map[string]position{}
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		positions[d.name] = map[string]position{orders: s.client(d, "").join(orders).at()}
	}
	s.count(orders, 3)
	before := s.get("/channels/" + orders + "/history")
	if err := own.server.stop(); err != nil {
		t.Fatal(err)
	}
	if err := own.server.start(); err != nil {
		t.Fatal(err)
	}
	after := s.get("/channels/" + orders + "/history")
	if got, want := compact(after["items"]), compact(before["items"]); got != want {
		t.Errorf("%s after a restart, %s before", got, want)
	}
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		p := s.client(d, "")
		if at := p.join(orders).at(); at.StreamID != positions[d.name][orders].StreamID || at.Serial != 3 {
			t.Errorf("%s: at %+v", d.name, at)
		}
		p.resume(positions[d.name])
		for _, want := range []string{"1", "2", "3"} {
			if e := p.event("n"); e.inner(s) != want {
				t.Errorf("%s: %s", d.name, e.text)
			}
		}
		if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Source != "cold" || a.Recovered[0].Replayed != 3 {
			t.Errorf("%s: %+v", d.name, a)
		}
	}
	s.tell(orders, "n", "4")
	s.get("/channels/"+orders+"/history").is(s, "items.0.serial", "4", "items.0.stream_id", before.at("continuity.stream_id"))
}

// Checklist: http-api 89, 103, 114
func TestV2HistoryCallsOfAChannel(t *testing.T) {
	s := recorded.alone(t)
	orders := s.own("orders")
	s.count(orders, 4)
	stream := s.get("/channels/" + orders + "/history").at("continuity.stream_id")
	var purged document
	unmarshal(s, []byte(s.post("/channels/"+orders+"/history/purge", `{"confirm_channel":"`+orders+`","confirm_operation":"purge","reason":"test","mode":"before_serial","before_serial":3}`)), &purged)
	purged.is(s, "ok", "true", "purged_messages", "2", "stream.stream_id", stream, "stream.next_serial", "5", "stream.retained.oldest_available_serial", "3")
	s.get("/channels/"+orders+"/history").is(s, "items.0.serial", "4", "items.1.serial", "3", "items.2.serial", "absent", "continuity.truncated_by_retention", "true")
	s.app = oblivionApp
	for _, c := range [][2]string{{http.MethodGet, ""}, {http.MethodGet, "/state"}, {http.MethodPost, "/reset"}, {http.MethodPost, "/purge"}} {
		body := ""
		if c[0] == http.MethodPost {
			body = `{"confirm_channel":"` + orders + `","confirm_operation":"` + c[1][1:] + `","reason":"x","mode":"all"}`
		}
		s.fails(422, "feature_disabled", c[0], "/channels/"+orders+"/history"+c[1], body)
	}
}
