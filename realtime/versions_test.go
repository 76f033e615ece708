package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// withVersions lets every message be changed.
func withVersions(t *testing.T, change func(*storage.App, *realtime.Settings)) *fixture {
	t.Helper()
	return withHistory(t, func(a *storage.App, s *realtime.Settings) {
		s.Versions.Enabled, s.Annotations = true, true
		on := true
		a.Annotations = &on
		if change != nil {
			change(a, s)
		}
	})
}

// live is the current settings for the rest of a test.
func (f *fixture) live() realtime.Live {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(live.Release)
	return live
}

// create publishes a message and gives its receipt.
func (f *fixture) create(channel, name, data string) realtime.Receipt {
	f.t.Helper()
	text, _ := protocol.EventData(json.RawMessage(data))
	r, err := f.live().Publish(context.Background(), f.app(), realtime.Event{Channel: channel, Name: name, Data: text, Extras: extras(f.t, `{"headers":{"a":1},"x":{"y":2}}`)})
	if err != nil || r.Revision == nil {
		f.t.Fatalf("%+v, %v", r, err)
	}
	return r
}

func (f *fixture) change(channel string, c realtime.Change) (realtime.Changed, error) {
	return f.live().Change(context.Background(), f.app(), channel, &c)
}

func appends(message, text string) realtime.Change {
	data, _ := json.Marshal(text)
	return realtime.Change{Message: message, Mutation: history.Mutation{Action: history.MutationAppend, Content: history.Content{Data: data}}}
}

func updates(message, data string) realtime.Change {
	return realtime.Change{Message: message, Mutation: history.Mutation{Action: history.MutationUpdate, Content: history.Content{Data: json.RawMessage(data)}}}
}

// version is what a frame says of the version of a message.
type version struct {
	Headers map[string]any `json:"headers"`
	X       any            `json:"x"`
}

func (f frame) version(t *testing.T) version {
	t.Helper()
	var v version
	if err := json.Unmarshal(f.Extras, &v); err != nil {
		t.Fatalf("extras %s: %v", f.Extras, err)
	}
	return v
}

// Checklist: protocol 144, 196, 197, 198, 199
// Checklist: http-api 132, 139
func TestVersionsOfAMessage(t *testing.T) {
	f := withVersions(t, nil)
	v1, delta, full := f.dial(), f.dialV2(""), f.dialV2("append_mode=full")
	v1.join("room", "")
	for _, p := range []*peer{delta, full} {
		p.subscribe("room", "")
		p.next("sockudo_internal:subscription_succeeded", "room")
	}
	first := f.create("room", "chat", `"Hel"`)
	if first.Serial != 1 || first.Revision.History != 1 || first.Revision.Message != first.Revision.Serial {
		t.Fatalf("%+v %+v", first, first.Revision)
	}
	v1.expectExact(`{"event":"chat","channel":"room","data":"Hel"}`)
	ids := map[string]bool{}
	for _, p := range []*peer{delta, full} {
		m := p.next("chat", "room")
		v := m.version(t)
		if m.text() != "Hel" || *m.Serial != 1 || len(v.Headers) != 6 || v.Headers["a"] != 1.0 || v.X == nil || v.Headers["sockudo_action"] != "message.create" ||
			v.Headers["sockudo_message_serial"] != first.Revision.Message || v.Headers["sockudo_version_serial"] != first.Revision.Serial ||
			v.Headers["sockudo_history_serial"] != 1.0 || v.Headers["sockudo_version_timestamp_ms"] == nil {
			t.Fatalf("%+v %s", m, m.Extras)
		}
		ids[m.MessageID] = true
	}
	last := first.Revision.Serial
	for i, c := range []realtime.Change{
		appends(first.Revision.Message, "lo"), appends(first.Revision.Message, "!"), updates(first.Revision.Message, `"Bye"`),
		{Message: first.Revision.Message, Mutation: history.Mutation{Action: history.MutationDelete, ClearData: true}},
	} {
		done, err := f.change("room", c)
		if err != nil || done.Delivery != uint64(i+2) || done.History != 1 || done.Message != first.Revision.Message || done.Version <= last || done.Before {
			t.Fatalf("%+v, %v after %s", done, err, last)
		}
		last = done.Version
		texts := [][2]string{{"lo", "Hello"}, {"!", "Hello!"}, {"Bye", "Bye"}, {"", ""}}[i]
		for k, p := range []*peer{delta, full} {
			m := p.next("sockudo:message."+c.Action, "room")
			v := m.version(t)
			if m.text() != texts[k] || m.StreamID != first.Stream || *m.Serial != done.Delivery || m.Name != "chat" || (m.Data == nil) != (i == 3) ||
				v.Headers["sockudo_action"] != "message."+c.Action || v.Headers["sockudo_version_serial"] != done.Version || v.Headers["sockudo_history_serial"] != 1.0 ||
				v.Headers["a"] != 1.0 {
				t.Fatalf("%+v %s %s", m, m.Data, m.Extras)
			}
			ids[m.MessageID] = true
		}
	}
	if len(ids) != 5 {
		t.Fatalf("%d message ids of 5 versions", len(ids))
	}
	second := f.create("room", "chat", `"x"`)
	if second.Serial != 6 || second.Revision.History != 2 {
		t.Fatalf("%+v %+v", second, second.Revision)
	}
	v1.expectExact(`{"event":"chat","channel":"room","data":"x"}`)
	v1.quiet()
}

