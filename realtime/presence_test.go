package realtime_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: protocol 89, 90, 91, 92, 100
// Checklist: http-api 83
func TestPresence(t *testing.T) {
	f := newFixture(t, nil)
	ada, bob := f.dial(), f.dial()
	ada.subscribe("presence-lobby", `{"user_id":"u1","user_info":{"name":"Ada"}}`)
	ada.expectExact(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":{\"name\":\"Ada\"}},\"count\":1}}"}`)
	bob.subscribe("presence-lobby", `{"user_id":"u2"}`)
	bob.expectExact(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\",\"u2\"],\"hash\":{\"u1\":{\"name\":\"Ada\"},\"u2\":{}},\"count\":2}}"}`)
	ada.expectExact(`{"event":"pusher_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"u2\",\"user_info\":{}}"}`)

	bob2 := f.dial()
	bob2.join("presence-lobby", `{"user_id":"u2","user_info":{"other":1}}`)
	ada.quiet()
	bob.quiet()
	bob.conn.Disconnect(true)
	ada.quiet()
	bob2.conn.Disconnect(true)
	ada.expectExact(`{"event":"pusher_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"u2\"}"}`)
	ada.quiet()
}

// Checklist: protocol 72
func TestRepeatPresenceSubscribe(t *testing.T) {
	f := newFixture(t, nil)
	ada, bob := f.dial(), f.dial()
	ada.join("presence-x", `{"user_id":"u1"}`)
	bob.join("presence-x", `{"user_id":"u2"}`)
	ada.expect("member_added")
	ada.subscribe("presence-x", `{"user_id":"u1"}`)
	ada.expect("subscription_succeeded", `\"count\":2`)
	bob.quiet()
}

// Checklist: protocol 93, 94, 95
func TestPresenceIdentity(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.subscribe("presence-x", `{"name":"no id"}`)
	p.refused(4300, "presence-x", "Missing user_id")
	p.subscribe("presence-x", "")
	p.refused(4000, "presence-x", "Missing channel_data")
	p.subscribe("presence-x", `{"user_id":42}`)
	p.expect("subscription_succeeded", `\"ids\":[\"42\"]`)
	p.signin(`{"id":"u9","user_info":{"name":"Zoe"}}`)
	p.expect("signin_success")
	p.subscribe("presence-y", "")
	p.expect("subscription_succeeded", `\"hash\":{\"u9\":{\"name\":\"Zoe\"}}`)
}

// Checklist: protocol 96
func TestPresenceLimits(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) {
		a.Limits.MaxPresenceMembersPerChannel = 1
		a.Limits.MaxPresenceMemberSizeInKB = 1
	})
	a, b, c := f.dial(), f.dial(), f.dial()
	a.join("presence-x", `{"user_id":"u1"}`)
	b.subscribe("presence-x", `{"user_id":"u2"}`)
	b.refused(4100, "presence-x", "Over capacity")
	c.join("presence-x", `{"user_id":"u1"}`)
	big, _ := json.Marshal(map[string]any{"user_id": "u1", "user_info": strings.Repeat("x", 1023)})
	b.subscribe("presence-y", string(big))
	b.refused(4300, "presence-y")
	fits, _ := json.Marshal(map[string]any{"user_id": "u1", "user_info": strings.Repeat("x", 1022)})
	b.join("presence-y", string(fits))
}

// Checklist: protocol 97
func TestMembershipIdentityPerChannel(t *testing.T) {
	f := newFixture(t, nil)
	watcher, p := f.dial(), f.dial()
	watcher.join("presence-a", `{"user_id":"w"}`)
	watcher.join("presence-b", `{"user_id":"w"}`)
	p.join("presence-a", `{"user_id":"one"}`)
	p.join("presence-b", `{"user_id":"two"}`)
	watcher.expect("member_added", "presence-a", "one")
	watcher.expect("member_added", "presence-b", "two")
	p.conn.Disconnect(true)
	left := watcher.expect("member_removed") + watcher.expect("member_removed")
	for _, want := range []string{`"channel":"presence-a","data":"{\"user_id\":\"one\"}"`, `"channel":"presence-b","data":"{\"user_id\":\"two\"}"`} {
		if !strings.Contains(left, want) {
			t.Errorf("%s is missing in %s", want, left)
		}
	}
}

// Many users come and go at once: every member hears of each user once, and the
// lists agree with what was heard.
func TestPresenceStorm(t *testing.T) {
	f := newFixture(t, nil)
	watcher := f.dial()
	watcher.join("presence-storm", `{"user_id":"w"}`)
	done := make(chan struct{})
	const users, conns = 20, 3
	for u := range users {
		for range conns {
			go func() {
				p := f.dial()
				p.subscribe("presence-storm", fmt.Sprintf(`{"user_id":"u%d"}`, u))
				p.conn.Disconnect(true)
				done <- struct{}{}
			}()
		}
	}
	for range users * conns {
		<-done
	}
	watcher.quietAfter(t, func(frames []string) {
		present := map[string]int{}
		for _, frame := range frames {
			var m struct{ Event, Data string }
			if json.Unmarshal([]byte(frame), &m) != nil {
				continue
			}
			var d struct {
				UserID string `json:"user_id"`
			}
			_ = json.Unmarshal([]byte(m.Data), &d)
			switch m.Event {
			case "pusher_internal:member_added":
				if present[d.UserID]++; present[d.UserID] != 1 {
					t.Errorf("%s was added twice", d.UserID)
				}
			case "pusher_internal:member_removed":
				if present[d.UserID]--; present[d.UserID] != 0 {
					t.Errorf("%s was removed twice", d.UserID)
				}
			}
		}
		for user, n := range present {
			if n != 0 {
				t.Errorf("%s is a ghost", user)
			}
		}
	})
}

