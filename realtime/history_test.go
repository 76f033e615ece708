package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// withHistory keeps the events of every channel.
func withHistory(t *testing.T, change func(*storage.App, *realtime.Settings)) *fixture {
	t.Helper()
	store := memory.NewHistory(0)
	return newFixture(t, func(a *storage.App, s *realtime.Settings) {
		s.Drivers.History = store
		s.History.Enabled = true
		s.Recovery.Enabled = true
		if change != nil {
			change(a, s)
		}
	})
}

// subscribeWith subscribes with more members, which are JSON.
func (p *peer) subscribeWith(channel, members string) {
	p.send("sockudo:subscribe", "", json.RawMessage(`{"channel":"`+channel+`",`+members+`}`))
}

// rewound waits for the end of a rewind and gives the frames before it.
func (p *peer) rewound(channel string) (before []frame, done protocol.RewindComplete) {
	p.t.Helper()
	for {
		f := parseFrame(p.t, p.expect())
		if f.Event != "sockudo:rewind_complete" {
			before = append(before, f)
			continue
		}
		if err := json.Unmarshal(f.Data, &done); err != nil || f.Channel != channel || f.MessageID == "" {
			p.t.Fatalf("%+v %s: %v", f, f.Data, err)
		}
		return before, done
	}
}

func (f *fixture) sayMany(channel string, from, to int) {
	f.t.Helper()
	for i := from; i <= to; i++ {
		f.say(realtime.Event{Channel: channel, Name: "e", Data: json.RawMessage(fmt.Sprintf(`"%d"`, i))})
	}
}

func texts(frames []frame) string {
	var all []string
	for _, f := range frames {
		all = append(all, f.text())
	}
	return strings.Join(all, " ")
}

// Checklist: protocol 145, 147
func TestHistoryGivesPositions(t *testing.T) {
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.Recovery.Enabled = false })
	f.sayMany("room", 1, 3)
	p := f.dialV2("")
	p.subscribe("room", "")
	at := p.next("sockudo_internal:subscription_succeeded", "room")
	if at.StreamID == "" || at.Serial == nil || *at.Serial != 3 || at.text() != `{"attach_serial":3}` {
		t.Fatalf("%+v %s", at, at.Data)
	}
	f.sayMany("room", 4, 5)
	for want := uint64(4); want <= 5; want++ {
		if e := p.next("e", "room"); e.StreamID != at.StreamID || *e.Serial != want {
			t.Fatalf("%+v, want serial %d", e, want)
		}
	}
	p.subscribe("presence-room", `{"user_id":"u"}`)
	if at := p.next("sockudo_internal:subscription_succeeded", "presence-room"); !strings.HasSuffix(at.text(), `,"attach_serial":0}`) || !json.Valid([]byte(at.text())) {
		t.Fatalf("%s", at.Data)
	}
}

// history asks for the history of a channel and gives the answer.
func (p *peer) history(data string) (page historyPage) {
	p.t.Helper()
	p.send("sockudo:channel_history", "", json.RawMessage(data))
	f := parseFrame(p.t, p.expect())
	if f.Event != "sockudo:channel_history" || f.MessageID == "" {
		p.t.Fatalf("%+v %s", f, f.Data)
	}
	if err := json.Unmarshal(f.Data, &page); err != nil {
		p.t.Fatal(err)
	}
	return page
}

type historyPage struct {
	Items []struct {
		Serial  uint64 `json:"serial"`
		Message frame  `json:"message"`
	} `json:"items"`
	HasMore bool   `json:"has_more"`
	Next    string `json:"next_cursor"`
	Limit   int    `json:"limit"`
	Bounds  struct {
		End    *uint64 `json:"end_serial"`
		Until  bool    `json:"until_attach"`
		Attach *uint64 `json:"attach_serial"`
	} `json:"bounds"`
}

func (h historyPage) serials() string {
	var all []string
	for _, item := range h.Items {
		all = append(all, fmt.Sprint(item.Serial))
	}
	return strings.Join(all, " ")
}

