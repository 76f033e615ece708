package memory

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// QueueOptions bounds and tunes a Queue.
type QueueOptions struct {
	// MaxJobs is the number of jobs of all queues and in all states, failed ones
	// included. Zero means 100000.
	MaxJobs int
	// MaxBytes is the size of their payloads, in bytes. Zero means 64 MiB.
	MaxBytes int64
	// MaxAttempts bounds the runs of a job that names no bound. Zero means 5.
	MaxAttempts int
	// RetryBase is the delay before the second run. It doubles with each further
	// one. Zero means one second.
	RetryBase time.Duration
	// RetryMax bounds the delay, before jitter. Zero means one minute.
	RetryMax time.Duration
	// RetryJitter is the share by which a delay may be shorter or longer, up to 1.
	// Zero means 0.2, a negative value means none.
	RetryJitter float64
	// DeduplicationTTL is how long the id of a job is known after the job was
	// pushed. While a job waits or runs, its id is always known. Zero means five
	// minutes, a negative value means no longer than that. Of finished jobs at most
	// MaxJobs ids are known.
	DeduplicationTTL time.Duration
	// MaxDeadLetters is how many failed jobs each queue keeps; above it the oldest is
	// dropped. Zero means 10000, a negative value means none.
	MaxDeadLetters int
}

func (o QueueOptions) withDefaults() QueueOptions {
	defaultTo(&o.MaxJobs, 100000)
	defaultTo(&o.MaxBytes, 64<<20)
	defaultTo(&o.MaxAttempts, 5)
	defaultTo(&o.RetryBase, time.Second)
	defaultTo(&o.RetryMax, time.Minute)
	if o.RetryJitter == 0 {
		o.RetryJitter = 0.2
	}
	o.RetryJitter = min(max(o.RetryJitter, 0), 1)
	if o.DeduplicationTTL == 0 {
		o.DeduplicationTTL = 5 * time.Minute
	}
	if o.MaxDeadLetters == 0 {
		o.MaxDeadLetters = 10000
	}
	return o
}

func defaultTo[T int | int64 | time.Duration](option *T, value T) {
	if *option <= 0 {
		*option = value
	}
}

// Queue keeps jobs in memory and runs them in the order in which they became
// ready. A goroutine exists per running job, none per waiting one, and all delays
// share one timer.
//
// What it holds is lost when the process ends; Handover moves it to another queue.
type Queue struct {
	mu      sync.Mutex
	options QueueOptions
	lanes   map[string]*lane
	seq     uint64
	jobs    int
	bytes   int64

	delayed deadlines[*queuedJob]
	timer   *time.Timer
	armed   time.Time // what timer waits for, zero for nothing

	// finished are the ids of jobs that are gone and still known.
	finished deadlines[*ticket]

	draining  bool
	closed    bool
	successor storage.Queue
	// changed is closed at the next change, if a Drain waits for one.
	changed chan struct{}
}

// lane is one named queue.
type lane struct {
	name    string
	ready   fifo
	delayed int
	active  int
	dead    []*letter
	bytes   int64
	ids     map[string]*ticket
	living  map[*queuedJob]struct{} // that wait or run
	workers []*worker
}

// queuedJob is a job in one of the states. While it is active, only its runner
// changes it.
type queuedJob struct {
	storage.Job
	deadline
	lane   *lane
	pushed time.Time
}

// NewQueue makes an empty queue.
func NewQueue(options QueueOptions) *Queue {
	return &Queue{options: options.withDefaults(), lanes: map[string]*lane{}}
}

// SetOptions changes the bounds and the tuning. Jobs above a new bound stay.
func (q *Queue) SetOptions(options QueueOptions) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.options = options.withDefaults()
}

// MaxSize is the size above which a payload is refused, in bytes.
func (q *Queue) MaxSize() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.options.MaxBytes
}

// Push accepts all jobs or none. It never waits for room.
func (q *Queue) Push(ctx context.Context, jobs ...storage.Job) error {
	_, err := q.Enqueue(ctx, jobs...)
	return err
}

// Enqueue is Push, and tells which jobs were known.
func (q *Queue) Enqueue(ctx context.Context, jobs ...storage.Job) (duplicates map[string]int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return q.accept(storage.NewJobs(jobs), nil)
}

