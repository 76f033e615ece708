package metered

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// queue counts what is done with a queue.
type queue struct {
	storage.Queue
	metrics *Queues
	backend string
}

// Push pushes jobs, and counts those that were accepted.
func (q *queue) Push(ctx context.Context, jobs ...storage.Job) error {
	if len(jobs) == 0 {
		return q.Queue.Push(ctx)
	}
	begun := time.Now()
	var duplicates map[string]int
	var err error
	if e, ok := q.Queue.(storage.Enqueuer); ok {
		duplicates, err = e.Enqueue(ctx, jobs...)
	} else {
		err = q.Queue.Push(ctx, jobs...)
	}
	took := q.metrics.enqueue
	if len(jobs) > 1 {
		took = q.metrics.batch
	}
	took.WithLabelValues(q.backend, jobs[0].Queue).Observe(time.Since(begun).Seconds())
	if err != nil {
		return err
	}
	for start := 0; start < len(jobs); {
		end := start + 1
		for end < len(jobs) && jobs[end].Queue == jobs[start].Queue {
			end++
		}
		name := jobs[start].Queue
		known := min(duplicates[name], end-start)
		if known > 0 {
			duplicates[name] -= known
			q.metrics.enqueued.WithLabelValues(q.backend, name, "duplicate").Add(float64(known))
		}
		if fresh := end - start - known; fresh > 0 {
			q.metrics.enqueued.WithLabelValues(q.backend, name, "enqueued").Add(float64(fresh))
		}
		start = end
	}
	return nil
}

// Work runs jobs, and counts what becomes of them.
func (q *queue) Work(name string, concurrency int, handle func(context.Context, storage.Job) error) (stop func(context.Context) error, err error) {
	w := &worker{
		handle: handle, metrics: q.metrics, backend: q.backend, queue: name,
		claimed: q.metrics.claimed.WithLabelValues(q.backend, name), took: q.metrics.processing.WithLabelValues(q.backend, name),
	}
	end, err := q.Queue.Work(name, concurrency, w.run)
	if err != nil {
		return nil, err
	}
	unwatch := q.metrics.watch(q, name)
	return func(ctx context.Context) error {
		w.stopping.Store(true)
		unwatch()
		return end(ctx)
	}, nil
}

// worker is one that was begun with Work.
type worker struct {
	handle         func(context.Context, storage.Job) error
	metrics        *Queues
	backend, queue string
	claimed        *meter.Counter
	took           *meter.Histogram
	stopping       atomic.Bool
}

func (w *worker) run(ctx context.Context, job storage.Job) (err error) {
	w.claimed.Inc()
	begun := time.Now()
	outcome := "panic-or-lease-lost"
	defer func() { // also when it panics, which is the driver's to recover from
		w.took.Observe(time.Since(begun).Seconds())
		w.metrics.settled.WithLabelValues(w.backend, w.queue, outcome).Inc()
	}()
	err = w.handle(ctx, job)
	switch {
	case ctx.Err() != nil && !w.stopping.Load():
		// The driver has ended the run, and gives the job to somebody else.
	case err == nil:
		outcome = "completed"
	case storage.OutcomeOf(err, job.Attempt, job.MaxAttempts, 0).Dead && (ctx.Err() == nil || storage.IsFinal(err)):
		outcome = "dead-letter"
	default:
		outcome = "retry"
	}
	return err
}

// deadLetters counts what is put back.
type deadLetters struct {
	inner storage.DeadLetters
	queue *queue
}

// DeadLetters lists failed jobs.
func (d *deadLetters) DeadLetters(ctx context.Context, name string, limit int) ([]storage.DeadLetter, error) {
	return d.inner.DeadLetters(ctx, name, limit)
}

// Purge removes failed jobs.
func (d *deadLetters) Purge(ctx context.Context, name string) (int, error) {
	return d.inner.Purge(ctx, name)
}

// Replay puts a failed job back, and counts it.
func (d *deadLetters) Replay(ctx context.Context, name, id string) error {
	err := d.inner.Replay(ctx, name, id)
	if err == nil {
		d.queue.metrics.replayed.WithLabelValues(d.queue.backend, name).Inc()
	}
	return err
}
