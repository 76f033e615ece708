package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxPush is the size of the payloads of one Push, in bytes: the server does nothing
	// else while it takes them.
	maxPush = 64 << 20
	// closeTimeout bounds how long Close waits for jobs that run.
	closeTimeout = 2 * time.Second
)

// Queue keeps jobs in Redis, where several processes push and run them. It owns a
// goroutine for leases, one for its timers, one that listens for new jobs, and one
// for each job that runs. mu is never held while the server is asked.
type Queue struct {
	client *Client
	log    *zap.Logger
	base   string // of all keys
	name   string // of this process, in tokens
	tokens atomic.Uint64

	mu        sync.Mutex
	options   QueueOptions
	lanes     map[string]*lane
	running   map[*claimedJob]struct{} // whose leases are renewed
	handing   bool                     // a Handover refuses new jobs and workers
	successor storage.Queue            // of a Handover
	closed    bool

	background context.Context //nolint:containedctx // it is the queue's life
	stop       context.CancelFunc
	unfollow   func()
	loop       sync.WaitGroup // what runs until Close
	runs       sync.WaitGroup // jobs that run
	// leaving are the steps under way that may leave a job here because they began before
	// there was a successor: pushes, claims and ends of runs. Add is called with mu.
	leaving sync.WaitGroup
}

// OpenQueue connects to a server and tries all that a queue does. The logger may be
// nil.
func OpenQueue(ctx context.Context, o Options, options QueueOptions, log *zap.Logger) (*Queue, error) {
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	q := &Queue{
		client: client, log: client.log, options: options, name: rand.Text(), base: options.Prefix + "{" + options.Hub + "}:",
		lanes: map[string]*lane{}, running: map[*claimedJob]struct{}{}, unfollow: func() {},
	}
	q.background, q.stop = context.WithCancel(context.Background())
	if err := q.forget(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("trying the queue: %w", err), q.Close())
	}
	client.warnOfLoss(ctx, "jobs")
	q.unfollow = client.follow(q.readyAll, func(_, queue string) { q.ready(queue) }, q.channel())
	q.loop.Go(func() { q.keepLeases(q.background) })
	q.loop.Go(func() { q.look(q.background) })
	return q, nil
}

// SetOptions changes the bounds and the tuning, but not the keys. Jobs above a new
// bound stay.
func (q *Queue) SetOptions(options QueueOptions) {
	q.mu.Lock()
	defer q.mu.Unlock()
	options.Prefix, options.Hub = q.options.Prefix, q.options.Hub
	q.options = options.withDefaults()
}

func (q *Queue) optionsNow() QueueOptions {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.options
}

// MaxSize is the size above which a payload is refused, in bytes.
func (q *Queue) MaxSize() int64 { return min(q.optionsNow().MaxBytes, maxPush) }

// channel is where the name of a queue is published that has new jobs.
func (q *Queue) channel() string { return q.base + "ready" }

// keys are those of the hub and of the named queues, as the scripts want them.
func (q *Queue) keys(queues ...string) []string {
	keys := make([]string, 0, queueKeys+laneKeys*len(queues))
	for _, word := range []string{"seq", "jobs", "payloads", "ids", "forget", "counts", "bytes"} {
		keys = append(keys, q.base+word)
	}
	for _, queue := range queues {
		for _, word := range []string{"wait:", "active:", "dead:", "age:"} {
			keys = append(keys, q.base+word+queue)
		}
	}
	return keys
}

// token is one that no run had before.
func (q *Queue) token() string { return fmt.Sprint(q.name, "-", q.tokens.Add(1)) }

// run runs a script that is about the named queues.
func (q *Queue) run(ctx context.Context, s *script, queues []string, args ...any) (reply any, err error) {
	err = q.client.within(ctx, q.optionsNow().Timeout, func(ctx context.Context) error {
		reply, err = q.client.run(ctx, s, q.keys(queues...), args...)
		return err
	})
	return reply, err
}

// usable refuses what comes after Close.
func (q *Queue) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return q.client.fail(ctx, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("queue: %w", storage.ErrClosed)
	}
	return nil
}

// Stats counts the jobs of the named queue.
func (q *Queue) Stats(ctx context.Context, queue string) (storage.QueueStats, error) {
	if err := q.usable(ctx); err != nil {
		return storage.QueueStats{}, err
	}
	reply, err := q.run(ctx, countJobs, []string{queue}, queue)
	if err != nil {
		return storage.QueueStats{}, err
	}
	n, err := integers(reply, 5)
	if err != nil {
		return storage.QueueStats{}, q.client.fail(ctx, err)
	}
	return storage.QueueStats{Ready: int(n[0]), Delayed: int(n[1] - n[0]), Active: int(n[2]), Dead: int(n[3]), Bytes: n[4]}, nil
}

// Oldest is when the oldest job was pushed that is neither done nor dead.
func (q *Queue) Oldest(ctx context.Context, queue string) (oldest time.Time, err error) {
	if err := q.usable(ctx); err != nil {
		return oldest, err
	}
	err = q.client.within(ctx, q.optionsNow().Timeout, func(ctx context.Context) error {
		first, err := q.client.ZRangeWithScores(ctx, q.base+"age:"+queue, 0, 0).Result()
		if err == nil && len(first) > 0 {
			oldest = time.UnixMilli(int64(first[0].Score))
		}
		return err
	})
	return oldest, err
}

// Check asks the server, of a cluster every master.
func (q *Queue) Check(ctx context.Context) error { return q.client.check(ctx, q.base+"seq") }

// Close ends the contexts of running jobs and waits a moment for them; those that do
// not end in time run again when their lease is over. What waits, waits on.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	for _, l := range q.lanes {
		for _, w := range l.workers {
			w.cancel()
		}
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	q.mu.Unlock()
	if closed {
		return nil
	}
	q.unfollow()
	patience, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if wait.Done(patience, &q.runs) != nil {
		q.log.Warn("jobs run on while their queue closes; they run again elsewhere when their lease is over")
	}
	q.stop()
	q.loop.Wait()
	return q.client.Close()
}

var (
	_ storage.Queue       = (*Queue)(nil)
	_ storage.Enqueuer    = (*Queue)(nil)
	_ storage.Aging       = (*Queue)(nil)
	_ storage.DeadLetters = (*Queue)(nil)
	_ storage.Handover    = (*Queue)(nil)
	_ storage.Adopter     = (*Queue)(nil)
	_ storage.Checker     = (*Queue)(nil)
)
