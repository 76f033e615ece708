package storage

import (
	"context"
	"time"
)

// Queue runs jobs at least once, in the background. A job may run again after a
// crash or a lost lease, so handlers must be idempotent by job id.
type Queue interface {
	// Push accepts jobs. When it returns nil they will run, within what the driver
	// promises: a durable driver keeps them over a crash. A job whose id is known
	// with equal payload is accepted and not queued again; with another payload it
	// is ErrConflict. A full queue is ErrFull. Either all jobs are accepted or none.
	Push(ctx context.Context, jobs ...Job) error
	// Work runs handle for the jobs named queue, at most concurrency at once, until
	// stop is called. stop takes no new job and waits, bounded by its context, for
	// the running ones. An error of handle retries the job after a delay, which is
	// the driver's unless the error is a RetryAfterError or FinalError.
	Work(queue string, concurrency int, handle func(context.Context, Job) error) (stop func(context.Context) error, err error)
	// Stats counts the jobs of the named queue.
	Stats(ctx context.Context, queue string) (QueueStats, error)
	Close() error
}

// Job is one unit of work.
type Job struct {
	// Queue names the kind of work, such as "webhooks".
	Queue string
	// ID identifies the job for deduplication, at most 512 bytes. Empty means none.
	ID string
	// Payload is opaque to the queue.
	Payload []byte
	// Delay is the least time before the job runs.
	Delay time.Duration
	// MaxAttempts bounds the runs of the job. Zero means the driver's default.
	MaxAttempts int
	// Attempt is set for the handler: 1 on the first run.
	Attempt int
}

// QueueStats counts the jobs of one queue by state.
type QueueStats struct {
	Ready, Delayed, Active, Dead int
	// Bytes is the payload held in all states.
	Bytes int64
}

// DeadLetters is a Queue that keeps the jobs which failed for good.
type DeadLetters interface {
	// DeadLetters lists failed jobs of the named queue, oldest first, at most limit.
	DeadLetters(ctx context.Context, queue string, limit int) ([]DeadLetter, error)
	// Replay puts a failed job back into its queue with a fresh count of attempts.
	Replay(ctx context.Context, queue, id string) error
	// Purge removes all failed jobs of the named queue and reports how many.
	Purge(ctx context.Context, queue string) (int, error)
}

// DeadLetter is a job that failed for good.
type DeadLetter struct {
	Job
	// Key names the letter for Replay.
	Key      string
	Reason   string
	FailedAt time.Time
}

// Handover is a queue that can move what it holds into the queue that takes its
// place.
type Handover interface {
	// Handover moves every waiting job, with its id and the rest of its delay and of
	// its attempts, and reports how many have moved. What cannot move stays, and the
	// error says why.
	Handover(ctx context.Context, to Queue) (moved int, err error)
}

// Adopter is a queue that can take over jobs as they stand. A Handover to any
// other queue pushes them with as many attempts as are left, counted from one.
type Adopter interface {
	// Adopt accepts jobs that have already made Attempt runs, and jobs that failed
	// for good, as Push does: all or none.
	Adopt(ctx context.Context, jobs []Job, letters []DeadLetter) error
}

// HandTo gives jobs that have made Attempt runs to another queue: as they stand if
// that is an Adopter, and otherwise with as many runs as are left. It is for
// implementations of Handover.
func HandTo(ctx context.Context, to Queue, jobs []Job) error {
	if adopter, ok := to.(Adopter); ok {
		return adopter.Adopt(ctx, jobs, nil)
	}
	pushed := make([]Job, len(jobs))
	for i, job := range jobs {
		job.MaxAttempts = max(1, job.MaxAttempts-job.Attempt)
		job.Attempt = 0
		pushed[i] = job
	}
	return to.Push(ctx, pushed...)
}

// handOnTimeout bounds HandOn.
const handOnTimeout = 5 * time.Second

// HandOn gives a job that has failed after a Handover to the queue that has the others: as
// a dead letter if it has failed for good, which only an Adopter takes. It reports whether
// that has it now. It takes five seconds at most.
func HandOn(to Queue, job Job, dead bool, reason string) (taken bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), handOnTimeout)
	defer cancel()
	if !dead {
		err = HandTo(ctx, to, []Job{job})
		return err == nil, err
	}
	adopter, ok := to.(Adopter)
	if !ok {
		return false, nil
	}
	err = adopter.Adopt(ctx, nil, []DeadLetter{{Job: job, Reason: reason, FailedAt: time.Now()}})
	return err == nil, err
}
