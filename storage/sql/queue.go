package sql

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	stdsql "database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// QueueOptions bounds and tunes a Queue.
type QueueOptions struct {
	// Scope keeps the queues of several users of one file apart, by the beginning of
	// their stored names.
	Scope string
	// MaxJobs is the number of jobs of all queues and in all states, other scopes
	// included. Zero means 1000000.
	MaxJobs int
	// MaxBytes is the size of their payloads, in bytes. Zero means 1 GiB.
	MaxBytes int64
	// MaxAttempts bounds the runs of a job that names no bound. Zero means 5.
	MaxAttempts int
	// Retry is the delay between two runs. Zero fields mean 1s, 60s and 0.2; a
	// negative jitter means none.
	Retry storage.Retry
	// DeduplicationTTL is how long the id of a job is known after it was pushed; a
	// job that waits or runs is always known. Zero means five minutes, a negative
	// value means no longer than that.
	DeduplicationTTL time.Duration
	// MaxDeadLetters is how many failed jobs each queue keeps; above it the oldest is
	// dropped. Zero means 10000, a negative value means none.
	MaxDeadLetters int
	// Lease is how long a job belongs to the process that runs it, unless that renews
	// the lease or is known to have ended. Zero means 30s.
	Lease time.Duration
	// Renew is the time between renewals. Zero means a third of the lease.
	Renew time.Duration
}

func (o QueueOptions) withDefaults() QueueOptions {
	o.MaxJobs, o.MaxBytes = cmp.Or(o.MaxJobs, 1000000), cmp.Or(o.MaxBytes, 1<<30)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 5)
	o.Retry.Base, o.Retry.Max = cmp.Or(o.Retry.Base, time.Second), cmp.Or(o.Retry.Max, time.Minute)
	o.Retry.Jitter = min(max(cmp.Or(o.Retry.Jitter, 0.2), 0), 1)
	o.DeduplicationTTL = max(cmp.Or(o.DeduplicationTTL, 5*time.Minute), 0)
	o.MaxDeadLetters = max(cmp.Or(o.MaxDeadLetters, 10000), 0)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.Renew = cmp.Or(o.Renew, o.Lease/3)
	return o
}

// Queue keeps jobs in an SQLite file. What Push has accepted is on disk: it
// outlives the process, however that ends, and runs at least once.
//
// Lock order: mu is taken alone; the writer is never waited for with it.
type Queue struct {
	db     *stdsql.DB
	writer *writer
	place  string
	scope  string
	owner  *owner
	log    *zap.Logger

	mu      sync.Mutex
	options QueueOptions
	lanes   map[string]*lane
	running map[int64]struct{} // by seq, whose leases are renewed
	jobs    int                // in all states, as of the last commit
	bytes   int64              // of their payloads
	closed  bool
	// successor is that of a Handover, which refuses new jobs and workers.
	successor storage.Queue

	stop context.CancelFunc
	loop sync.WaitGroup // what runs until Close
	runs sync.WaitGroup // jobs that run
	// leaving are the steps under way that may leave a job here because they began before
	// there was a successor: pushes, claims and ends of runs. Add is called with mu.
	leaving sync.WaitGroup
}

// OpenQueue opens the queue in an SQLite file, which is made if there is none. The
// logger may be nil.
func OpenQueue(ctx context.Context, path string, options QueueOptions, log *zap.Logger) (*Queue, error) {
	o := Options{Dialect: SQLite, Path: path}.withDefaults()
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = zap.NewNop()
	}
	q := &Queue{db: db, place: o.place(), scope: options.Scope, log: log, options: options.withDefaults(), lanes: map[string]*lane{}, running: map[int64]struct{}{}}
	if err := upgrade(ctx, db, "queue"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", q.place, err), db.Close())
	}
	if q.owner, err = newOwner(path, rand.Text()[:12]); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", q.place, err), db.Close())
	}
	q.writer = startWriter(db, q.place, commitTimeout)
	background, stop := context.WithCancel(context.Background())
	q.stop = stop
	if err := errors.Join(q.recount(ctx), q.reclaim(ctx)); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	q.loop.Go(func() { q.keepLeases(background) })
	q.loop.Go(func() { q.look(background) })
	return q, nil
}

// SetOptions changes the bounds and the tuning. Jobs above a new bound stay.
func (q *Queue) SetOptions(options QueueOptions) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.options = options.withDefaults()
}

func (q *Queue) optionsNow() QueueOptions {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.options
}

// MaxSize is the size above which a payload is refused, in bytes.
func (q *Queue) MaxSize() int64 { return min(q.optionsNow().MaxBytes, maxInbox) }

// Push accepts all jobs or none, and returns when they are on disk.
func (q *Queue) Push(ctx context.Context, jobs ...storage.Job) error {
	_, err := q.Enqueue(ctx, jobs...)
	return err
}

