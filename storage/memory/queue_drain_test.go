package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// plain hides everything but the contract of a queue.
type plain struct{ storage.Queue }

func handover(t *testing.T, from *Queue, to storage.Queue) int {
	t.Helper()
	moved, err := from.Handover(t.Context(), to)
	if err != nil {
		t.Errorf("Handover: %v", err)
	}
	return moved
}

func TestHandover(t *testing.T) {
	tests := []struct {
		name string
		to   func(*Queue) storage.Queue
		// runs in the successor: the attempts are counted on by an Adopter, and from one
		// by another queue, but there are five in all.
		runs string
	}{
		{
			"adopter", func(q *Queue) storage.Queue { return q },
			"ready#1@0s failed#3@1s failed#4@5s failed#5@13s delayed#1@30s",
		},
		{
			"any queue", func(q *Queue) storage.Queue { return plain{q} },
			"ready#1@0s failed#1@1s failed#2@2s failed#3@4s delayed#1@30s",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to := NewQueue(QueueOptions{RetryJitter: -1}), NewQueue(QueueOptions{RetryJitter: -1})
				defer to.Close()
				stop := work(t, from, 1, newJournal(always).handle)
				push(t, from, job("failed"), later("delayed", 32*time.Second))
				time.Sleep(2 * time.Second) // two of five runs, the third is due in a second
				if err := stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				push(t, from, job("ready"))
				if n := handover(t, from, test.to(to)); n != 3 {
					t.Errorf("%d jobs moved, want 3", n)
				}
				wantStats(t, from, storage.QueueStats{})
				if err := from.Push(t.Context(), job("x")); !errors.Is(err, storage.ErrClosed) {
					t.Errorf("Push after Handover: %v", err)
				}
				if err := from.Close(); err != nil {
					t.Error(err)
				}
				push(t, to, job("ready"), job("delayed")) // their ids came along
				wantStats(t, to, storage.QueueStats{Ready: 1, Delayed: 2})
				j := newJournal(func(j storage.Job) error {
					if j.ID == "failed" {
						return errAgain
					}
					return nil
				})
				stop = work(t, to, 1, j.handle)
				time.Sleep(time.Minute)
				j.want(t, test.runs)
				wantStats(t, to, storage.QueueStats{Dead: 1})
				if err := stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestHandoverMovesLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := NewQueue(QueueOptions{}), NewQueue(QueueOptions{})
		defer from.Close()
		defer to.Close()
		stop := work(t, from, 1, newJournal(always).handle)
		push(t, from, storage.Job{Queue: "q", ID: "a", Payload: []byte("a"), MaxAttempts: 1})
		synctest.Wait()
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
		before, err := from.DeadLetters(t.Context(), "q", 1)
		if err != nil || len(before) != 1 {
			t.Fatal(before, err)
		}
		if n := handover(t, from, plain{to}); n != 0 {
			t.Errorf("%d jobs moved, want none", n)
		}
		wantStats(t, from, storage.QueueStats{Dead: 1}) // they cannot move there
		if n := handover(t, from, to); n != 0 {
			t.Errorf("%d jobs moved, want none", n)
		}
		wantStats(t, from, storage.QueueStats{})
		after, err := to.DeadLetters(t.Context(), "q", 2)
		if err != nil || len(after) != 1 || after[0].ID != "a" || after[0].Attempt != 1 || after[0].Reason != "again" || !after[0].FailedAt.Equal(before[0].FailedAt) {
			t.Errorf("letters are %+v, %v; want %+v", after, err, before)
		}
		if from.jobs != 0 || from.bytes != 0 {
			t.Errorf("%d jobs of %d bytes are still counted", from.jobs, from.bytes)
		}
	})
}

