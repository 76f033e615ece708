package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return all
}

// Checklist: push 45, 63
func TestPublishToChannel(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("orders", ids("d", 3)...)
	a := g.publish(toChannel("orders", "p1"))
	if a.Status != "accepted" || a.Expected != 3 || a.FanoutRegime != "fastPath" || a.PublishID != "p1" {
		t.Errorf("the answer is %+v", a)
	}
	var kinds []string
	for _, r := range a.Rendered {
		kinds = append(kinds, string(r.Provider))
	}
	if got := strings.Join(kinds, " "); got != "fcm apns webPush hms wns realtime" {
		t.Errorf("the payloads are of %s", got)
	}
	s := g.ended("p1")
	want := Counters{Planned: 3, Dispatched: 3, Succeeded: 3}
	if s.State != Succeeded || s.Counters != want || s.ErrorReason != "" {
		t.Errorf("it ended as %+v", s)
	}
	for _, id := range ids("d", 3) {
		if n := g.fcm.times(id); n != 1 {
			t.Errorf("%s was notified %d times", id, n)
		}
	}
}

// A notification that says nothing of its life has an hour of it at the provider. How each
// provider is told of it is shown beside that provider.
//
// Checklist: configuration 141
func TestDefaultLife(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("orders", "d")
	g.publish(toChannel("orders", "p1"))
	g.ended("p1")
	g.fcm.mu.Lock()
	defer g.fcm.mu.Unlock()
	for _, n := range g.fcm.got["d"] {
		if n.TTL > time.Hour || n.TTL < time.Hour-10*time.Minute || n.Expires.IsZero() {
			t.Errorf("it is to live for %s, until %s", n.TTL, n.Expires)
		}
	}
	if len(g.fcm.got["d"]) != 1 {
		t.Errorf("it was sent %d times", len(g.fcm.got["d"]))
	}
}

// Checklist: push 64
func TestCountersAddUp(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Retry.MaxAttempts = 2 })
	all := ids("d", 2000)
	g.subscribe("big", all...)
	for i, id := range all {
		switch i % 10 {
		case 1:
			g.fcm.script(id, Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "UNREGISTERED"})
		case 2:
			g.fcm.script(id, Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true}, Result{Outcome: Accepted})
		case 3:
			g.fcm.script(id, Result{Outcome: Retryable, Class: DeviceTransient})
		case 4:
			g.fcm.script(id, Result{Outcome: Rejected, Class: CallerPayload, Reason: "INVALID_ARGUMENT"})
		}
	}
	g.publish(toChannel("big", "p"))
	s := g.ended("p")
	want := Counters{Planned: 2000, Dispatched: 1800, Succeeded: 1400, Failed: 400, DeadLettered: 200, RetryScheduled: 400, RetryAttempted: 400}
	if s.Counters != want || s.State != PartiallySucceeded {
		t.Errorf("it ended as %+v", s)
	}
}

// Checklist: push 66
func TestNoRecipientsEnds(t *testing.T) {
	g := newRig(t, nil)
	for id, target := range map[string]string{
		"empty": `{"type":"channel","channel":"nobody"}`, "unknown": `{"type":"device","device_id":"none"}`, "client": `{"type":"client","clientId":"none"}`,
	} {
		g.publish(fmt.Sprintf(`{"publishId":%q,"recipients":[%s],"payload":{"title":"T","body":"B"}}`, id, target))
		if s := g.ended(id); s.State != Succeeded || s.ErrorReason != "no recipients" {
			t.Errorf("%s ended as %+v", id, s)
		}
	}
}

// Checklist: push 67, 46
func TestDeviceOfTwoTargetsIsNotifiedOnce(t *testing.T) {
	g := newRig(t, nil)
	g.device("d1", "user-1")
	for _, channel := range []string{"a", "b"} {
		if _, err := g.reg.Subscribe(t.Context(), testApp, Subscription{Channel: channel, DeviceID: "d1"}); err != nil {
			t.Fatal(err)
		}
	}
	g.publish(`{"publishId":"p","recipients":[{"type":"channel","channel":"a"},{"type":"device","deviceId":"d1"},{"type":"client","client_id":"user-1"},{"type":"channel","channel":"b"},
		{"type":"recipient","recipient":{"transportType":"gcm","registrationToken":"d1"}}],"payload":{"title":"T","body":"B"}}`)
	if s := g.ended("p"); s.Counters.Planned != 1 || s.Counters.Succeeded != 1 || g.fcm.times("d1") != 1 {
		t.Errorf("it ended as %+v, and d1 was notified %d times", s, g.fcm.times("d1"))
	}
}

