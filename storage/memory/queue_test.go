package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

var errAgain = errors.New("again")

func push(t *testing.T, q storage.Queue, jobs ...storage.Job) {
	t.Helper()
	if err := q.Push(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

// job is one of the queue "q" whose payload is its id.
func job(id string) storage.Job {
	return storage.Job{Queue: "q", ID: id, Payload: []byte(id)}
}

func later(id string, delay time.Duration) storage.Job {
	j := job(id)
	j.Delay = delay
	return j
}

func work(t *testing.T, q storage.Queue, concurrency int, handle func(context.Context, storage.Job) error) func(context.Context) error {
	t.Helper()
	stop, err := q.Work("q", concurrency, handle)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

func wantStats(t *testing.T, q storage.Queue, want storage.QueueStats) {
	t.Helper()
	got, err := q.Stats(t.Context(), "q")
	if got.Bytes = 0; err != nil || got != want {
		t.Errorf("Stats = %+v, %v; want %+v", got, err, want)
	}
}

// journal notes runs: the id, the attempt and the second.
type journal struct {
	mu    sync.Mutex
	start time.Time
	text  []string
	fail  func(storage.Job) error
}

func newJournal(fail func(storage.Job) error) *journal {
	return &journal{start: time.Now(), fail: fail}
}

func (j *journal) handle(_ context.Context, job storage.Job) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, fmt.Sprintf("%s#%d@%v", job.ID, job.Attempt, time.Since(j.start)))
	if j.fail != nil {
		return j.fail(job)
	}
	return nil
}

func (j *journal) want(t *testing.T, want string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := strings.Join(j.text, " "); got != want {
		t.Errorf("runs were\n%s\nwant\n%s", got, want)
	}
	j.text = nil
}

func always(storage.Job) error { return errAgain }

// Checklist: configuration 84
func TestQueueCountsAllStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{MaxJobs: 4})
		defer q.Close()
		release := make(chan struct{})
		stop := work(t, q, 1, func(_ context.Context, j storage.Job) error {
			if j.ID == "dead" {
				return errAgain
			}
			<-release
			return nil
		})
		push(t, q, storage.Job{Queue: "q", ID: "dead", MaxAttempts: 1})
		synctest.Wait()
		push(t, q, job("active"), job("ready"), later("delayed", time.Hour))
		synctest.Wait()
		wantStats(t, q, storage.QueueStats{Dead: 1, Active: 1, Ready: 1, Delayed: 1})

		if err := q.Push(t.Context(), storage.Job{Queue: "another"}); !errors.Is(err, storage.ErrFull) {
			t.Errorf("Push into a full queue: %v", err)
		}
		push(t, q, job("active"), job("ready"), job("delayed")) // known, so not counted
		if n, err := q.Purge(t.Context(), "q"); n != 1 || err != nil {
			t.Errorf("Purge = %d, %v", n, err)
		}
		push(t, q, storage.Job{Queue: "another"})
		close(release)
		synctest.Wait()
		wantStats(t, q, storage.QueueStats{Delayed: 1})
		push(t, q, job("x"), job("y"))
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueBoundsBytes(t *testing.T) {
	q := NewQueue(QueueOptions{MaxBytes: 10})
	defer q.Close()
	push(t, q, job("12345"))
	for _, jobs := range [][]storage.Job{{job("123456")}, {job("123"), job("456")}, {job(strings.Repeat("x", 11))}} {
		if err := q.Push(t.Context(), jobs...); !errors.Is(err, storage.ErrFull) {
			t.Errorf("Push above the bound: %v", err)
		}
	}
	push(t, q, job("1"), job("2345"))
	if err := q.Push(t.Context(), job("x")); !errors.Is(err, storage.ErrFull) {
		t.Errorf("Push above the bound: %v", err)
	}
	q.SetOptions(QueueOptions{MaxBytes: 11})
	push(t, q, job("x"))
}

