package realtime_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

func (p *peer) enter(channel string) frame {
	p.t.Helper()
	p.subscribe(channel, "")
	return p.next("sockudo_internal:subscription_succeeded", channel)
}

// Checklist: protocol 145, 147, 148, 149
// Checklist: http-api 110
func TestResume(t *testing.T) {
	f := newFixture(t, withRecovery)
	p := f.dialV2("")
	succeeded := p.enter("orders")
	if !uuid4.MatchString(succeeded.StreamID) || succeeded.Serial == nil || *succeeded.Serial != 0 {
		t.Fatalf("%+v", succeeded)
	}
	var last frame
	for i := range 3 {
		f.publish("orders", "e", fmt.Sprint(i))
		last = p.next("e", "orders")
		if last.StreamID != succeeded.StreamID || *last.Serial != uint64(i+1) {
			t.Fatalf("%+v", last)
		}
	}
	p.lost()
	var missed []frame
	witness := f.dialV2("")
	witness.enter("orders")
	for i := range 3 {
		f.publish("orders", "missed", fmt.Sprint(i))
		missed = append(missed, witness.next("missed", "orders"))
	}
	p = f.dialV2("")
	if s := p.enter("orders"); *s.Serial != 6 || s.StreamID != succeeded.StreamID {
		t.Fatalf("%+v", s)
	}
	p.resume(position(last))
	replayed, result := p.resumed()
	if got, want := fmt.Sprint(replayed), fmt.Sprint(missed); len(replayed) != 3 || text(replayed) != text(missed) {
		t.Fatalf("replayed %s\nwant %s", got, want)
	}
	r := result.Recovered[0]
	if r.Channel != "orders" || r.Source != "hot" || r.Replayed != 3 || r.Position.Serial != 6 || r.Position.StreamID != succeeded.StreamID ||
		*r.Position.LastMessageID != missed[2].MessageID || len(result.Failed) != 0 {
		t.Errorf("%+v", result)
	}
	p.resume(position(missed[2]))
	replayed, result = p.resumed()
	if len(replayed) != 0 || len(result.Recovered) != 1 || result.Recovered[0].Replayed != 0 {
		t.Errorf("%v %+v", replayed, result)
	}
	f.publish("orders", "live", "1")
	p.next("live", "orders")
}

func text(frames []frame) string {
	encoded, _ := json.Marshal(frames)
	return string(encoded)
}

// Checklist: protocol 150, 151, 153, 154, 156
func TestResumeRefusals(t *testing.T) {
	off := newFixture(t, nil).dialV2("")
	off.enter("orders")
	off.resume(protocol.Position{Channel: "orders", StreamID: "s", Serial: 1})
	off.expect("sockudo:error", `"code":4301`, "Connection recovery is not enabled")

	f := newFixture(t, func(a *storage.App, s *realtime.Settings) { s.Recovery.Enabled = true; a.Recovery.BufferSize = 3 })
	v1 := f.dial()
	v1.send("pusher:resume", "", `{"channel_positions":{"orders":{"stream_id":"s","serial":1}}}`)
	v1.expectError(4000)
	p := f.dialV2("")
	succeeded := p.enter("orders")
	for _, data := range []any{`{}`, map[string]any{"channel_positions": map[string]any{}}} {
		p.send("sockudo:resume", "", data)
		p.expect("sockudo:error", `"code":4302`, "No channel recovery positions provided")
	}
	for _, data := range []any{`x`, 1, `{"channel_positions":{"a":1}}`, `{"channel_positions":{"a":{"stream_id":"s","serial":-1}}}`} {
		p.send("sockudo:resume", "", data)
		p.expect("sockudo:error", `"code":4000`, "Invalid message format")
	}
	failed := func(pos protocol.Position, code, reason string) {
		t.Helper()
		p.resume(pos)
		failure := p.next("sockudo:resume_failed", "orders")
		var data map[string]any
		if err := json.Unmarshal([]byte(failure.text()), &data); err != nil {
			t.Fatal(err)
		}
		_, result := p.resumed()
		if data["channel"] != "orders" || data["code"] != code || data["reason"] != reason || len(data) != 7 ||
			len(result.Recovered) != 0 || len(result.Failed) != 1 || result.Failed[0].Code != code {
			t.Errorf("%v %+v", data, result)
		}
	}
	failed(protocol.Position{Channel: "orders", StreamID: "another", Serial: 0}, "stream_reset", "stream_id_mismatch")
	failed(protocol.Position{Channel: "orders", StreamID: succeeded.StreamID, Serial: 7}, "continuity_unverifiable", "position_ahead_of_stream")
	for i := range 4 {
		f.publish("orders", "e", fmt.Sprint(i))
		p.next("e", "orders")
	}
	failed(protocol.Position{Channel: "orders", StreamID: succeeded.StreamID, Serial: 0}, "position_expired", "recovery_window_exceeded")

	// Without a subscription nothing is replayed.
	q := f.dialV2("")
	q.resume(protocol.Position{Channel: "orders", StreamID: succeeded.StreamID, Serial: 3})
	replayed, result := q.resumed()
	if len(replayed)+len(result.Recovered)+len(result.Failed) != 0 {
		t.Errorf("%v %+v", replayed, result)
	}
	// The position was kept, and is served with the subscription.
	q.enter("orders")
	replayed, result = q.resumed()
	if len(replayed) != 1 || *replayed[0].Serial != 4 || len(result.Recovered) != 1 {
		t.Errorf("%v %+v", replayed, result)
	}
	// The older form has serials alone.
	q.send("sockudo:resume", "", map[string]any{"channel_serials": map[string]any{"orders": 2}})
	if replayed, result = q.resumed(); len(replayed) != 2 || len(result.Recovered) != 1 {
		t.Errorf("%v %+v", replayed, result)
	}
}

