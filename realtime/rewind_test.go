package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Checklist: protocol 158, 163
// Checklist: http-api 117
func TestRewindByCount(t *testing.T) {
	f := withHistory(t, nil)
	f.sayMany("room", 1, 5)
	for asked, want := range map[string]struct {
		texts string
		limit bool
	}{`2`: {"4 5", true}, `5`: {"1 2 3 4 5", false}, `9`: {"1 2 3 4 5", false}, `"2"`: {"4 5", true}, `{"count":1}`: {"5", true}} {
		p := f.dialV2("")
		p.subscribeWith("room", `"rewind":`+asked)
		p.next("sockudo_internal:subscription_succeeded", "room")
		frames, done := p.rewound("room")
		n := len(strings.Fields(want.texts))
		if texts(frames) != want.texts || done != (protocol.RewindComplete{Historical: n, Complete: !want.limit, ByLimit: want.limit}) {
			t.Fatalf("rewind %s: %q, %+v", asked, texts(frames), done)
		}
		for i, e := range frames {
			if *e.Serial != uint64(5-n+1+i) || e.StreamID == "" || e.MessageID == "" || e.Event != "e" {
				t.Fatalf("rewind %s: %+v", asked, e)
			}
		}
		f.sayMany("room", 6, 6)
		if e := p.next("e", "room"); e.text() != "6" {
			t.Fatalf("after a rewind came %s", e.Data)
		}
		f.reset("room")
		f.sayMany("room", 1, 5)
	}
}

// reset begins the history of a channel anew, as an operator does.
func (f *fixture) reset(channel string) {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	if err := live.Settings.Drivers.History.Reset(context.Background(), history.Key(f.app().ID, channel), protocol.NewMessageID()); err != nil {
		f.t.Fatal(err)
	}
	if err := live.HistoryReset(context.Background(), f.app(), channel); err != nil {
		f.t.Fatal(err)
	}
}

// Checklist: protocol 159
func TestRewindForms(t *testing.T) {
	f := withHistory(t, nil)
	f.sayMany("room", 1, 3)
	for _, asked := range []string{`"2"`, `{"count":2}`, `{"seconds":60}`, `{"duration_seconds":60}`} {
		p := f.dialV2("")
		p.subscribeWith("room", `"rewind":`+asked)
		p.next("sockudo_internal:subscription_succeeded", "room")
		want := "2 3"
		if strings.Contains(asked, "seconds") {
			want = "1 2 3"
		}
		if frames, done := p.rewound("room"); texts(frames) != want || done.Complete != (want != "2 3") {
			t.Fatalf("rewind %s: %q, %+v", asked, texts(frames), done)
		}
	}
	p := f.dialV2("")
	for _, wrong := range []string{`0`, `-1`, `"x"`, `{}`, `1.5`, `{"count":0}`, `{"seconds":-1}`, `[]`, `true`} {
		p.subscribeWith("room", `"rewind":`+wrong)
		p.expect("sockudo:error", `"code":4000`)
		p.quietV2()
	}
	p.subscribeWith("room", `"rewind":null`)
	p.next("sockudo_internal:subscription_succeeded", "room")
	p.quietV2()
}

func TestRewindIsBounded(t *testing.T) {
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.History.PageSize = 3 })
	f.sayMany("room", 1, 5)
	for asked, want := range map[string]string{`100`: "3 4 5", `{"seconds":60}`: "1 2 3"} {
		p := f.dialV2("")
		p.subscribeWith("room", `"rewind":`+asked)
		p.next("sockudo_internal:subscription_succeeded", "room")
		if frames, done := p.rewound("room"); texts(frames) != want || !done.ByLimit || done.Complete {
			t.Fatalf("rewind %s: %q, %+v", asked, texts(frames), done)
		}
	}
	f = withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.History.MaxItems = 2 })
	f.sayMany("room", 1, 5)
	for asked, retention := range map[string]bool{`2`: false, `3`: true, `{"seconds":60}`: true} {
		p := f.dialV2("")
		p.subscribeWith("room", `"rewind":`+asked)
		p.next("sockudo_internal:subscription_succeeded", "room")
		if frames, done := p.rewound("room"); texts(frames) != "4 5" || done.ByRetention != retention || done.ByLimit {
			t.Fatalf("rewind %s: %q, %+v", asked, texts(frames), done)
		}
	}
}

