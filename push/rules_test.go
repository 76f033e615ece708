package push

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
)

func testRules(g *rig, change func(*Rule)) *Rules {
	rule := Rule{Pattern: "notifications:*", Events: []string{"agent-complete"}, RatePerSecond: 100, TitleField: "title", BodyField: "body", DataField: "data", Rest: true}
	if change != nil {
		change(&rule)
	}
	r := NewRules(g.Pipeline, []Rule{{Pattern: "exactly", Events: []string{"a"}}, rule})
	g.t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

// Checklist: push 91
func TestRuleMatches(t *testing.T) {
	g := newRig(t, nil)
	r := testRules(g, nil)
	for _, c := range []struct {
		channel, event string
		want           bool
	}{
		{"notifications:user-1", "agent-complete", true},
		{"notifications:", "agent-complete", true},
		{"notifications:user-1", "other", false},
		{"notification", "agent-complete", false},
		{"exactly", "a", true},
		{"exactly2", "a", false},
		{"", "", false},
	} {
		if got := r.Match(c.channel, c.event); got != c.want {
			t.Errorf("%s on %s: %v", c.event, c.channel, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.Match("some-channel", "some-event") }); n != 0 {
		t.Errorf("an event that does not match takes %v allocations", n)
	}
	g.subscribe("notifications:user-1", "d1")
	r.Take(testApp, "notifications:user-1", "agent-complete", []byte(`"{\"title\":\"T\",\"body\":\"B\",\"run\":{\"id\":7}}"`))
	until(t, "notification", func() bool { return g.fcm.times("d1") == 1 })
	g.fcm.mu.Lock()
	defer g.fcm.mu.Unlock()
	if got := string(g.fcm.got["d1"][0].Payload); !strings.Contains(got, `"data":{"data":{"run":{"id":7}}}`) || !strings.Contains(got, `"title":"T"`) {
		t.Errorf("the payload is %s", got)
	}
}

// The channel whose members are left out follows that of the event.
func TestRuleSuppresses(t *testing.T) {
	for _, c := range []struct{ pattern, written, channel, want string }{
		{"presence-*", "", "presence-a", "presence-a"},
		{"private-chat-*", "presence-*", "private-chat-7", "presence-7"},
		{"*", "presence-of-*", "x", "presence-of-x"},
		{"news", "presence-shop", "news", "presence-shop"},
	} {
		r := &Rule{Pattern: c.pattern, TitleField: "title", BodyField: "body", DataField: "data", Suppress: &Suppress{Channel: c.written, DelaySeconds: 3}}
		got, err := r.request(c.channel, []byte(`{"title":"T","body":"B"}`))
		if err != nil || got.Suppress.Channel != c.want || got.Suppress.DelaySeconds != 3 {
			t.Errorf("%s with %s: %+v, %v", c.channel, c.written, got, err)
		}
	}
}

// Checklist: push 92, 93
func TestRuleThatCannotNotify(t *testing.T) {
	g := newRig(t, nil)
	r := testRules(g, func(rule *Rule) { rule.RatePerSecond = 1 })
	g.subscribe("notifications:x", "d1")
	dropped := func(reason string) float64 {
		return value(t, g.board.Metrics.ruleDropped.WithLabelValues(testApp, reason))
	}
	r.Take(testApp, "notifications:x", "agent-complete", []byte(`{"body":"B"}`))
	until(t, "dropped event without a title", func() bool { return dropped("data") == 1 })
	until(t, "dropped event over the rate", func() bool {
		r.Take(testApp, "notifications:x", "agent-complete", []byte(`{"title":"T","body":"B"}`))
		return dropped("rate") > 0
	})
	for _, data := range []string{`[]`, `7`, `null`, `"no object"`, `{`, ``, `{"title":7,"body":"B"}`} {
		if _, err := r.rules[1].request("c", []byte(data)); err == nil {
			t.Errorf("%s is the data of a notification", data)
		}
	}
}

func FuzzRuleData(f *testing.F) {
	for _, seed := range []string{`{"title":"T","body":"B","x":{"y":1}}`, `"{\"title\":\"T\"}"`, `null`, `{"title":null}`} {
		f.Add([]byte(seed))
	}
	rule := &Rule{TitleField: "title", BodyField: "body", DataField: "data", Rest: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := rule.request("c", data)
		if err == nil && (r.Payload.Title == "" || r.Payload.Body == "") {
			t.Fatalf("%s has made %+v", data, r.Payload)
		}
	})
}

// Checklist: push 76
func TestCleaningKeepsUp(t *testing.T) {
	g := newRig(t, nil)
	const events = 12000 // of a store that gets a million in a day this is a quarter of an hour
	old := time.Now().Add(-time.Hour).UnixMilli()
	var changes []storage.PushChange
	for n := range events {
		changes = append(changes, set(key(testApp, tableEvents, "p", place(int64(n), "e")), struct{}{}, old))
		if len(changes) == storage.MaxPushChanges {
			if err := g.store.Apply(t.Context(), changes...); err != nil {
				t.Fatal(err)
			}
			changes = changes[:0]
		}
	}
	if err := g.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := g.store.Due(t.Context(), tableEvents, time.Now().UnixMilli(), 10); err != nil || len(left) != 0 {
		t.Errorf("%d are left of what one tick had to remove, %v", len(left), err)
	}
	s := g.settings
	if perDay := int(24*time.Hour/s.CleanEvery.Abs()) * s.CleanMost; s.CleanEvery > 0 && perDay < 1000000 {
		t.Errorf("%d are removed in a day", perDay)
	}
}

// brittle is a store that can be out of order.
type brittle struct {
	storage.PushStore
	broken func(string) bool
}

func (b *brittle) Apply(ctx context.Context, changes ...storage.PushChange) error {
	for i := range changes {
		if b.broken(changes[i].Key.Table) {
			return errDead
		}
	}
	return b.PushStore.Apply(ctx, changes...)
}

func (b *brittle) Due(ctx context.Context, table string, now int64, limit int) ([]storage.PushRecord, error) {
	if b.broken(table) {
		return nil, errDead
	}
	return b.PushStore.Due(ctx, table, now, limit)
}

// Checklist: push 118
func TestErrorsAreSeen(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	broken := &notes{}
	g := newRig(t, func(s *Settings) {
		s.Store, s.CleanEvery, s.Log = &brittle{s.Store, broken.is}, 20*time.Millisecond, zap.New(core)
	})
	g.subscribe("room", "d1")
	broken.set(tablePublishes)
	if _, err := g.Accept(t.Context(), testApp, request(t, toChannel("room", "p")), AcceptOptions{}); err == nil {
		t.Error("it was accepted")
	}
	until(t, "errors of the scheduler", func() bool { return value(t, g.board.Metrics.storeErrors.WithLabelValues("scheduler")) > 0 })
	broken.set(tableResults)
	g.publish(toChannel("room", "q"))
	until(t, "errors of results", func() bool { return value(t, g.board.Metrics.storeErrors.WithLabelValues("results")) > 0 })
	broken.set(tableExpiries)
	until(t, "errors of cleaning", func() bool {
		return value(t, g.board.Metrics.cleanErrors.WithLabelValues("store", "publish_status")) > 0
	})
	broken.set("")
	for _, want := range []string{"could not be accepted", "looking after push notifications", "could not be kept"} {
		found := false
		for _, e := range logs.All() {
			found = found || strings.Contains(e.Message, want)
		}
		if !found {
			t.Errorf("the log does not say that anything %s", want)
		}
	}
	if n := value(t, g.board.Metrics.accepted.WithLabelValues(testApp, "error")); n != 1 {
		t.Errorf("%v publishes have failed", n)
	}
	g.ended("q")
}

// Checklist: push 117
func TestMetricsOfAFullRun(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Retry.MaxAttempts, s.Quotas.Daily = 2, 1000 })
	registry := prometheus.NewRegistry()
	if err := g.board.Metrics.registry.Register(registry, "sockudo_"); err != nil {
		t.Fatal(err)
	}
	g.subscribe("room", ids("d", 5)...)
	g.fcm.script("d-00000", Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true, RetryAfter: time.Millisecond})
	g.fcm.script("d-00001", Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "UNREGISTERED"})
	g.publish(toChannel("room", "p"))
	g.ended("p")
	g.publish(toChannel("room", "p"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range families {
		have[f.GetName()] = true
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "d-0000") || l.GetValue() == "p" {
					t.Errorf("%s has the label %s=%s", f.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
	for name := range strings.FieldsSeq(`publish_accepted_total duplicate_suppressed_total channel_publish_total dispatched_total
		delivery_jobs_emitted_total delivery_status_total provider_failures_total wfq_dispatched_total circuit_breaker_state
		retry_scheduled_total retry_attempted_total retry_deferred_total retry_dead_lettered_total token_invalidations_total
		dispatch_inflight publish_log_lag_seconds delivery_jobs_lag_seconds queue_oldest_age_seconds worker_pool_size worker_pool_busy
		quota_consumed_delivery scheduler_lag_seconds wfq_starvation_seconds retry_deferred_delay_seconds dispatch_duration_seconds
		publish_acceptance_duration_seconds planner_duration_seconds fanout_size cleanup_tick_duration_seconds`) {
		if !have["sockudo_push_"+name] {
			t.Errorf("there is no sockudo_push_%s", name)
		}
	}
}
