package storagetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// queueRetryAfter wants the delay of the handler, wrapped as it may be, and the
// bound on attempts to count all the same.
func queueRetryAfter(t *testing.T, q storage.Queue) {
	const delay = 400 * time.Millisecond
	queue, ran := unique(), make(chan time.Time, 16)
	work(t, q, queue, 1, func(context.Context, storage.Job) error {
		ran <- time.Now()
		return fmt.Errorf("wrapped: %w", &storage.RetryAfterError{Cause: errAgain, Delay: delay})
	})
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload"), MaxAttempts: 2})
	first, second := <-ran, <-ran
	if took := second.Sub(first); took < delay-rounding || took > delay+patience/2 {
		t.Errorf("the second run came after %v, want %v", took, delay)
	}
	wantDead(t, q, queue, "wrapped: "+errAgain.Error(), 2)
	// Less than no delay is none.
	queue = unique()
	var r runs
	r.fail = func(job storage.Job) error {
		if job.Attempt == 1 {
			return &storage.RetryAfterError{Cause: errAgain, Delay: -time.Hour}
		}
		return nil
	}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("payload"), MaxAttempts: 2})
	r.await(t, 2)
	wantStats(t, q, queue, storage.QueueStats{})
}

// queueUncounted wants runs that do not count neither to use up attempts nor to
// show in their number.
func queueUncounted(t *testing.T, q storage.Queue) {
	queue := unique()
	var r runs
	n := 0
	r.fail = func(storage.Job) error {
		if n++; n <= 5 {
			return &storage.RetryAfterError{Cause: errAgain, Uncounted: true}
		}
		return &storage.RetryAfterError{Cause: errAgain}
	}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload"), MaxAttempts: 2})
	for i, job := range r.await(t, 7) {
		if want := max(1, i-4); job.Attempt != want {
			t.Errorf("run %d is attempt %d, want %d", i+1, job.Attempt, want)
		}
	}
	r.still(t, 7)
	wantDead(t, q, queue, errAgain.Error(), 2)
}

// queueFinal wants a job to end at once, with the attempts it has made, and to be
// as good as others when it is replayed.
func queueFinal(t *testing.T, q storage.Queue) {
	queue := unique()
	var r runs
	r.fail = func(storage.Job) error {
		return fmt.Errorf("wrapped: %w", &storage.FinalError{Cause: errAgain})
	}
	work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload"), MaxAttempts: 5})
	r.still(t, 1)
	wantDead(t, q, queue, "wrapped: "+errAgain.Error(), 1)
	d, ok := q.(storage.DeadLetters)
	if !ok {
		return
	}
	letters, err := d.DeadLetters(t.Context(), queue, 10)
	must(t, err)
	r.mu.Lock()
	r.fail = func(job storage.Job) error {
		if job.Attempt < 3 {
			return errAgain
		}
		return nil
	}
	r.mu.Unlock()
	must(t, d.Replay(t.Context(), queue, letters[0].Key))
	if all := r.await(t, 4); all[3].Attempt != 3 {
		t.Errorf("the replayed job got %+v", all[3])
	}
	wantStats(t, q, queue, storage.QueueStats{})
}

// queueFinalStopped wants the end of a job to count although its worker has been
// stopped, which undoes other failures.
func queueFinalStopped(t *testing.T, q storage.Queue) {
	queue, g := unique(), newGate()
	stop := work(t, q, queue, 1, func(ctx context.Context, job storage.Job) error {
		_ = g.handle(ctx, job)
		return &storage.FinalError{Cause: errAgain}
	})
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: []byte("payload"), MaxAttempts: 5})
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = stop(ctx)
	close(g.open)
	must(t, stop(bounded(t)))
	wantDead(t, q, queue, errAgain.Error(), 1)
}

// wantDead checks that the only job of a queue, which has the payload "payload",
// has failed for good.
func wantDead(t *testing.T, q storage.Queue, queue string, reason string, attempts int) {
	t.Helper()
	d, ok := q.(storage.DeadLetters)
	if !ok {
		wantStats(t, q, queue, storage.QueueStats{})
		return
	}
	wantStats(t, q, queue, storage.QueueStats{Dead: 1, Bytes: int64(len("payload"))})
	letters, err := d.DeadLetters(t.Context(), queue, 10)
	must(t, err)
	if len(letters) != 1 || letters[0].Reason != reason || letters[0].Attempt != attempts {
		t.Errorf("the dead letters are %+v, want one of %d attempts for %q", letters, attempts, reason)
	}
}

// queueOldest checks a queue that knows how long its jobs wait.
func queueOldest(t *testing.T, q storage.Queue) {
	a, ok := q.(storage.Aging)
	if !ok {
		t.Skip("the driver does not know how long jobs wait")
	}
	queue := unique()
	oldest := func() time.Time {
		t.Helper()
		at, err := a.Oldest(t.Context(), queue)
		must(t, err)
		return at
	}
	if at := oldest(); !at.IsZero() {
		t.Errorf("the oldest job of no jobs was pushed at %v", at)
	}
	before := time.Now()
	push(t, q, storage.Job{Queue: queue, Payload: []byte("first"), Delay: time.Hour})
	first := oldest()
	if first.Before(before.Add(-time.Minute)) || first.After(time.Now().Add(time.Minute)) {
		t.Errorf("the only job was pushed at %v, and now is %v", first, before)
	}
	time.Sleep(20 * time.Millisecond)
	push(t, q, storage.Job{Queue: queue, ID: "2", Payload: []byte("second"), MaxAttempts: 1}, storage.Job{Queue: queue + "other", Payload: []byte("x")})
	if at := oldest(); !at.Equal(first) {
		t.Errorf("the oldest job was pushed at %v, want %v", at, first)
	}
	queue = unique()
	g := newGate()
	work(t, q, queue, 1, func(ctx context.Context, job storage.Job) error {
		_ = g.handle(ctx, job)
		return errAgain
	})
	push(t, q, storage.Job{Queue: queue, Payload: []byte("x"), MaxAttempts: 1})
	<-g.entered
	if oldest().IsZero() {
		t.Error("a job that runs does not count")
	}
	close(g.open)
	eventually(t, "end of the job", func() bool { return oldest().IsZero() }) // a dead one does not
}