// Checklist: protocol 164, 166
func TestChannelHistory(t *testing.T) {
	f := withHistory(t, nil)
	f.sayMany("room", 1, 5)
	p := f.dialV2("")
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	page := p.history(`{"channel":"room","limit":2}`)
	if page.serials() != "5 4" || !page.HasMore || page.Items[0].Message.text() != "5" || page.Limit != 2 {
		t.Fatalf("%+v", page)
	}
	f.sayMany("room", 6, 6)
	p.next("e", "room")
	page = p.history(`{"channel":"room","limit":2,"cursor":"` + page.Next + `"}`)
	if page.serials() != "3 2" {
		t.Fatalf("%+v", page)
	}
	page = p.history(`{"channel":"room","limit":2,"cursor":"` + page.Next + `"}`)
	if page.serials() != "1" || page.HasMore || page.Next != "" {
		t.Fatalf("%+v", page)
	}
	text, _ := json.Marshal(`{"channel":"room","direction":"forward","start":2,"end":3}`)
	if page = p.history(string(text)); page.serials() != "2 3" {
		t.Fatalf("%+v", page)
	}
	if page = p.history(`{"params":{"channel":"room","start_serial":6}}`); page.serials() != "6" {
		t.Fatalf("%+v", page)
	}
}

// Checklist: protocol 165
// Checklist: http-api 108
func TestUntilAttach(t *testing.T) {
	f := withHistory(t, nil)
	f.sayMany("room", 1, 3)
	p := f.dialV2("")
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	f.sayMany("room", 4, 5)
	p.next("e", "room")
	p.next("e", "room")
	page := p.history(`{"channel":"room","until_attach":true}`)
	if page.serials() != "3 2 1" || *page.Bounds.Attach != 3 || *page.Bounds.End != 3 || !page.Bounds.Until {
		t.Fatalf("%+v", page)
	}
	if page = p.history(`{"channel":"room","untilAttach":true,"end_serial":2}`); page.serials() != "2 1" {
		t.Fatalf("%+v", page)
	}
	// A repeated subscription begins anew.
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	if page = p.history(`{"channel":"room","until_attach":true,"limit":1}`); page.serials() != "5" {
		t.Fatalf("%+v", page)
	}
}

// Checklist: protocol 167, 168
// Checklist: http-api 107, 109
func TestChannelHistoryRefusals(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.Drivers.History = store })
	f.sayMany("room", 1, 3)
	f.sayMany("other", 1, 3)
	v1 := f.dial()
	v1.join("room", "")
	v1.send("pusher:channel_history", "", json.RawMessage(`{"channel":"room"}`))
	v1.expectError(4000, "only supported on protocol V2")
	p := f.dialV2("")
	p.send("sockudo:channel_history", "", json.RawMessage(`{"channel":"room"}`))
	p.expect("sockudo:error", `"code":4301`, "not subscribed")
	for _, ch := range []string{"room", "other"} {
		p.subscribe(ch, "")
		p.next("sockudo_internal:subscription_succeeded", ch)
	}
	cursor := p.history(`{"channel":"room","limit":1}`).Next
	for data, part := range map[string]string{
		`{"channel":"other","limit":1,"cursor":"` + cursor + `"}`: "channel does not match",
		`{"channel":"room","limit":0}`:                            "greater than 0",
		`{"channel":"room","direction":"up"}`:                     "Invalid direction",
		`{"channel":"room","cursor":"?"}`:                         "cursor",
		`{"channel":"room","start":3,"end":2}`:                    "start_serial must be less",
		`{"channel":"room","limit":"x"}`:                          "limit must be a number",
		`{"channel":"room","until_attach":1}`:                     "until_attach must be a boolean",
		`{}`:                                                      "channel must be a string",
	} {
		p.send("sockudo:channel_history", "", json.RawMessage(data))
		p.expect("sockudo:error", `"code":4000`, part)
	}
	token := f.dialV2("token=" + capability(t, "u", "t1", time.Hour, map[string][]string{"room": {"subscribe"}}))
	token.subscribe("room", "")
	token.next("sockudo_internal:subscription_succeeded", "room")
	token.send("sockudo:channel_history", "", json.RawMessage(`{"channel":"room"}`))
	token.expect("sockudo:error", `"code":4009`)
	token.subscribeWith("room", `"rewind":1`)
	token.refusedV2(4009, "room")

	release := make(chan struct{})
	store.whileReading(func() { <-release })
	for range 3 {
		p.send("sockudo:channel_history", "", json.RawMessage(`{"channel":"room"}`))
	}
	p.expect("sockudo:error", `"code":4301`, "Too many concurrent channel_history requests")
	close(release)
	store.whileReading(nil)
	p.next("sockudo:channel_history", "room")
	p.next("sockudo:channel_history", "room")
	store.fail.Store(true)
	p.send("sockudo:channel_history", "", json.RawMessage(`{"channel":"room"}`))
	p.expect("sockudo:error", `"code":4300`, "cannot be read at the moment")
}

