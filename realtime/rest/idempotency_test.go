package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// keyed is a call with an X-Idempotency-Key header.
func keyed(path, text, key string) request {
	return request{method: "POST", path: "/apps/app-id/" + path, body: text, header: http.Header{"X-Idempotency-Key": {key}, "Content-Type": {"application/json"}}}
}

// Checklist: http-api 61
func TestHTTP061SameKey(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	first := n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k", "info", ""))
	second := n.post("events", body("name", "another", "channel", "d", "idempotency_key", "k"))
	if first.status != 200 || second.status != 200 || first.body != second.body || len(first.acks(t)) != 1 {
		t.Errorf("first %s, second %s", first.body, second.body)
	}
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "plain")).is(t, 200, `{}`)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "plain")).is(t, 200, `{}`)
	if got := len(s.settle("c").events("e")); got != 2 {
		t.Errorf("%d deliveries of two events", got)
	}
	metrics := gather(t, n.hub)
	if metrics["idempotency_publish_total"] != 4 || metrics["idempotency_duplicates_total"] != 2 {
		t.Errorf("counted %v publishes, %v duplicates", metrics["idempotency_publish_total"], metrics["idempotency_duplicates_total"])
	}
}

// Checklist: http-api 62, 63
func TestHTTP062HeaderKey(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	header := body("name", "header", "channel", "c")
	for range 2 {
		n.do(keyed("events", header, "h")).is(t, 200, `{}`)
	}
	// The body's key decides: equal headers do not matter, equal keys do.
	n.do(keyed("events", body("name", "both", "channel", "c", "idempotency_key", "b1"), "same")).is(t, 200, `{}`)
	n.do(keyed("events", body("name", "both", "channel", "c", "idempotency_key", "b2"), "same")).is(t, 200, `{}`)
	n.do(keyed("events", body("name", "both", "channel", "c", "idempotency_key", "b2"), "other")).is(t, 200, `{}`)
	// A header that is not visible ASCII does not count.
	for range 2 {
		n.do(keyed("events", body("name", "odd", "channel", "c"), "k\u00e9y")).is(t, 200, `{}`)
	}
	s.settle("c")
	for event, want := range map[string]int{"header": 1, "both": 2, "odd": 2} {
		if got := len(s.events(event)); got != want {
			t.Errorf("%s: %d deliveries, want %d", event, got, want)
		}
	}
	if m := gather(t, n.hub); m["idempotency_publish_total"] != 5 || m["idempotency_duplicates_total"] != 2 {
		t.Errorf("counted %v publishes, %v duplicates", m["idempotency_publish_total"], m["idempotency_duplicates_total"])
	}
}

// Checklist: http-api 64
func TestHTTP064KeyLength(t *testing.T) {
	n := newNode(t, testApp())
	long := strings.Repeat("k", 129)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "")).fails(t, 400, "invalid_input", "Idempotency key must not be empty")
	n.do(keyed("events", body("name", "e", "channel", "c"), "")).fails(t, 400, "invalid_input", "Idempotency key must not be empty")
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", long[1:])).is(t, 200, `{}`)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", long)).fails(t, 400, "invalid_input", "Idempotency key exceeds maximum length of 128 characters")
	n.do(keyed("batch_events", `{"batch":[]}`, long)).fails(t, 400, "invalid_input", "exceeds maximum length of 128")
	n.post("events", body("name", "e", "channel", "c", "message_id", long)).fails(t, 400, "invalid_input", "idempotency key exceeds 128 bytes")
	n.post("events", body("name", "e", "channel", "c", "message_id", "")).fails(t, 400, "invalid_input", "idempotency key must not be empty")
	n.post("events", body("name", "e", "channel", "c", "extras", map[string]string{"idempotencyKey": long})).fails(t, 400, "invalid_input", "idempotency key exceeds 128 bytes")

	off := false
	ignoring := newNode(t, testApp(func(a *storage.App) { a.Idempotency.Enabled = &off }))
	s := ignoring.connect().subscribe("c")
	for _, key := range []string{"", long, "k", "k"} {
		ignoring.post("events", body("name", "e", "channel", "c", "idempotency_key", key)).is(t, 200, `{}`)
	}
	if got := len(s.settle("c").events("e")); got != 4 {
		t.Errorf("with keys off: %d of 4 deliveries", got)
	}
	ignoring.post("events", body("name", "e", "channel", "c", "message_id", "m")).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
}

// held starts a node whose adapter holds what is published until release.
func held(t *testing.T) (n *node, cache *brokenCache, adapter *gate, release func()) {
	drivers := memoryDrivers(t, testApp())
	adapter = &gate{Adapter: drivers.Adapter, held: make(chan struct{})}
	cache = &brokenCache{Cache: drivers.Cache}
	drivers.Adapter, drivers.Cache = adapter, cache
	release = sync.OnceFunc(func() { close(adapter.held) })
	n = startNode(t, "node-1", drivers)
	t.Cleanup(release)
	return n, cache, adapter, release
}