// Checklist: protocol 119, 120, 121, 122, 123
func TestSignin(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	userData := `{"id":"u1","user_info":{"name":"Ada"}}`
	for _, auth := range []string{"", "app-key:0123", protocol.SignUser("other-key", "app-secret", p.conn.ID(), userData), protocol.SignUser("app-key", "app-secret", "1.2", userData)} {
		p.send("pusher:signin", "", map[string]any{"auth": auth, "user_data": userData})
		p.expectError(4009)
	}
	p.signin(`{"name":"no id"}`)
	p.expectError(4009)
	p.signin(userData)
	p.expectExact(`{"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u1\",\"user_info\":{\"name\":\"Ada\"}}"}}`)
	text, _ := json.Marshal(map[string]any{"auth": protocol.SignUser("app-key", "app-secret", p.conn.ID(), userData), "user_data": userData})
	p.send("pusher:signin", "", string(text))
	p.expect("signin_success")

	off := newFixture(t, func(a *storage.App, _ *realtime.Settings) { a.Features.UserAuthentication = false })
	q := off.dial()
	q.signin(userData)
	q.expectError(4009, "disabled")
}

// Checklist: protocol 124, 125, 126, 127
// Checklist: http-api 36
func TestServerToUser(t *testing.T) {
	f := newFixture(t, nil)
	a, b, other, member := f.dial(), f.dial(), f.dial(), f.dial()
	a.subscribe("#server-to-user-u1", "")
	a.refused(4009, "#server-to-user-u1")
	a.signin(`{"id":"u1"}`)
	a.expect("signin_success")
	a.join("#server-to-user-u1", "")
	b.signin(`{"id":"u1"}`)
	b.expect("signin_success")
	other.signin(`{"id":"u2"}`)
	other.expect("signin_success")
	other.subscribe("#server-to-user-u1", "")
	other.refused(4009, "#server-to-user-u1")
	member.join("presence-x", `{"user_id":"u1"}`)
	f.publish("#server-to-user-u1", "notice", `{"text":"hi"}`)
	for _, p := range []*peer{a, b} {
		p.expectExact(`{"event":"notice","channel":"#server-to-user-u1","data":"{\"text\":\"hi\"}"}`)
		p.quiet()
	}
	other.quiet()
	member.quiet()
	b.signin(`{"id":"u3"}`) // moves
	b.expect("signin_success")
	f.publish("#server-to-user-u1", "notice", `"2"`)
	a.expect("notice")
	b.quiet()
}

// Checklist: protocol 128, 129
func TestWatchlist(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Limits.Watchlist = 2 })
	watcher := f.dial()
	watcher.signin(`{"id":"w","watchlist":["u2","u3"]}`)
	watcher.expect("signin_success")
	watcher.expectExact(`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u2\",\"u3\"]}]}"}`)
	first, second := f.dial(), f.dial()
	first.signin(`{"id":"u2"}`)
	watcher.expectExact(`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]}]}"}`)
	second.signin(`{"id":"u2"}`)
	watcher.quiet()
	first.conn.Disconnect(true)
	watcher.quiet()
	second.conn.Disconnect(true)
	watcher.expectExact(`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u2\"]}]}"}`)

	many := f.dial()
	many.signin(`{"id":"m","watchlist":["a","b","c"]}`)
	many.expect("signin_success")
	many.expectError(4302, "Watchlist")
}

// Checklist: protocol 130, 131
// Checklist: http-api 84, 85
func TestCloseUser(t *testing.T) {
	f := newFixture(t, nil)
	a, b, other := f.dial(), f.dial(), f.dial()
	for _, p := range []*peer{a, b} {
		p.signin(`{"id":"u1"}`)
	}
	other.signin(`{"id":"u2"}`)
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if err := live.CloseUser(t.Context(), f.app(), "u1", protocol.ErrTerminated); err != nil {
		t.Fatal(err)
	}
	a.expectClosed(protocol.ErrTerminated)
	b.expectClosed(protocol.ErrTerminated)
	if err := live.CloseUser(t.Context(), f.app(), "u2", protocol.ErrForceReconnect); err != nil {
		t.Fatal(err)
	}
	other.expectClosed(protocol.ErrForceReconnect)
	if err := live.CloseUser(t.Context(), f.app(), "nobody", protocol.ErrTerminated); err != nil {
		t.Fatal(err)
	}
}