// Checklist: push 32
func TestClientScopeExpands(t *testing.T) {
	g := newRig(t, nil)
	scope := Subscription{Channel: "room", DeviceID: clientScope + Hash("user-1"), ClientID: "user-1", Provider: Realtime, TokenHash: Hash("user-1")}
	if _, err := g.reg.Subscribe(t.Context(), testApp, scope); err != nil {
		t.Fatal(err)
	}
	g.device("before", "user-1")
	g.device("after", "user-1")
	g.device("other", "user-2")
	if _, err := g.reg.Subscribe(t.Context(), testApp, Subscription{Channel: "room", DeviceID: "before"}); err != nil {
		t.Fatal(err)
	}
	g.publish(toChannel("room", "p"))
	s := g.ended("p")
	if s.Counters.Planned != 2 || g.fcm.times("before") != 1 || g.fcm.times("after") != 1 || g.fcm.times("other") != 0 {
		t.Errorf("it ended as %+v", s)
	}
}

// Checklist: push 53, 54
func TestOnePublishOfManyWithOneID(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("orders", ids("d", 5)...)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := g.Accept(t.Context(), testApp, request(t, toChannel("orders", "same")), AcceptOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s := g.ended("same"); s.Counters.Succeeded != 5 {
		t.Errorf("it ended as %+v", s)
	}
	if _, requests := g.fcm.total(); requests != 5 {
		t.Errorf("there were %d requests", requests)
	}
	again := g.publish(toChannel("orders", "same"))
	if again.Status != "succeeded" || again.Expected != 5 {
		t.Errorf("the second answer is %+v", again)
	}
	other := request(t, `{"publishId":"same","recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"else","body":"B"}}`)
	_, err := g.Accept(t.Context(), testApp, other, AcceptOptions{Conflict: true})
	if r := new(Refusal); !errors.As(err, &r) || r.Status != 409 {
		t.Errorf("another publish with the id is answered %v", err)
	}
	if _, err := g.Accept(t.Context(), testApp, request(t, toChannel("orders", "same")), AcceptOptions{Conflict: true}); err != nil {
		t.Errorf("the same publish is answered %v", err)
	}
}

// Checklist: push 58
func TestRegimeByNumber(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.FastThreshold, s.ShardSize = 3, 2 })
	g.subscribe("two", ids("a", 2)...)
	g.subscribe("many", ids("b", 2500)...)
	if a := g.publish(toChannel("two", "p2")); a.FanoutRegime != "fastPath" {
		t.Errorf("the regime is %s", a.FanoutRegime)
	}
	if a := g.publish(toChannel("many", "p3")); a.FanoutRegime != "shardPath" {
		t.Errorf("the regime is %s", a.FanoutRegime)
	}
	// Parts are of one page at least, and each begins where the one before has ended.
	if s := g.ended("p3"); s.Counters.Succeeded != 2500 || s.FanoutRegime != "shardPath" {
		t.Errorf("it ended as %+v", s)
	}
	for _, id := range ids("b", 2500) {
		if n := g.fcm.times(id); n != 1 {
			t.Fatalf("%s was notified %d times", id, n)
		}
	}
}

// Checklist: push 70
func TestAudienceThatHasGrownIsReached(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.FastThreshold = 10 })
	g.subscribe("grows", ids("a", 5)...)
	a := g.publish(fmt.Sprintf(`{"publishId":"p","notBeforeMs":%d,"recipients":[{"type":"channel","channel":"grows"}],"payload":{"title":"T","body":"B"}}`, time.Now().Add(1500*time.Millisecond).UnixMilli()))
	if a.Expected != 5 {
		t.Errorf("it seemed to have %d recipients", a.Expected)
	}
	g.subscribe("grows", ids("z", 1200)...)
	if s := g.ended("p"); s.Counters.Succeeded != 1205 {
		t.Errorf("it ended as %+v", s)
	}
}

