package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The queues, of which there is one for each provider to deliver.
const (
	queuePublishes  = "push.publish"
	queueDeliveries = "push.delivery."
)

const (
	// callTimeout bounds one call of the store or the queue.
	callTimeout = 10 * time.Second
	// claimTime is how long who has begun something may be silent before others do it.
	claimTime = 30 * time.Second
	// horizon is how long before its time a publish that waits gets into the queue.
	horizon = time.Minute
)

// Pipeline accepts publishes and delivers them for one configuration. It is made with
// New; publishes are accepted from then on, and delivered from Start on.
type Pipeline struct {
	board    *Board
	settings Settings
	node     string // begins the names of its runs
	gauge    *lagGauge
	active   map[Kind]bool

	mu      sync.Mutex
	stops   []func(context.Context) error
	started bool
	senders map[string]*link // that this pipeline has of the board, by provider and owner
	runs    map[string]bool  // names of those that are under way, see claim

	unwatch func()
	// depth is what the queue held when it was asked last, nil if it did not say.
	depth atomic.Pointer[depth]

	// life ends with the pipeline.
	life   context.Context //nolint:containedctx // it is the pipeline's life
	end    context.CancelFunc
	chores sync.WaitGroup
}

// New makes a Pipeline on the board of its hub.
func New(board *Board, s Settings) *Pipeline {
	p := &Pipeline{board: board, settings: s.withDefaults(), active: map[Kind]bool{}, senders: map[string]*link{}, runs: map[string]bool{}}
	p.node = newID() + "-"
	for kind := range s.Setups {
		p.active[kind] = true
	}
	p.gauge = newLagGauge(p)
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// Start begins to plan and to deliver.
func (p *Pipeline) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return nil
	}
	p.started = true
	err := p.work(queuePublishes, p.settings.Planners, p.runPlan)
	for _, kind := range Kinds {
		if p.active[kind] && err == nil {
			err = p.work(queueDeliveries+kind.Key(), p.settings.Workers, func(ctx context.Context, j storage.Job) error {
				return p.runBatch(ctx, kind, j)
			})
			p.board.Metrics.poolSize.WithLabelValues(kind.Key()).Set(float64(p.settings.Workers))
		}
	}
	if err != nil {
		return fmt.Errorf("working the queues of push notifications: %w", err)
	}
	p.unwatch = meter.Watch(p.look)
	p.board.Metrics.depth.current.Store(p)
	p.chores.Go(p.sweep)
	return nil
}

func (p *Pipeline) work(queue string, concurrency int, handle func(context.Context, storage.Job) error) error {
	stop, err := p.settings.Queue.Work(queue, concurrency, func(ctx context.Context, j storage.Job) error {
		err := handle(ctx, j)
		if err != nil && !errors.As(err, new(*storage.RetryAfterError)) && !storage.IsFinal(err) {
			// The records know what is left to do, so a job has no number of attempts.
			p.board.Metrics.requeued.WithLabelValues(stageOf(queue), "error").Inc()
			p.settings.Log.Warn("a step of a push notification is tried again", zap.String("stage", stageOf(queue)), zap.Error(err))
			err = &storage.RetryAfterError{Cause: err, Delay: time.Second, Uncounted: true}
		}
		return err
	})
	if err == nil {
		p.stops = append(p.stops, stop)
	}
	return err
}

// Stop takes no new work, and waits for what is under way. When ctx ends first, that is
// cut off, and done by whoever works the queues next.
func (p *Pipeline) Stop(ctx context.Context) error {
	p.mu.Lock()
	stops, unwatch := p.stops, p.unwatch
	p.stops, p.unwatch = nil, nil
	p.mu.Unlock()
	p.end()
	if unwatch != nil {
		unwatch()
	}
	errs := make([]error, len(stops))
	var all sync.WaitGroup
	for i, stop := range stops {
		all.Go(func() { errs[i] = stop(ctx) })
	}
	all.Wait()
	p.chores.Wait()
	p.board.Metrics.depth.current.CompareAndSwap(p, nil)
	p.mu.Lock()
	links := p.senders
	p.senders = map[string]*link{}
	p.mu.Unlock()
	p.board.giveBack(links)
	return errors.Join(errs...)
}

func (p *Pipeline) now() time.Time { return p.settings.Now() }

func (p *Pipeline) nowMS() int64 { return p.now().UnixMilli() }

// soon is the time of a context for calls of the store and the queue.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// later makes a job run again, which does not count as an attempt.
func later(why string, d time.Duration) error {
	return &storage.RetryAfterError{Cause: errors.New(why), Delay: d, Uncounted: true}
}

// enqueue puts jobs into the queue. What cannot be put there is found in the store later,
// so an error is only told.
func (p *Pipeline) enqueue(ctx context.Context, jobs ...storage.Job) {
	const most = 500
	for len(jobs) > 0 {
		n := min(len(jobs), most)
		bounded, cancel := soon(ctx)
		err := p.settings.Queue.Push(bounded, jobs[:n]...)
		cancel()
		if err != nil {
			p.board.Metrics.requeued.WithLabelValues(stageOf(jobs[0].Queue), "queue_error").Inc()
			p.settings.Log.Error("push notifications could not be queued and wait for the next look into the store",
				zap.String("stage", stageOf(jobs[0].Queue)), zap.Int("jobs", len(jobs)), zap.Error(err))
			return
		}
		jobs = jobs[n:]
	}
}

// stageOf is the label of a queue.
func stageOf(queue string) string {
	if queue == queuePublishes {
		return "publish_log"
	}
	return "delivery_jobs_" + queue[len(queueDeliveries):]
}
