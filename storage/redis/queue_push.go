package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Push accepts all jobs or none, of whichever queues, in one step. An error after
// which the jobs may be there all the same says so; then a Push of the same ids adds
// none twice.
func (q *Queue) Push(ctx context.Context, jobs ...storage.Job) error {
	_, err := q.Enqueue(ctx, jobs...)
	return err
}

// Enqueue is Push, and tells which jobs were known.
func (q *Queue) Enqueue(ctx context.Context, jobs ...storage.Job) (duplicates map[string]int, err error) {
	return q.accept(ctx, storage.NewJobs(jobs), nil)
}

// Adopt accepts jobs that have already made Attempt runs, and dead letters.
func (q *Queue) Adopt(ctx context.Context, jobs []storage.Job, letters []storage.DeadLetter) error {
	_, err := q.accept(ctx, jobs, letters)
	return err
}

func (q *Queue) accept(ctx context.Context, jobs []storage.Job, letters []storage.DeadLetter) (duplicates map[string]int, err error) {
	size, err := storage.CheckJobs(jobs, letters)
	if err != nil {
		return nil, err
	}
	o, err := q.admit(len(jobs)+len(letters), size)
	if err != nil {
		return nil, err
	}
	defer q.leaving.Done()
	if len(jobs)+len(letters) == 0 {
		return nil, q.client.fail(ctx, ctx.Err())
	}
	a := acceptance{options: o, jobs: jobs, letters: letters}
	a.args = []any{o.MaxJobs, o.MaxBytes, o.DeduplicationTTL.Milliseconds(), o.MaxDeadLetters, q.channel()}
	a.write()
	if err := q.send(ctx, &a); err != nil {
		return nil, err
	}
	for _, queue := range a.queues {
		q.ready(queue)
	}
	return a.duplicates, nil
}

// admit checks what can be checked here. What is admitted counts as leaving until it is in
// the queue.
func (q *Queue) admit(n int, size int64) (QueueOptions, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || q.handing:
		return q.options, fmt.Errorf("queue: %w", storage.ErrClosed)
	case size > min(q.options.MaxBytes, maxPush) || n > q.options.MaxJobs:
		return q.options, fmt.Errorf("queue of at most %d bytes takes no %d jobs of %d bytes: %w", q.options.MaxBytes, n, size, storage.ErrFull)
	}
	q.leaving.Add(1)
	return q.options, nil
}

// acceptance is one Push on its way to the server.
type acceptance struct {
	options QueueOptions
	jobs    []storage.Job
	letters []storage.DeadLetter

	queues []string
	args   []any
	// duplicates are those that were known, by queue.
	duplicates map[string]int
}

// write writes what the script wants to know.
func (a *acceptance) write() {
	for i := range a.jobs {
		a.lane(a.jobs[i].Queue)
	}
	for i := range a.letters {
		a.lane(a.letters[i].Queue)
	}
	a.args = append(a.args, len(a.queues))
	for _, queue := range a.queues {
		a.args = append(a.args, queue)
	}
	a.args = append(a.args, len(a.jobs))
	for _, j := range a.jobs {
		sum := sha256.Sum256(j.Payload)
		a.args = append(a.args, a.lane(j.Queue), j.ID, sum[:], j.Payload, laterBy(j.Delay), j.Attempt, cmp.Or(j.MaxAttempts, a.options.MaxAttempts))
	}
	a.args = append(a.args, len(a.letters))
	for _, l := range a.letters {
		a.args = append(a.args, a.lane(l.Queue), l.ID, l.Payload, l.Attempt, max(l.MaxAttempts, 1), storage.ClipReason(l.Reason), l.FailedAt.UnixMilli())
	}
}

// lane is the place of a queue among the keys of the script.
func (a *acceptance) lane(queue string) int {
	i := slices.Index(a.queues, queue)
	if i < 0 {
		i = len(a.queues)
		a.queues = append(a.queues, queue)
	}
	return i + 1
}

// laterBy is a delay in the server's unit. It is never shorter, whatever part of a
// millisecond has passed.
func laterBy(delay time.Duration) int64 {
	if delay <= 0 {
		return 0
	}
	return (delay + 2*time.Millisecond - 1).Milliseconds()
}

// send has the server do it, once.
func (q *Queue) send(ctx context.Context, a *acceptance) error {
	unknown := false
	var reply any
	err := q.client.within(ctx, a.options.Timeout, func(ctx context.Context) (err error) {
		reply, err = q.client.run(ctx, pushJobs, q.keys(a.queues...), a.args...)
		unknown = err != nil && !isRefused(err)
		return err
	})
	switch {
	case unknown:
		return fmt.Errorf("%w; the answer was lost, and the jobs may be queued or not: with equal ids they can be pushed again", err)
	case err != nil:
		return err
	}
	return a.read(reply)
}

// read reads what the script has answered.
func (a *acceptance) read(reply any) error {
	answer, _ := reply.([]any)
	if len(answer) == 0 {
		return fmt.Errorf("the script answers %v", reply)
	}
	switch answer[0] {
	case "ok":
		known, err := integers(answer[1:], len(answer)-1)
		if err != nil {
			return err
		}
		for _, n := range known {
			if n < 1 || int(n) > len(a.jobs) {
				return fmt.Errorf("the script answers %v", reply)
			}
			if a.duplicates == nil {
				a.duplicates = map[string]int{}
			}
			a.duplicates[a.jobs[n-1].Queue]++
		}
		return nil
	case "conflict":
		n, err := integers(answer[1:], 1)
		if err != nil || n[0] < 1 || int(n[0]) > len(a.jobs) {
			return fmt.Errorf("the script answers %v", reply)
		}
		job := a.jobs[n[0]-1]
		return fmt.Errorf("job %q of queue %q has another payload: %w", job.ID, job.Queue, storage.ErrConflict)
	case "full":
		n, err := integers(answer[1:], 4)
		if err != nil {
			return err
		}
		return fmt.Errorf("queue of %d jobs and %d bytes takes no further %d jobs of %d bytes: %w", n[0], n[1], n[2], n[3], storage.ErrFull)
	}
	return fmt.Errorf("the script answers %v", reply)
}

// isRefused says that the server has not done what it was asked, or was not asked.
func isRefused(err error) bool {
	if dialing, ok := errors.AsType[*net.OpError](err); ok && dialing.Op == "dial" {
		return true
	}
	_, answered := errors.AsType[redis.Error](err)
	return answered || errors.Is(err, redis.ErrPoolTimeout)
}
