package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: push 71, 77
func TestGoldenKeysAndBackoff(t *testing.T) {
	delivery := deliveryKey("app-1", "pub-1", FCM, "fast-batch-fcm-1", Hash("fcm-token-A"))
	if delivery != "c254031a575122d8ffadce72675b0a2f1c8d857d6d908e21b02b4bafeb8b24cd" {
		t.Errorf("the key of a delivery is %s", delivery)
	}
	if got := retryKey("app-1", "pub-1", FCM, "fast-batch-fcm-1", delivery, 2); got != "retry:dd78ebba12f612d4217af91e51ab10e25b88622af169b5d9a4cccd82037ec9a6" {
		t.Errorf("the key of a retry is %s", got)
	}
	r := Retry{}.withDefaults()
	for attempt, want := range map[int]int64{1: 884, 2: 1822, 3: 4481} {
		if got := r.backoff("seed", attempt); got.Milliseconds() != want {
			t.Errorf("after attempt %d there is a pause of %v", attempt, got)
		}
	}
	if got := r.backoff("seed", 60); got > time.Minute || got < 48*time.Second {
		t.Errorf("the longest pause is %v", got)
	}
}

// Checklist: push 77, 80
func TestExhaustedRetries(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Breaker.Failures = 1000 })
	g.subscribe("orders", "d1")
	g.fcm.all(&Result{Outcome: Retryable, Class: ProviderTransient, Reason: "UNAVAILABLE"})
	g.publish(toChannel("orders", "p"))
	s := g.ended("p")
	if s.State != DeadLettered || s.Counters.DeadLettered != 1 || s.Counters.RetryScheduled != 4 || s.Counters.RetryAttempted != 4 || g.fcm.times("d1") != 5 {
		t.Errorf("it ended as %+v after %d attempts", s, g.fcm.times("d1"))
	}
	letters, next, err := g.DeadLetters(t.Context(), testApp, DeadLetterFilter{}, "", 10)
	if err != nil || next != "" || len(letters) != 1 || !strings.HasPrefix(letters[0].Reason, "retry attempts exhausted") || letters[0].Stage != "RetrySchedule" || !letters[0].Replayable {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
}

// Checklist: push 89, 90
func TestReplaySends(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Retry.MaxAttempts = 1 })
	g.subscribe("orders", "d1", "d2")
	g.fcm.script("d1", Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true}, Result{Outcome: Accepted})
	g.fcm.script("d2", Result{Outcome: Rejected, Class: CredentialAuth, Reason: "SENDER_ID_MISMATCH"})
	g.publish(toChannel("orders", "p"))
	g.ended("p")
	letters, _, err := g.DeadLetters(t.Context(), testApp, DeadLetterFilter{}, "", 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("the dead letters are %+v, %v", letters, err)
	}
	for _, l := range letters {
		batch, err := g.Replay(t.Context(), testApp, l.ID)
		if l.Stage == "delivery_result" {
			if r := new(Refusal); !errors.As(err, &r) || r.Status != 400 || l.Replayable {
				t.Errorf("replaying a marker is answered %v", err)
			}
			continue
		}
		if err != nil || batch == "" {
			t.Fatalf("replaying is answered %q, %v", batch, err)
		}
	}
	until(t, "second attempt", func() bool { return g.fcm.times("d1") == 2 })
	s := g.ended("p")
	if s.Counters.Replayed != 1 || s.Counters.DeadLettered != 1 || s.Counters.Planned != 2 {
		t.Errorf("the counters are %+v", s.Counters)
	}
	if _, err := g.Replay(t.Context(), testApp, "none"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("replaying what is not there is answered %v", err)
	}
	only, _, err := g.DeadLetters(t.Context(), testApp, DeadLetterFilter{Provider: FCM}, "", 10)
	if err != nil || len(only) != 1 || only[0].Replayed != 1 {
		t.Errorf("those of one provider are %+v, %v", only, err)
	}
	none, _, err := g.DeadLetters(t.Context(), testApp, DeadLetterFilter{SinceMS: time.Now().Add(time.Hour).UnixMilli()}, "", 10)
	if err != nil || len(none) != 0 {
		t.Errorf("those of the future are %+v, %v", none, err)
	}
}

