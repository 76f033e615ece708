package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func newPresence(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.Key = PresenceKey("app", "presence-lobby")
	return f
}

// record records events, written as "+u" for a join, "*u" for an update and "-u" for a
// removal, and returns those that were not dropped.
func (f *fixture) record(events ...string) (recorded string) {
	f.Helper()
	kinds := map[byte]string{'+': MemberAdded, '*': MemberUpdated, '-': MemberRemoved}
	for _, e := range events {
		head, _ := f.store.History.Head(f.Context(), f.Key)
		ok, err := RecordPresence(f.Context(), f.Log, &PresenceEvent{Event: kinds[e[0]], Cause: CauseJoin, UserID: e[1:]}, base+int64(head.Row), time.Hour)
		if err != nil {
			f.Fatal(err)
		}
		if ok {
			recorded += e
		}
	}
	return recorded
}

func TestPresenceEventKeepsEverything(t *testing.T) {
	for _, e := range []*PresenceEvent{
		{Event: MemberRemoved, Cause: CauseOrphan, UserID: "u\n1", ConnectionID: "1.2", UserInfo: json.RawMessage(`{"a":1}`), DeadNodeID: "node"},
		{Event: MemberAdded, Cause: CauseJoin, UserID: "u"},
	} {
		text := e.Append(nil)
		if got, err := ParsePresenceEvent(text); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	const want = `{"event":"member_added","cause":"join","user_id":"u","connection_id":null,"user_info":null,"dead_node_id":null}`
	if got := string((&PresenceEvent{Event: MemberAdded, Cause: CauseJoin, UserID: "u"}).Append(nil)); got != want {
		t.Error(got)
	}
	if e, err := ParsePresenceEvent([]byte(`{"event":1}`)); err == nil {
		t.Errorf("%+v", e)
	}
}

func TestRecordPresence(t *testing.T) {
	for events, want := range map[string]string{
		"+a +a +b":       "+a+b",
		"+a -a -a +a":    "+a-a+a",
		"+a *a *a *a":    "+a*a*a*a",
		"+a *a +a":       "+a*a",
		"+a *a -a *a +a": "+a*a-a+a",
		"-a -a":          "-a",
		"*a *a":          "*a*a",
	} {
		if got := newPresence(t).record(strings.Fields(events)...); got != want {
			t.Errorf("%s: recorded %s, want %s", events, got, want)
		}
	}
}

// What is not shown any more is as if it were gone.
func TestRecordPresenceAfterRetention(t *testing.T) {
	for name, retention := range map[string]Retention{"rows": {Rows: 2}, "age": {Age: time.Second}, "bytes": {Bytes: 220}} {
		f := newPresence(t)
		f.Retention = retention
		f.record("+a", "+b", "+c")
		if name == "age" {
			f.Now = base + 1001
		}
		shown := map[string]bool{}
		for _, r := range f.page(Query{Limit: 9}).Rows {
			shown[r.Subject] = true
		}
		if shown["a"] || !shown["c"] {
			t.Fatalf("%s: %v", name, shown)
		}
		if got := f.record("+c", "+a"); got != "+a" {
			t.Errorf("%s: recorded %s", name, got)
		}
	}
	f := newPresence(t)
	f.record("+a", "+b")
	f.trim(2)
	if got := f.record("+a", "-a"); got != "+a-a" {
		t.Errorf("trimmed: recorded %s", got)
	}
}

func TestRecordPresenceLongNames(t *testing.T) {
	long := strings.Repeat("é", 200)
	f := newPresence(t)
	digest := PresenceSubject(long)
	if got := f.record("+"+long, "+"+long, "+"+long+"x", "+"+digest, "-"+long); got != "+"+long+"+"+long+"x+"+digest+"-"+long {
		t.Errorf("recorded %s", got)
	}
	if s := strings.Repeat("u", storage.MaxLogText); PresenceSubject(s) != s || PresenceSubject(digest) == digest || len(PresenceSubject(s+"u")) > storage.MaxLogText {
		t.Error("subjects")
	}
}

// Nodes that see the same joins and leaves record each once.
func TestRecordPresenceRace(t *testing.T) {
	f := newPresence(t)
	var mu sync.Mutex
	recorded := 0
	for _, kind := range []string{MemberAdded, MemberRemoved, MemberAdded} {
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for u := range 5 {
					ok, err := RecordPresence(t.Context(), f.Log, &PresenceEvent{Event: kind, UserID: fmt.Sprint("u", u), ConnectionID: fmt.Sprint(n)}, base, 0)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					if ok {
						recorded++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
	}
	if head, err := f.store.Head(t.Context(), f.Key); err != nil || head.Row != 15 || recorded != 15 {
		t.Errorf("%d recorded, head %+v, %v", recorded, head, err)
	}
}

func TestRecordPresenceFailures(t *testing.T) {
	f := newPresence(t)
	e := &PresenceEvent{Event: MemberUpdated, UserID: "u", Once: "nonce"}
	for i := range 2 {
		if ok, err := RecordPresence(t.Context(), f.Log, e, base, 0); err != nil || ok != (i == 0) {
			t.Errorf("%v, %v", ok, err)
		}
	}
	// Another node is always faster.
	f.store.before = func(call string) {
		if call == "append" {
			f.add(&storage.LogAppend{Row: true, Subject: "v", Payload: (&PresenceEvent{Event: MemberUpdated}).Append(nil)})
		}
	}
	if ok, err := RecordPresence(t.Context(), f.Log, &PresenceEvent{Event: MemberUpdated, UserID: "v"}, base, 0); ok || !errors.Is(err, storage.ErrConflict) {
		t.Errorf("%v, %v", ok, err)
	}
	f.store.before = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := RecordPresence(ended, f.Log, e, base, 0); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", ok, err)
	}
}

// in are the members of a snapshot, each with its newest event.
func in(s *Snapshot) (text string) {
	for _, m := range s.Members {
		text += fmt.Sprintf("%s:%s:%d ", m.UserID, m.Event[len("member_"):], m.Serial)
	}
	return strings.TrimSpace(text)
}

func TestSnapshot(t *testing.T) {
	f := newPresence(t)
	if s, err := f.Snapshot(t.Context(), nil, nil); err != nil || !s.Complete || s.Truncated || len(s.Members) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
	f.record("+b", "+a", "*b", "-a", "+c", "+a")
	for _, c := range []struct {
		serial *uint64
		at     *int64
		want   string
		last   uint64
	}{
		{nil, nil, "a:added:6 b:updated:3 c:added:5", 6},
		{new(uint64(2)), nil, "a:added:2 b:added:1", 2},
		{new(uint64(100)), nil, "a:added:6 b:updated:3 c:added:5", 6},
		{new(uint64(0)), nil, "", 0},
		{nil, new(int64(base + 3)), "b:updated:3", 4},
		{nil, new(int64(0)), "", 0},
		{new(uint64(1)), new(int64(base + 3)), "b:added:1", 1},
		{new(uint64(5)), new(int64(base)), "b:added:1", 1},
	} {
		s, err := f.Snapshot(t.Context(), c.serial, c.at)
		if err != nil || in(s) != c.want || s.Serial != c.last || s.Replayed != c.last || !s.Complete {
			t.Errorf("%v %v: %q, %+v, %v", c.serial, c.at, in(s), s, err)
		}
	}
	f.trim(2)
	if s, err := f.Snapshot(t.Context(), nil, nil); err != nil || in(s) != "a:added:6 b:updated:3 c:added:5" || s.Complete || !s.Truncated || s.Replayed != 5 {
		t.Errorf("%q, %+v, %v", in(s), s, err)
	}
	if s, err := f.Snapshot(t.Context(), new(uint64(1)), nil); err != nil || in(s) != "" || s.Complete || !s.Truncated {
		t.Errorf("%q, %+v, %v", in(s), s, err)
	}
}

func TestSnapshotOfMany(t *testing.T) {
	f := newPresence(t)
	var appends []*storage.LogAppend
	for i := range 2*snapshotPage + 1 {
		e := &PresenceEvent{Event: MemberAdded, UserID: fmt.Sprintf("u%05d", i)}
		appends = append(appends, &storage.LogAppend{Key: f.Key, Fresh: "s", Row: true, Subject: e.UserID, Payload: e.Append(nil), At: base})
	}
	f.store.Append(t.Context(), appends)
	for _, at := range []*int64{nil, new(int64(base))} {
		if s, err := f.Snapshot(t.Context(), nil, at); err != nil || len(s.Members) != len(appends) || s.Replayed != uint64(len(appends)) || s.Members[1].UserID != "u00001" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	// Events go between two pages.
	calls := 0
	f.store.before = func(call string) {
		if calls++; call == "read" && calls == 5 {
			f.trim(1500)
		}
	}
	s, err := f.Snapshot(t.Context(), nil, nil)
	if err != nil || !s.Truncated || uint64(len(s.Members)) != s.Floor.Rows() || s.Floor.Oldest.Row != 1500 {
		t.Errorf("%d calls, %+v, %v", calls, s.Floor, err)
	}
	f.store.before = func(call string) {
		if call == "read" {
			calls++
			if err := f.store.Reset(t.Context(), f.Key, fmt.Sprint(calls)); err != nil {
				t.Fatal(err)
			}
			f.store.Append(t.Context(), appends[:1])
		}
	}
	if s, err := f.Snapshot(t.Context(), nil, nil); err == nil || err.Error() != "presence history stream changed while reconstructing snapshot" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSnapshotContradictions(t *testing.T) {
	for events, want := range map[string]string{
		"+a +a":    "duplicate_member_added",
		"+a -a *a": "member_updated_without_join",
		"+a -a -a": "member_removed_without_join",
		"+a *a -a": "",
		"*a -a +b": "", // the history began with members
		"-a +a":    "",
	} {
		f := newPresence(t)
		kinds := map[byte]string{'+': MemberAdded, '*': MemberUpdated, '-': MemberRemoved}
		for e := range strings.FieldsSeq(events) {
			f.add(&storage.LogAppend{Row: true, At: base, Subject: e[1:], Payload: (&PresenceEvent{Event: kinds[e[0]], UserID: e[1:]}).Append(nil)})
		}
		s, err := f.Snapshot(t.Context(), nil, nil)
		if got := fmt.Sprint(err); want != "" && got != "presence history transition anomaly: "+want || want == "" && err != nil {
			t.Errorf("%s: %v", events, err)
		}
		if err == nil && s.Complete != strings.HasPrefix(events, "+") {
			t.Errorf("%s: complete %v", events, s.Complete)
		}
		if _, err := f.Snapshot(t.Context(), nil, new(int64(base))); err != nil {
			t.Errorf("%s, with a time: %v", events, err)
		}
	}
}

// durable says that the logs of a store outlive it.
type durable struct{ storage.History }

// A presence history that cannot be trusted is read from memory alone.
func TestUnhealthyPresence(t *testing.T) {
	f := newPresence(t)
	f.record("+a")
	head, _ := f.store.Head(t.Context(), f.Key)
	if err := f.store.Mark(t.Context(), f.Key, head.Stream, storage.LogState{Name: StateResetRequired, Reason: "r", Since: 1}); err != nil {
		t.Fatal(err)
	}
	f.Store = durable{f.store}
	if p, err := f.Page(t.Context(), Query{Limit: 1}); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("%+v, %v", p, err)
	}
	if s, err := f.Snapshot(t.Context(), nil, nil); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("%+v, %v", s, err)
	}
	f.Store = f.store.History
	text, err := f.page(Query{Limit: 1}).Append(nil)
	if err != nil || !strings.Contains(string(text), `"degraded":true,"complete":false,`) || !strings.Contains(string(text), `"durable_state":"reset_required","continuity_proven":false,"reset_required":true,"reason":"r","node_id":null,"last_transition_at_ms":1,"authoritative_source":"in_memory"`) {
		t.Errorf("%s, %v", text, err)
	}
	if s, err := f.Snapshot(t.Context(), nil, nil); err != nil || s.Complete {
		t.Errorf("%+v, %v", s, err)
	}
}