// Checklist: protocol 152
// Checklist: http-api 111, 112, 113, 116
func TestResumeFromHistory(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) {
		s.Drivers.History = store
		s.Recovery.BufferSize = 10
		s.Recovery.TTL = 50 * time.Millisecond
	})
	p := f.dialV2("")
	p.subscribe("room", "")
	at := p.next("sockudo_internal:subscription_succeeded", "room")
	p.lost()
	f.sayMany("room", 1, 6) // nobody is here: nothing is kept on this node
	resume := func(serial uint64, stream string) (frames []frame, result protocol.ResumeSuccess) {
		p := f.dialV2("")
		p.subscribe("room", "")
		p.next("sockudo_internal:subscription_succeeded", "room")
		p.resume(protocol.Position{Channel: "room", StreamID: stream, Serial: serial})
		defer p.lost()
		return p.resumed()
	}
	frames, result := resume(0, at.StreamID)
	if texts(frames) != "1 2 3 4 5 6" || len(result.Recovered) != 1 || result.Recovered[0].Source != "cold" || result.Recovered[0].Position.Serial != 6 {
		t.Fatalf("%q, %+v", texts(frames), result)
	}
	f.sayMany("room", 7, 7)
	if frames, result = resume(6, at.StreamID); texts(frames) != "7" || result.Recovered[0].Source != "cold" {
		t.Fatalf("%q, %+v", texts(frames), result)
	}
	fails := func(serial uint64, stream, code, reason string) {
		t.Helper()
		_, result := resume(serial, stream)
		if len(result.Failed) != 1 || result.Failed[0].Code != code || result.Failed[0].Reason != reason {
			t.Fatalf("%+v, want %s %s", result, code, reason)
		}
	}
	f.sayMany("room", 8, 11)
	fails(0, at.StreamID, "position_expired", "recovery_window_exceeded")
	fails(5, "other", "stream_reset", "stream_id_mismatch")
	fails(99, at.StreamID, "continuity_unverifiable", "position_ahead_of_stream")
	f.trim("room", 6)
	fails(3, at.StreamID, "position_expired", "retained_history_floor_is_ahead_of_requested_serial")
	f.trim("room", 12)
	fails(3, at.StreamID, "position_expired", "durable_history_empty_after_prior_writes")
	store.whileReading(nil)
	f.sayMany("room", 12, 14)
	store.fail.Store(true)
	other := f.dialV2("")
	other.subscribe("room", "")
	other.next("sockudo_internal:subscription_succeeded", "room")
	other.resume(protocol.Position{Channel: "room", StreamID: at.StreamID, Serial: 12})
	if _, result = other.resumed(); result.Failed[0].Code != "persistence_unavailable" {
		t.Fatalf("%+v", result)
	}
}

func (f *fixture) trim(channel string, before uint64) {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	store, key := live.Settings.Drivers.History, history.Key(f.app().ID, channel)
	head, err := store.Head(context.Background(), key)
	if err == nil {
		err = store.Trim(context.Background(), key, head.Stream, before)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestPublishWithoutAStore(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.Drivers.History = store })
	p := f.dialV2("")
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	f.sayMany("room", 1, 1)
	p.next("e", "room")
	store.fail.Store(true)
	if err := f.trySay(realtime.Event{Channel: "room", Name: "e", Data: json.RawMessage(`"refused"`)}); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	p.quietV2()
	s := f.newSettings(func(_ *storage.App, s *realtime.Settings) {
		s.Drivers.History, s.History.Enabled, s.History.Deliver, s.Recovery.Enabled = store, true, true, true
	})
	f.load(s)
	f.sayMany("room", 2, 3)
	if e := p.next("e", "room"); e.text() != "2" || e.StreamID != "" || e.Serial != nil {
		t.Fatalf("%+v", e)
	}
	if e := p.next("sockudo:resume_failed", "room"); !strings.Contains(e.text(), `"code":"persistence_unavailable","reason":"history_stream_degraded"`) {
		t.Fatalf("%s", e.Data)
	}
	p.next("e", "room")
	store.fail.Store(false)
	live, _ := f.hub.Live()
	defer live.Release()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		head, err := store.Head(t.Context(), history.Key(f.app().ID, "room"))
		if err == nil && head.State.Name == "degraded" && head.State.Reason == "durable_history_write_failed" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the history is not degraded: %+v, %v", head, err)
		}
	}
	// Who comes back to another node is told as well.
	q := f.dialV2("")
	q.subscribe("room", "")
	at := q.next("sockudo_internal:subscription_succeeded", "room")
	q.resume(protocol.Position{Channel: "room", StreamID: at.StreamID, Serial: *at.Serial})
	if _, result := q.resumed(); result.Failed[0].Code != "persistence_unavailable" {
		t.Fatalf("%+v", result)
	}
}
