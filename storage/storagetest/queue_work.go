package storagetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func queueSeparate(t *testing.T, q storage.Queue) {
	queue := unique()
	var a, b runs
	work(t, q, queue+"a", 1, a.handle)
	work(t, q, queue+"b", 1, b.handle)
	push(t, q,
		storage.Job{Queue: queue + "a", ID: "same", Payload: []byte("a")},
		storage.Job{Queue: queue + "b", ID: "same", Payload: []byte("b")},
		storage.Job{Queue: queue + "A", Payload: []byte("nobody's")})
	b.still(t, 1)
	a.still(t, 1)
	if got := a.all()[0]; string(got.Payload) != "a" || got.Queue != queue+"a" {
		t.Errorf("the worker of a ran %q of %q", got.Payload, got.Queue)
	}
	wantStats(t, q, queue+"A", storage.QueueStats{Ready: 1, Bytes: 8})
}

func queueEveryJob(t *testing.T, q storage.Queue) {
	const producers, each = 8, 25
	queue := unique()
	var r runs
	work(t, q, queue, 4, r.handle)
	atOnce(producers, func(i int) {
		for n := range each {
			name := fmt.Sprint(i, "-", n)
			if err := q.Push(t.Context(), storage.Job{Queue: queue, ID: name, Payload: []byte(name)}); err != nil {
				t.Error(err)
			}
		}
	})
	seen := map[string]bool{}
	for _, job := range r.await(t, producers*each) {
		if string(job.Payload) != job.ID {
			t.Errorf("job %q has payload %q", job.ID, job.Payload)
		}
		seen[job.ID] = true
	}
	if len(seen) != producers*each {
		t.Errorf("%d jobs ran, want %d", len(seen), producers*each)
	}
	wantStats(t, q, queue, storage.QueueStats{})
}

func queueWorkers(t *testing.T, q storage.Queue) {
	const n = 60
	queue := unique()
	var r runs
	slow := func(ctx context.Context, job storage.Job) error {
		time.Sleep(time.Millisecond)
		return r.handle(ctx, job)
	}
	for range 3 {
		work(t, q, queue, 2, slow)
	}
	for i := range n {
		push(t, q, storage.Job{Queue: queue, Payload: fmt.Append(nil, i)})
	}
	r.still(t, n) // each job ran in one of the workers
	seen := map[string]bool{}
	for _, job := range r.all() {
		seen[string(job.Payload)] = true
	}
	if len(seen) != n {
		t.Errorf("%d jobs ran, want %d", len(seen), n)
	}
}

func queueConcurrency(t *testing.T, q storage.Queue) {
	const concurrency = 3
	queue := unique()
	release := make(chan struct{})
	var mu sync.Mutex
	running, done := 0, 0
	work(t, q, queue, concurrency, func(context.Context, storage.Job) error {
		mu.Lock()
		if running++; running > concurrency {
			t.Errorf("%d jobs run at once, want at most %d", running, concurrency)
		}
		mu.Unlock()
		<-release
		mu.Lock()
		defer mu.Unlock()
		running--
		done++
		return nil
	})
	var jobs []storage.Job
	for i := range 3 * concurrency {
		jobs = append(jobs, storage.Job{Queue: queue, Payload: fmt.Append(nil, i)})
	}
	push(t, q, jobs...)
	count := func(n *int) int {
		mu.Lock()
		defer mu.Unlock()
		return *n
	}
	eventually(t, "full use of the concurrency", func() bool { return count(&running) == concurrency })
	time.Sleep(grace)
	close(release)
	eventually(t, "end of the jobs", func() bool { return count(&done) == 3*concurrency })
}

func queueDelay(t *testing.T, q storage.Queue) {
	const delay = 400 * time.Millisecond
	queue := unique()
	var r runs
	work(t, q, queue, 2, r.handle)
	start := time.Now()
	push(t, q,
		storage.Job{Queue: queue, Payload: []byte("later"), Delay: 2 * delay},
		storage.Job{Queue: queue, Payload: []byte("late"), Delay: delay},
		storage.Job{Queue: queue, Payload: []byte("now")})
	if got := r.await(t, 1)[0]; string(got.Payload) != "now" {
		t.Errorf("%q ran first", got.Payload)
	}
	for i, name := range []string{"late", "later"} {
		got := r.await(t, i+2)[i+1]
		took := time.Since(start)
		if least := time.Duration(i+1) * delay; string(got.Payload) != name || took < least-rounding || took > least+patience/2 {
			t.Errorf("%q ran after %v, want %q after %v", got.Payload, took, name, least)
		}
	}
	push(t, q, storage.Job{Queue: queue, Payload: []byte("tomorrow"), Delay: 24 * time.Hour})
	wantStats(t, q, queue, storage.QueueStats{Delayed: 1, Bytes: 8})
}
