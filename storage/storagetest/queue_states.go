package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

var errAgain = errors.New("handler failed: " + weird)

func queueRetry(t *testing.T, q storage.Queue) {
	queue := unique()
	r := runs{fail: func(job storage.Job) error {
		if job.Attempt < 3 {
			return errAgain
		}
		return nil
	}}
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload"), MaxAttempts: 10})
	work(t, q, queue, 1, r.handle)
	for i, job := range r.await(t, 3) {
		if job.Attempt != i+1 || job.ID != "id" || string(job.Payload) != "payload" || job.Queue != queue {
			t.Errorf("run %d got %+v", i+1, job)
		}
	}
	r.still(t, 3)
	wantStats(t, q, queue, storage.QueueStats{})
}

func queueAttempts(t *testing.T, q storage.Queue) {
	queue := unique()
	r := runs{fail: func(storage.Job) error { return errAgain }}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("once"), MaxAttempts: 1})
	r.still(t, 1)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("twice"), MaxAttempts: 2})
	r.still(t, 3)
	got, err := q.Stats(t.Context(), queue)
	if err != nil || got.Ready+got.Delayed+got.Active != 0 {
		t.Errorf("Stats = %+v, %v; want nothing left to run", got, err)
	}
}

func queueDefaultAttempts(t *testing.T, q storage.Queue) {
	queue := unique()
	r := runs{fail: func(storage.Job) error { return errAgain }}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("x")})
	r.await(t, 2) // at least one retry, without asking for it
}

func queuePanic(t *testing.T, q storage.Queue) {
	queue := unique()
	r := runs{fail: func(job storage.Job) error {
		if string(job.Payload) == "panics" {
			panic("handler panics: " + weird)
		}
		return nil
	}}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("panics"), MaxAttempts: 2})
	push(t, q, storage.Job{Queue: queue, Payload: []byte("fine")})
	r.still(t, 3)
	count := 0
	for _, job := range r.all() {
		if string(job.Payload) == "panics" {
			count++
		}
	}
	if count != 2 {
		t.Errorf("the job that panics ran %d times, want 2", count)
	}
}

func queueKnown(t *testing.T, q storage.Queue) {
	queue, id := unique(), unique()
	job := storage.Job{Queue: queue, ID: id, Payload: []byte("payload")}
	for range 3 {
		push(t, q, job)
	}
	other := job
	for _, payload := range [][]byte{[]byte("other payload"), nil, []byte("payload ")} {
		other.Payload = payload
		wantErr(t, "Push of a known id with another payload", q.Push(t.Context(), other), storage.ErrConflict)
	}
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 7})
	// Ids differ by case, and none is no id.
	push(t, q, storage.Job{Queue: queue, ID: id + "a"}, storage.Job{Queue: queue, ID: id + "A"})
	push(t, q, storage.Job{Queue: queue, Payload: []byte("1")}, storage.Job{Queue: queue, Payload: []byte("1")})
	push(t, q, storage.Job{Queue: queue, Payload: []byte("2")})
	wantStats(t, q, queue, storage.QueueStats{Ready: 6, Bytes: 10})
	var r runs
	work(t, q, queue, 1, r.handle)
	r.still(t, 6)
}

// queueTold pushes jobs of two queues of which some are known.
func queueTold(t *testing.T, q storage.Queue) {
	e, ok := q.(storage.Enqueuer)
	if !ok {
		t.Skip("the queue does not tell which jobs it had")
	}
	one, other, id := unique(), unique(), unique()
	enqueue := func(want map[string]int, jobs ...storage.Job) {
		t.Helper()
		if have, err := e.Enqueue(t.Context(), jobs...); err != nil || !maps.Equal(have, want) {
			t.Errorf("Enqueue of %d jobs reports %v (%v), want %v", len(jobs), have, err, want)
		}
	}
	named := func(queue, id string) storage.Job { return storage.Job{Queue: queue, ID: id, Payload: []byte("x")} }
	enqueue(nil, named(one, id), named(one, ""), named(other, id))
	enqueue(map[string]int{one: 1}, named(one, id), named(one, ""), named(one, id+"2"))
	enqueue(map[string]int{one: 2, other: 1}, named(other, id), named(other, id+"2"), named(one, id), named(one, id+"2"), named(one, id+"3"))
	enqueue(map[string]int{other: 1}, named(other, id+"4"), named(other, id+"4"))
	wantStats(t, q, one, storage.QueueStats{Ready: 5, Bytes: 5})
	wantStats(t, q, other, storage.QueueStats{Ready: 3, Bytes: 3})
}

func queueKnownAfter(t *testing.T, q storage.Queue) {
	queue := unique()
	var r runs
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload")})
	r.await(t, 1)
	wantStats(t, q, queue, storage.QueueStats{})
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload")})
	err := q.Push(t.Context(), storage.Job{Queue: queue, ID: "id", Payload: []byte("other")})
	wantErr(t, "Push of the id of a job that has run", err, storage.ErrConflict)
	r.still(t, 1)
}