func TestRewindFilters(t *testing.T) {
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.History.PageSize = 4 })
	for i := range 30 {
		f.say(realtime.Event{Channel: "room", Name: fmt.Sprint("e", i%10), Data: json.RawMessage(fmt.Sprint(i))})
	}
	p := f.dialV2("")
	p.subscribeWith("room", `"rewind":2,"filter":{"events":["e3"]}`)
	p.next("sockudo_internal:subscription_succeeded", "room")
	if frames, done := p.rewound("room"); texts(frames) != "13 23" || !done.ByLimit {
		t.Fatalf("%q, %+v", texts(frames), done)
	}
	p = f.dialV2("")
	p.subscribeWith("room", `"rewind":9,"filter":{"events":["none"]}`)
	p.next("sockudo_internal:subscription_succeeded", "room")
	if frames, done := p.rewound("room"); len(frames) != 0 || !done.Complete {
		t.Fatalf("%q, %+v", texts(frames), done)
	}
}

// slowHistory waits in Read while somebody holds it.
type slowHistory struct {
	storage.History
	mu      sync.Mutex
	reading func()
	fail    atomic.Bool
}

var errDown = errors.New("the store is down")

func (h *slowHistory) Read(ctx context.Context, key storage.LogKey, stream string, q storage.LogQuery) ([]storage.LogEntry, error) {
	h.mu.Lock()
	reading := h.reading
	h.mu.Unlock()
	if reading != nil {
		reading()
	}
	if h.fail.Load() {
		return nil, errDown
	}
	return h.History.Read(ctx, key, stream, q)
}

func (h *slowHistory) Append(ctx context.Context, appends []*storage.LogAppend) {
	if h.fail.Load() {
		for _, a := range appends {
			a.Err = errDown
		}
		return
	}
	h.History.Append(ctx, appends)
}

func (h *slowHistory) Head(ctx context.Context, key storage.LogKey) (storage.LogHead, error) {
	if h.fail.Load() {
		return storage.LogHead{}, errDown
	}
	return h.History.Head(ctx, key)
}

func (h *slowHistory) whileReading(f func()) {
	h.mu.Lock()
	h.reading = f
	h.mu.Unlock()
}

// Checklist: protocol 160
func TestRewindWhileEventsCome(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) {
		s.Drivers.History = store
		s.Recovery.Enabled = false
	})
	other := f.dialV2("")
	other.subscribe("room", "")
	other.next("sockudo_internal:subscription_succeeded", "room")
	f.sayMany("room", 1, 3)
	p := f.dialV2("")
	var once sync.Once
	store.whileReading(func() { once.Do(func() { f.sayMany("room", 4, 6) }) })
	p.subscribeWith("room", `"rewind":2`)
	p.next("sockudo_internal:subscription_succeeded", "room")
	frames, done := p.rewound("room")
	if texts(frames) != "2 3 4 5 6" || done.Historical != 2 || done.Live != 3 {
		t.Fatalf("%q, %+v", texts(frames), done)
	}
	f.sayMany("room", 7, 7)
	if e := p.next("e", "room"); e.text() != "7" {
		t.Fatalf("%s", e.Data)
	}
	p.quietV2()
}

// Checklist: protocol 161, 162
// Checklist: http-api 118
func TestRewindRefusals(t *testing.T) {
	f := withHistory(t, func(a *storage.App, _ *realtime.Settings) {
		off := false
		a.Namespaces = map[string]*storage.Namespace{"no": {Name: "no", History: storage.AppHistory{Rewind: &off}}}
	})
	v1 := f.dial()
	v1.send("pusher:subscribe", "", json.RawMessage(`{"channel":"room","rewind":1}`))
	v1.refused(4300, "room", "only supported on protocol V2")
	v1.quiet()
	p := f.dialV2("")
	p.subscribeWith("no:room", `"rewind":1`)
	p.refusedV2(4300, "no:room", "Channel rewind is disabled by policy")
	p.subscribeWith("room*", `"rewind":1`)
	p.refusedV2(4300, "room*", "Channel rewind is disabled by policy")
	f.load(f.newSettings(nil))
	p.subscribeWith("room", `"rewind":1`)
	p.refusedV2(4300, "room", "Channel rewind is disabled by policy")
	f.sayMany("room", 1, 1)
	p.quietV2()
}
