package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// A repeated publish notifies once, whatever layer knows it.
func TestPushOnce(t *testing.T) {
	p := &pushes{wants: everything}
	n := newNode(t, testApp(), p.use)
	const event = `"name":"e","channels":["c","d"],"data":"","extras":{"push":{}`
	for name, call := range map[string]func() answer{
		"body":   func() answer { return n.post("events", `{`+event+`},"idempotency_key":"k"}`) },
		"id":     func() answer { return n.post("events", `{`+event+`},"message_id":"m"}`) },
		"extras": func() answer { return n.post("events", `{`+event+`,"idempotencyKey":"x"}}`) },
		"header": func() answer { return n.do(keyed("events", `{`+event+`}}`, "h")) },
		"item":   func() answer { return n.post("batch_events", `{"batch":[{`+event+`},"idempotency_key":"i"}]}`) },
		"batch":  func() answer { return n.do(keyed("batch_events", `{"batch":[{`+event+`}}]}`, "h")) },
	} {
		for range 3 {
			if got := call(); got.status != 200 {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		pushed, published := p.take(&p.pushed), p.take(&p.published)
		if len(pushed) != 2 || len(published) != 2 {
			t.Errorf("%s: notified\n%sand told rules\n%s", name, shownPushes(pushed), shownPushes(published))
			continue
		}
		ids := []string{pushed[0].ID, pushed[1].ID, published[0].ID, published[1].ID}
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 4 || len(ids[0]) != 64 {
			t.Errorf("%s: the ids are %q", name, ids)
		}
	}
	// Another event under the key of one is refused, and notifies nobody.
	n.post("events", `{"name":"other","channel":"c","data":"","extras":{"push":{}},"message_id":"m"}`).fails(t, 400, "invalid_input", "different payload")
	if pushed, published := p.take(&p.pushed), p.take(&p.published); len(pushed)+len(published) != 0 {
		t.Errorf("notified\n%sand told rules\n%s", shownPushes(pushed), shownPushes(published))
	}
}

// A publish that is repeated after the server has lost what it knew asks for the same
// notification by name, and one with another content for another.
func TestPushIDs(t *testing.T) {
	const event, push = `"name":"e","channel":"c","data":"","extras":{"push":`, `{"title":"T"}}`
	seen := map[string]string{}
	for name, call := range map[string]func(n *node) answer{
		"body":      func(n *node) answer { return n.post("events", `{`+event+push+`,"idempotency_key":"k"}`) },
		"other key": func(n *node) answer { return n.post("events", `{`+event+push+`,"idempotency_key":"l"}`) },
		"payload":   func(n *node) answer { return n.post("events", `{`+event+`{"title":"U"}},"idempotency_key":"k"}`) },
		"data": func(n *node) answer {
			return n.post("events", `{"name":"e","channel":"c","data":"other","extras":{"push":{"title":"T"}},"idempotency_key":"k"}`)
		},
		"header": func(n *node) answer { return n.do(keyed("events", `{`+event+push+`}`, "k")) },
		"first":  func(n *node) answer { return n.do(keyed("batch_events", `{"batch":[{`+event+push+`}]}`, "k")) },
		"second": func(n *node) answer {
			return n.do(keyed("batch_events", `{"batch":[{"name":"e","channel":"c"},{`+event+push+`}]}`, "k"))
		},
		"channel": func(n *node) answer {
			return n.post("events", `{"name":"e","channel":"d","data":"","extras":{"push":{"title":"T"}},"idempotency_key":"k"}`)
		},
	} {
		var ids []string
		for range 2 { // two servers that know nothing of each other
			p := &pushes{}
			got := call(newNode(t, testApp(), p.use))
			if got.status != 200 || len(p.pushed) != 1 {
				t.Fatalf("%s: %d %s, %s", name, got.status, got.body, shownPushes(p.pushed))
			}
			ids = append(ids, p.pushed[0].ID)
		}
		if ids[0] != ids[1] || len(ids[0]) != 64 {
			t.Errorf("%s: the ids are %q", name, ids)
		}
		if other, twice := seen[ids[0]]; twice {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[ids[0]] = name
	}
	// Keys that do not count name nothing.
	p := &pushes{}
	n := newNode(t, testApp(), p.use, func(s *realtime.Settings) { s.Idempotency.Enabled = false })
	n.post("events", `{`+event+push+`,"idempotency_key":"k"}`).is(t, 200, `{}`)
	n.do(keyed("batch_events", `{"batch":[{`+event+push+`}]}`, "k")).is(t, 200, `{}`)
	for _, e := range p.take(&p.pushed) {
		if e.ID != "" {
			t.Errorf("the id is %q", e.ID)
		}
	}
}

// A publish that has failed after its notification was accepted asks for the same one
// when it is repeated.
func TestPushIsRepeatedByName(t *testing.T) {
	p := &pushes{}
	drivers := memoryDrivers(t, testApp())
	adapter, cache := &gate{Adapter: drivers.Adapter}, &brokenCache{Cache: drivers.Cache}
	drivers.Adapter, drivers.Cache = adapter, cache
	n := startNode(t, "node-1", drivers, p.use)
	post := func() answer {
		return n.post("events", `{"name":"e","channel":"c","data":"","extras":{"push":{}},"message_id":"m"}`)
	}
	adapter.fail.Store(true)
	post().fails(t, 500, "internal_error", "")
	adapter.fail.Store(false)
	cache.reads.Store(true)
	post().fails(t, 503, "service_unavailable", "Idempotency coordination")
	cache.reads.Store(false)
	post().is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
	if got := p.take(&p.pushed); len(got) != 2 || got[0].ID != got[1].ID || got[0].ID == "" {
		t.Errorf("notified %+v", got)
	}
	// A refused one can be repeated too.
	p.push = func(context.Context, protocol.PushEvent) error { return refusedError{429, "rate_limited", time.Second} }
	again := func() answer {
		return n.post("events", `{"name":"e","channel":"c","data":"","extras":{"push":{}},"idempotency_key":"again"}`)
	}
	again().fails(t, 429, "rate_limited", "")
	p.push = nil
	again().is(t, 200, `{}`)
}

// While an event waits under a key, another one under it notifies nobody.
func TestPushOfAnotherPending(t *testing.T) {
	p := &pushes{}
	n := newNode(t, testApp(), p.use)
	pending := encode(record{State: statePending, Fingerprint: "of another", Owner: "somebody"})
	if won, err := n.drivers.Cache.SetIfAbsent(t.Context(), claimName(appID, "c", "m"), pending, time.Minute); err != nil || !won {
		t.Fatal(won, err)
	}
	n.post("events", `{"name":"e","channel":"c","data":"","extras":{"push":{}},"message_id":"m"}`).fails(t, 400, "invalid_input", "different payload")
	if pushed := p.take(&p.pushed); len(pushed) != 0 {
		t.Errorf("notified\n%s", shownPushes(pushed))
	}
}

// never is a notifier without rules.
type never struct{ realtime.Notifier }

func (never) Wants(string, string, string) bool { return false }

// An event that no rule asks for costs no allocation more than without a notifier.
// Checklist: push 91
func TestPushNoMatchAllocatesNothing(t *testing.T) {
	count := func(change ...func(*realtime.Settings)) float64 {
		n := newNode(t, testApp(), change...)
		live, err := n.hub.Live()
		if err != nil {
			t.Fatal(err)
		}
		defer live.Release()
		c := newCall(n.handler, live, &discard{header: http.Header{}}, httptest.NewRequest("POST", "/", nil))
		c.app = testApp()
		e, one := &event{}, realtime.Event{Channel: "c", Name: "e", Data: []byte(`""`), Once: "k"}
		return testing.AllocsPerRun(1000, func() { c.tellRules(e, one) })
	}
	if with, without := count(func(s *realtime.Settings) { s.Push = never{} }), count(); with != 0 || without != 0 {
		t.Errorf("%v allocations with a notifier, %v without one", with, without)
	}
}

// BenchmarkPublishUnwanted is BenchmarkPublish with a notifier that wants nothing.
func BenchmarkPublishUnwanted(b *testing.B) {
	benchmarkCall(b, "events", `{"name":"bench","channels":["bench-1"],"data":`+benchData+`}`, func(s *realtime.Settings) { s.Push = never{} })
}

// BenchmarkPushNoMatch is what the question costs on the way of an event.
func BenchmarkPushNoMatch(b *testing.B) {
	n := newNode(b, testApp(), func(s *realtime.Settings) { s.Push = never{} })
	live, err := n.hub.Live()
	if err != nil {
		b.Fatal(err)
	}
	defer live.Release()
	b.ReportAllocs()
	for b.Loop() {
		if live.WantsPush(appID, "channel", "event") {
			b.Fatal("it is wanted")
		}
	}
}
