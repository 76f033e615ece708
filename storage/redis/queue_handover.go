package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// handoverBatch is how many jobs one step of a Handover moves.
	handoverBatch = 100
	// handoverLease is how long a job may be on its way. After that it is back where it
	// was, for the case that this process has ended.
	handoverLease = time.Minute
	// handoverEnd bounds the end of a step, which has to come.
	handoverEnd = 10 * time.Second
	// markLife is how long a mark stays by which a queue knows its own keys.
	markLife = time.Minute
)

// Handover refuses new jobs and workers from now on and moves what waits to another
// queue, the dead letters too if that is an Adopter. Nobody runs a job while it is on
// its way, and it leaves Redis only when the other queue has it: if the process ends in
// between, it is in both. What is being pushed or given back when it begins is waited
// for. Jobs that run here at this moment run on; one that fails afterwards moves too.
// Those that other processes run are theirs, and an error says that there are some.
func (q *Queue) Handover(ctx context.Context, to storage.Queue) (moved int, err error) {
	if to == storage.Queue(q) {
		return 0, errors.New("queue cannot be handed over to itself")
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return 0, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	q.handing = true
	q.mu.Unlock()
	same, err := q.isBehind(ctx, to)
	if same || err != nil {
		return 0, err
	}
	q.mu.Lock()
	q.successor = to
	q.mu.Unlock()
	if err := wait.Done(ctx, &q.leaving); err != nil {
		return 0, fmt.Errorf("waiting for jobs on their way into the queue: %w", err)
	}
	names, err := q.names(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, failure := q.moveQueue(ctx, to, name)
		moved += n
		if err = errors.Join(err, failure); failure != nil && !errors.Is(failure, storage.ErrConflict) && !errors.Is(failure, storage.ErrFull) {
			break
		}
	}
	return moved, err
}

// isBehind says that another queue has the very keys of this one: it is the same
// server, spoken to in another way. Its jobs are there already.
func (q *Queue) isBehind(ctx context.Context, to storage.Queue) (same bool, err error) {
	other, ok := to.(interface {
		sees(ctx context.Context, mark string) (bool, error)
	})
	if !ok {
		return false, nil
	}
	mark := q.token()
	err = q.persist(ctx, func(bool) error {
		err := q.client.call(ctx, func(ctx context.Context) error {
			return q.client.write(ctx, "set", q.base+"mark:"+mark, mark, "px", markLife.Milliseconds())
		})
		if err == nil {
			same, err = other.sees(ctx, mark)
		}
		return err
	})
	return same, err
}

// sees says that another queue has left a mark among the keys of this one.
func (q *Queue) sees(ctx context.Context, mark string) (seen bool, err error) {
	err = q.client.call(ctx, func(ctx context.Context) error {
		found, err := q.client.Get(ctx, q.base+"mark:"+mark).Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		seen = found == mark
		return err
	})
	return seen, err
}

// names are the queues of the hub that have jobs.
func (q *Queue) names(ctx context.Context) (names []string, err error) {
	err = q.persist(ctx, func(bool) error {
		return q.client.within(ctx, q.optionsNow().Timeout, func(ctx context.Context) error {
			names, err = q.client.HKeys(ctx, q.base+"counts").Result()
			return err
		})
	})
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	slices.Sort(names)
	return names, err
}

// persist repeats what may be repeated while the server does not answer.
func (q *Queue) persist(ctx context.Context, do func(again bool) error) error {
	for again := false; ; again = true {
		err := do(again)
		if err == nil || !isPassing(err) || errors.Is(err, storage.ErrClosed) || !wait.For(ctx, retryAnswer) {
			return err
		}
	}
}

// moveQueue moves the jobs of one queue and then its dead letters.
func (q *Queue) moveQueue(ctx context.Context, to storage.Queue, queue string) (moved int, err error) {
	var stuck []*claimedJob // they stay taken until the others have gone
	for {
		var batch []*claimedJob
		token := q.token()
		if failure := q.persist(ctx, func(again bool) (err error) {
			batch, err = q.take(ctx, queue, token, again)
			return err
		}); failure != nil {
			err = errors.Join(err, failure)
			break
		}
		if len(batch) == 0 {
			break
		}
		gone, left, failure := transfer(ctx, to, batch)
		stuck = append(stuck, left...)
		err = errors.Join(err, failure)
		if failure := q.endMove(ctx, queue, gone, true); failure != nil {
			err = errors.Join(err, failure)
			break
		}
		if moved += len(gone); len(gone) == 0 {
			break // it is full, closed or out of reach: the others will not go either
		}
	}
	err = errors.Join(err, q.endMove(ctx, queue, stuck, false))
	if err != nil {
		return moved, err
	}
	if err := q.moveLetters(ctx, to, queue); err != nil {
		return moved, err
	}
	return moved, q.report(ctx, queue)
}

// report tells what stays, because others run it.
func (q *Queue) report(ctx context.Context, queue string) error {
	s, err := q.Stats(ctx, queue)
	if err != nil {
		return err
	}
	q.mu.Lock()
	for j := range q.running {
		if j.Queue == queue {
			s.Active--
		}
	}
	q.mu.Unlock()
	if s.Active > 0 {
		return fmt.Errorf("%d jobs of queue %q run in other processes, which have to replace the queue too", s.Active, queue)
	}
	return nil
}

// take makes jobs ours that wait, with the rest of their delay.
func (q *Queue) take(ctx context.Context, queue, token string, again bool) (batch []*claimedJob, err error) {
	o, repeated := q.optionsNow(), 0
	if again {
		repeated = 1
	}
	reply, err := q.run(ctx, takeToMove, []string{queue},
		handoverBatch, token, handoverLease.Milliseconds(), maxReply, repeated, o.DeduplicationTTL.Milliseconds(), o.MaxDeadLetters, lateRun)
	if err != nil {
		return nil, err
	}
	list, _ := reply.([]any)
	for ; len(list) >= 6; list = list[6:] {
		n, err := integers(list[3:6], 3)
		if err != nil {
			return nil, q.client.fail(ctx, err)
		}
		batch = append(batch, &claimedJob{seq: text(list[0]), token: token, Job: storage.Job{
			Queue: queue, ID: text(list[1]), Payload: []byte(text(list[2])),
			Delay: time.Duration(n[0]) * time.Millisecond, Attempt: int(n[1]), MaxAttempts: int(n[2]),
		}})
	}
	return batch, nil
}

// transfer gives jobs to the other queue, together or else one by one.
func transfer(ctx context.Context, to storage.Queue, batch []*claimedJob) (gone, left []*claimedJob, err error) {
	jobs := make([]storage.Job, len(batch))
	for i, j := range batch {
		jobs[i] = j.Job
	}
	if err = storage.HandTo(ctx, to, jobs); err == nil {
		return batch, nil, nil
	}
	if !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrFull) {
		return nil, batch, fmt.Errorf("moving %d jobs: %w", len(batch), err)
	}
	err = nil
	for i, j := range batch {
		if one := storage.HandTo(ctx, to, jobs[i:i+1]); one != nil {
			j.Payload = nil // what is stuck may be much
			left = append(left, j)
			err = fmt.Errorf("moving job %q: %w", j.ID, one)
			continue
		}
		gone = append(gone, j)
	}
	return gone, left, err
}

