package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// handoverBatch is how many jobs one Push of a Handover holds.
const handoverBatch = 100

// Drain refuses new jobs and workers with ErrClosed, and waits until the queues
// that have workers are empty: what is delayed or retried too. It is bounded by
// ctx. An error says how many jobs are left, those of queues without workers
// included.
func (q *Queue) Drain(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
	for !q.closed {
		left, moving := q.unfinishedLocked()
		if !moving {
			if left == 0 {
				return nil
			}
			return fmt.Errorf("%d jobs are left in queues without workers", left)
		}
		if q.changed == nil {
			q.changed = make(chan struct{})
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-ctx.Done():
			q.mu.Lock()
			return fmt.Errorf("%d jobs are left: %w", left, ctx.Err())
		}
	}
	return fmt.Errorf("queue: %w", storage.ErrClosed)
}

// unfinishedLocked counts the jobs that are not dead, and tells whether any of
// them can still get somewhere.
func (q *Queue) unfinishedLocked() (left int, moving bool) {
	for _, l := range q.lanes {
		n := l.ready.len() + l.delayed + l.active
		left += n
		moving = moving || l.active > 0 || n > 0 && len(l.workers) > 0
	}
	return left, moving
}

func (q *Queue) notifyLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// Handover refuses new jobs and workers from now on and moves the waiting jobs to
// another queue. Jobs that run at this moment run on; one that fails afterwards
// moves too. Dead letters move if the other queue is an Adopter, and stay
// otherwise; moved does not count them.
func (q *Queue) Handover(ctx context.Context, to storage.Queue) (moved int, err error) {
	if to == storage.Queue(q) {
		return 0, errors.New("queue cannot be handed over to itself")
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return 0, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	q.draining, q.successor = true, to
	waiting := q.takeAllLocked()
	q.mu.Unlock()

	for len(waiting) > 0 {
		batch := waiting[:min(handoverBatch, len(waiting))]
		stuck, pushErr := transfer(ctx, to, batch, time.Now())
		err = errors.Join(err, pushErr)
		moved += len(batch) - len(stuck)
		q.endTransfer(batch, stuck)
		waiting = waiting[len(batch):]
		if len(stuck) == len(batch) {
			break // it is full, closed or out of reach: the others will not go either
		}
	}
	q.endTransfer(waiting, waiting)
	return moved, errors.Join(err, q.moveLetters(ctx, to))
}

// takeAllLocked makes all waiting jobs active, so that no worker runs what is on
// its way. Ready jobs come first, then the delayed ones by time.
func (q *Queue) takeAllLocked() []*queuedJob {
	var waiting []*queuedJob
	for _, l := range q.lanes {
		for l.ready.len() > 0 {
			j := l.ready.pop()
			j.at = time.Time{}
			waiting = append(waiting, j)
			l.active++
		}
	}
	for q.delayed.Len() > 0 {
		j := q.delayed.first()
		q.delayed.remove(j)
		j.lane.delayed--
		j.lane.active++
		waiting = append(waiting, j)
	}
	q.armLocked(time.Now())
	return waiting
}

// endTransfer forgets the jobs of a batch, and puts those back that are stuck.
func (q *Queue) endTransfer(batch, stuck []*queuedJob) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	now := time.Now()
	for _, j := range batch {
		j.lane.active--
		if len(stuck) > 0 && stuck[0] == j {
			stuck = stuck[1:]
			q.enqueueLocked(j, j.at.Sub(now), now)
			continue
		}
		q.dropLocked(j)
	}
	q.armLocked(now)
	q.notifyLocked()
}

// moveLetters gives the dead letters to a queue that can take them.
func (q *Queue) moveLetters(ctx context.Context, to storage.Queue) error {
	adopter, ok := to.(storage.Adopter)
	if !ok {
		return nil
	}
	q.mu.Lock()
	var letters []storage.DeadLetter
	for _, l := range q.lanes {
		for _, dead := range l.dead {
			letters = append(letters, letterOf(dead))
		}
	}
	q.mu.Unlock()
	if len(letters) == 0 {
		return nil
	}
	if err := adopter.Adopt(ctx, nil, letters); err != nil {
		return fmt.Errorf("moving %d dead letters: %w", len(letters), err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range letters {
		if q.closed {
			break
		}
		if j := q.lanes[l.Queue].exhume(l.Key); j != nil {
			q.dropLocked(j)
		}
	}
	return nil
}

// transfer moves jobs to another queue. If they do not go together, they go one
// by one; stuck are those that do not go at all, in the order of jobs.
func transfer(ctx context.Context, to storage.Queue, jobs []*queuedJob, now time.Time) (stuck []*queuedJob, err error) {
	moving := make([]storage.Job, len(jobs))
	for i, j := range jobs {
		moving[i] = j.Job
		moving[i].Delay = max(0, j.at.Sub(now))
	}
	if err = storage.HandTo(ctx, to, moving); err == nil {
		return nil, nil
	}
	if len(jobs) == 1 || !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrFull) {
		return jobs, fmt.Errorf("moving %d jobs: %w", len(jobs), err)
	}
	err = nil
	for i := range jobs {
		if one := storage.HandTo(ctx, to, moving[i:i+1]); one != nil {
			stuck = append(stuck, jobs[i])
			err = fmt.Errorf("moving %d jobs: %w", len(stuck), one)
		}
	}
	return stuck, err
}

// forward moves one job that failed after the Handover. One that has failed for
// good goes as a dead letter; a queue that takes none runs it once more and then
// has it among its own.
func forward(to storage.Queue, j *queuedJob, cause error, outcome storage.Outcome) error {
	job := j.Job
	job.Delay = outcome.Delay
	_, adopts := to.(storage.Adopter)
	_, err := storage.HandOn(to, job, outcome.Dead && adopts, cause.Error())
	return err
}

// Adopt accepts jobs that have already made Attempt runs, and dead letters.
func (q *Queue) Adopt(ctx context.Context, jobs []storage.Job, letters []storage.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := q.accept(jobs, letters)
	return err
}