// Checklist: push 59, 61
func TestDelayAndCancel(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("orders", "d1")
	at := time.Now().Add(700 * time.Millisecond)
	delayed := func(id string, at time.Time) string {
		return fmt.Sprintf(`{"publishId":%q,"notBeforeMs":%d,"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`, id, at.UnixMilli())
	}
	g.publish(delayed("p", at))
	s, err := g.Status(t.Context(), testApp, "p")
	if err != nil || s.State != Queued || s.RetryAfterMS != at.UnixMilli() {
		t.Errorf("it is %+v, %v", s, err)
	}
	g.publish(delayed("soon", at))
	g.publish(delayed("far", time.Now().Add(time.Hour)))
	for _, id := range []string{"soon", "far"} {
		if err := g.Cancel(t.Context(), testApp, id); err != nil {
			t.Fatal(err)
		}
	}
	g.ended("p")
	if time.Now().Before(at) {
		t.Error("it was sent before its time")
	}
	if err := g.Cancel(t.Context(), testApp, "p"); err == nil || err.(*Refusal).Status != 409 { //nolint:errorlint // it is not wrapped
		t.Errorf("cancelling what has been sent is answered %v", err)
	}
	if s := g.ended("soon"); s.State != CancelledPublish {
		t.Errorf("what was cancelled is %s", s.State)
	}
	if n := g.fcm.times("d1"); n != 1 {
		t.Errorf("the device was notified %d times", n)
	}
}

// A publish that is further away than a job waits in the queue comes to its time by way
// of the store.
func TestFarPublish(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) { s.Now = clock.now })
	g.subscribe("orders", "d1")
	g.publish(fmt.Sprintf(`{"publishId":"p","notBeforeMs":%d,"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`, clock.now().Add(time.Hour).UnixMilli()))
	if stats, _ := g.queue.Stats(t.Context(), queuePublishes); stats.Delayed+stats.Ready != 0 {
		t.Errorf("the queue has it already: %+v", stats)
	}
	clock.add(59*time.Minute + 59*time.Second + 950*time.Millisecond)
	if s := g.ended("p"); s.State != Succeeded {
		t.Errorf("it ended as %+v", s)
	}
}

// clock is one that only goes on its own by the time of the test.
type clock struct {
	mu   sync.Mutex
	more time.Duration
}

func newClock() *clock { return new(clock) }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.more)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.more += d
}

// Checklist: push 60
func TestTimesOfPublish(t *testing.T) {
	g := newRig(t, nil)
	now := time.Now()
	for _, times := range []string{
		fmt.Sprintf(`"notBeforeMs":%d,"expiresAtMs":%d`, now.Add(time.Minute).UnixMilli(), now.Add(time.Minute).UnixMilli()),
		fmt.Sprintf(`"expiresAtMs":%d`, now.Add(-time.Second).UnixMilli()), `"ttlSeconds":-1`, `"ttlSeconds":2419201`,
	} {
		r := request(t, `{`+times+`,"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`)
		if _, err := g.Accept(t.Context(), testApp, r, AcceptOptions{}); !errors.As(err, new(*FieldError)) {
			t.Errorf("%s is answered %v", times, err)
		}
	}
	g.subscribe("orders", "d1")
	for _, c := range []struct {
		id, times string
		ttl       time.Duration
	}{
		{"default", ``, time.Hour},
		{"ttl", `"ttlSeconds":600,`, 10 * time.Minute},
		{"expiry", fmt.Sprintf(`"expiresAtMs":%d,`, now.Add(20*time.Minute).UnixMilli()), 20 * time.Minute},
	} {
		g.publish(fmt.Sprintf(`{"publishId":%q,%s"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`, c.id, c.times))
		g.ended(c.id)
		g.fcm.mu.Lock()
		got := g.fcm.got["d1"][len(g.fcm.got["d1"])-1].TTL
		g.fcm.mu.Unlock()
		if got > c.ttl || got < c.ttl-time.Minute {
			t.Errorf("%s lives for %v", c.id, got)
		}
	}
}