// Checklist: push 78
func TestRetryAfterIsKept(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) { s.Now = clock.now })
	g.subscribe("orders", "d1")
	g.fcm.script("d1", Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true, RetryAfter: 7 * time.Second}, Result{Outcome: Accepted})
	g.publish(toChannel("orders", "p"))
	var r result
	until(t, "first result", func() bool {
		views, _, err := g.Deliveries(t.Context(), testApp, "p", "", 10)
		if err != nil || len(views) != 1 || views[0].Attempt != 1 {
			return false
		}
		r = result{NextMS: views[0].NextAttemptAtMS, AtMS: views[0].AtMS}
		return true
	})
	if pause := time.Duration(r.NextMS-r.AtMS) * time.Millisecond; pause < 7*time.Second || pause > 8400*time.Millisecond {
		t.Errorf("it is tried again after %v", pause)
	}
	if n := g.fcm.times("d1"); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	ignoring := Retry{IgnoreRetryAfter: true}.withDefaults()
	d := &dispatch{Pipeline: New(NewBoard(meter.NewRegistry("x")), Settings{Store: g.store, Queue: g.queue, Retry: ignoring}), kind: FCM, batch: &batch{FirstMS: time.Now().UnixMilli()}, pub: &publish{ExpiresMS: time.Now().Add(time.Hour).UnixMilli()}, notices: []notice{{Hash: "x"}}, results: make([]result, 1)}
	s := d.settle(0, &Result{Outcome: Retryable, RetryAfter: time.Hour})
	if pause := s.result.NextMS - s.result.AtMS; pause > 2000 {
		t.Errorf("when it is not respected, there is a pause of %dms", pause)
	}
}

// Checklist: push 79
func TestRetryBeyondExpiry(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("orders", "d1")
	g.fcm.script("d1", Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true, RetryAfter: time.Hour})
	g.publish(fmt.Sprintf(`{"publishId":"p","expiresAtMs":%d,"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`, time.Now().Add(900*time.Millisecond).UnixMilli()))
	if s := g.ended("p"); s.State != ExpiredPublish || s.Counters.Expired != 1 || s.Counters.DeadLettered != 0 {
		t.Errorf("it ended as %+v", s)
	}
}

// Checklist: push 81, 82
func TestBreaker(t *testing.T) {
	now := time.Now()
	b := &breaker{settings: BreakerSettings{Failures: 5, Cooldown: time.Minute, HalfOpen: 2}}
	for range 20 {
		b.heard(now, &Result{Outcome: Rejected, Class: DeviceTerminal})
		b.heard(now, &Result{Outcome: Rejected, Class: CallerPayload})
		b.heard(now, &Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true, RetryAfter: time.Hour})
	}
	if b.wait(now) != 0 || b.limit() != 0 {
		t.Fatal("faults of devices and payloads have opened it")
	}
	for i := range 5 {
		if opened := b.heard(now, &Result{Outcome: Retryable, Class: ProviderTransient}); opened != (i == 4) {
			t.Errorf("failure %d: opened %v", i, opened)
		}
	}
	if b.wait(now) != time.Minute || b.state(now) != 2 {
		t.Errorf("it is open for %v", b.wait(now))
	}
	after := now.Add(time.Minute)
	if b.wait(after) != 0 || b.limit() != 2 || b.state(after) != 1 {
		t.Errorf("after that there may be %d at once", b.limit())
	}
	if !b.heard(after, &Result{Outcome: Retryable, Class: NetworkTransport}) || b.wait(after) != time.Minute {
		t.Error("one failure when it is tried does not open it again")
	}
	again := after.Add(time.Minute)
	b.heard(again, &Result{Outcome: Accepted})
	if b.limit() != 0 || b.state(again) != 0 {
		t.Error("a success does not close it")
	}
	b.heard(again, &Result{Outcome: Retryable, Class: ProviderQuota, RetryAfter: 7 * time.Second})
	if b.wait(again) != 7*time.Second {
		t.Errorf("what the provider asks for keeps it open for %v", b.wait(again))
	}
}

// Checklist: push 81, 82
func TestBreakerIsOfOneApp(t *testing.T) {
	g := newRig(t, func(s *Settings) {
		s.Breaker = BreakerSettings{Failures: 5, Cooldown: 300 * time.Millisecond, HalfOpen: 1}
		s.Retry.MaxAttempts = 100
	})
	g.subscribe("many", ids("d", 400)...)
	for _, id := range ids("d", 400) {
		g.fcm.script(id, Result{Outcome: Retryable, Class: ProviderTransient}, Result{Outcome: Accepted})
	}
	g.publish(toChannel("many", "p"))
	until(t, "open breaker", func() bool {
		return value(t, g.board.Metrics.breakerOpen.WithLabelValues("fcm", testApp)) > 0
	})
	if _, err := g.reg.Register(t.Context(), "app-2", registration("other", "", "other"), false); err != nil {
		t.Fatal(err)
	}
	r := request(t, `{"publishId":"q","recipients":[{"type":"device","device_id":"other"}],"payload":{"title":"T","body":"B"}}`)
	if _, err := g.Accept(t.Context(), "app-2", r, AcceptOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "delivery of another app", func() bool { return g.fcm.times("other") == 1 })
}