func queueKnownBatch(t *testing.T, q storage.Queue) {
	queue := unique()
	push(t, q,
		storage.Job{Queue: queue, ID: "id", Payload: []byte("payload")},
		storage.Job{Queue: queue, ID: "other", Payload: []byte("payload")},
		storage.Job{Queue: queue, ID: "id", Payload: []byte("payload")})
	wantStats(t, q, queue, storage.QueueStats{Ready: 2, Bytes: 14})
	err := q.Push(t.Context(),
		storage.Job{Queue: queue, ID: "third", Payload: []byte("a")},
		storage.Job{Queue: queue, ID: "third", Payload: []byte("b")})
	wantErr(t, "Push of two payloads for one id", err, storage.ErrConflict)
	wantStats(t, q, queue, storage.QueueStats{Ready: 2, Bytes: 14})
}

func queueKnownRace(t *testing.T, q storage.Queue) {
	queue := unique()
	var r runs
	work(t, q, queue, 4, r.handle)
	atOnce(16, func(int) {
		if err := q.Push(t.Context(), storage.Job{Queue: queue, ID: "id", Payload: []byte("payload")}); err != nil {
			t.Error(err)
		}
	})
	r.still(t, 1)
}

func queueAllOrNone(t *testing.T, q storage.Queue) {
	queue := unique()
	push(t, q, storage.Job{Queue: queue, ID: "known", Payload: []byte("a")})
	err := q.Push(t.Context(),
		storage.Job{Queue: queue, ID: "first", Payload: []byte("1")},
		storage.Job{Queue: queue + "other", ID: "second", Payload: []byte("2")},
		storage.Job{Queue: queue, ID: "known", Payload: []byte("b")},
		storage.Job{Queue: queue, Payload: []byte("3")})
	wantErr(t, "Push with a conflict", err, storage.ErrConflict)
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 1})
	wantStats(t, q, queue+"other", storage.QueueStats{})
	// The ids that were refused with the others are not known.
	push(t, q, storage.Job{Queue: queue, ID: "first", Payload: []byte("another")})
	wantStats(t, q, queue, storage.QueueStats{Ready: 2, Bytes: 8})
}

// gate is a handler that waits.
type gate struct{ entered, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 16), make(chan struct{})} }

func (g gate) handle(context.Context, storage.Job) error {
	g.entered <- struct{}{}
	<-g.open
	return nil
}

func queueStopWaits(t *testing.T, q storage.Queue) {
	queue, g := unique(), newGate()
	stop := work(t, q, queue, 2, g.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("1")}, storage.Job{Queue: queue, Payload: []byte("2")})
	<-g.entered
	<-g.entered
	push(t, q, storage.Job{Queue: queue, Payload: []byte("3")})
	wantStats(t, q, queue, storage.QueueStats{Active: 2, Ready: 1, Bytes: 3})
	stopped := make(chan error, 1)
	go func() { stopped <- stop(bounded(t)) }()
	select {
	case err := <-stopped:
		t.Fatalf("stop returned %v while jobs run", err)
	case <-time.After(grace):
	}
	close(g.open)
	must(t, <-stopped)
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 1})
	must(t, stop(bounded(t))) // again
}

func queueStopBounded(t *testing.T, q storage.Queue) {
	queue, g := unique(), newGate()
	stop := work(t, q, queue, 1, g.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("1")})
	<-g.entered
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	start := time.Now()
	wantErr(t, "stop while a job runs", stop(ctx), context.DeadlineExceeded)
	if took := time.Since(start); took > patience/2 {
		t.Errorf("stop with a bound of %v took %v", grace, took)
	}
	close(g.open)
	must(t, stop(bounded(t)))
}

func queueStopTakesNone(t *testing.T, q storage.Queue) {
	queue := unique()
	var before, after runs
	stop := work(t, q, queue, 1, before.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("1")})
	before.await(t, 1)
	must(t, stop(bounded(t)))
	push(t, q, storage.Job{Queue: queue, Payload: []byte("2")})
	before.still(t, 1)
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 1})
	work(t, q, queue, 1, after.handle)
	if got := after.await(t, 1)[0]; string(got.Payload) != "2" || got.Attempt != 1 {
		t.Errorf("the next worker got %+v", got)
	}
	before.still(t, 1)
}

func queueStats(t *testing.T, q storage.Queue) {
	queue, g := unique(), newGate()
	wantStats(t, q, queue, storage.QueueStats{})
	work(t, q, queue, 1, g.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("active")})
	<-g.entered
	push(t, q, storage.Job{Queue: queue, Payload: []byte("ready")}, storage.Job{Queue: queue})
	push(t, q, storage.Job{Queue: queue, Payload: []byte("delayed"), Delay: time.Hour})
	wantStats(t, q, queue, storage.QueueStats{Active: 1, Ready: 2, Delayed: 1, Bytes: 18})
	close(g.open)
	wantStats(t, q, queue, storage.QueueStats{Delayed: 1, Bytes: 7})
}