// present are the users of a channel.
type present map[string]bool

func (p present) Present(context.Context, string, string) (func(string) bool, error) {
	return func(user string) bool { return p[user] }, nil
}

func TestPresentUsersAreNotNotified(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Presence = present{"in": true} })
	for id, client := range map[string]string{"d1": "in", "d2": "out", "d3": ""} {
		g.device(id, client)
		if _, err := g.reg.Subscribe(t.Context(), testApp, Subscription{Channel: "room", DeviceID: id}); err != nil {
			t.Fatal(err)
		}
	}
	body := `{"publishId":%q,"suppressIfPresent":{"channel":%q},"recipients":[{"type":"channel","channel":"room"}],"payload":{"title":"T","body":"B"}}`
	g.publish(fmt.Sprintf(body, "p", "presence-room"))
	s := g.ended("p")
	if s.Counters.Planned != 2 || s.Counters.Suppressed != 1 || g.fcm.times("d1") != 0 || g.fcm.times("d2") != 1 || g.fcm.times("d3") != 1 {
		t.Errorf("it ended as %+v", s)
	}
	if _, err := g.Accept(t.Context(), testApp, request(t, fmt.Sprintf(body, "q", "room")), AcceptOptions{}); !errors.As(err, new(*FieldError)) {
		t.Errorf("a channel without members is answered %v", err)
	}
}

// Checklist: push 43, 48, 55
func TestUnusableRequests(t *testing.T) {
	g := newRig(t, nil)
	for text, field := range map[string]string{
		`{"payload":{"title":"T","body":"B"}}`:                                                                                        "recipients",
		`{"recipients":[{"type":"channel","channel":"a"}]}`:                                                                           "payload",
		`{"recipients":[{"type":"channel"}],"payload":{"title":"T","body":"B"}}`:                                                      "recipients[0].channel",
		`{"recipients":[{"type":"userTopic","topic":"x"}],"payload":{"title":"T","body":"B"}}`:                                        "recipients[0].type",
		`{"recipients":[{"type":"providerTopic","provider":"apns","topic":"x"}],"payload":{"title":"T","body":"B"}}`:                  "recipients[0].provider",
		`{"recipients":[{"type":"recipient","recipient":{"transportType":"smoke"}}],"payload":{"title":"T","body":"B"}}`:              "recipients[0].recipient.transportType",
		`{"recipients":[{"type":"channel","channel":"a"}],"payload":{"title":"T","body":"B","icon":"http://x"}}`:                      "payload.icon",
		`{"recipients":[{"type":"channel","channel":"a"}],"payload":{"title":"T","body":"B"},"providerOverrides":[{"provider":"x"}]}`: "providerOverrides[0].provider",
	} {
		_, err := g.Accept(t.Context(), testApp, request(t, text), AcceptOptions{})
		var f *FieldError
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", text, err)
		}
	}
	hms := request(t, `{"recipients":[{"type":"recipient","recipient":{"transportType":"hms","registrationToken":"x"}}],"payload":{"title":"T","body":"B"}}`)
	_, err := g.Accept(t.Context(), testApp, hms, AcceptOptions{})
	if r := new(Refusal); !errors.As(err, &r) || r.Status != 503 || r.Code != "service_unavailable" {
		t.Errorf("a recipient of a provider that is off: %v", err)
	}
	// Too large for a provider of which there is no recipient.
	g.subscribe("a", "d1")
	large, _ := json.Marshal(map[string]any{"x": strings.Repeat("x", 5000)})
	a := g.publish(fmt.Sprintf(`{"publishId":"large","recipients":[{"type":"channel","channel":"a"}],"payload":{"title":"T","body":"B","templateData":%s}}`, large))
	if a.Rendered[0].Error == "" {
		t.Error("the payload is not too large")
	}
	if s := g.ended("large"); s.State != FailedPublish || s.Counters.Failed != 1 || g.fcm.times("d1") != 0 {
		t.Errorf("it ended as %+v", s)
	}
}