// Checklist: http-api 65
func TestHTTP065Concurrent(t *testing.T) {
	t.Parallel()
	n, _, adapter, release := held(t)
	call := func(into chan<- answer) {
		into <- n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k", "info", ""))
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	go call(first)
	for adapter.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// While the first runs, the second gives up soon.
	start := time.Now()
	call(second)
	loser := <-second
	loser.fails(t, 503, "backpressure", "Idempotent publish is still in progress")
	if loser.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", loser.header.Get("Retry-After"))
	}
	if took := time.Since(start); took < 250*time.Millisecond || took > 3*time.Second {
		t.Errorf("the loser waited %v", took)
	}
	// When the first ends in time, the second has its answer.
	go call(second)
	time.Sleep(20 * time.Millisecond)
	release()
	one, two := <-first, <-second
	if one.status != 200 || one.body != two.body {
		t.Errorf("first %d %s, second %d %s", one.status, one.body, two.status, two.body)
	}
	if got := adapter.count.Load(); got != 1 {
		t.Errorf("%d publishes", got)
	}
}

// Checklist: http-api 66
// Checklist: configuration 77
func TestHTTP066CacheOutage(t *testing.T) {
	n, cache, adapter, release := held(t)
	release()
	cache.claims.Store(true)
	const text = "Idempotency coordination is temporarily unavailable"
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k")).fails(t, 503, "service_unavailable", text)
	n.post("events", body("name", "e", "channel", "c", "message_id", "m")).fails(t, 503, "service_unavailable", text)
	n.do(keyed("batch_events", `{"batch":[{"name":"e","channel":"c"}]}`, "k")).fails(t, 503, "service_unavailable", text)
	n.post("batch_events", `{"batch":[{"name":"e","channel":"c","idempotency_key":"k"}]}`).fails(t, 503, "service_unavailable", text)
	if got := adapter.count.Load(); got != 0 {
		t.Errorf("%d publishes while claims fail", got)
	}
	cache.claims.Store(false)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k")).is(t, 200, `{}`)
	cache.reads.Store(true)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k")).fails(t, 503, "service_unavailable", text)
	if got := adapter.count.Load(); got != 1 {
		t.Errorf("%d publishes while reads fail", got)
	}
	cache.reads.Store(false)
	// An answer that cannot be kept is still given.
	cache.writes.Store(true)
	n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k2")).is(t, 200, `{}`)
	// Publishes without a key need no cache.
	cache.claims.Store(true)
	n.post("events", body("name", "e", "channel", "c")).is(t, 200, `{}`)
}

// Checklist: http-api 67
func TestHTTP067FailureFreesKey(t *testing.T) {
	n, _, adapter, release := held(t)
	release()
	s := n.connect().subscribe("c")
	n.post("events", body("channel", "c", "idempotency_key", "k")).fails(t, 400, "invalid_input", "Event name is required")
	n.post("events", body("name", "e", "channels", []string{"c", "in valid"}, "idempotency_key", "k")).fails(t, 400, "invalid_input", "in valid")
	// The channel that got the event does not get it again.
	n.post("events", body("name", "e", "channels", []string{"c"}, "idempotency_key", "k")).is(t, 200, `{}`)
	if got := len(s.settle("c").events("e")); got != 1 {
		t.Errorf("%d deliveries", got)
	}
	adapter.fail.Store(true)
	n.post("events", body("name", "e2", "channel", "c", "message_id", "m")).fails(t, 500, "internal_error", "")
	n.do(keyed("batch_events", `{"batch":[{"name":"e2","channel":"c","idempotency_key":"i"}]}`, "b")).fails(t, 500, "internal_error", "")
	adapter.fail.Store(false)
	n.post("events", body("name", "e2", "channel", "c", "message_id", "m")).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
	n.do(keyed("batch_events", `{"batch":[{"name":"e2","channel":"c","idempotency_key":"i"}]}`, "b")).is(t, 200, `{}`)
	if got := len(s.settle("c").events("e2")); got != 2 {
		t.Errorf("%d deliveries of the repeated ones", got)
	}
}

// Checklist: http-api 68, 69
func TestHTTP068BatchKeys(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	item := func(name string) string {
		return `{"channel":"c","name":"` + name + `","idempotency_key":"k","info":""}`
	}
	empties := func(got answer) (list []int) {
		var m struct{ Batch []map[string]any }
		if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		for _, ack := range m.Batch {
			list = append(list, len(ack))
		}
		return list
	}
	first := n.do(keyed("batch_events", `{"batch":[`+item("e")+`,`+item("other")+`]}`, "k"))
	if got := fmt.Sprint(empties(first)); got != "[1 0]" {
		t.Errorf("within a batch: %s", first.body)
	}
	// The header's key is that of the request: the same answer again.
	if got := n.do(keyed("batch_events", `{"batch":[]}`, "k")); got.body != first.body {
		t.Errorf("repeated request: %s", got.body)
	}
	if got := n.post("batch_events", `{"batch":[`+item("e")+`]}`); fmt.Sprint(empties(got)) != "[0]" {
		t.Errorf("across batches: %s", got.body)
	}
	if got := s.settle("c"); len(got.events("e")) != 1 || len(got.events("other")) != 0 {
		t.Errorf("delivered %v", got.texts())
	}
	// An event with the key of an item has an answer of its own, and the event
	// itself is known on its channel.
	got := n.post("events", `{"channel":"c","name":"e","idempotency_key":"k","info":""}`).acks(t)
	if len(got["c"]) != 1 || !uuid.MatchString(got["c"]["acknowledgement_id"].(string)) {
		t.Errorf("event with an item's key: %v", got)
	}
	if got := len(s.settle("c").events("e")); got != 1 {
		t.Errorf("%d deliveries", got)
	}
}