// Checklist: protocol 146
func TestEphemeralEventsAreNotKept(t *testing.T) {
	f := newFixture(t, withRecovery)
	p, v1 := f.dialV2(""), f.dial()
	succeeded := p.enter("orders")
	v1.join("orders", "")
	f.publish("orders", "kept", `"1"`)
	f.say(realtime.Event{Channel: "orders", Name: "gone", Data: json.RawMessage(`"x"`), Extras: extras(t, `{"ephemeral":true}`)})
	f.publish("orders", "kept", `"2"`)
	if e := p.next("kept", "orders"); *e.Serial != 1 {
		t.Errorf("%+v", e)
	}
	if e := p.next("gone", "orders"); e.Serial != nil || e.StreamID != "" || e.MessageID == "" || string(e.Extras) != `{"ephemeral":true}` {
		t.Errorf("%+v", e)
	}
	if e := p.next("kept", "orders"); *e.Serial != 2 {
		t.Errorf("%+v", e)
	}
	v1.expect("kept")
	v1.expectExact(`{"event":"gone","channel":"orders","data":"x"}`)
	q := f.dialV2("")
	q.enter("orders")
	q.resume(position(succeeded))
	if replayed, _ := q.resumed(); len(replayed) != 2 {
		t.Errorf("%v", replayed)
	}
}

// A channel that nobody is subscribed to keeps its past for a while, and forgets it
// after that. Both are told.
func TestResumeAfterEverybodyLeft(t *testing.T) {
	f := newFixture(t, func(a *storage.App, s *realtime.Settings) {
		s.Recovery.Enabled = true
		s.Recovery.TTL = 600 * time.Millisecond
	})
	p := f.dialV2("")
	succeeded := p.enter("orders")
	p.conn.Disconnect(true)
	f.publish("orders", "e", `"1"`)
	p = f.dialV2("")
	p.enter("orders")
	p.resume(position(succeeded))
	if replayed, result := p.resumed(); len(replayed) != 1 || len(result.Recovered) != 1 {
		t.Errorf("%v %+v", replayed, result)
	}
	if got := f.channels(); len(got) != 1 {
		t.Errorf("%v", got)
	}
	p.conn.Disconnect(true)
	if got := f.channels(); len(got) != 0 {
		t.Errorf("a channel without subscribers is listed: %v", got)
	}
	time.Sleep(1200 * time.Millisecond)
	p = f.dialV2("")
	if s := p.enter("orders"); s.StreamID == succeeded.StreamID {
		t.Error("the stream has not been forgotten")
	}
	p.resume(position(succeeded))
	if _, result := p.resumed(); len(result.Failed) != 1 || result.Failed[0].Code != "stream_reset" {
		t.Errorf("%+v", result)
	}
}

// A resume replays no more than the socket may have waiting, so that it never closes
// the socket by itself.
func TestResumeIsBoundedInBytes(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Recovery.Enabled = true; s.Socket.MaxBytes = 10 << 10 })
	p := f.dialV2("")
	a, b := p.enter("a"), p.enter("b")
	p.conn.Disconnect(true)
	for range 5 {
		f.publish("a", "e", `"`+strings.Repeat("x", 1<<10)+`"`)
		f.publish("b", "e", `"`+strings.Repeat("x", 1<<10)+`"`)
	}
	p = f.dialV2("")
	p.enter("a")
	p.enter("b")
	p.resume(position(a), position(b))
	replayed, result := p.resumed()
	if len(replayed) != 6 || len(result.Recovered) != 1 || len(result.Failed) != 1 || result.Failed[0].Reason != "recovery_window_exceeded" {
		t.Errorf("%d frames, %+v", len(replayed), result)
	}
}

// A pattern brings events of many channels, and each is resumed by itself.
func TestResumeOfPatterns(t *testing.T) {
	f := newFixture(t, withRecovery)
	p := f.dialV2("")
	p.enter("orders.*")
	f.publish("orders.eu", "e", `"1"`)
	first := p.next("e", "orders.eu")
	if first.Serial == nil || *first.Serial != 1 {
		t.Fatalf("%+v", first)
	}
	p.lost()
	f.publish("orders.eu", "e", `"2"`)
	p = f.dialV2("")
	p.resume(position(first))
	p.resumed()
	p.enter("orders.*")
	replayed, result := p.resumed()
	if len(replayed) != 1 || replayed[0].text() != "2" || len(result.Recovered) != 1 {
		t.Errorf("%v %+v", replayed, result)
	}
	f.publish("orders.eu", "e", `"3"`)
	p.next("e", "orders.eu")
	// What has come by itself is not replayed.
	p.resume(position(first))
	if replayed, result = p.resumed(); len(replayed) != 1 || result.Recovered[0].Position.Serial != 3 {
		t.Errorf("%v %+v", replayed, result)
	}
}

// What is switched off by a reload counts from the next event on, and what is switched
// on again is another stream.
func TestRecoveryIsReloaded(t *testing.T) {
	f := newFixture(t, withRecovery)
	p := f.dialV2("")
	succeeded := p.enter("orders")
	f.load(f.newSettings(nil))
	f.publish("orders", "e", `"1"`)
	if e := p.next("e", "orders"); e.Serial != nil {
		t.Errorf("%+v", e)
	}
	f.load(f.newSettings(withRecovery))
	f.publish("orders", "e", `"2"`)
	e := p.next("e", "orders")
	if e.Serial == nil || e.StreamID == succeeded.StreamID {
		t.Errorf("%+v", e)
	}
	p.resume(position(succeeded))
	p.next("sockudo:resume_failed", "orders")
}
