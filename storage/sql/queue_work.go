package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// retryClaim is the pause after a claim that the disk has refused.
	retryClaim = time.Second
	// closeTimeout bounds how long Close waits for jobs that run.
	closeTimeout = 2 * time.Second
)

// lane is what this process knows of one named queue.
type lane struct {
	name    string
	workers []*worker
	// ready says that there may be jobs whose time has come.
	ready    bool
	claiming bool
	// next is when a delayed job may run, zero for none that is known of.
	next  time.Time
	timer *time.Timer
}

// worker is one call of Work.
type worker struct {
	lane        *lane
	handle      func(context.Context, storage.Job) error
	concurrency int
	running     int
	stopping    bool
	// idle is closed when the worker is stopping and nothing runs.
	idle chan struct{}
	// ctx ends when a stop gives up waiting, or with the queue.
	ctx    context.Context //nolint:containedctx // it is the worker's life
	cancel context.CancelFunc
}

// claimedJob is a job that belongs to this process.
type claimedJob struct {
	storage.Job
	seq    int64
	pushed int64
}

// Work runs handle for the jobs of the named queue. Of several workers the newest
// gets a job first, so that after a reload the newest configuration does the work.
//
// A stop whose context ends while jobs run ends the contexts of those jobs. If
// such a job then fails, the run does not count and the job waits for the next
// worker: a reload must not use up the attempts of a job.
func (q *Queue) Work(queue string, concurrency int, handle func(context.Context, storage.Job) error) (func(context.Context) error, error) {
	if queue == "" || concurrency < 1 {
		return nil, fmt.Errorf("queue %q cannot be worked with concurrency %d", queue, concurrency)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.successor != nil {
		return nil, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	w := &worker{lane: q.laneLocked(q.scope + queue), handle: handle, concurrency: concurrency, idle: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.lane.workers = append(w.lane.workers, w)
	w.lane.ready = true // there may be jobs from before
	q.dispatchLocked(w.lane)
	return func(ctx context.Context) error { return q.stopWorker(ctx, w) }, nil
}

func (q *Queue) laneLocked(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = &lane{name: name}
		q.lanes[name] = l
	}
	return l
}

func (q *Queue) stopWorker(ctx context.Context, w *worker) error {
	q.mu.Lock()
	if !w.stopping {
		w.stopping = true
		l := w.lane
		l.workers = slices.DeleteFunc(l.workers, func(other *worker) bool { return other == w })
		if w.running == 0 {
			close(w.idle)
		}
		if len(l.workers) == 0 && !l.claiming { // nothing is known of a queue without workers
			if l.timer != nil {
				l.timer.Stop()
			}
			delete(q.lanes, l.name)
		}
	}
	q.mu.Unlock()
	defer w.cancel()
	select {
	case <-w.idle:
		return nil
	default:
	}
	select {
	case <-w.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for running jobs of queue %q: %w", w.lane.name, ctx.Err())
	}
}

// ready says that a job of the named queue can run.
func (q *Queue) ready(queue string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[queue]; l != nil {
		l.ready = true
		q.dispatchLocked(l)
	}
}

// readyAt says that a job of the named queue can run from then on.
func (q *Queue) readyAt(queue string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[queue]; l != nil {
		q.armLocked(l, at)
	}
}

// armLocked sets the timer of a lane, unless it goes off sooner.
func (q *Queue) armLocked(l *lane, at time.Time) {
	if q.closed || at.IsZero() || !l.next.IsZero() && !at.Before(l.next) {
		return
	}
	l.next = at
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(time.Until(at), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		l.next, l.ready = time.Time{}, true
		q.dispatchLocked(l)
	})
}

func (l *lane) freeLocked() (free int) {
	for _, w := range l.workers {
		free += w.concurrency - w.running
	}
	return free
}

// dispatchLocked claims jobs while workers have room.
func (q *Queue) dispatchLocked(l *lane) {
	free := l.freeLocked()
	if q.closed || q.successor != nil || l.claiming || !l.ready || free == 0 {
		return
	}
	l.claiming, l.ready = true, false
	q.leaving.Add(1)
	q.loop.Go(func() {
		defer q.leaving.Done()
		q.claim(l, free)
	})
}

// claim makes up to n jobs this process's and starts them.
func (q *Queue) claim(l *lane, n int) {
	var jobs []*claimedJob
	var next time.Time
	err := q.writer.change(context.Background(), 0, func(tx *transaction) (err error) {
		if jobs, err = q.take(tx, l.name, n); err == nil && len(jobs) < n {
			next, err = nextDue(tx, l.name)
		}
		return err
	}, nil)
	q.mu.Lock()
	l.claiming = false
	if err != nil {
		jobs = nil
		if !errors.Is(err, storage.ErrClosed) {
			q.log.Error("taking jobs from the queue", zap.String("queue", l.name), zap.Error(err))
		}
		q.armLocked(l, time.Now().Add(retryClaim))
	}
	l.ready = l.ready || err == nil && len(jobs) == n
	q.armLocked(l, next)
	var left []*claimedJob
	for i, j := range jobs {
		w := l.newestFree()
		if w == nil || q.closed {
			left = jobs[i:] // the workers have stopped meanwhile
			break
		}
		w.running++
		q.running[j.seq] = struct{}{}
		q.runs.Go(func() { q.run(w, j) })
	}
	q.dispatchLocked(l)
	q.mu.Unlock()
	q.giveBack(left)
}

// newestFree is the newest worker with room for a job, or nil.
func (l *lane) newestFree() *worker {
	for _, w := range slices.Backward(l.workers) {
		if w.running < w.concurrency {
			return w
		}
	}
	return nil
}

// take claims jobs whose time has come, those first that have waited longest.
func (q *Queue) take(tx *transaction, queue string, n int) (jobs []*claimedJob, err error) {
	now := time.Now()
	err = tx.query(func(scan func(...any) error) error {
		j := &claimedJob{Job: storage.Job{Queue: queue}}
		jobs = append(jobs, j)
		return scan(&j.seq, &j.ID, &j.Payload, &j.Attempt, &j.MaxAttempts, &j.pushed)
	}, `UPDATE queue_jobs SET state = 1, owner = ?, lease = ?, attempt = attempt + 1
		WHERE seq IN (SELECT seq FROM queue_jobs WHERE queue = ? AND state = 0 AND due <= ? ORDER BY due, seq LIMIT ?)
		RETURNING seq, id, payload, attempt, max_attempts, pushed`,
		q.owner.name, now.Add(q.optionsNow().Lease).UnixMilli(), queue, now.UnixMilli(), n)
	slices.SortFunc(jobs, func(a, b *claimedJob) int { return int(a.seq - b.seq) })
	return jobs, err
}

// nextDue is when the next job of a queue may run, zero when none waits.
func nextDue(tx *transaction, queue string) (time.Time, error) {
	var due *int64
	_, err := tx.one([]any{&due}, "SELECT MIN(due) FROM queue_jobs WHERE queue = ? AND state = 0", queue)
	if err != nil || due == nil {
		return time.Time{}, err
	}
	return time.UnixMilli(*due), nil
}

// run does a job, and then others while there are any.
func (q *Queue) run(w *worker, j *claimedJob) {
	for j != nil {
		job := j.Job
		job.Queue = q.named(j.Queue)
		err := storage.RunJob(w.ctx, w.handle, job)
		j = q.settle(w, j, err)
	}
}

// settle ends a run and takes the next job for the worker in the same transaction.
func (q *Queue) settle(w *worker, j *claimedJob, outcome error) (next *claimedJob) {
	l, now := w.lane, time.Now()
	q.mu.Lock()
	to := q.successor
	if to == nil {
		q.leaving.Add(1)
		defer q.leaving.Done()
	}
	more := !w.stopping && !q.closed && to == nil
	o := q.options
	q.mu.Unlock()
	e := ending{queue: q, job: j, options: o, now: now}
	switch {
	case outcome == nil:
	case w.ctx.Err() != nil && !storage.IsFinal(outcome):
		e.undo = true
	default:
		e.failure = outcome
	}
	if to != nil && outcome != nil {
		q.forward(to, &e)
	}
	var wakeAt time.Time
	err := q.writer.change(context.Background(), 0, func(tx *transaction) error {
		next, wakeAt = nil, time.Time{}
		err := e.write(tx)
		if err != nil || !more {
			return err
		}
		jobs, err := q.take(tx, l.name, 1)
		if err == nil && len(jobs) > 0 {
			next = jobs[0]
		} else if err == nil {
			wakeAt, err = nextDue(tx, l.name)
		}
		return err
	}, e.committed)
	if err != nil {
		next = nil
		if !errors.Is(err, storage.ErrClosed) {
			q.log.Error("a job's end cannot be written, so it runs again", zap.String("queue", l.name), zap.Error(err))
		}
	}
	return q.settled(w, j, next, wakeAt)
}

// settled does the bookkeeping after a run. It returns next if the worker is to
// run it.
func (q *Queue) settled(w *worker, j, next *claimedJob, wakeAt time.Time) *claimedJob {
	q.mu.Lock()
	delete(q.running, j.seq)
	back := next
	if next != nil && !w.stopping && !q.closed {
		q.running[next.seq] = struct{}{}
		q.mu.Unlock()
		return next
	}
	w.running--
	if w.stopping && w.running == 0 {
		close(w.idle)
	}
	q.armLocked(w.lane, wakeAt)
	q.dispatchLocked(w.lane)
	q.mu.Unlock()
	if back != nil {
		q.giveBack([]*claimedJob{back})
	}
	return nil
}

// giveBack lets others have jobs that were claimed and have not run.
func (q *Queue) giveBack(jobs []*claimedJob) {
	if len(jobs) == 0 {
		return
	}
	err := q.writer.change(context.Background(), 0, func(tx *transaction) error {
		for _, j := range jobs {
			e := ending{queue: q, job: j, undo: true, now: time.Now()}
			if err := e.write(tx); err != nil {
				return err
			}
		}
		return nil
	}, func() { q.ready(jobs[0].Queue) })
	if err != nil && !errors.Is(err, storage.ErrClosed) {
		q.log.Error("giving back jobs", zap.Error(err)) // they come back with their leases
	}
}