// What expires while nothing is sent with its credentials comes to its end then, and not
// when they are used again.
func TestExpiryWhileTheBreakerIsOpen(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) { s.Now = clock.now })
	g.subscribe("orders", "d1")
	g.fcm.script("d1", Result{Outcome: Retryable, Class: ProviderQuota, RetryAfter: 24 * time.Hour})
	g.publish(`{"publishId":"p","ttlSeconds":600,"recipients":[{"type":"channel","channel":"orders"}],"payload":{"title":"T","body":"B"}}`)
	until(t, "request", func() bool { return g.fcm.times("d1") == 1 })
	until(t, "first result", func() bool {
		views, _, err := g.Deliveries(t.Context(), testApp, "p", "", 10)
		return err == nil && len(views) == 1 && views[0].Attempt == 1
	})
	clock.add(11 * time.Minute)
	if s := g.ended("p"); s.State != ExpiredPublish || g.fcm.times("d1") != 1 {
		t.Errorf("it ended as %+v after %d attempts", s, g.fcm.times("d1"))
	}
}

// Checklist: push 83
func TestInvalidAddressesAreRemoved(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Quarantine = 50 * time.Millisecond })
	classes := map[string]Result{
		"terminal": {Outcome: Rejected, Class: DeviceTerminal, Reason: "UNREGISTERED"}, "auth": {Outcome: Rejected, Class: CredentialAuth, Reason: "x"},
		"payload": {Outcome: Rejected, Class: CallerPayload}, "quota": {Outcome: Rejected, Class: ProviderQuota}, "network": {Outcome: Rejected, Class: NetworkTransport},
	}
	for id, r := range classes {
		g.subscribe("orders", id)
		g.fcm.script(id, r)
	}
	g.publish(toChannel("orders", "p"))
	g.ended("p")
	until(t, "removal", func() bool {
		_, err := g.reg.Device(t.Context(), testApp, "terminal")
		return errors.Is(err, storage.ErrNotFound)
	})
	subs, err := g.reg.Subscribers(t.Context(), testApp, "orders", "", 10)
	if err != nil || len(subs.Items) != 4 {
		t.Errorf("there are %d subscriptions, %v", len(subs.Items), err)
	}
	for id := range classes {
		if d, err := g.reg.Device(t.Context(), testApp, id); id != "terminal" && (err != nil || d.State != Active) {
			t.Errorf("the device %s is %+v, %v", id, d, err)
		}
	}
}

// Checklist: push 84
func TestLateAnswerAboutAnOldAddress(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Quarantine = 30 * time.Millisecond })
	g.fcm.hold = make(chan struct{})
	g.subscribe("orders", "d1")
	g.fcm.script("d1", Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "UNREGISTERED"})
	g.publish(toChannel("orders", "p"))
	until(t, "request", func() bool { return g.fcm.times("d1") == 1 })
	if _, err := g.reg.Register(t.Context(), testApp, registration("d1", "", "fresh"), false); err != nil {
		t.Fatal(err)
	}
	close(g.fcm.hold)
	g.ended("p")
	// One whose address the provider has lost before it was registered.
	g.subscribe("orders", "d2")
	g.fcm.script("d2", Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "Unregistered", InvalidSince: time.Now().Add(-time.Hour)})
	g.publish(toChannel("orders", "q"))
	g.ended("q")
	time.Sleep(100 * time.Millisecond) // longer than the quarantine and some looks into the store
	for _, id := range []string{"d1", "d2"} {
		if d, err := g.reg.Device(t.Context(), testApp, id); err != nil || d.State != Active {
			t.Errorf("the device %s is %+v, %v", id, d, err)
		}
	}
}

// Checklist: push 85
func TestBrakeOnInvalidAddresses(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Quarantine = 100 * time.Millisecond })
	all := ids("d", 40)
	g.subscribe("orders", all...)
	for _, id := range all[:20] {
		g.fcm.script(id, Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "UNREGISTERED"})
	}
	g.publish(toChannel("orders", "p"))
	g.ended("p")
	until(t, "guard", func() bool { return value(t, g.board.Metrics.guard.WithLabelValues("fcm", testApp)) == 1 })
	until(t, "quarantine of all", func() bool { return value(t, g.board.Metrics.invalidations.WithLabelValues("fcm", testApp)) == 20 })
	time.Sleep(300 * time.Millisecond) // longer than the quarantine
	page, err := g.reg.Devices(t.Context(), testApp, "", 100)
	if err != nil || len(page.Items) != 40 {
		t.Errorf("there are %d devices, %v", len(page.Items), err)
	}
	if n := value(t, g.board.Metrics.guard.WithLabelValues("fcm", testApp)); n != 1 {
		t.Errorf("the guard was counted %v times", n)
	}
	// Devices in quarantine get nothing.
	g.publish(toChannel("orders", "q"))
	if s := g.ended("q"); s.Counters.Planned != 20 {
		t.Errorf("the next publish ended as %+v", s)
	}
}

