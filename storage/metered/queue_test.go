package metered_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
	"github.com/sockudo/caddy-sockudo/storage/metered"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// wrapped is a queue in memory whose use is counted in a registry.
func wrapped(t *testing.T, o memory.QueueOptions) (storage.Queue, *meter.Registry) {
	t.Helper()
	r := meter.NewRegistry("h")
	q := metered.NewQueues(r).Wrap("memory", memory.NewQueue(o))
	t.Cleanup(func() { _ = q.Close() })
	return q, r
}

func TestQueueIsTheQueueItWraps(t *testing.T) {
	storagetest.Engine(t, "memory, counted")
	storagetest.TestQueue(t, func(t *testing.T) storage.Queue {
		q, _ := wrapped(t, memory.QueueOptions{MaxBytes: 1 << 20, RetryBase: 20 * time.Millisecond})
		return q
	})
}

// until waits for something that comes by itself.
func until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come")
		}
	}
}

// bare has no more than a Queue needs.
type bare struct{ storage.Queue }

func TestOptionalInterfacesAreKept(t *testing.T) {
	m := metered.NewQueues(meter.NewRegistry("h"))
	inner := memory.NewQueue(memory.QueueOptions{})
	defer inner.Close()
	type checked struct {
		bare
		storage.Checker
	}
	type aged struct {
		bare
		storage.Aging
	}
	for name, tt := range map[string]struct {
		q                  storage.Queue
		letters, ages, can bool
	}{
		"a driver's": {inner, true, true, false},
		"bare":       {bare{inner}, false, false, false},
		"checked":    {checked{bare: bare{inner}}, false, false, true},
		"aged":       {aged{bare{inner}, inner}, false, true, false},
	} {
		q := m.Wrap("x", tt.q)
		_, letters := q.(storage.DeadLetters)
		_, ages := q.(storage.Aging)
		_, can := q.(storage.Checker)
		if letters != tt.letters || ages != tt.ages || can != tt.can {
			t.Errorf("%s: dead letters %v, ages %v, checks %v", name, letters, ages, can)
		}
		if _, moves := q.(storage.Handover); moves {
			t.Errorf("%s: jobs could be moved past those who hold the queue", name)
		}
	}
}

// values are those of the metrics, without the labels that all have.
func values(t *testing.T, r *meter.Registry) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := r.Register(registry, "ignored_"); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := []string{}
			for _, l := range m.GetLabel() {
				if l.GetName() != "hub" && l.GetName() != "backend" {
					labels = append(labels, l.GetValue())
				}
			}
			name := strings.TrimPrefix(f.GetName(), "sockudo_queue_") + " " + strings.Join(labels, " ")
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func TestEveryRunIsCounted(t *testing.T) {
	q, r := wrapped(t, memory.QueueOptions{MaxAttempts: 2, RetryBase: time.Millisecond})
	job := func(id string) storage.Job { return storage.Job{Queue: "a", ID: id} }
	if err := q.Push(t.Context(), job("good"), job("bad"), job("worst"), job("panic"), job("good"), storage.Job{Queue: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Push(t.Context(), job("good")); err != nil {
		t.Fatal(err)
	}
	if err := q.Push(t.Context(), storage.Job{}); err == nil {
		t.Fatal("a job without a queue was accepted")
	}
	stop, err := q.Work("a", 1, func(_ context.Context, j storage.Job) error {
		switch j.ID {
		case "bad":
			return errors.New("not yet")
		case "worst":
			return &storage.FinalError{}
		case "panic":
			panic("no")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		s, err := q.Stats(t.Context(), "a")
		return err == nil && s.Dead == 3 && s.Ready+s.Delayed+s.Active == 0
	})
	letters, err := q.(storage.DeadLetters).DeadLetters(t.Context(), "a", 10)
	if err != nil || len(letters) != 3 {
		t.Fatal(letters, err)
	}
	i := slices.IndexFunc(letters, func(l storage.DeadLetter) bool { return l.ID == "worst" })
	if err := q.(storage.DeadLetters).Replay(t.Context(), "a", letters[i].Key); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		s, err := q.Stats(t.Context(), "a")
		return err == nil && s.Dead == 3 && s.Ready+s.Delayed+s.Active == 0
	})
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"claimed_total a": 7, "dead_letter_replayed_total a": 1,
		"processing_duration_seconds a": 7, "enqueue_duration_seconds a": 1, "enqueue_duration_seconds ": 1, "batch_enqueue_duration_seconds a": 1,
	}
	// Labels come sorted by name: outcome before queue.
	want["enqueue_total enqueued a"], want["enqueue_total duplicate a"], want["enqueue_total enqueued b"] = 4, 2, 1
	want["settled_total completed a"], want["settled_total retry a"], want["settled_total dead-letter a"], want["settled_total panic-or-lease-lost a"] = 1, 1, 3, 2
	if have := values(t, r); fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("counted\n%v\nwant\n%v", have, want)
	}
}

func TestDepthIsKnownWhileAQueueIsWorked(t *testing.T) {
	q, r := wrapped(t, memory.QueueOptions{})
	if err := q.Push(t.Context(), storage.Job{Queue: "a", Delay: time.Hour}, storage.Job{Queue: "a", Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n, known := values(t, r)["depth a delayed"]; known {
		t.Errorf("nobody works the queue, and its depth is %v", n)
	}
	work := func() func(context.Context) error {
		stop, err := q.Work("a", 1, func(context.Context, storage.Job) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	first, second := work(), work()
	until(t, func() bool { return values(t, r)["depth a delayed"] == 2 })
	if err := first(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := values(t, r)["depth a delayed"]; n != 2 {
		t.Errorf("one of two has stopped, and the depth is %v", n)
	}
	if err := second(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, known := values(t, r)["depth a delayed"]; known {
		t.Errorf("both have stopped, and the depth is %v", n)
	}
}
