package realtime_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Publishers, joins and leaves race on one channel. Every subscriber that stays
// sees each publisher's messages once and in order, and all subscribers see the
// same order; one that joins late sees a gapless end of it.
func TestFanoutOrder(t *testing.T) {
	f := newFixture(t, nil)
	const stayers, publishers, each = 40, 4, 300
	var stay []*peer
	for range stayers {
		p := f.dial()
		p.join("orders", "")
		stay = append(stay, p)
	}
	var wg sync.WaitGroup
	for n := range publishers {
		wg.Go(func() {
			for i := range each {
				f.publishFrom("orders", fmt.Sprintf(`"%d-%d"`, n, i))
			}
		})
	}
	late := make(chan *peer, 100)
	for range 40 {
		wg.Go(func() {
			p := f.dial()
			p.join("orders", "")
			late <- p
			q := f.dial()
			q.join("orders", "")
			q.conn.Disconnect(true)
		})
	}
	wg.Wait()
	close(late)
	var reference []string
	for _, p := range stay {
		p.quietAfter(t, func(frames []string) {
			frames = events(frames)
			if len(frames) != publishers*each {
				t.Fatalf("%d messages, want %d", len(frames), publishers*each)
			}
			if reference == nil {
				reference = frames
				checkPublisherOrder(t, frames)
			}
			for i := range frames {
				if frames[i] != reference[i] {
					t.Fatalf("message %d differs: %s, %s", i, frames[i], reference[i])
				}
			}
		})
	}
	for p := range late {
		p.quietAfter(t, func(frames []string) {
			frames = events(frames)
			tail := reference[len(reference)-len(frames):]
			for i := range frames {
				if frames[i] != tail[i] {
					t.Fatalf("a late subscriber got %s, want %s", frames[i], tail[i])
				}
			}
		})
	}
}

func checkPublisherOrder(t *testing.T, frames []string) {
	t.Helper()
	next := map[int]int{}
	for _, frame := range frames {
		var n, i int
		data := frame[strings.Index(frame, `"data":"`)+8:]
		if _, err := fmt.Sscanf(data, "%d-%d", &n, &i); err != nil {
			t.Fatal(err)
		}
		if i != next[n] {
			t.Fatalf("publisher %d: message %d after %d", n, i, next[n]-1)
		}
		next[n]++
	}
}

func events(frames []string) []string {
	var found []string
	for _, f := range frames {
		if strings.HasPrefix(f, `{"event":"e"`) {
			found = append(found, f)
		}
	}
	return found
}

// Nothing of a channel reaches a connection after it has unsubscribed, and a new
// subscription starts after its answer.
func TestNothingAfterUnsubscribe(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				f.publishFrom("orders", `"x"`)
			}
		}
	})
	for range 200 {
		p.subscribe("orders", "")
		p.send("pusher:unsubscribe", "", "orders")
		p.send("pusher:ping", "", nil)
	}
	close(stop)
	wg.Wait()
	p.quietAfter(t, func(frames []string) {
		subscribed := false
		for i, frame := range frames {
			switch {
			case strings.Contains(frame, "subscription_succeeded"):
				subscribed = true
			case strings.Contains(frame, "pong"):
				subscribed = false
			case strings.HasPrefix(frame, `{"event":"e"`) && !subscribed:
				t.Fatalf("frame %d came without a subscription, behind %q", i, frames[max(0, i-4):i+1])
			}
		}
	})
}

// An excluded socket misses exactly what excluded it, also in joined writes.
func TestExclusionsWithinABurst(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.dial(), f.dial()
	a.join("orders", "")
	b.join("orders", "")
	for i := range 500 {
		except := ""
		if i%3 == 0 {
			except = a.conn.ID()
		}
		f.publish("orders", "e", fmt.Sprintf(`"%d"`, i), except)
	}
	b.quietAfter(t, func(frames []string) {
		if n := len(events(frames)); n != 500 {
			t.Errorf("%d messages, want 500", n)
		}
	})
	a.quietAfter(t, func(frames []string) {
		want := 0
		for _, frame := range events(frames) {
			if want%3 == 0 {
				want++
			}
			if !strings.HasSuffix(frame, fmt.Sprintf(`"data":"%d"}`, want)) {
				t.Fatalf("got %s, want %d", frame, want)
			}
			want++
		}
		if want != 500 {
			t.Errorf("the last message was %d", want-1)
		}
	})
}