// accept takes jobs that have made Attempt runs elsewhere, and failed ones.
func (q *Queue) accept(jobs []storage.Job, letters []storage.DeadLetter) (duplicates map[string]int, err error) {
	if _, err := storage.CheckJobs(jobs, letters); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining || q.closed {
		return nil, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	now := time.Now()
	q.forgetLocked(now)
	fresh, err := q.freshLocked(jobs, now)
	if err != nil {
		return nil, err
	}
	var size int64
	for i := range fresh {
		size += int64(len(fresh[i].Payload))
	}
	for i := range letters {
		size += int64(len(letters[i].Payload))
	}
	if n := len(fresh) + len(letters); q.jobs+n > q.options.MaxJobs || q.bytes+size > q.options.MaxBytes {
		return nil, fmt.Errorf("queue of %d jobs and %d bytes takes no further %d jobs of %d bytes: %w", q.jobs, q.bytes, n, size, storage.ErrFull)
	}
	for _, job := range fresh {
		q.addLocked(job, now)
	}
	for _, l := range letters {
		j := q.holdLocked(l.Job, now)
		q.buryLocked(j, l.Reason, l.FailedAt)
	}
	q.armLocked(now)
	return storage.Duplicates(jobs, fresh), nil
}

// holdLocked counts a new job and makes its record, in no state yet.
func (q *Queue) holdLocked(job storage.Job, now time.Time) *queuedJob {
	l := q.laneLocked(job.Queue)
	q.seq++
	job.Payload = bytes.Clone(job.Payload)
	if job.MaxAttempts == 0 {
		job.MaxAttempts = q.options.MaxAttempts
	}
	j := &queuedJob{Job: job, deadline: deadline{seq: q.seq}, lane: l, pushed: now}
	q.jobs++
	q.bytes += int64(len(job.Payload))
	l.bytes += int64(len(job.Payload))
	return j
}

// addLocked puts a new job in line.
func (q *Queue) addLocked(job storage.Job, now time.Time) {
	j := q.holdLocked(job, now)
	if j.ID != "" {
		j.lane.ids[j.ID] = &ticket{lane: j.lane, id: j.ID, job: j}
	}
	q.enqueueLocked(j, job.Delay, now)
}

// enqueueLocked makes a job ready, at once or after a delay.
func (q *Queue) enqueueLocked(j *queuedJob, delay time.Duration, now time.Time) {
	j.lane.living[j] = struct{}{}
	if delay > 0 {
		j.at = now.Add(delay)
		q.delayed.add(j)
		j.lane.delayed++
		return
	}
	j.lane.ready.push(j)
	q.dispatchLocked(j.lane)
}

// dropLocked stops counting a job that is in no state any more.
func (q *Queue) dropLocked(j *queuedJob) {
	q.jobs--
	delete(j.lane.living, j)
	q.bytes -= int64(len(j.Payload))
	j.lane.bytes -= int64(len(j.Payload))
}

func (q *Queue) laneLocked(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = &lane{name: name, ids: map[string]*ticket{}, living: map[*queuedJob]struct{}{}}
		q.lanes[name] = l
	}
	return l
}

// armLocked sets the timer to the soonest delayed job, or stops it.
func (q *Queue) armLocked(now time.Time) {
	if q.delayed.Len() == 0 {
		if q.timer != nil {
			q.timer.Stop()
		}
		q.armed = time.Time{}
		return
	}
	at := q.delayed.first().at
	if at.Equal(q.armed) {
		return
	}
	q.armed = at
	if q.timer == nil {
		q.timer = time.AfterFunc(at.Sub(now), q.wake)
		return
	}
	q.timer.Reset(at.Sub(now))
}

// wake makes the delayed jobs ready whose time has come.
func (q *Queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for {
		j, ok := q.delayed.takePast(now)
		if !ok {
			break
		}
		j.lane.delayed--
		j.lane.ready.push(j)
		q.dispatchLocked(j.lane)
	}
	q.armed = time.Time{}
	q.armLocked(now)
}

// Stats counts the jobs of the named queue.
func (q *Queue) Stats(ctx context.Context, queue string) (storage.QueueStats, error) {
	if err := ctx.Err(); err != nil {
		return storage.QueueStats{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return storage.QueueStats{}, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	l := q.lanes[queue]
	if l == nil {
		return storage.QueueStats{}, nil
	}
	return storage.QueueStats{
		Ready:   l.ready.len(),
		Delayed: l.delayed,
		Active:  l.active,
		Dead:    len(l.dead),
		Bytes:   l.bytes,
	}, nil
}

// Oldest is when the oldest job was pushed that is neither done nor dead.
func (q *Queue) Oldest(ctx context.Context, queue string) (oldest time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return oldest, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return oldest, fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	if l := q.lanes[queue]; l != nil {
		for j := range l.living {
			if oldest.IsZero() || j.pushed.Before(oldest) {
				oldest = j.pushed
			}
		}
	}
	return oldest, nil
}

// Close drops all jobs and ends the contexts of the running ones. It does not
// wait for them; a worker's stop does.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	for _, l := range q.lanes {
		for _, w := range l.workers {
			w.cancel()
		}
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.delayed.items, q.finished.items = nil, nil
	q.jobs, q.bytes = 0, 0
	q.lanes = map[string]*lane{}
	q.notifyLocked()
	return nil
}
