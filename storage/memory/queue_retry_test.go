package memory

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestQueueRetryDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{RetryJitter: -1, RetryMax: 5 * time.Second})
		defer q.Close()
		j := newJournal(always)
		stop := work(t, q, 1, j.handle)
		push(t, q, job("a"))
		time.Sleep(time.Minute)
		j.want(t, "a#1@0s a#2@1s a#3@3s a#4@7s a#5@12s") // 1 + 2 + 4 + 5, five runs by default
		wantStats(t, q, storage.QueueStats{Dead: 1})
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRetryDelay(t *testing.T) {
	plain := QueueOptions{RetryJitter: -1}.withDefaults()
	for run, want := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if got := plain.retryDelay(&queuedJob{Job: storage.Job{ID: "a", Attempt: run + 1}}); got != time.Duration(want)*time.Second {
			t.Errorf("delay after run %d is %v, want %vs", run+1, got, want)
		}
	}
	huge := QueueOptions{RetryJitter: -1, RetryMax: 1<<63 - 1}.withDefaults()
	if got := huge.retryDelay(&queuedJob{Job: storage.Job{ID: "a", Attempt: 500}}); got <= 0 {
		t.Errorf("delay without bound after 500 runs is %v", got)
	}
	options := QueueOptions{}.withDefaults()
	var least, most time.Duration = time.Hour, 0
	different := map[time.Duration]bool{}
	for i := range 1000 {
		j := &queuedJob{Job: storage.Job{ID: fmt.Sprint(i), Attempt: 1}}
		delay := options.retryDelay(j)
		if delay != options.retryDelay(j) {
			t.Fatal("the delay is not the same each time")
		}
		least, most = min(least, delay), max(most, delay)
		different[delay] = true
	}
	if least < 800*time.Millisecond || least > 820*time.Millisecond || most > 1200*time.Millisecond || most < 1180*time.Millisecond {
		t.Errorf("delays lie between %v and %v, want 0.8s and 1.2s", least, most)
	}
	if len(different) < 990 {
		t.Errorf("%d jobs have one of %d delays", 1000, len(different))
	}
}

func TestQueueForgetsIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		defer q.Close()
		j := newJournal(nil)
		stop := work(t, q, 1, j.handle)
		push(t, q, job("a"))
		time.Sleep(5*time.Minute - 1)
		push(t, q, job("a"))
		j.want(t, "a#1@0s")
		other := job("a")
		other.Payload = []byte("other")
		if err := q.Push(t.Context(), other); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("Push with another payload: %v", err)
		}
		time.Sleep(1 * time.Nanosecond)
		push(t, q, other)
		synctest.Wait()
		j.want(t, "a#1@5m0s")

		// While it waits, an id is known for as long as that takes, and then no more.
		push(t, q, later("b", time.Hour))
		time.Sleep(time.Hour - 1)
		push(t, q, job("b"))
		wantStats(t, q, storage.QueueStats{Delayed: 1})
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		j.want(t, "b#1@1h5m0s")
		push(t, q, job("b"))
		synctest.Wait()
		j.want(t, "b#1@1h5m0s")
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueKnownIDsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{MaxJobs: 10})
		defer q.Close()
		j := newJournal(nil)
		stop := work(t, q, 1, j.handle)
		for i := range 25 {
			push(t, q, job(fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := len(q.lanes["q"].ids); n != 10 || q.finished.Len() != 10 {
			t.Errorf("%d ids are known, %d of finished jobs; want 10", n, q.finished.Len())
		}
		j.text = nil
		push(t, q, job("15"), job("14"), job("24"))
		synctest.Wait()
		j.want(t, "14#1@25s") // the oldest are forgotten first
		time.Sleep(time.Hour)
		push(t, q, storage.Job{Queue: "q"})
		synctest.Wait()
		if n := len(q.lanes["q"].ids); n != 0 {
			t.Errorf("%d ids are known after an hour", n)
		}
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueDeadLettersAreBounded(t *testing.T) {
	for keep, want := range map[int]string{2: "b c ", -1: ""} {
		synctest.Test(t, func(t *testing.T) {
			q := NewQueue(QueueOptions{MaxDeadLetters: keep, MaxAttempts: 1})
			defer q.Close()
			stop := work(t, q, 1, newJournal(always).handle)
			push(t, q, job("a"), job("b"), job("c"))
			synctest.Wait()
			letters, err := q.DeadLetters(t.Context(), "q", 10)
			got := ""
			for _, l := range letters {
				got += l.ID + " "
			}
			if got != want || err != nil {
				t.Errorf("dead letters are %q, %v; want %q", got, err, want)
			}
			if q.jobs != len(letters) || q.bytes != int64(len(letters)) {
				t.Errorf("%d jobs of %d bytes are counted, want %d", q.jobs, q.bytes, len(letters))
			}
			if err := stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestQueueReplayKnowsTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{MaxAttempts: 1})
		defer q.Close()
		stop := work(t, q, 1, newJournal(always).handle)
		push(t, q, job("a"))
		synctest.Wait()
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
		for _, wait := range []time.Duration{0, time.Hour} { // its id is known, and is not
			time.Sleep(wait)
			letters, err := q.DeadLetters(t.Context(), "q", 1)
			if err != nil || len(letters) != 1 {
				t.Fatalf("DeadLetters = %v, %v", letters, err)
			}
			if err := q.Replay(t.Context(), "q", letters[0].Key); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			push(t, q, job("a")) // known as long as it waits
			wantStats(t, q, storage.QueueStats{Ready: 1})
			stop = work(t, q, 1, newJournal(always).handle)
			synctest.Wait()
			wantStats(t, q, storage.QueueStats{Dead: 1})
			if err := stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQueuePanicIsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{MaxAttempts: 1})
		defer q.Close()
		stop := work(t, q, 1, newJournal(func(j storage.Job) error {
			if j.ID == "panics" {
				panic("no such luck")
			}
			return errors.New(string(make([]byte, 5000)))
		}).handle)
		push(t, q, job("panics"), job("talks"))
		synctest.Wait()
		letters, err := q.DeadLetters(t.Context(), "q", 10)
		if err != nil || len(letters) != 2 || letters[0].Reason != "panic: no such luck" || len(letters[1].Reason) != maxReason {
			t.Errorf("DeadLetters = %+v, %v", letters, err)
		}
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
