package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// TestQueue checks a queue against its contract, and DeadLetters and Drainer of a
// queue that has them. open should set a delay before retries of some 20 ms, so
// that the suite is fast. It needs room for some thousand jobs and 1 MiB.
func TestQueue(t *testing.T, open func(t *testing.T) storage.Queue) {
	t.Attr("contract", "queue")
	runAll(t, open, []subtest[storage.Queue]{
		{"jobs arrive as they are", queueJobs},
		{"jobs wait for a worker", queueWait},
		{"queues are separate", queueSeparate},
		{"every job runs", queueEveryJob},
		{"several workers", queueWorkers},
		{"concurrency", queueConcurrency},
		{"senseless calls", queueSenseless},
		{"delay", queueDelay},
		{"payloads are copied", queueCopies},
		{"retry", queueRetry},
		{"attempts are bounded", queueAttempts},
		{"default attempts", queueDefaultAttempts},
		{"panic", queuePanic},
		{"retry after", queueRetryAfter},
		{"uncounted runs", queueUncounted},
		{"final", queueFinal},
		{"final after stop", queueFinalStopped},
		{"oldest", queueOldest},
		{"known id", queueKnown},
		{"known ids are told", queueTold},
		{"known id after the run", queueKnownAfter},
		{"ids in one call", queueKnownBatch},
		{"many push one id", queueKnownRace},
		{"all or none", queueAllOrNone},
		{"long ids", queueLongID},
		{"stop waits", queueStopWaits},
		{"stop is bounded", queueStopBounded},
		{"stop takes no new job", queueStopTakesNone},
		{"stats", queueStats},
		{"dead letters", queueDeadLetters},
		{"replay", queueReplay},
		{"purge", queuePurge},
		{"drain", queueDrain},
		{"too large", queueTooLarge},
		{"ended context", queueEnded},
		{"closed", queueClosed},
	})
}

// runs collects what a handler was given.
type runs struct {
	mu  sync.Mutex
	got []storage.Job
	// fail is the error of the next runs, by payload.
	fail func(storage.Job) error
}

func (r *runs) handle(_ context.Context, job storage.Job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, job)
	if r.fail != nil {
		return r.fail(job)
	}
	return nil
}

func (r *runs) all() []storage.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]storage.Job(nil), r.got...)
}

func (r *runs) await(t *testing.T, n int) []storage.Job {
	t.Helper()
	eventually(t, fmt.Sprintf("run %d", n), func() bool { return len(r.all()) >= n })
	return r.all()
}

// still checks that there were n runs and no more come.
func (r *runs) still(t *testing.T, n int) {
	t.Helper()
	r.await(t, n)
	time.Sleep(grace)
	if got := len(r.all()); got != n {
		t.Errorf("there were %d runs, want %d", got, n)
	}
}

// work starts a worker that is stopped at the end of the test.
func work(t *testing.T, q storage.Queue, queue string, concurrency int, handle func(context.Context, storage.Job) error) (stop func(context.Context) error) {
	t.Helper()
	stop, err := q.Work(queue, concurrency, handle)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = stop(ctx)
	})
	return stop
}

func push(t *testing.T, q storage.Queue, jobs ...storage.Job) {
	t.Helper()
	must(t, q.Push(t.Context(), jobs...))
}

func wantStats(t *testing.T, q storage.Queue, queue string, want storage.QueueStats) {
	t.Helper()
	var got storage.QueueStats
	var err error
	for end := time.Now().Add(patience / 3); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got, err = q.Stats(t.Context(), queue); err == nil && got == want {
			return
		}
	}
	t.Errorf("Stats = %+v, %v; want %+v", got, err, want)
}

func queueJobs(t *testing.T, q storage.Queue) {
	queue := unique()
	want := []storage.Job{
		{ID: unique(), Payload: []byte(weird)},
		{Payload: []byte{0, 0xff, '\r', '\n', 0}},
		{ID: "empty payload"},
		{ID: "large", Payload: bytes.Repeat([]byte("0123456789abcdef"), 8<<10)},
		{Payload: []byte(`{"json":true}`)},
	}
	for i := range want {
		want[i].Queue = queue
	}
	push(t, q, want...)
	var r runs
	work(t, q, queue, 2, r.handle)
	for _, job := range want {
		found := false
		for _, got := range r.await(t, len(want)) {
			found = found || got.Queue == queue && got.ID == job.ID && bytes.Equal(got.Payload, job.Payload) && got.Attempt == 1
		}
		if !found {
			t.Errorf("job %q did not run as it was pushed", job.ID)
		}
	}
	r.still(t, len(want))
	wantStats(t, q, queue, storage.QueueStats{})
	push(t, q) // no jobs at all
}

