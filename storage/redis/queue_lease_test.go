package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// A process that stands still loses its job to another one after the lease, and can
// neither end nor fail what it has lost.
//
// Checklist: configuration 79, 80
func TestLostLeases(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o Options) {
		for name, result := range map[string]error{"done": nil, "failed": errors.New("it failed"), "final": &storage.FinalError{}} {
			prefix := ownPrefix(t, o)
			stuck := openQueue(t, o, QueueOptions{Prefix: prefix, Lease: 300 * time.Millisecond, Renew: time.Hour}) // it does not renew
			other := openQueue(t, o, QueueOptions{Prefix: prefix})
			entered, release, hold := make(chan struct{}), make(chan struct{}), make(chan struct{})
			stopStuck, err := stuck.Work("q", 1, func(context.Context, storage.Job) error {
				close(entered)
				<-release
				return result
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := stuck.Push(t.Context(), jobOf("a")); err != nil {
				t.Fatal(err)
			}
			<-entered
			began := time.Now()
			attempts := make(chan int, 10)
			stop, err := other.Work("q", 1, func(_ context.Context, j storage.Job) error {
				attempts <- j.Attempt
				<-hold
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := <-attempts; n != 2 {
				t.Errorf("%s: the second run is number %d", name, n)
			}
			if took := time.Since(began); took > lookEvery-time.Second {
				t.Errorf("%s: the other process noticed after %v, and not when the lease was over", name, took)
			}
			close(release)
			if err := stopStuck(t.Context()); err != nil { // it has said what it had to say
				t.Fatal(err)
			}
			if s := statsOf(t, other); s != (storage.QueueStats{Active: 1, Bytes: 1}) {
				t.Errorf("%s: who lost the lease has ended the job: %+v", name, s)
			}
			close(hold)
			if err := stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := statsOf(t, other); s != (storage.QueueStats{}) || len(attempts) > 0 {
				t.Errorf("%s: left is %+v, and %d runs came besides", name, s, len(attempts))
			}
		}
	})
}

// A run whose lease was lost hears of it by its context.
func TestLostLeaseEndsTheRun(t *testing.T) {
	t.Parallel()
	o := standing(t)
	prefix := ownPrefix(t, o)
	q := openQueue(t, o, QueueOptions{Prefix: prefix, Lease: 200 * time.Millisecond, Renew: 600 * time.Millisecond})
	other := openQueue(t, o, QueueOptions{Prefix: prefix})
	ended := make(chan struct{})
	entered := make(chan struct{})
	if _, err := q.Work("q", 1, func(ctx context.Context, _ storage.Job) error {
		close(entered)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if err := q.Push(t.Context(), jobOf("a")); err != nil {
		t.Fatal(err)
	}
	<-entered
	hold := make(chan struct{})
	if _, err := other.Work("q", 1, func(context.Context, storage.Job) error {
		<-hold
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	defer close(hold)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the run goes on")
	}
}

// A job whose processes end again and again is dead in the end, with the reason.
func TestLostRunsCount(t *testing.T) {
	t.Parallel()
	o := standing(t)
	prefix := ownPrefix(t, o)
	other := openQueue(t, o, QueueOptions{Prefix: prefix})
	if err := other.Push(t.Context(), storage.Job{Queue: "q", ID: "a", Payload: []byte("a"), MaxAttempts: 3}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if turn, err := other.turn(t.Context(), "q", nil, 1); err != nil || len(turn.jobs) != 1 {
			t.Fatal(turn, err)
		}
		if _, err := other.client.ZAdd(t.Context(), other.base+"active:q", redisScore(1, lastOf(t, other))).Result(); err != nil { // its lease is over
			t.Fatal(err)
		}
	}
	if turn, err := other.turn(t.Context(), "q", nil, 1); err != nil || len(turn.jobs) != 0 {
		t.Error(turn, err)
	}
	letters, err := other.DeadLetters(t.Context(), "q", 9)
	if err != nil || len(letters) != 1 || letters[0].Reason != lateRun || letters[0].Attempt != 3 {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
	if s := statsOf(t, other); s != (storage.QueueStats{Dead: 1, Bytes: 1}) {
		t.Errorf("there are %+v", s)
	}
	if _, err := other.Purge(t.Context(), "q"); err != nil {
		t.Error(err)
	}
}

func TestLeasesAreRenewed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		q := openQueue(t, o, QueueOptions{Prefix: prefix, Lease: time.Second, Renew: 50 * time.Millisecond})
		other := openQueue(t, o, QueueOptions{Prefix: prefix})
		var runs atomic.Int32
		release := make(chan struct{})
		handle := func(context.Context, storage.Job) error {
			runs.Add(1)
			<-release
			return nil
		}
		for _, one := range []*Queue{q, other} {
			if _, err := one.Work("q", 1, handle); err != nil {
				t.Fatal(err)
			}
		}
		// Each has one, so the leases of both kinds are looked at.
		if err := q.Push(t.Context(), jobOf("a"), jobOf("b")); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if n := runs.Load(); n > 2 {
				t.Fatalf("there are %d runs of two jobs", n)
			}
		}
		close(release)
		until(t, "end of the jobs", func() bool { return statsOf(t, q) == storage.QueueStats{} })
	})
}

// New jobs are run at once wherever they were pushed, and delayed ones on time.
func TestNewJobsAreTold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		producer, consumer := openQueue(t, o, QueueOptions{Prefix: prefix}), openQueue(t, o, QueueOptions{Prefix: prefix})
		ran := make(chan time.Time, 1)
		if _, err := consumer.Work("q", 1, func(context.Context, storage.Job) error {
			ran <- time.Now()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		until(t, "rest", func() bool { // the first look is over, and nothing but a message wakes it
			consumer.mu.Lock()
			defer consumer.mu.Unlock()
			return !consumer.lanes["q"].claiming && !consumer.lanes["q"].ready
		})
		var slowest time.Duration
		for n := range 20 {
			delay := time.Duration(n%2) * 300 * time.Millisecond
			start := time.Now()
			if err := producer.Push(t.Context(), storage.Job{Queue: "q", Payload: []byte("x"), Delay: delay}); err != nil {
				t.Fatal(err)
			}
			took := (<-ran).Sub(start) - delay
			slowest = max(slowest, took)
			if took < 0 {
				t.Errorf("a job ran %v too soon", -took)
			}
		}
		t.Logf("the slowest of 20 jobs began %v late", slowest)
		if slowest > lookEvery/2 {
			t.Errorf("a job waited %v, and was found by a look", slowest)
		}
	})
}

// Several processes share the jobs of one queue, each as many as it can run.
func TestQueueIsShared(t *testing.T) {
	t.Parallel()
	o := standing(t)
	const nodes, jobs = 3, 240
	prefix := ownPrefix(t, o)
	var mu sync.Mutex
	ran, by := map[string]int{}, make([]int, nodes)
	var all []*Queue
	for n := range nodes {
		q := openQueue(t, o, QueueOptions{Prefix: prefix, Concurrency: 4})
		all = append(all, q)
		if _, err := q.Work("q", 50, func(_ context.Context, j storage.Job) error {
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			ran[j.ID]++
			by[n]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	batch := make([]storage.Job, jobs)
	for i := range batch {
		batch[i] = jobOf(fmt.Sprint(i))
	}
	if err := all[0].Push(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	until(t, "end of the jobs", func() bool { return statsOf(t, all[0]) == storage.QueueStats{} })
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("job %s ran %d times", id, n)
		}
	}
	if len(ran) != jobs {
		t.Errorf("%d jobs ran", len(ran))
	}
	for n, share := range by {
		if share < jobs/nodes/3 {
			t.Errorf("process %d ran %d of %d jobs: %v", n, share, jobs, by)
		}
	}
	t.Logf("shares of %d processes: %v", nodes, by)
}

// Concurrency bounds what all workers of a queue run here.
func TestConcurrencyOfTheNode(t *testing.T) {
	t.Parallel()
	o := standing(t)
	q := openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o), Concurrency: 3})
	var now, most atomic.Int32
	for range 2 {
		if _, err := q.Work("q", 10, func(context.Context, storage.Job) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(20 * time.Millisecond)
			now.Add(-1)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 30 {
		if err := q.Push(t.Context(), jobOf(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "end of the jobs", func() bool { return statsOf(t, q) == storage.QueueStats{} })
	if n := most.Load(); n != 3 {
		t.Errorf("%d jobs ran at once, want 3", n)
	}
}
