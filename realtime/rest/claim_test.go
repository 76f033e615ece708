package rest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Checklist: http-api 71, 72, 73
func TestHTTP071MessageID(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c").subscribe("d")
	publish := func(more ...any) answer {
		return n.post("events", body(append([]any{"name", "e", "message_id", "m-1"}, more...)...))
	}
	const receipt = `{"channels":{"c":{"acknowledgement_id":"m-1"}}}`
	publish("channel", "c", "data", "a/b").is(t, 200, receipt)
	publish("channel", "c", "data", "a/b").is(t, 200, receipt)
	// The value counts, not its spelling.
	n.post("events", `{"name":"e","message_id":"m-1","channel":"c","data":"a\/\u0062"}`).is(t, 200, receipt)
	const conflict = "idempotency key was already used with a different payload"
	publish("channel", "c", "data", "other").fails(t, 400, "invalid_input", conflict)
	publish("channel", "c", "data", "a/b", "socket_id", "1.2").fails(t, 400, "invalid_input", conflict)
	n.post("events", body("name", "e2", "message_id", "m-1", "channel", "c", "data", "a/b")).fails(t, 400, "invalid_input", conflict)
	publish("channel", "d", "data", "other").is(t, 200, `{"channels":{"d":{"acknowledgement_id":"m-1"}}}`)
	s.settle("c").settle("d")
	if got := s.events("e"); len(got) != 2 || got[0].Channel != "c" || got[1].Channel != "d" || len(s.events("e2")) != 0 {
		t.Errorf("delivered %v", s.texts())
	}
	if got := claimName("app-id", "orders", "msg-1"); got != "idempotency:publish:v1:d785a9d573ea4bc23639f07c097e38f85284a36a178542c80d728bcec88a77e2" {
		t.Errorf("cache key %s", got)
	}
}

// The strongest key counts, and extras may spell theirs either way (Q11, Q13).
func TestKeyPrecedence(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	for i, members := range []string{
		`"extras":{"idempotencyKey":"x"}`, `"extras":{"idempotency_key":"x"}`, `"extras":{"idempotency_key":"y","idempotencyKey":"x"}`,
		`"extras":{"idempotencyKey":"x"},"idempotency_key":"b1"`, `"extras":{"idempotencyKey":"y"},"message_id":"x"`, `"message_id":"x","idempotency_key":"b2"`,
	} {
		if got := n.post("events", `{"name":"e","channel":"c",`+members+`}`); got.status != 200 {
			t.Errorf("%d: %d %s", i, got.status, got.body)
		}
	}
	if got := len(s.settle("c").events("e")); got != 1 {
		t.Errorf("%d deliveries under one key", got)
	}
}

// Two requests with one message id: while the first is pending the other waits.
func TestPendingMessageID(t *testing.T) {
	t.Parallel()
	n, _, adapter, release := held(t)
	text := body("name", "e", "channel", "c", "message_id", "m")
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() { first <- n.post("events", text) }()
	for adapter.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	n.post("events", body("name", "other", "channel", "c", "message_id", "m")).fails(t, 400, "invalid_input", "different payload")
	late := n.post("events", text)
	late.fails(t, 503, "backpressure", "idempotent publish is still in progress")
	if late.header.Get("Retry-After") != "1" {
		t.Error("no Retry-After")
	}
	go func() { second <- n.post("events", text) }()
	time.Sleep(20 * time.Millisecond)
	release()
	const receipt = `{"channels":{"c":{"acknowledgement_id":"m"}}}`
	(<-first).is(t, 200, receipt)
	(<-second).is(t, 200, receipt)
	if got := adapter.count.Load(); got != 1 {
		t.Errorf("%d publishes", got)
	}
}

// A claim of a node that was killed keeps nobody from publishing where the history takes
// the event once: it is accepted as what it was, or now.
func TestClaimOfKilledNode(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		var drivers realtime.Drivers
		n := newNode(t, testApp(), func(s *realtime.Settings) {
			s.Drivers.History, s.History.Enabled = memory.NewHistory(0), true
			drivers = s.Drivers
		})
		s := n.connect().subscribe("c")
		text := body("name", "e", "channel", "c", "data", "x", "message_id", "m")
		key := claimName("app-id", "c", "m")
		if kept {
			n.post("events", text).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
			if err := drivers.Cache.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		pending := encode(record{State: statePending, Owner: "killed", Fingerprint: fingerprint(realtime.Event{Channel: "c", Name: "e", Data: json.RawMessage(`"x"`)})})
		if won, err := drivers.Cache.SetIfAbsent(t.Context(), key, pending, time.Minute); !won || err != nil {
			t.Fatal(won, err)
		}
		for range 2 {
			n.post("events", text).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
		}
		if got := len(s.settle("c").events("e")); got != 1 {
			t.Errorf("kept before %v: %d deliveries", kept, got)
		}
		if value, err := drivers.Cache.Get(t.Context(), key); err != nil || !strings.Contains(string(value), stateCommitted) {
			t.Errorf("kept before %v: the claim is %s, %v", kept, value, err)
		}
	}
}