// Checklist: push 86
func TestTransientFailuresOfADevice(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Retry.MaxAttempts = 1 })
	g.subscribe("orders", "d1")
	g.fcm.script("d1", Result{Outcome: Retryable, Class: DeviceTransient})
	for i := range 3 {
		id := fmt.Sprint("p", i)
		g.publish(toChannel("orders", id))
		g.ended(id)
	}
	until(t, "failed device", func() bool {
		d, err := g.reg.Device(t.Context(), testApp, "d1")
		return err == nil && d.State == Failed
	})
	g.publish(toChannel("orders", "skipped"))
	if s := g.ended("skipped"); s.Counters.Planned != 0 || g.fcm.times("d1") != 3 {
		t.Errorf("it ended as %+v after %d attempts", s, g.fcm.times("d1"))
	}
	g.device("d1", "")
	g.fcm.script("d1", Result{Outcome: Accepted})
	g.publish(toChannel("orders", "again"))
	if s := g.ended("again"); s.Counters.Succeeded != 1 {
		t.Errorf("after it was registered again, it ended as %+v", s)
	}
}

// Checklist: push 37
func TestCredentialsOfAnApp(t *testing.T) {
	g := newRig(t, func(s *Settings) {
		s.Setups = map[Kind]Setup{FCM: {}}
		keys, err := NewKeyring("a key of the test")
		if err != nil {
			t.Fatal(err)
		}
		s.Registry = NewRegistry(RegistryOptions{Store: s.Store, Providers: s.Codecs, Keys: keys})
	})
	g.subscribe("orders", "d1")
	g.publish(toChannel("orders", "none"))
	if s := g.ended("none"); s.State != FailedPublish || g.fcm.times("d1") != 0 {
		t.Errorf("without credentials it ended as %+v", s)
	}
	for i, material := range []string{"first", "second", "second"} {
		body, _ := json.Marshal(map[string]any{"serviceAccountJson": map[string]string{"k": material}, "version": i + 1})
		if _, err := g.settings.Registry.PutCredential(t.Context(), testApp, FCM, body); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("p", i)
		g.publish(toChannel("orders", id))
		if s := g.ended(id); s.Counters.Succeeded != 1 {
			t.Errorf("it ended as %+v", s)
		}
	}
	if g.fcm.opened != 2 {
		t.Errorf("%d senders were made for two credentials", g.fcm.opened)
	}
}

// Checklist: push 72
func TestSlowAppDoesNotDelayOthers(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Workers = 8 })
	hold := make(chan struct{})
	defer close(hold)
	g.fcm.hold = hold
	for i := range 10 {
		g.subscribe(fmt.Sprint("slow", i), ids(fmt.Sprint("s", i), 3)...)
		g.publish(toChannel(fmt.Sprint("slow", i), fmt.Sprint("slow", i)))
	}
	until(t, "requests of the slow app", func() bool { _, n := g.fcm.total(); return n >= 6 })
	if _, err := g.reg.Register(t.Context(), "app-2", registration("other", "", "other"), false); err != nil {
		t.Fatal(err)
	}
	r := request(t, `{"publishId":"q","recipients":[{"type":"device","device_id":"other"}],"payload":{"title":"T","body":"B"}}`)
	if _, err := g.Accept(context.Background(), "app-2", r, AcceptOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "request of another app", func() bool { return g.fcm.times("other") == 1 })
}

// A device that fails now and then is active again once it is reached, and it is written
// when it was seen, as far as anybody else has not changed it meanwhile.
func TestReachedDevicesAreNoted(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) { s.Now = clock.now })
	all := ids("d", 120)
	g.subscribe("orders", all...)
	hash := Hash(all[7])
	if state, err := g.reg.DeviceFailed(t.Context(), testApp, all[7], hash, "x"); err != nil || state != Failing {
		t.Fatal(state, err)
	}
	read, err := g.reg.LoadDevices(t.Context(), testApp, all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.reg.Register(t.Context(), testApp, registration(all[9], "", "moved"), false); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(2 * time.Hour)
	if err := g.reg.DevicesDelivered(t.Context(), testApp, read, at); err != nil {
		t.Fatal(err)
	}
	for i, id := range all {
		d, err := g.reg.Device(t.Context(), testApp, id)
		if err != nil || d.State != Active || d.Failures != 0 {
			t.Fatalf("%s is %+v, %v", id, d, err)
		}
		if noted := d.LastActiveAtMS == at.UnixMilli(); noted != (i != 9) {
			t.Errorf("%s was seen at %d", id, d.LastActiveAtMS)
		}
	}
}
