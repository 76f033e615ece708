package memory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

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
	ctx    context.Context
	cancel context.CancelFunc
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
	if q.draining || q.closed {
		return nil, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	w := &worker{lane: q.laneLocked(queue), handle: handle, concurrency: concurrency, idle: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.lane.workers = append(w.lane.workers, w)
	q.dispatchLocked(w.lane)
	return func(ctx context.Context) error { return q.stop(ctx, w) }, nil
}

func (q *Queue) stop(ctx context.Context, w *worker) error {
	q.mu.Lock()
	if !w.stopping {
		w.stopping = true
		w.lane.workers = slices.DeleteFunc(w.lane.workers, func(other *worker) bool { return other == w })
		if w.running == 0 {
			close(w.idle)
		}
		q.notifyLocked()
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

// dispatchLocked starts ready jobs while a worker has room. It is called whenever
// a job becomes ready or a worker comes, so a ready job that is left means that
// all workers are busy, and the first that is done takes it.
func (q *Queue) dispatchLocked(l *lane) {
	for l.ready.len() > 0 {
		i := len(l.workers) - 1
		for i >= 0 && l.workers[i].running >= l.workers[i].concurrency {
			i--
		}
		if i < 0 {
			return
		}
		w := l.workers[i]
		go q.run(w, w.takeLocked())
	}
}

// takeLocked makes the next ready job active. It is nil when there is none or the
// worker is stopping.
func (w *worker) takeLocked() *queuedJob {
	if w.stopping || w.lane.ready.len() == 0 {
		return nil
	}
	j := w.lane.ready.pop()
	j.Attempt++
	w.lane.active++
	w.running++
	return j
}

// run does a job, and then others while there are any.
func (q *Queue) run(w *worker, j *queuedJob) {
	for j != nil {
		err := storage.RunJob(w.ctx, w.handle, j.Job)
		j = q.settle(w, j, err)
	}
}

// settle ends a run and returns the next job for the worker, or nil.
func (q *Queue) settle(w *worker, j *queuedJob, err error) *queuedJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err == nil:
		q.retireLocked(j, time.Now())
		j.lane.active--
		q.dropLocked(j)
	case w.ctx.Err() != nil && !storage.IsFinal(err):
		q.failLocked(j, err, storage.Outcome{Attempt: j.Attempt - 1})
	default:
		q.failLocked(j, err, storage.OutcomeOf(err, j.Attempt, j.MaxAttempts, q.options.retryDelay(j)))
	}
	w.running--
	next := w.takeLocked()
	if w.stopping && w.running == 0 {
		close(w.idle)
	}
	q.notifyLocked()
	return next
}

// failLocked puts an active job that has failed back in line, or among the dead
// letters. If there is a successor, it goes there; the lock is let go while it
// does.
func (q *Queue) failLocked(j *queuedJob, cause error, outcome storage.Outcome) {
	j.Attempt = outcome.Attempt
	if to := q.successor; to != nil {
		q.mu.Unlock()
		err := forward(to, j, cause, outcome)
		q.mu.Lock()
		if err == nil {
			j.lane.active--
			q.dropLocked(j)
			return
		}
	}
	if q.closed {
		return
	}
	now := time.Now()
	j.lane.active--
	if outcome.Dead {
		q.retireLocked(j, now)
		q.buryLocked(j, cause.Error(), now)
		return
	}
	q.enqueueLocked(j, outcome.Delay, now)
	q.armLocked(now)
}

// retryDelay is the time before the next run of a job that has failed.
func (o QueueOptions) retryDelay(j *queuedJob) time.Duration {
	name := j.ID
	if name == "" {
		name = strconv.FormatUint(j.seq, 10)
	}
	return storage.Retry{Base: o.RetryBase, Max: o.RetryMax, Jitter: o.RetryJitter}.Delay(name, j.Attempt)
}

// fifo is a line of jobs.
type fifo struct {
	items []*queuedJob
	head  int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(j *queuedJob) { f.items = append(f.items, j) }

func (f *fifo) pop() *queuedJob {
	j := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head == len(f.items) {
		*f = fifo{} // an idle line holds no memory
	} else if f.head > 64 && f.head > len(f.items)/2 {
		f.items = append([]*queuedJob(nil), f.items[f.head:]...)
		f.head = 0
	}
	return j
}