// Enqueue is Push, and tells which jobs were known.
func (q *Queue) Enqueue(ctx context.Context, jobs ...storage.Job) (duplicates map[string]int, err error) {
	return q.accept(ctx, storage.NewJobs(jobs), nil)
}

// accept takes jobs that have made Attempt runs elsewhere, and failed ones.
func (q *Queue) accept(ctx context.Context, jobs []storage.Job, letters []storage.DeadLetter) (duplicates map[string]int, err error) {
	size, err := storage.CheckJobs(jobs, letters)
	if err != nil {
		return nil, err
	}
	if err := q.admit(len(jobs)+len(letters), size); err != nil {
		return nil, err
	}
	defer q.leaving.Done()
	jobs, letters = slices.Clone(jobs), slices.Clone(letters)
	for i := range jobs {
		jobs[i].Queue = q.scope + jobs[i].Queue
	}
	for i := range letters {
		letters[i].Queue = q.scope + letters[i].Queue
	}
	a := &acceptance{queue: q, jobs: jobs, letters: letters, now: time.Now()}
	if err := q.writer.change(ctx, size, a.write, a.committed); err != nil {
		return nil, err // the writer may be at work with them still
	}
	for queue, n := range storage.Duplicates(a.jobs, a.taken) {
		if duplicates == nil {
			duplicates = map[string]int{}
		}
		duplicates[q.named(queue)] = n
	}
	return duplicates, nil
}

// admit checks what can be checked without the disk. What is admitted counts as leaving
// until it is on it.
func (q *Queue) admit(n int, size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || q.successor != nil:
		return fmt.Errorf("queue: %w", storage.ErrClosed)
	case size > min(q.options.MaxBytes, maxInbox) || n > q.options.MaxJobs:
		return fmt.Errorf("queue of at most %d bytes takes no %d jobs of %d bytes: %w", q.options.MaxBytes, n, size, storage.ErrFull)
	}
	q.leaving.Add(1)
	return nil
}

// acceptance is one Push on its way to the disk.
type acceptance struct {
	queue   *Queue
	jobs    []storage.Job
	letters []storage.DeadLetter
	now     time.Time

	taken []storage.Job // those that were not known
	added int
	bytes int64
}

func (a *acceptance) write(tx *transaction) error {
	a.added, a.bytes = 0, 0
	fresh, err := a.fresh(tx)
	if err != nil {
		return err
	}
	o := a.queue.optionsNow()
	for _, job := range fresh {
		a.bytes += int64(len(job.Payload))
	}
	for i := range a.letters {
		a.bytes += int64(len(a.letters[i].Payload))
	}
	a.taken, a.added = fresh, len(fresh)+len(a.letters)
	jobs, bytes := a.queue.size()
	jobs, bytes = jobs+tx.jobs, bytes+tx.bytes
	if jobs+a.added > o.MaxJobs || bytes+a.bytes > o.MaxBytes {
		return refused{fmt.Errorf("queue of %d jobs and %d bytes takes no further %d jobs of %d bytes: %w", jobs, bytes, a.added, a.bytes, storage.ErrFull)}
	}
	tx.jobs, tx.bytes = tx.jobs+a.added, tx.bytes+a.bytes
	for _, job := range fresh {
		if err := insertJob(tx, job, o, a.now); err != nil {
			return err
		}
	}
	for _, l := range a.letters {
		if err := insertLetter(tx, l, a.now); err != nil {
			return err
		}
	}
	return nil
}

// fresh leaves out the jobs that are known already. A known id with another
// payload is ErrConflict, also within the jobs of one Push.
func (a *acceptance) fresh(tx *transaction) ([]storage.Job, error) {
	type name struct{ queue, id string }
	seen := map[name][sha256.Size]byte{}
	fresh := make([]storage.Job, 0, len(a.jobs))
	for _, job := range a.jobs {
		if job.ID == "" {
			fresh = append(fresh, job)
			continue
		}
		sum := sha256.Sum256(job.Payload)
		known, twice := seen[name{job.Queue, job.ID}]
		if !twice {
			var stored []byte
			found, err := tx.one([]any{&stored}, "SELECT sum FROM queue_ids WHERE queue = ? AND id = ? AND (job <> 0 OR expires > ?)", job.Queue, job.ID, a.now.UnixMilli())
			if err != nil {
				return nil, err
			}
			if twice = found; found {
				copy(known[:], stored)
			}
		}
		switch {
		case twice && known != sum:
			return nil, refused{fmt.Errorf("job %q of queue %q has another payload: %w", job.ID, a.queue.named(job.Queue), storage.ErrConflict)}
		case twice:
			continue
		}
		seen[name{job.Queue, job.ID}] = sum
		fresh = append(fresh, job)
	}
	return fresh, nil
}