func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		defer q.Close()
		push(t, q, later("d", 2*time.Second), later("b", time.Second), later("c", time.Second), job("a1"))
		push(t, q, job("a2"), later("e", 3*time.Second))
		j := newJournal(nil)
		stop := work(t, q, 1, j.handle)
		time.Sleep(time.Minute)
		j.want(t, "a1#1@0s a2#1@0s b#1@1s c#1@1s d#1@2s e#1@3s")
		push(t, q, later("f", time.Second)) // the timer starts again
		time.Sleep(time.Minute)
		j.want(t, "f#1@1m1s")
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueNewestWorkerFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		defer q.Close()
		var text string
		slow := func(name string) func(context.Context, storage.Job) error {
			return func(context.Context, storage.Job) error {
				text += name
				time.Sleep(time.Second)
				return nil
			}
		}
		stopOld := work(t, q, 1, slow("old "))
		stopNew := work(t, q, 2, slow("new "))
		for _, id := range []string{"1", "2", "3"} {
			push(t, q, job(id))
			synctest.Wait()
		}
		if text != "new new old " {
			t.Errorf("jobs went to %s", text)
		}
		if err := errors.Join(stopOld(t.Context()), stopNew(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueGoroutines(t *testing.T) {
	q := NewQueue(QueueOptions{})
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	before := runtime.NumGoroutine()
	stop := work(t, q, 2, func(context.Context, storage.Job) error { entered <- struct{}{}; <-release; return nil })
	for i := range 1000 {
		push(t, q, job(fmt.Sprint(i)), later(fmt.Sprint("later", i), time.Hour))
	}
	<-entered
	<-entered
	if n := runtime.NumGoroutine() - before; n > 2 {
		t.Errorf("%d goroutines for 2 running and 1998 waiting jobs", n)
	}
	go func() {
		for range entered {
		}
	}()
	close(release)
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
	close(entered)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

func TestQueueIdleHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{DeduplicationTTL: -1})
		defer q.Close()
		stop := work(t, q, 4, func(context.Context, storage.Job) error { return nil })
		for i := range 500 {
			push(t, q, job(fmt.Sprint(i)), later(fmt.Sprint("later", i), time.Second))
		}
		time.Sleep(time.Hour)
		q.mu.Lock()
		l := q.lanes["q"]
		if q.jobs != 0 || q.bytes != 0 || !q.armed.IsZero() || len(l.ids) != 0 || l.bytes != 0 || l.ready.items != nil {
			t.Errorf("an idle queue holds %d jobs, %d bytes, %d ids, timer %v", q.jobs, q.bytes, len(l.ids), q.armed)
		}
		q.mu.Unlock()
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		cut := make(chan error, 1)
		stop := work(t, q, 1, func(ctx context.Context, _ storage.Job) error {
			<-ctx.Done()
			cut <- ctx.Err()
			return ctx.Err()
		})
		push(t, q, job("running"), job("ready"), later("delayed", time.Second))
		synctest.Wait()
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := stop(t.Context()); err != nil {
			t.Errorf("stop after Close: %v", err)
		}
		if err := <-cut; !errors.Is(err, context.Canceled) {
			t.Errorf("the running job's context ended with %v", err)
		}
		time.Sleep(time.Minute) // nothing else runs, or cut would be full
		synctest.Wait()
		if len(cut) != 0 {
			t.Error("a job ran after Close")
		}
	})
}

// A reload must not use up the attempts of a job, nor bury one on its last.
func TestQueueStopCutsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		defer q.Close()
		stop := work(t, q, 1, func(ctx context.Context, _ storage.Job) error {
			<-ctx.Done()
			return ctx.Err()
		})
		last := job("last")
		last.MaxAttempts = 1
		push(t, q, last)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop = %v", err)
		}
		synctest.Wait()
		wantStats(t, q, storage.QueueStats{Ready: 1})
		j := newJournal(nil)
		next := work(t, q, 1, j.handle)
		synctest.Wait()
		j.want(t, "last#1@0s")
		if err := next(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFIFO(t *testing.T) {
	var f fifo
	next := uint64(0)
	for i := range uint64(5000) {
		f.push(&queuedJob{deadline: deadline{seq: i}})
		if i%3 > 0 {
			if j := f.pop(); j.seq != next {
				t.Fatalf("popped %d, want %d", j.seq, next)
			}
			next++
		}
	}
	if f.len() != int(5000-next) || cap(f.items) > 8*f.len() {
		t.Errorf("%d jobs in %d places, want %d jobs", f.len(), cap(f.items), 5000-next)
	}
	for f.len() > 0 {
		if j := f.pop(); j.seq != next {
			t.Fatalf("popped %d, want %d", j.seq, next)
		}
		next++
	}
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue(QueueOptions{})
	defer q.Close()
	var group sync.WaitGroup
	stop, _ := q.Work("q", 2, func(context.Context, storage.Job) error { group.Done(); return nil })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		group.Add(1)
		if err := q.Push(context.Background(), job(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 0 {
			group.Wait()
		}
	}
	group.Wait()
	_ = stop(context.Background())
}
