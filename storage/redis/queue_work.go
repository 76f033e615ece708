package redis

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
	// retryClaim is the pause after a claim that the server has not answered.
	retryClaim = time.Second
	// maxClaim is how many jobs a process takes at once: others want some too.
	maxClaim = 16
	// maxReply bounds the payloads of an answer, in bytes, unless one alone is larger.
	maxReply = 4 << 20
)

// lane is what this process knows of one named queue.
type lane struct {
	name    string
	workers []*worker
	running int // jobs of all workers, stopped ones included
	// ready says that there may be jobs whose time has come.
	ready    bool
	claiming bool
	// next is when there is something to do again, zero for not that is known of.
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

// claimedJob is a job that belongs to this process as long as its token counts.
type claimedJob struct {
	storage.Job
	seq, token string
	// lose ends the context of the run, when the lease is lost.
	lose context.CancelFunc
	lost bool
}

// Work runs handle for the jobs of the named queue. Of several workers of this
// process the newest gets a job first, so that after a reload the newest
// configuration does the work.
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
	if q.closed || q.handing {
		return nil, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	l := q.lanes[queue]
	if l == nil {
		l = &lane{name: queue}
		q.lanes[queue] = l
	}
	w := &worker{lane: l, handle: handle, concurrency: concurrency, idle: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	l.workers = append(l.workers, w)
	l.ready = true // there may be jobs from before
	q.dispatchLocked(l)
	return func(ctx context.Context) error { return q.stopWorker(ctx, w) }, nil
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
		q.dismissLocked(l)
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

// dismissLocked forgets a lane that nobody works.
func (q *Queue) dismissLocked(l *lane) {
	if len(l.workers) > 0 || l.claiming || l.running > 0 || q.lanes[l.name] != l {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	delete(q.lanes, l.name)
}

// ready says that a job of the named queue may run.
func (q *Queue) ready(queue string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[queue]; l != nil {
		l.ready = true
		q.dispatchLocked(l)
	}
}

// readyAll says that anything may have happened.
func (q *Queue) readyAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		l.ready = true
		q.dispatchLocked(l)
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

// freeLocked is how many more jobs of a lane may run here.
func (q *Queue) freeLocked(l *lane) (free int) {
	for _, w := range l.workers {
		free += w.concurrency - w.running
	}
	if most := q.options.Concurrency; most > 0 {
		free = min(free, most-l.running)
	}
	return max(free, 0)
}

// dispatchLocked claims jobs while workers have room.
func (q *Queue) dispatchLocked(l *lane) {
	free := q.freeLocked(l)
	if q.closed || q.handing || l.claiming || !l.ready || free == 0 {
		return
	}
	l.claiming, l.ready = true, false
	q.leaving.Add(1)
	q.loop.Go(func() {
		defer q.leaving.Done()
		q.claim(l, min(free, maxClaim))
	})
}

// claim makes up to n jobs this process's and starts them.
func (q *Queue) claim(l *lane, n int) {
	t, err := q.turn(q.background, l.name, nil, n)
	q.mu.Lock()
	l.claiming = false
	if err != nil {
		if q.background.Err() == nil && !errors.Is(err, storage.ErrClosed) {
			q.log.Error("taking jobs from the queue", zap.String("queue", l.name), zap.Error(err))
		}
		q.armLocked(l, time.Now().Add(retryClaim))
	}
	l.ready = l.ready || t.more
	q.armLocked(l, t.next)
	var left []*claimedJob
	for i, j := range t.jobs {
		w := q.newestFree(l)
		if w == nil || q.closed {
			left = t.jobs[i:] // the workers have stopped meanwhile
			break
		}
		w.running++
		l.running++
		q.running[j] = struct{}{}
		q.runs.Add(1)
		go q.work(w, j)
	}
	q.dispatchLocked(l)
	q.dismissLocked(l)
	q.mu.Unlock()
	q.giveBack(l.name, left)
}

// newestFree is the newest worker with room for a job, or nil.
func (q *Queue) newestFree(l *lane) *worker {
	for _, w := range slices.Backward(l.workers) {
		if w.running < w.concurrency {
			return w
		}
	}
	return nil
}

// work does a job, and then others while there are any.
func (q *Queue) work(w *worker, j *claimedJob) {
	defer q.runs.Done()
	for j != nil {
		err := q.attempt(w, j)
		j = q.settle(w, j, err)
	}
}

// attempt runs a job once, in a context that ends with its lease.
func (q *Queue) attempt(w *worker, j *claimedJob) error {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	q.mu.Lock()
	j.lose = cancel
	q.mu.Unlock()
	return storage.RunJob(ctx, w.handle, j.Job)
}