// committed counts what is on disk and wakes the workers.
func (a *acceptance) committed() {
	a.queue.grow(a.added, a.bytes)
	for _, job := range a.jobs {
		if job.Delay <= 0 {
			a.queue.ready(job.Queue)
		} else {
			a.queue.readyAt(job.Queue, a.now.Add(job.Delay))
		}
	}
}

func insertJob(tx *transaction, job storage.Job, o QueueOptions, now time.Time) error {
	due := now.Add(max(job.Delay, 0))
	if job.Delay > 0 {
		due = due.Add(time.Millisecond - 1) // a delay is never shorter
	}
	var seq int64
	_, err := tx.one([]any{&seq}, `INSERT INTO queue_jobs (queue, id, payload, state, due, attempt, max_attempts, pushed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
		job.Queue, job.ID, blob(job.Payload), stateWaiting, due.UnixMilli(), job.Attempt, cmp.Or(job.MaxAttempts, o.MaxAttempts), now.UnixMilli())
	if err != nil || job.ID == "" {
		return err
	}
	sum := sha256.Sum256(job.Payload)
	_, err = tx.exec("INSERT OR REPLACE INTO queue_ids (queue, id, sum, job, expires) VALUES (?, ?, ?, ?, 0)", job.Queue, job.ID, sum[:], seq)
	return err
}

// blob is a payload that is not null, which an empty one would be.
func blob(payload []byte) []byte {
	if payload == nil {
		return []byte{}
	}
	return payload
}

// named is a stored name as its user knows it.
func (q *Queue) named(stored string) string { return strings.TrimPrefix(stored, q.scope) }

func (q *Queue) size() (jobs int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs, q.bytes
}

func (q *Queue) grow(jobs int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs += jobs
	q.bytes += bytes
}

// recount counts what the file holds: other processes change it too.
func (q *Queue) recount(ctx context.Context) error {
	var jobs int
	var bytes int64
	// In the writer's goroutine, so that nothing is counted twice or missed.
	return q.writer.change(ctx, 0, func(tx *transaction) error {
		_, err := tx.one([]any{&jobs, &bytes}, "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM queue_jobs")
		if err == nil {
			q.mu.Lock()
			q.jobs, q.bytes = jobs, bytes
			q.mu.Unlock()
		}
		return err
	}, nil)
}

// Stats counts the jobs of the named queue.
func (q *Queue) Stats(ctx context.Context, queue string) (s storage.QueueStats, err error) {
	if err := q.usable(ctx); err != nil {
		return s, err
	}
	now := time.Now().UnixMilli()
	rows, err := q.db.QueryContext(ctx, "SELECT state, due > ?, COUNT(*), SUM(LENGTH(payload)) FROM queue_jobs WHERE queue = ? GROUP BY 1, 2", now, q.scope+queue)
	err = eachRow(rows, err, func(scan func(...any) error) error {
		var state, n int
		var later bool
		var bytes int64
		if err := scan(&state, &later, &n, &bytes); err != nil {
			return err
		}
		s.Bytes += bytes
		switch {
		case state == stateActive:
			s.Active += n
		case state == stateDead:
			s.Dead += n
		case later:
			s.Delayed += n
		default:
			s.Ready += n
		}
		return nil
	})
	return s, q.fail(ctx, err)
}

// Oldest is when the oldest job was pushed that is neither done nor dead.
func (q *Queue) Oldest(ctx context.Context, queue string) (oldest time.Time, err error) {
	if err := q.usable(ctx); err != nil {
		return oldest, err
	}
	var pushed *int64
	err = q.db.QueryRowContext(ctx, "SELECT MIN(pushed) FROM queue_jobs WHERE queue = ? AND state IN (0, 1)", q.scope+queue).Scan(&pushed)
	if err == nil && pushed != nil {
		oldest = time.UnixMilli(*pushed)
	}
	return oldest, q.fail(ctx, err)
}

func (q *Queue) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	return nil
}

func (q *Queue) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case q.usable(ctx) != nil:
		return fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	return fmt.Errorf("%s: %w", q.place, err)
}

// Check asks the file.
func (q *Queue) Check(ctx context.Context) error {
	if err := q.usable(ctx); err != nil {
		return err
	}
	var n int
	return q.fail(ctx, q.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sockudo_schema").Scan(&n))
}

// Close ends the contexts of running jobs and lets go of the file. Jobs stay in
// it. It waits for a moment only for running jobs; a worker's stop does for
// longer. Those that have not ended by then run again.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	for _, l := range q.lanes {
		for _, w := range l.workers {
			w.cancel()
		}
	}
	q.mu.Unlock()
	if closed {
		return nil
	}
	patience, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if wait.Done(patience, &q.runs) != nil {
		q.log.Warn("jobs run on while their queue closes; they run again when it is opened", zap.String("store", q.place))
	}
	q.stop()
	q.loop.Wait()
	q.writer.close()
	return errors.Join(q.db.Close(), q.owner.end())
}