// letters skips the test for a queue that keeps no failed jobs. Otherwise it lets
// n jobs with the payloads 0, 1, … fail for good, one after the other.
func letters(t *testing.T, q storage.Queue, queue string, n int) (storage.DeadLetters, *runs) {
	t.Helper()
	d, ok := q.(storage.DeadLetters)
	if !ok {
		t.Skip("the driver keeps no failed jobs")
	}
	r := &runs{fail: func(storage.Job) error { return errAgain }}
	work(t, q, queue, 1, r.handle)
	for i := range n {
		push(t, q, storage.Job{Queue: queue, ID: fmt.Sprint("id", i), Payload: fmt.Append(nil, i), MaxAttempts: 2})
		r.await(t, 2*(i+1))
		wantStats(t, q, queue, storage.QueueStats{Dead: i + 1, Bytes: int64(i + 1)})
	}
	return d, r
}

func queueDeadLetters(t *testing.T, q storage.Queue) {
	queue, start := unique(), time.Now()
	d, _ := letters(t, q, queue, 3)
	for limit, want := range map[int]int{0: 0, 1: 1, 2: 2, 3: 3, 10: 3} {
		got, err := d.DeadLetters(t.Context(), queue, limit)
		if err != nil || len(got) != want {
			t.Errorf("DeadLetters with limit %d lists %d letters, %v; want %d", limit, len(got), err, want)
		}
		for i, l := range got {
			if l.ID != fmt.Sprint("id", i) || !bytes.Equal(l.Payload, fmt.Append(nil, i)) || l.Queue != queue {
				t.Errorf("letter %d is %+v", i, l)
			}
			if l.Reason != errAgain.Error() || l.Key == "" {
				t.Errorf("letter %d has reason %q and key %q", i, l.Reason, l.Key)
			}
			if l.FailedAt.Before(start.Add(-time.Minute)) || l.FailedAt.After(time.Now().Add(time.Minute)) {
				t.Errorf("letter %d failed at %v", i, l.FailedAt)
			}
		}
	}
	if got, err := d.DeadLetters(t.Context(), queue+"other", 10); len(got) != 0 || err != nil {
		t.Errorf("another queue has %d letters, %v", len(got), err)
	}
}

func queueReplay(t *testing.T, q storage.Queue) {
	queue := unique()
	d, r := letters(t, q, queue, 2)
	got, err := d.DeadLetters(t.Context(), queue, 10)
	must(t, err)
	second := got[1]
	wantErr(t, "Replay of an unknown letter", d.Replay(t.Context(), queue, "no such key"), storage.ErrNotFound)
	wantErr(t, "Replay in another queue", d.Replay(t.Context(), queue+"other", second.Key), storage.ErrNotFound)
	must(t, d.Replay(t.Context(), queue, second.Key))
	all := r.await(t, 6) // it fails twice more, having a fresh count
	for i, job := range all[4:] {
		if job.Attempt != i+1 || job.ID != "id1" || string(job.Payload) != "1" {
			t.Errorf("run %d of the replayed job got %+v", i+1, job)
		}
	}
	wantStats(t, q, queue, storage.QueueStats{Dead: 2, Bytes: 2})

	r.mu.Lock()
	r.fail = nil
	r.mu.Unlock()
	got, err = d.DeadLetters(t.Context(), queue, 10)
	must(t, err)
	for _, l := range got {
		must(t, d.Replay(t.Context(), queue, l.Key))
		wantErr(t, "Replay of a letter that was replayed", d.Replay(t.Context(), queue, l.Key), storage.ErrNotFound)
	}
	r.still(t, 8)
	wantStats(t, q, queue, storage.QueueStats{})
}

func queuePurge(t *testing.T, q storage.Queue) {
	queue := unique()
	d, _ := letters(t, q, queue, 3)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("waits"), Delay: time.Hour})
	if n, err := d.Purge(t.Context(), queue+"other"); n != 0 || err != nil {
		t.Errorf("Purge of another queue = %d, %v", n, err)
	}
	if n, err := d.Purge(t.Context(), queue); n != 3 || err != nil {
		t.Errorf("Purge = %d, %v; want 3", n, err)
	}
	if n, err := d.Purge(t.Context(), queue); n != 0 || err != nil {
		t.Errorf("second Purge = %d, %v; want 0", n, err)
	}
	wantStats(t, q, queue, storage.QueueStats{Delayed: 1, Bytes: 5})
}

func queueDrain(t *testing.T, q storage.Queue) {
	d, ok := q.(storage.Drainer)
	if !ok {
		t.Skip("the driver cannot be drained")
	}
	queue := unique()
	r := runs{fail: func(job storage.Job) error {
		if job.Attempt == 1 {
			return errAgain
		}
		return nil
	}}
	work(t, q, queue, 2, r.handle)
	for i := range 10 {
		push(t, q, storage.Job{Queue: queue, Payload: fmt.Append(nil, i), MaxAttempts: 3})
	}
	must(t, d.Drain(bounded(t)))
	if n := len(r.all()); n != 20 {
		t.Errorf("Drain returned after %d runs, want 20", n)
	}
	wantErr(t, "Push after Drain", q.Push(t.Context(), storage.Job{Queue: queue}), storage.ErrClosed)
	_, err := q.Work(queue, 1, r.handle)
	wantErr(t, "Work after Drain", err, storage.ErrClosed)
	wantStats(t, q, queue, storage.QueueStats{})
}