func queueWait(t *testing.T, q storage.Queue) {
	queue := unique()
	push(t, q, storage.Job{Queue: queue, Payload: []byte("before")})
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 6})
	var r runs
	work(t, q, queue, 1, r.handle)
	r.await(t, 1)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("after")})
	if got := r.await(t, 2); string(got[0].Payload) != "before" || string(got[1].Payload) != "after" {
		t.Errorf("ran %q and %q", got[0].Payload, got[1].Payload)
	}
}

func queueSenseless(t *testing.T, q storage.Queue) {
	queue := unique()
	handle := func(context.Context, storage.Job) error { return nil }
	for _, concurrency := range []int{0, -1} {
		if _, err := q.Work(queue, concurrency, handle); err == nil {
			t.Errorf("Work with concurrency %d: no error", concurrency)
		}
	}
	if err := q.Push(t.Context(), storage.Job{Payload: []byte("x")}); err == nil {
		t.Error("Push of a job that names no queue: no error")
	}
	if err := q.Push(t.Context(), storage.Job{Queue: queue, MaxAttempts: -1}); err == nil {
		t.Error("Push of a job with -1 attempts: no error")
	}
}

func queueCopies(t *testing.T, q storage.Queue) {
	queue, payload := unique(), []byte("value")
	push(t, q, storage.Job{Queue: queue, ID: "id", Payload: payload})
	payload[0] = 'X'
	r := runs{fail: func(job storage.Job) error {
		if got := string(job.Payload); got != "value" {
			t.Errorf("run %d got payload %q", job.Attempt, got)
		}
		job.Payload[1] = 'X'
		return errors.New("again")
	}}
	work(t, q, queue, 1, r.handle)
	r.await(t, 2)
}

func queueLongID(t *testing.T, q storage.Queue) {
	queue := unique()
	id := unique()
	id += strings.Repeat("i", 512-len(id))
	push(t, q, storage.Job{Queue: queue, ID: id, Payload: []byte("x")})
	if err := q.Push(t.Context(), storage.Job{Queue: queue, ID: id + "i", Payload: []byte("y")}); err == nil {
		t.Error("Push of an id of 513 bytes: no error")
	}
	var r runs
	work(t, q, queue, 1, r.handle)
	if got := r.await(t, 1)[0]; got.ID != id {
		t.Errorf("id of 512 bytes became %q", got.ID)
	}
	r.still(t, 1)
}

func queueTooLarge(t *testing.T, q storage.Queue) {
	limited, ok := q.(SizeLimited)
	if !ok {
		t.Skip("the driver declares no limit")
	}
	queue := unique()
	push(t, q, storage.Job{Queue: queue, Payload: []byte("small")})
	err := q.Push(t.Context(),
		storage.Job{Queue: queue, Payload: []byte("small")},
		storage.Job{Queue: queue, Payload: make([]byte, limited.MaxSize()+1)})
	wantErr(t, "Push", err, storage.ErrFull)
	wantStats(t, q, queue, storage.QueueStats{Ready: 1, Bytes: 5})
}

func queueEnded(t *testing.T, q storage.Queue) {
	queue := unique()
	testEnded(t, []call{
		{"Push", func(ctx context.Context) error { return q.Push(ctx, storage.Job{Queue: queue, Payload: []byte("x")}) }},
		{"Stats", func(ctx context.Context) error { _, err := q.Stats(ctx, queue); return err }},
	})
	wantStats(t, q, queue, storage.QueueStats{})
	if d, ok := q.(storage.DeadLetters); ok {
		testEnded(t, []call{
			{"DeadLetters", func(ctx context.Context) error { _, err := d.DeadLetters(ctx, queue, 1); return err }},
			{"Replay", func(ctx context.Context) error { return d.Replay(ctx, queue, "1") }},
			{"Purge", func(ctx context.Context) error { _, err := d.Purge(ctx, queue); return err }},
		})
	}
}

func queueClosed(t *testing.T, q storage.Queue) {
	queue := unique()
	var r runs
	stop := work(t, q, queue, 1, r.handle)
	push(t, q, storage.Job{Queue: queue, Payload: []byte("late"), Delay: grace})
	calls := []call{
		{"Push", func(ctx context.Context) error { return q.Push(ctx, storage.Job{Queue: queue}) }},
		{"Work", func(context.Context) error { _, err := q.Work(queue, 1, r.handle); return err }},
		{"Stats", func(ctx context.Context) error { _, err := q.Stats(ctx, queue); return err }},
	}
	if d, ok := q.(storage.DeadLetters); ok {
		calls = append(calls,
			call{"DeadLetters", func(ctx context.Context) error { _, err := d.DeadLetters(ctx, queue, 1); return err }},
			call{"Replay", func(ctx context.Context) error { return d.Replay(ctx, queue, "1") }},
			call{"Purge", func(ctx context.Context) error { _, err := d.Purge(ctx, queue); return err }})
	}
	testClosed(t, q, calls)
	must(t, stop(bounded(t)))
	time.Sleep(2 * grace)
	if n := len(r.all()); n != 0 {
		t.Errorf("%d jobs ran after Close", n)
	}
}