// A job that runs during a Handover and then fails is not lost, even when the old
// queue has been closed.
func TestHandoverOfRunningJobs(t *testing.T) {
	for _, closed := range []bool{false, true} {
		for name, wrap := range map[string]func(*Queue) storage.Queue{
			"adopter":   func(q *Queue) storage.Queue { return q },
			"any queue": func(q *Queue) storage.Queue { return plain{q} },
		} {
			t.Run(fmt.Sprint(name, " closed ", closed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					from, to := NewQueue(QueueOptions{RetryJitter: -1}), NewQueue(QueueOptions{})
					defer to.Close()
					stop := work(t, from, 3, func(_ context.Context, j storage.Job) error {
						time.Sleep(time.Second)
						if j.ID == "succeeds" {
							return nil
						}
						return errAgain
					})
					last := job("last")
					last.MaxAttempts = 1
					push(t, from, job("succeeds"), job("fails"), last, job("waits"))
					synctest.Wait()
					if n := handover(t, from, wrap(to)); n != 1 {
						t.Errorf("%d jobs moved, want 1", n)
					}
					wantStats(t, from, storage.QueueStats{Active: 3})
					if closed {
						if err := from.Close(); err != nil {
							t.Error(err)
						}
					}
					if err := stop(t.Context()); err != nil {
						t.Error(err)
					}
					// Closing ends the contexts, so that the runs do not count and there is no
					// last one. A queue without letters runs the last one once more.
					want := storage.QueueStats{Ready: 1, Delayed: 1, Dead: 1}
					if closed {
						want = storage.QueueStats{Ready: 3}
					} else if name == "any queue" {
						want = storage.QueueStats{Ready: 1, Delayed: 2}
					}
					wantStats(t, to, want)
				})
			})
		}
	}
}

func TestHandoverLeavesWhatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := NewQueue(QueueOptions{}), NewQueue(QueueOptions{MaxJobs: 150})
		defer from.Close()
		defer to.Close()
		other := job("0")
		other.Payload = []byte("other")
		push(t, to, other) // conflicts with the first job
		for i := range 200 {
			push(t, from, job(fmt.Sprint(i)))
		}
		for i := range 50 {
			push(t, from, later(fmt.Sprint("later", i), time.Hour))
		}
		moved, err := from.Handover(t.Context(), to)
		if moved != 149 || !errors.Is(err, storage.ErrConflict) || !errors.Is(err, storage.ErrFull) {
			t.Errorf("Handover = %d, %v; want 149 and why not more", moved, err)
		}
		wantStats(t, from, storage.QueueStats{Ready: 51, Delayed: 50})
		wantStats(t, to, storage.QueueStats{Ready: 150})

		// The rest waits for another try.
		to.SetOptions(QueueOptions{})
		moved, err = from.Handover(t.Context(), to)
		if moved != 100 || !errors.Is(err, storage.ErrConflict) {
			t.Errorf("second Handover = %d, %v; want 100 and a conflict", moved, err)
		}
		wantStats(t, to, storage.QueueStats{Ready: 200, Delayed: 50})
		wantStats(t, from, storage.QueueStats{Ready: 1})
	})
}

func TestHandoverToNowhere(t *testing.T) {
	from, to := NewQueue(QueueOptions{}), NewQueue(QueueOptions{})
	push(t, from, job("a"), later("b", time.Hour))
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := from.Handover(t.Context(), to); n != 0 || !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Handover to a closed queue = %d, %v", n, err)
	}
	wantStats(t, from, storage.QueueStats{Ready: 1, Delayed: 1})
	if _, err := from.Handover(t.Context(), from); err == nil {
		t.Error("Handover to itself: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := from.Handover(ctx, NewQueue(QueueOptions{})); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Handover with an ended context = %d, %v", n, err)
	}
	wantStats(t, from, storage.QueueStats{Ready: 1, Delayed: 1})
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Handover(t.Context(), to); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Handover of a closed queue: %v", err)
	}
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		defer q.Close()
		stop := work(t, q, 1, newJournal(nil).handle)
		push(t, q, job("now"), later("soon", time.Second), later("late", time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := q.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "1 jobs are left: context deadline exceeded" {
			t.Errorf("Drain = %v", err)
		}
		wantStats(t, q, storage.QueueStats{Delayed: 1})
		go func() { time.Sleep(time.Minute); _ = stop(context.Background()) }()
		start := time.Now()
		if err := q.Drain(t.Context()); err == nil || time.Since(start) != time.Minute {
			t.Errorf("Drain returned %v after %v, want an error when the last worker stops", err, time.Since(start))
		}
	})
}

func TestDrainWithoutWorkers(t *testing.T) {
	q := NewQueue(QueueOptions{})
	if err := q.Drain(t.Context()); err != nil {
		t.Errorf("Drain of an empty queue: %v", err)
	}
	q = NewQueue(QueueOptions{})
	push(t, q, job("a"), job("b"))
	if err := q.Drain(t.Context()); err == nil {
		t.Error("Drain says nothing about the jobs that are left")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Drain(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Drain of a closed queue: %v", err)
	}
}

func TestDrainEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{})
		work(t, q, 1, newJournal(nil).handle)
		push(t, q, later("late", time.Hour))
		go func() { time.Sleep(time.Second); _ = q.Close() }()
		if err := q.Drain(t.Context()); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("Drain during Close: %v", err)
		}
	})
}