// What one publisher sends over several channels reaches a subscriber of all of
// them in that order, joined with the user's own events.
func TestOrderAcrossChannels(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.signin(`{"id":"u1"}`)
	p.expect("signin_success")
	channels := []string{"a", "b", "c", "d", "#server-to-user-u1"}
	for _, channel := range channels[:4] {
		p.join(channel, "")
	}
	const total = 4000
	for i := range total {
		f.publishFrom(channels[i%len(channels)], fmt.Sprintf(`"%d"`, i))
	}
	p.quietAfter(t, func(frames []string) {
		frames = events(frames)
		if len(frames) != total {
			t.Fatalf("%d messages, want %d", len(frames), total)
		}
		for i, frame := range frames {
			if !strings.HasSuffix(frame, fmt.Sprintf(`"data":"%d"}`, i)) {
				t.Fatalf("message %d is %s", i, frame)
			}
		}
	})
}

// A connection that is closed by the app gets what was published before.
func TestCloseComesLast(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.signin(`{"id":"u1"}`)
	p.expect("signin_success")
	p.join("orders", "")
	for range 100 {
		f.publishFrom("orders", `"x"`)
	}
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if err := live.CloseUser(t.Context(), f.app(), "u1", protocol.ErrTerminated); err != nil {
		t.Fatal(err)
	}
	p.expectClosed(protocol.ErrTerminated)
	p.quietAfter(t, func(frames []string) {
		if n := len(events(frames)); n != 100 {
			t.Errorf("%d messages before the end, want 100", n)
		}
	})
}

// Large bursts are written in bounded pieces, complete and in order.
func TestLargeBurst(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("orders", "")
	big := strings.Repeat("x", 90<<10)
	for i := range 20 {
		f.publish("orders", "e", fmt.Sprintf(`"%d-%s"`, i, big))
	}
	p.quietAfter(t, func(frames []string) {
		frames = events(frames)
		if len(frames) != 20 {
			t.Fatalf("%d messages", len(frames))
		}
		for i, frame := range frames {
			if !strings.Contains(frame, fmt.Sprintf(`"data":"%d-`, i)) {
				t.Errorf("message %d is out of order", i)
			}
		}
	})
}

// Channels exist while somebody is subscribed, and the counts agree.
//
// Checklist: http-api 76, 79
func TestOccupancy(t *testing.T) {
	f := newFixture(t, func(a *storage.App, _ *realtime.Settings) { a.Features.SubscriptionCount = true })
	a, b := f.dial(), f.dial()
	a.join("orders", "")
	b.join("orders", "")
	b.join("presence-x", `{"user_id":"u1"}`)
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	state, _ := live.Channel(t.Context(), f.app(), "orders")
	if state.Subscriptions != 2 || state.Presence {
		t.Errorf("%+v", state)
	}
	states, _ := live.Channels(t.Context(), f.app(), "")
	if len(states) != 2 || states[1].Users != 1 {
		t.Errorf("%+v", states)
	}
	members, _ := live.Members(t.Context(), f.app(), "presence-x")
	if sorted(members) != "u1" {
		t.Error(members)
	}
	a.expect("subscription_count", `\"subscription_count\":2`)
	a.conn.Disconnect(true)
	b.expect("subscription_count", `\"subscription_count\":2`)
	b.expect("subscription_count", `\"subscription_count\":1`)
	b.conn.Disconnect(true)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if states, _ := live.Channels(t.Context(), f.app(), ""); len(states) == 0 {
			break
		}
	}
	if states, _ := live.Channels(t.Context(), f.app(), ""); len(states) != 0 {
		t.Errorf("ghost channels: %+v", states)
	}
	if state := f.hub.AppState(f.app()); state.Connections != 0 || state.Occupancy.Channels != 0 {
		t.Errorf("%+v", state)
	}
}

func TestAdminQueries(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.dial(), f.dial()
	a.join("orders", "")
	b.signin(`{"id":"u1"}`)
	b.expect("signin_success")
	all := f.hub.Connections("app-id", "", 10)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	if rest := f.hub.Connections("", all[0].SocketID, 10); len(rest) != 1 || rest[0].SocketID != all[1].SocketID {
		t.Errorf("%+v", rest)
	}
	if len(f.hub.Connections("other", "", 10)) != 0 || len(f.hub.Connections("", "", 1)) != 1 {
		t.Error("filter or limit does not count")
	}
	if f.hub.Kick("1.2", nil) {
		t.Error("kicked nobody")
	}
}

// Checklist: configuration 101
func TestRateKey(t *testing.T) {
	for in, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "::ffff:1.2.3.4": "1.2.3.4", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::": "2001:db8:1:2::/64", "2001:db8:1:3::": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "@": "@",
	} {
		if got := realtime.RateKey(in); got != want {
			t.Errorf("RateKey(%s) = %s, want %s", in, got, want)
		}
	}
}