// Checklist: protocol 200
// Checklist: http-api 106
func TestRewindOfVersions(t *testing.T) {
	f := withVersions(t, nil)
	one, two := f.create("room", "chat", `"a"`), f.create("room", "chat", `"b"`)
	f.create("room", "chat", `"c"`)
	for _, c := range []realtime.Change{
		appends(one.Revision.Message, "1"), appends(one.Revision.Message, "2"),
		{Message: two.Revision.Message, Mutation: history.Mutation{Action: history.MutationDelete}},
	} {
		if _, err := f.change("room", c); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{"", "append_mode=full"} {
		p := f.dialV2(query)
		p.subscribeWith("room", `"rewind":10`)
		at := p.next("sockudo_internal:subscription_succeeded", "room")
		if *at.Serial != 6 || at.text() != `{"attach_serial":3}` {
			t.Fatalf("%+v %s", at, at.Data)
		}
		frames, done := p.rewound("room")
		got := ""
		for _, m := range frames {
			got += fmt.Sprint(m.Event, "=", m.text(), "@", *m.Serial, " ")
		}
		if want := "sockudo:message.update=a12@5 sockudo:message.delete=b@6 chat=c@3 "; got != want || !done.Complete {
			t.Fatalf("%q, want %q; %+v", got, want, done)
		}
		page := p.history(`{"channel":"room","direction":"forward"}`)
		got = ""
		for _, item := range page.Items {
			got += fmt.Sprint(item.Serial, item.Message.Event, "=", item.Message.text(), "@", *item.Message.Serial, " ")
		}
		if want := "1sockudo:message.append=a12@5 2sockudo:message.delete=b@6 3sockudo:message.create=c@3 "; got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	// A resume has every version, in the form of the connection.
	for query, want := range map[string]string{"": "1 2 b", "append_mode=full": "a1 a12 b"} {
		p := f.dialV2(query)
		p.subscribe("room", "")
		p.next("sockudo_internal:subscription_succeeded", "room")
		p.resume(protocol.Position{Channel: "room", StreamID: one.Stream, Serial: 3})
		if frames, result := p.resumed(); texts(frames) != want || len(result.Recovered) != 1 || result.Recovered[0].Position.Serial != 6 {
			t.Fatalf("%q, %+v", texts(frames), result)
		}
	}
}

// Checklist: http-api 128, 130, 131
func TestContentOfVersions(t *testing.T) {
	f := withVersions(t, nil)
	m := f.create("room", "chat", `{"a":1,"b":2}`).Revision.Message
	read := func() *history.Record {
		t.Helper()
		_, r, err := f.live().Message(t.Context(), f.app(), "room", m)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	name := "other"
	try := func(c realtime.Change) {
		t.Helper()
		c.Message = m
		if _, err := f.change("room", c); err != nil {
			t.Fatal(err)
		}
	}
	try(realtime.Change{Mutation: history.Mutation{Action: "update", Content: history.Content{Name: &name}}})
	if r := read(); r.Event != "other" || string(r.Data) != `"{\"a\":1,\"b\":2}"` || string(r.Extras) != `{"headers":{"a":1},"x":{"y":2}}` {
		t.Fatalf("%+v %s %s", r, r.Data, r.Extras)
	}
	try(updates(m, `{"c":3}`))
	if r := read(); string(r.Data) != `{"c":3}` || r.Event != "other" {
		t.Fatalf("%+v %s", r, r.Data)
	}
	if _, err := f.change("room", appends(m, "x")); !errors.Is(err, history.ErrAppendData) {
		t.Fatal(err)
	}
	try(realtime.Change{Mutation: history.Mutation{Action: "delete"}})
	if r := read(); r.Action != "delete" || string(r.Data) != `{"c":3}` {
		t.Fatalf("%+v %s", r, r.Data)
	}
	try(realtime.Change{Mutation: history.Mutation{Action: "delete", ClearData: true}})
	if r := read(); r.Data != nil {
		t.Fatalf("%s", r.Data)
	}
	try(realtime.Change{Mutation: history.Mutation{Action: "update", ClearName: true, ClearExtras: true, Content: history.Content{Data: json.RawMessage(`""`)}}})
	if r := read(); r.Name != "" || r.Extras != nil || string(r.Data) != `""` {
		t.Fatalf("%+v %s", r, r.Extras)
	}
}

// Checklist: http-api 133
func TestConcurrentAppends(t *testing.T) {
	f := withVersions(t, nil)
	p := f.dialV2("")
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	m := f.create("room", "chat", `""`).Revision.Message
	p.next("chat", "room")
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := f.change("room", appends(m, fmt.Sprintf("<%d>", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	told := ""
	for want := uint64(2); want <= 101; want++ {
		e := p.next("sockudo:message.append", "room")
		if *e.Serial != want {
			t.Fatalf("serial %d, want %d", *e.Serial, want)
		}
		told += e.text()
	}
	_, r, err := f.live().Message(t.Context(), f.app(), "room", m)
	if err != nil {
		t.Fatal(err)
	}
	var whole string
	if err := json.Unmarshal(r.Data, &whole); err != nil || whole != told {
		t.Fatalf("the message says %q, %v, and was told as %q", whole, err, told)
	}
	for i := range 100 {
		if strings.Count(whole, fmt.Sprintf("<%d>", i)) != 1 {
			t.Fatalf("append %d is not there once: %s", i, whole)
		}
	}
}

// Checklist: http-api 134
func TestChangesWithAnOpID(t *testing.T) {
	f := withVersions(t, nil)
	m := f.create("room", "chat", `"a"`).Revision.Message
	with := func(c realtime.Change, id string) realtime.Change {
		c.OpID = id
		return c
	}
	first, err := f.change("room", with(appends(m, "b"), "op"))
	if err != nil || first.Before {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err = f.change("room", updates(m, `{"no":"text"}`)); err != nil {
		t.Fatal(err)
	}
	again, err := f.change("room", with(appends(m, "b"), "op"))
	if first.Before = true; err != nil || again != first {
		t.Fatalf("%+v, %v, want %+v", again, err, first)
	}
	if _, err := f.change("room", with(appends(m, "c"), "op")); !errors.Is(err, realtime.ErrOtherContent) && !errors.Is(err, history.ErrAppendData) {
		t.Fatal(err)
	}
	if done, err := f.change("room", with(updates(m, `"z"`), "op")); err != nil || done.Before {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := f.change("room", with(appends(m, "c"), "op")); !errors.Is(err, realtime.ErrOtherContent) {
		t.Fatal(err)
	}
	if _, err := f.change("room", appends("nobody", "c")); !errors.Is(err, realtime.ErrNoMessage) {
		t.Fatal(err)
	}
	if _, err := f.change("empty", appends(m, "c")); !errors.Is(err, realtime.ErrNoMessage) {
		t.Fatal(err)
	}
}

// Checklist: http-api 71, 72, 73, 75, 127
func TestPublishOnce(t *testing.T) {
	f := withVersions(t, nil)
	p := f.dialV2("")
	p.subscribe("room", "")
	p.next("sockudo_internal:subscription_succeeded", "room")
	say := func(channel, data string) (realtime.Receipt, error) {
		text, _ := protocol.EventData(json.RawMessage(data))
		return f.live().Publish(t.Context(), f.app(), realtime.Event{Channel: channel, Name: "e", Data: text, MessageID: protocol.NewMessageID(), Once: "key"})
	}
	first, err := say("room", `"a"`)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := say("room", `"a"`); err != nil || again.MessageID != first.MessageID || again.Serial != first.Serial || again.Revision.Serial != first.Revision.Serial || again.Revision.History != first.Revision.History {
		t.Fatalf("%+v, %v, want %+v", again, err, first)
	}
	if _, err := say("room", `"b"`); !errors.Is(err, realtime.ErrOtherContent) {
		t.Fatal(err)
	}
	if other, err := say("other", `"a"`); err != nil || other.Serial != 1 || other.Stream == first.Stream {
		t.Fatalf("%+v, %v", other, err)
	}
	p.next("e", "room")
	p.quietV2()
}

// Checklist: protocol 202, 203, 205
// Checklist: http-api 145, 146
func TestAnnotationFrames(t *testing.T) {
	f := withVersions(t, nil)
	m := f.create("room", "chat", `"a"`).Revision.Message
	v1, plain := f.dial(), f.dialV2("")
	v1.join("room", "")
	plain.subscribe("room", "")
	plain.next("sockudo_internal:subscription_succeeded", "room")
	all := f.dialV2("token=" + capability(t, "u", "t1", 3600e9, map[string][]string{"*": {"subscribe", "annotation-subscribe"}}))
	all.subscribeWith("room", `"modes":["ANNOTATION_SUBSCRIBE","other"]`)
	all.next("sockudo_internal:subscription_succeeded", "room")

	live := f.live()
	p := live.AnnotationPolicy(f.app(), "room")
	one := protocol.Annotation{Type: "r:distinct.v1", Name: "like", ClientID: "u1", MessageSerial: m}
	if err := p.Annotations.Create(t.Context(), &one); err != nil {
		t.Fatal(err)
	}
	if err := p.Cache.Change(t.Context(), p.Annotations, m, one.Type, func(s history.Summary) error {
		return live.Annotated(t.Context(), f.app(), "room", s, one, "")
	}); err != nil {
		t.Fatal(err)
	}
	summary := `{"action":"message.summary","serial":"` + m + `","annotations":{"summary":{"r:distinct.v1":{"like":{"total":1,"clientIds":["u1"],"clipped":false}}}}}`
	for _, p := range []*peer{plain, all} {
		if s := p.next("sockudo_internal:message", "room"); string(s.Data) != summary || string(s.Extras) != `{"ephemeral":true}` || s.Serial != nil || s.MessageID == "" {
			t.Fatalf("%+v %s", s, s.Data)
		}
	}
	raw := all.next("sockudo_internal:annotation", "room")
	var item map[string]any
	if err := json.Unmarshal(raw.Data, &item); err != nil || item["action"] != "annotation.create" || item["serial"] != one.Serial || item["name"] != "like" || item["id"] == nil {
		t.Fatalf("%s", raw.Data)
	}
	plain.quietBut(summary)
	all.quietBut(summary)
	v1.quiet()
	late := f.dialV2("")
	late.subscribe("room", "")
	late.next("sockudo_internal:subscription_succeeded", "room")
	if s := late.next("sockudo_internal:message", "room"); string(s.Data) != summary {
		t.Fatalf("%s", s.Data)
	}
	if page := late.history(`{"channel":"room"}`); page.serials() != "1" {
		t.Fatalf("annotations are in the history: %+v", page)
	}
	old := f.dial()
	old.join("room", "")
	old.quiet()
}

// Checklist: protocol 204
func TestAnnotationRefusals(t *testing.T) {
	f := withVersions(t, nil)
	p := f.dialV2("")
	p.subscribeWith("room", `"modes":["ANNOTATION_SUBSCRIBE"]`)
	p.refusedV2(4009, "room")
	f.load(f.newSettings(nil))
	p.subscribeWith("room", `"modes":["ANNOTATION_SUBSCRIBE"]`)
	p.refusedV2(4300, "room", "Annotations are disabled")
}

// quietBut is quietV2, except for what a new subscriber may get twice.
func (p *peer) quietBut(summary string) {
	p.t.Helper()
	p.send("sockudo:ping", "", nil)
	for {
		f := parseFrame(p.t, p.expect())
		if f.Event == "sockudo:pong" {
			return
		}
		if string(f.Data) != summary {
			p.t.Fatalf("%+v %s", f, f.Data)
		}
	}
}
