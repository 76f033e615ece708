package sql

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// handoverBatch is how many jobs one step of a Handover moves.
const handoverBatch = 100

// Adopt accepts jobs that have already made Attempt runs, and dead letters.
func (q *Queue) Adopt(ctx context.Context, jobs []storage.Job, letters []storage.DeadLetter) error {
	_, err := q.accept(ctx, jobs, letters)
	return err
}

// Handover refuses new jobs and workers from now on and moves what waits to
// another queue, the dead letters too if that is an Adopter. A job leaves this
// file only when the other queue has it: if the process ends in between, it is in
// both. What is being pushed or given back when it begins is waited for. Jobs that
// run at this moment run on; one that fails afterwards moves too.
func (q *Queue) Handover(ctx context.Context, to storage.Queue) (moved int, err error) {
	if to == storage.Queue(q) {
		return 0, errors.New("queue cannot be handed over to itself")
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return 0, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	q.successor = to
	q.mu.Unlock()
	if err := wait.Done(ctx, &q.leaving); err != nil {
		return 0, fmt.Errorf("waiting for jobs on their way into the queue: %w", err)
	}
	after := int64(0)
	for {
		batch, err := q.waiting(ctx, after)
		if err != nil || len(batch) == 0 {
			return moved, errors.Join(err, q.moveLetters(ctx, to))
		}
		after = batch[len(batch)-1].seq
		n, err := q.moveJobs(ctx, to, batch)
		if moved += n; err != nil {
			return moved, err
		}
	}
}

// forward moves a job that failed after a Handover to the queue that has the others.
// What that does not take stays here.
func (q *Queue) forward(to storage.Queue, e *ending) {
	job := e.job.Job
	job.Queue = q.named(job.Queue)
	dead, reason := false, ""
	if e.undo {
		job.Attempt--
	} else {
		next := e.next()
		job.Attempt, job.Delay, dead, reason = next.Attempt, next.Delay, next.Dead, e.failure.Error()
	}
	taken, err := storage.HandOn(to, job, dead, reason)
	if err != nil {
		q.log.Error("a job that failed stays in the queue that was replaced", zap.String("queue", job.Queue), zap.String("job", job.ID), zap.Error(err))
	}
	e.moved = taken
}

// waitingJob is a job that waits, with the rest of its delay.
type waitingJob struct {
	storage.Job
	seq int64
}

func (q *Queue) waiting(ctx context.Context, after int64) (batch []waitingJob, err error) {
	now := time.Now()
	rows, err := q.db.QueryContext(ctx, `SELECT seq, queue, id, payload, due, attempt, max_attempts FROM queue_jobs
		WHERE state = 0 AND seq > ? AND substr(queue, 1, ?) = ? ORDER BY seq LIMIT ?`, after, utf8.RuneCountInString(q.scope), q.scope, handoverBatch)
	err = eachRow(rows, err, func(scan func(...any) error) error {
		var j waitingJob
		var due int64
		err := scan(&j.seq, &j.Queue, &j.ID, &j.Payload, &due, &j.Attempt, &j.MaxAttempts)
		j.Queue = q.named(j.Queue)
		j.Delay = max(0, time.UnixMilli(due).Sub(now))
		batch = append(batch, j)
		return err
	})
	return batch, q.fail(ctx, err)
}

// moveJobs gives jobs to the other queue, together or else one by one, and removes
// those here that it has taken.
func (q *Queue) moveJobs(ctx context.Context, to storage.Queue, batch []waitingJob) (moved int, err error) {
	jobs := make([]storage.Job, len(batch))
	for i, j := range batch {
		jobs[i] = j.Job
	}
	err = storage.HandTo(ctx, to, jobs)
	if err == nil {
		return len(batch), q.removeMoved(ctx, batch)
	}
	if !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrFull) {
		return 0, fmt.Errorf("moving %d jobs: %w", len(batch), err)
	}
	err = nil
	for i := range batch {
		if one := storage.HandTo(ctx, to, jobs[i:i+1]); one != nil {
			err = errors.Join(err, fmt.Errorf("moving job %q: %w", jobs[i].ID, one))
			continue
		}
		moved++
		err = errors.Join(err, q.removeMoved(ctx, batch[i:i+1]))
	}
	return moved, err
}

func (q *Queue) removeMoved(ctx context.Context, batch []waitingJob) error {
	var bytes int64
	n := 0
	return q.writer.change(ctx, 0, func(tx *transaction) error {
		n, bytes = 0, 0
		for _, j := range batch {
			removed, err := tx.exec("DELETE FROM queue_jobs WHERE seq = ? AND state = 0", j.seq)
			if err != nil {
				return err
			}
			n += removed
			bytes += int64(removed) * int64(len(j.Payload))
			if err := forgetID(tx, q.scope+j.Queue, j.ID, j.seq); err != nil {
				return err
			}
		}
		return nil
	}, func() { q.grow(-n, -bytes) })
}

// moveLetters gives the dead letters of all queues to one that can take them.
func (q *Queue) moveLetters(ctx context.Context, to storage.Queue) error {
	adopter, ok := to.(storage.Adopter)
	if !ok {
		return nil
	}
	var queues []string
	rows, err := q.db.QueryContext(ctx, "SELECT DISTINCT queue FROM queue_jobs WHERE state = 2 AND substr(queue, 1, ?) = ?", utf8.RuneCountInString(q.scope), q.scope)
	err = eachRow(rows, err, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		queues = append(queues, q.named(name))
		return err
	})
	for _, queue := range queues {
		if err != nil {
			break
		}
		var letters []storage.DeadLetter
		if letters, err = q.DeadLetters(ctx, queue, q.optionsNow().MaxDeadLetters); err != nil || len(letters) == 0 {
			continue
		}
		if err = adopter.Adopt(ctx, nil, letters); err == nil {
			_, err = q.Purge(ctx, queue)
		}
	}
	return q.fail(ctx, err)
}

var (
	_ storage.Queue       = (*Queue)(nil)
	_ storage.Enqueuer    = (*Queue)(nil)
	_ storage.DeadLetters = (*Queue)(nil)
	_ storage.Handover    = (*Queue)(nil)
	_ storage.Adopter     = (*Queue)(nil)
	_ storage.Checker     = (*Queue)(nil)
)