// endMove lets go of jobs that another queue has, or puts jobs back, also if ctx has
// ended.
func (q *Queue) endMove(ctx context.Context, queue string, jobs []*claimedJob, gone bool) error {
	moved := 0
	if gone {
		moved = 1
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handoverEnd)
	defer cancel()
	for some := range slices.Chunk(jobs, 10*handoverBatch) {
		args := []any{moved}
		for _, j := range some {
			args = append(args, j.seq, j.token)
		}
		if err := q.persist(ctx, func(bool) error {
			_, err := q.run(ctx, endMove, []string{queue}, args...)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// moveLetters gives the dead letters of a queue to one that can take them.
func (q *Queue) moveLetters(ctx context.Context, to storage.Queue, queue string) error {
	adopter, ok := to.(storage.Adopter)
	for ok {
		letters, err := q.DeadLetters(ctx, queue, handoverBatch)
		if err != nil || len(letters) == 0 {
			return err
		}
		if err := adopter.Adopt(ctx, nil, letters); err != nil {
			return fmt.Errorf("moving %d dead letters of queue %q: %w", len(letters), queue, err)
		}
		keys := make([]any, len(letters))
		for i, l := range letters {
			keys[i] = l.Key
		}
		if _, err := q.run(ctx, dropLetters, []string{queue}, keys...); err != nil {
			return err
		}
	}
	return nil
}
