package push

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

var errDead = errors.New("the process has been killed")

// mortal are a store and a queue as a process sees them that is killed at some moment:
// from then on nothing of what it does has any effect.
type mortal struct {
	storage.PushStore
	storage.Queue
	dead atomic.Bool
	// left is how many changes the store still makes before the end, if it is not negative.
	left atomic.Int64
}

func (m *mortal) Close() error { return nil }

func (m *mortal) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if m.left.Load() >= 0 && m.left.Add(-1) < 0 {
		m.dead.Store(true)
	}
	if m.dead.Load() {
		return errDead
	}
	return m.PushStore.Apply(ctx, changes...)
}

func (m *mortal) Push(ctx context.Context, jobs ...storage.Job) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Queue.Push(ctx, jobs...)
}

// Work gives jobs of a process that is dead to the next one, as their leases end.
func (m *mortal) Work(queue string, n int, handle func(context.Context, storage.Job) error) (func(context.Context) error, error) {
	return m.Queue.Work(queue, n, func(ctx context.Context, j storage.Job) error {
		if !m.dead.Load() {
			if err := handle(ctx, j); !m.dead.Load() {
				return err
			}
		}
		return later("its lease has ended", 10*time.Millisecond)
	})
}

// Checklist: push 64, 65, 68, 69, 73
func TestKilledAtAnyMoment(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			killAtRandom(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func killAtRandom(t *testing.T, random *rand.Rand) {
	const devices, publishes, outbound, workers = 300, 4, 8, 8
	clock := newClock()
	var life *mortal
	var p *Pipeline
	change := func(s *Settings) {
		life = &mortal{PushStore: s.Store, Queue: s.Queue}
		life.left.Store(-1)
		s.Store, s.Queue, s.Now = life, life, clock.now
		s.Outbound, s.Workers, s.Retry.MaxAttempts = outbound, workers, 3
	}
	g := newRig(t, change)
	p = g.Pipeline
	all := ids("d", devices)
	g.subscribe("room", all...)
	want := map[string]int{}
	for _, id := range all {
		switch random.IntN(10) {
		case 0:
			g.fcm.script(id, Result{Outcome: Rejected, Class: CallerPayload})
		case 1:
			g.fcm.script(id, Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true}, Result{Outcome: Accepted})
		}
		want[id] = publishes
	}
	kills := 0
	restart := func() {
		kills++
		life.dead.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_ = p.Stop(ctx)
		cancel()
		clock.add(2 * claimTime) // the claims of the dead end
		p = g.open(change)
	}
	for n := range publishes {
		id := fmt.Sprint("p", n)
		life.left.Store(int64(random.IntN(12)))
		_, err := p.Accept(t.Context(), testApp, request(t, toChannel("room", id)), AcceptOptions{})
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		restart()
		if err != nil { // it was not accepted, or nobody was told: the caller asks again
			if _, err := p.Accept(t.Context(), testApp, request(t, toChannel("room", id)), AcceptOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.Pipeline = p
	for n := range publishes {
		s := g.ended(fmt.Sprint("p", n))
		if s.Counters.Planned != devices || s.Counters.Succeeded+s.Counters.Failed+s.Counters.Expired+s.Counters.DeadLettered != devices {
			t.Errorf("publish %d ended as %+v", n, s)
		}
	}
	twice := 0
	g.fcm.mu.Lock()
	defer g.fcm.mu.Unlock()
	for id := range want {
		keys := map[string]int{}
		for _, n := range g.fcm.got[id] {
			keys[n.PublishID]++
		}
		if len(keys) != publishes {
			t.Errorf("%s got %d publishes", id, len(keys))
		}
		for _, n := range keys {
			twice += max(0, n-2) // one more attempt may have been asked for
		}
	}
	if most := kills * outbound * workers; twice > most {
		t.Errorf("%d notifications came again, of at most %d under way when it was killed", twice, most)
	}
}

// Two nodes on one store and queue share the work, and nothing is sent twice.
//
// Checklist: push 73, 111
func TestTwoNodes(t *testing.T) {
	g := newRig(t, nil)
	other := g.open(nil)
	t.Cleanup(func() { _ = other.Stop(context.Background()) })
	g.subscribe("room", ids("d", 1500)...)
	for n := range 6 {
		p := []*Pipeline{g.Pipeline, other}[n%2]
		if _, err := p.Accept(t.Context(), testApp, request(t, toChannel("room", fmt.Sprint("p", n))), AcceptOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 6 {
		if s := g.ended(fmt.Sprint("p", n)); s.Counters.Succeeded != 1500 {
			t.Errorf("publish %d ended as %+v", n, s)
		}
	}
	if _, requests := g.fcm.total(); requests != 6*1500 {
		t.Errorf("there were %d requests", requests)
	}
}

// A reload hands batches that are being sent to the next pipeline.
//
// Checklist: push 116
func TestStopInMidBatch(t *testing.T) {
	g := newRig(t, nil)
	g.subscribe("room", ids("d", 900)...)
	for n := range 5 {
		g.publish(toChannel("room", fmt.Sprint("p", n)))
		old := g.Pipeline
		g.Pipeline = g.open(nil)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := old.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	for n := range 5 {
		if s := g.ended(fmt.Sprint("p", n)); s.Counters.Succeeded != 900 {
			t.Errorf("publish %d ended as %+v", n, s)
		}
	}
	if _, requests := g.fcm.total(); requests != 5*900 {
		t.Errorf("there were %d requests", requests)
	}
}

// Checklist: push 74
func TestLostJobsAreFound(t *testing.T) {
	g := newRig(t, func(s *Settings) {
		lossy := &mortal{PushStore: s.Store, Queue: s.Queue}
		lossy.left.Store(-1)
		s.Queue = &forgetful{lossy}
	})
	g.subscribe("room", ids("d", 3)...)
	for n := range 300 {
		g.publish(toChannel("room", fmt.Sprint("p", n)))
	}
	for n := range 300 {
		if s := g.ended(fmt.Sprint("p", n)); s.Counters.Succeeded != 3 {
			t.Errorf("publish %d ended as %+v", n, s)
		}
	}
}

// forgetful is a queue that loses half of what it accepts.
type forgetful struct{ *mortal }

func (f *forgetful) Push(ctx context.Context, jobs ...storage.Job) error {
	if rand.IntN(2) == 0 {
		return nil
	}
	return f.mortal.Push(ctx, jobs...)
}

// Checklist: push 75
// Checklist: configuration 142
func TestCleaning(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) {
		s.Now, s.StatusTTL, s.EventTTL, s.CleanBatch, s.CleanMost, s.Retry.MaxAttempts = clock.now, time.Hour, 2*time.Hour, 10, 1000, 1
	})
	g.subscribe("room", ids("d", 3)...)
	g.fcm.script("d-00000", Result{Outcome: Retryable, Class: ProviderQuota, DeviceOnly: true})
	for n := range 20 {
		g.publish(toChannel("room", fmt.Sprint("p", n)))
		g.ended(fmt.Sprint("p", n))
	}
	g.publish(fmt.Sprintf(`{"publishId":"waits","notBeforeMs":%d,"recipients":[{"type":"channel","channel":"room"}],"payload":{"title":"T","body":"B"}}`, clock.now().Add(24*time.Hour).UnixMilli()))
	count := func(table string) (n int) {
		records, err := g.store.List(t.Context(), storage.PushQuery{App: testApp, Table: table, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	clean := func() {
		if err := g.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if clean(); count(tablePublishes) != 21 || count(tableDead) != 20 {
		t.Errorf("there are %d publishes and %d dead letters", count(tablePublishes), count(tableDead))
	}
	clock.add(90 * time.Minute)
	if clean(); count(tablePublishes) != 1 || count(tableJobs) != 0 || count(tableBatches) != 0 || count(tableResults) != 0 || count(tableExpiries) != 0 || count(tableIntents) != 1 {
		t.Errorf("there are %d publishes, %d batches and %d results", count(tablePublishes), count(tableBatches), count(tableResults))
	}
	if count(tableDead) != 20 {
		t.Errorf("there are %d dead letters", count(tableDead))
	}
	clock.add(2 * time.Hour)
	if clean(); count(tableDead) != 0 {
		t.Errorf("there are %d dead letters", count(tableDead))
	}
	if s, err := g.Status(t.Context(), testApp, "waits"); err != nil || s.State != Queued {
		t.Errorf("what waits is %+v, %v", s, err)
	}
}

// Checklist: push 49, 50, 51, 52, 62
func TestAdmission(t *testing.T) {
	g := newRig(t, func(s *Settings) { s.Quotas = Quotas{AcceptanceRPS: 2, FanoutMax: 2}; s.Lag.Publishes = 5 })
	g.subscribe("three", ids("d", 3)...)
	a := g.publish(toChannel("three", "p"))
	if a.Status != QuotaExceeded {
		t.Errorf("too many recipients are answered %+v", a)
	}
	s := g.ended("p")
	if s.State != QuotaExceeded || s.ErrorReason != "fanout_max exceeded for app "+testApp || g.fcm.times("d-00000") != 0 {
		t.Errorf("it ended as %+v", s)
	}
	var refusal *Refusal
	for range 3 {
		if _, err := g.Accept(t.Context(), testApp, request(t, toChannel("none", "")), AcceptOptions{}); err != nil && !errors.As(err, &refusal) {
			t.Fatal(err)
		}
	}
	if refusal == nil || refusal.Status != 429 || refusal.RetryAfter < time.Second {
		t.Errorf("too many in a second are answered %+v", refusal)
	}
	if a, err := g.Accept(t.Context(), testApp, request(t, toChannel("three", "free")), AcceptOptions{NoQuotas: true}); err != nil || a.Status != "accepted" {
		t.Errorf("without quotas it is answered %+v, %v", a, err)
	}
	refusing := g.open(func(s *Settings) { s.Lag.Refuse = true })
	_, err := refusing.Accept(t.Context(), testApp, request(t, toChannel("none", "")), AcceptOptions{})
	if !errors.As(err, &refusal) || refusal.Status != 429 || refusal.RetryAfter != 5*time.Second {
		t.Errorf("backpressure is answered %v", err)
	}
	_ = refusing.Stop(context.Background())
	// What is not due, and what has failed for good, is no reason to refuse anything.
	var jobs []storage.Job
	for n := range 20 {
		jobs = append(jobs, g.job(queuePublishes, task{App: testApp, Publish: fmt.Sprint("x", n)}, time.Hour))
	}
	if err := g.queue.Push(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
	if err := g.backpressure(t.Context()); err != nil {
		t.Errorf("work of later is answered %v", err)
	}
}

// Checklist: push 52
func TestDailyQuota(t *testing.T) {
	clock := newClock()
	g := newRig(t, func(s *Settings) { s.Quotas = Quotas{AcceptanceRPS: -1, Daily: 5}; s.Now = clock.now })
	g.subscribe("three", ids("d", 3)...)
	if a := g.publish(toChannel("three", "p0")); a.Status != "accepted" {
		t.Errorf("the first is answered %+v", a)
	}
	if a := g.publish(toChannel("three", "p1")); a.Status != QuotaExceeded {
		t.Errorf("the second is answered %+v", a)
	}
	clock.add(24 * time.Hour)
	if a := g.publish(toChannel("three", "p2")); a.Status != "accepted" {
		t.Errorf("the next day is answered %+v", a)
	}
}
