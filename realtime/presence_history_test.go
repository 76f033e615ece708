package realtime_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// recordMembers keeps who joins and leaves presence channels.
func recordMembers(store storage.History) func(*storage.App, *realtime.Settings) {
	return func(_ *storage.App, s *realtime.Settings) {
		s.Drivers.History = store
		s.Members.Enabled = true
		s.Presence.GraceV2 = 50 * time.Millisecond
	}
}

// wantMembers waits until the presence history of a channel is as wanted: event, cause,
// user and whether the socket is known.
func wantMembers(t *testing.T, store storage.History, app, channel string, want ...string) []*history.PresenceEvent {
	t.Helper()
	var events []*history.PresenceEvent
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		key := history.PresenceKey(app, channel)
		head, err := store.Head(t.Context(), key)
		if err != nil {
			continue
		}
		entries, err := store.Read(t.Context(), key, head.Stream, storage.LogQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		events, got = nil, ""
		for i := range entries {
			e, err := history.ParsePresenceEvent(entries[i].Payload)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
			got += fmt.Sprintln(e.Event, e.Cause, e.UserID)
		}
		wanted := ""
		for _, w := range want {
			wanted += w + "\n"
		}
		if got == wanted {
			return events
		}
	}
	t.Fatalf("the presence history is\n%s, want %q", got, want)
	return nil
}

// Checklist: http-api 119, 120, 121
func TestPresenceHistory(t *testing.T) {
	store := memory.NewHistory(0)
	f := newFixture(t, recordMembers(store))
	app := f.app().ID
	join := func(p *peer, info string) {
		p.subscribe("presence-room", `{"user_id":"u1","user_info":`+info+`}`)
		for parseFrame(t, p.expect()).Event != "sockudo_internal:subscription_succeeded" { //nolint:revive // updates come before
		}
	}
	one, two := f.dialV2(""), f.dialV2("")
	join(one, `{"n":1}`)
	join(two, `{"n":1}`)
	update := func(n int) {
		one.send("sockudo:presence_update", "presence-room", json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)))
	}
	update(2)
	update(3)
	added, updated, removed := "member_added join u1", "member_updated join u1", "member_removed disconnect u1"
	events := wantMembers(t, store, app, "presence-room", added, updated, updated)
	if events[0].ConnectionID != one.conn.ID() || string(events[0].UserInfo) != `{"n":1}` || string(events[2].UserInfo) != `{"n":3}` {
		t.Fatalf("%+v %+v", events[0], events[2])
	}
	two.conn.Disconnect(true)
	one.send("sockudo:unsubscribe", "", map[string]any{"channel": "presence-room"})
	wantMembers(t, store, app, "presence-room", added, updated, updated, removed)
	// Leaving and coming back on the same socket is recorded.
	join(one, `{"n":4}`)
	wantMembers(t, store, app, "presence-room", added, updated, updated, removed, added)
	// A lost connection that does not come back in time.
	one.lost()
	wantMembers(t, store, app, "presence-room", added, updated, updated, removed, added, "member_removed timeout u1")
}

// Members who were there when the nodes before ended are removed when the channel is
// used again.
func TestPresenceHistoryAfterACrash(t *testing.T) {
	store := memory.NewHistory(0)
	key := history.PresenceKey("app-id", "presence-room")
	for i, user := range []string{"gone", "u1"} {
		log := history.Log{Store: store, Key: key}
		if _, err := history.RecordPresence(t.Context(), log, &history.PresenceEvent{Event: history.MemberAdded, Cause: history.CauseJoin, UserID: user}, int64(1000+i), 0); err != nil {
			t.Fatal(err)
		}
	}
	f := newFixture(t, func(a *storage.App, s *realtime.Settings) {
		recordMembers(store)(a, s)
		a.ID = "app-id"
		s.Members.Retention = 0
		s.Cluster.NodeTimeout = 50 * time.Millisecond
	})
	p := f.dialV2("")
	p.subscribe("presence-room", `{"user_id":"u1"}`)
	p.next("sockudo_internal:subscription_succeeded", "presence-room")
	wantMembers(t, store, f.app().ID, "presence-room", "member_added join gone", "member_added join u1", "member_removed orphan_cleanup gone")
}

// Nothing is lost while the store does not answer.
func TestPresenceHistoryWaitsForTheStore(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := newFixture(t, recordMembers(store))
	store.fail.Store(true)
	p := f.dialV2("")
	for range 3 {
		p.subscribe("presence-room", `{"user_id":"u1"}`)
		p.next("sockudo_internal:subscription_succeeded", "presence-room")
		p.send("sockudo:unsubscribe", "", map[string]any{"channel": "presence-room"})
	}
	store.fail.Store(false)
	added, removed := "member_added join u1", "member_removed disconnect u1"
	wantMembers(t, store.History, f.app().ID, "presence-room", added, removed, added, removed, added, removed)
}
