package webhooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxRosters bounds the records whose endpoints are kept ready.
	maxRosters = 10000
	// storePause is how long a job waits whose app cannot be looked up.
	storePause = 5 * time.Second
)

// Delivery delivers webhooks for one configuration. It is made with New; Tell works
// from then on, and requests are sent from Start on.
type Delivery struct {
	board    *Board
	settings Settings
	outbox   *outbox
	http     sender
	lambda   sender
	idle     func() // lets go of connections that nobody uses

	mu      sync.Mutex
	rosters map[string]*roster // by app
	stop    func(context.Context) error
	unwatch func()
	// depth is what the queue held when it was asked last, nil if it did not say.
	depth atomic.Pointer[depth]
}

// New makes a Delivery on the board of its hub.
func New(board *Board, s Settings) *Delivery {
	d := &Delivery{board: board, settings: s.withDefaults(), rosters: map[string]*roster{}}
	d.outbox = newOutbox(d)
	client := newClient(&d.settings)
	d.http, d.idle = &poster{client}, client.CloseIdleConnections
	d.lambda = &invoker{endpoint: s.LambdaEndpoint}
	return d
}

// Tell takes events of an app in their order, without waiting for anything.
// settled, unless nil, is called once, from any goroutine and also from Tell itself:
// with true when all events are in the queue or no webhook asks for them, and with
// false when they may be lost.
func (d *Delivery) Tell(app string, events []protocol.WebhookEvent, settled func(kept bool)) {
	d.outbox.tell(app, events, settled)
}

// Start begins to send what the queue holds.
func (d *Delivery) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		return nil
	}
	stop, err := d.settings.Queue.Work(QueueName, d.settings.Concurrency, d.run)
	if err != nil {
		return fmt.Errorf("working the queue of webhooks: %w", err)
	}
	d.stop, d.unwatch = stop, meter.Watch(d.look)
	d.board.Metrics.depth.current.Store(d)
	return nil
}

// Flush refuses further events and puts those that wait into the queue.
func (d *Delivery) Flush(ctx context.Context) error { return d.outbox.close(ctx) }

// Stop puts the events that wait into the queue, refuses others, and waits for the
// requests under way. When ctx ends first, those are cut off, and sent again by
// whoever works the queue next.
func (d *Delivery) Stop(ctx context.Context) error {
	err := d.outbox.close(ctx)
	d.mu.Lock()
	stop, unwatch := d.stop, d.unwatch
	d.stop = nil
	d.mu.Unlock()
	if stop != nil {
		unwatch()
		err = errors.Join(err, stop(ctx))
	}
	d.board.Metrics.depth.current.CompareAndSwap(d, nil)
	d.idle()
	return err
}

// roster are the endpoints of an app as its record has them now.
func (d *Delivery) roster(ctx context.Context, id string) (*roster, error) {
	app, err := d.settings.Apps.AppByID(ctx, id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rosters[id]
	if r == nil || r.app != app {
		if len(d.rosters) >= maxRosters {
			clear(d.rosters)
		}
		r = &roster{app, endpointsOf(app)}
		d.rosters[id] = r
		for i, e := range r.endpoints {
			if e.broken != nil {
				d.settings.Log.Error("a webhook of an app cannot be used", zap.String("app", id), zap.Int("webhook", i+1), zap.Error(e.broken))
			}
		}
	}
	return r, nil
}

// run does one job.
func (d *Delivery) run(ctx context.Context, queued storage.Job) error {
	j, err := decodeJob(queued.Payload)
	if err != nil {
		d.settings.Log.Error("a job of the webhook queue makes no sense", zap.String("job", queued.ID))
		return &storage.FinalError{Cause: err}
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	r, err := d.roster(bounded, j.App)
	cancel()
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return d.drop(queued.ID, j, "no_app", "a webhook request is dropped, because its app is gone")
	case err != nil:
		d.settings.Log.Warn("the app of a webhook request cannot be looked up", zap.String("app", j.App), zap.String("job", queued.ID), zap.Error(err))
		return &storage.RetryAfterError{Cause: errors.New("the app cannot be looked up"), Delay: storePause, Uncounted: true}
	}
	e := r.find(j.Endpoint, j.Target)
	switch {
	case e == nil:
		return d.drop(queued.ID, j, "no_endpoint", "a webhook request is dropped, because the app has no such webhook any more")
	case e.broken != nil:
		return d.bury(queued, j, e, e.broken.Error())
	}
	return d.attempt(ctx, queued, j, r.app, e)
}

// drop ends a job for which there is nobody.
func (d *Delivery) drop(id string, j *job, reason, text string) error {
	d.board.ended(id)
	d.board.Metrics.dropped.WithLabelValues(j.App, reason).Add(float64(j.Count))
	d.settings.Log.Warn(text, zap.String("app", j.App), zap.String("endpoint", j.Endpoint), zap.String("job", id), zap.Int("events", j.Count))
	return nil
}

// bury ends a job for good, as a dead letter.
func (d *Delivery) bury(queued storage.Job, j *job, e *endpoint, reason string) error {
	d.board.ended(queued.ID)
	d.board.buried(j.App, e)
	d.board.Metrics.dead.WithLabelValues(j.App).Inc()
	d.settings.Log.Error("a webhook request has failed for good and is a dead letter now", zap.String("app", j.App),
		zap.String("endpoint", e.name), zap.String("job", queued.ID), zap.Int("attempts", queued.Attempt), zap.String("reason", reason))
	return &storage.FinalError{Cause: errors.New(reason)}
}