// Checklist: http-api 70
func TestHTTP070InvalidItemKey(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	for _, members := range []string{`"idempotency_key":""`, `"idempotency_key":"` + strings.Repeat("k", 129) + `"`, `"message_id":""`} {
		n.post("batch_events", `{"batch":[{"channel":"c","name":"e"},{"channel":"c","name":"e",`+members+`}]}`).fails(t, 400, "invalid_input", "dempotency key")
	}
	if got := len(s.settle("c").events("e")); got != 0 {
		t.Errorf("%d deliveries", got)
	}
}

// Checklist: http-api 74
// Checklist: configuration 78
func TestHTTP074Expiry(t *testing.T) {
	t.Parallel()
	// The hub's own default is longer; what counts is the time given.
	for _, n := range []*node{
		newNode(t, testApp(func(a *storage.App) { a.Idempotency.TTL = time.Second })),
		newNode(t, testApp(), func(s *realtime.Settings) { s.Idempotency.TTL = time.Second }),
	} {
		s := n.connect().subscribe("c")
		texts := []string{body("name", "e", "channel", "c", "idempotency_key", "k"), body("name", "e", "channel", "c", "message_id", "m")}
		publish := func() {
			for range 3 {
				for _, text := range texts {
					n.post("events", text)
				}
			}
		}
		publish()
		if got := len(s.settle("c").events("e")); got != 2 {
			t.Errorf("%d deliveries of two events", got)
		}
		time.Sleep(time.Second + 10*time.Millisecond)
		publish()
		if got := len(s.settle("c").events("e")); got != 4 {
			t.Errorf("%d deliveries of two events, before and after", got)
		}
	}
}

// A client that goes away does not leave its key blocked, nor stop the publish.
func TestClientGone(t *testing.T) {
	for key, settled := range map[string]int32{
		"idempotency_key": 2, // the record of the channel and the answer
		"message_id":      1, // the record alone
	} {
		n, cache, adapter, release := held(t)
		text := body("name", "e", "channel", "c", key, "k", "info", "")
		ctx, cancel := context.WithCancel(context.Background())
		query := signed("POST", "/apps/app-id/events", nil, text, appKey, appSecret, time.Now())
		r, _ := http.NewRequestWithContext(ctx, "POST", n.server.URL+"/apps/app-id/events?"+query, strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		gone := make(chan struct{})
		go func() {
			if resp, err := n.server.Client().Do(r); err == nil {
				resp.Body.Close()
			}
			close(gone)
		}()
		for adapter.count.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-gone
		time.Sleep(20 * time.Millisecond) // the server notices
		release()
		for deadline := time.Now().Add(5 * time.Second); cache.sets.Load() < settled && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if got := n.post("events", text).acks(t); len(got) != 1 || adapter.count.Load() != 1 {
			t.Errorf("%s repeated: %v after %d publishes", key, got, adapter.count.Load())
		}
	}
}

// Checklist: configuration 76
func TestConf076TwoNodes(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	one, two := startNode(t, "node-1", drivers), startNode(t, "node-2", drivers)
	a, b := one.connect().subscribe("c"), two.connect().subscribe("c")
	text := body("name", "e", "channel", "c", "idempotency_key", "k", "info", "")
	first, second := one.post("events", text), two.post("events", text)
	if first.status != 200 || first.body != second.body {
		t.Errorf("first %d %s, second %d %s", first.status, first.body, second.status, second.body)
	}
	if x, y := len(a.settle("c").events("e")), len(b.settle("c").events("e")); x != 1 || y != 1 {
		t.Errorf("delivered %d and %d", x, y)
	}
}

// Keys longer than a cache takes are kept by their hash.
func TestLongKeys(t *testing.T) {
	n := newNode(t, testApp(), func(s *realtime.Settings) { s.Idempotency.MaxKeyLength = 5000 })
	s := n.connect().subscribe("c")
	for _, end := range []string{"a", "a", "b"} {
		n.post("events", body("name", "e", "channel", "c", "idempotency_key", strings.Repeat("k", 4000)+end)).is(t, 200, `{}`)
	}
	if got := len(s.settle("c").events("e")); got != 2 {
		t.Errorf("%d deliveries", got)
	}
}
