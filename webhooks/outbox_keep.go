package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// patience is how long events wait for a queue, or a store of apps, that does not
	// take or tell anything.
	patience = 10 * time.Second
	// callTimeout bounds one call of them.
	callTimeout = 5 * time.Second
	// firstPause is that after the first refusal. It doubles up to maxPause.
	firstPause, maxPause = 50 * time.Millisecond, time.Second
	// maxPush bounds the jobs of one Push, in bytes, unless a single one is larger.
	maxPush = 1 << 20
)

// keep puts requests of an app into the queue and settles their events.
func (o *outbox) keep(app string, batches [][]item) {
	d := o.delivery
	defer func() {
		if p := recover(); p != nil {
			d.settings.Log.Error("recovered from a panic", zap.String("in", "queueing webhooks"), zap.Any("panic", p), zap.Stack("stack"))
			for _, batch := range batches {
				o.settle(app, batch, false)
			}
		}
	}()
	var endpoints *roster
	err := o.insist(func(ctx context.Context) (err error) {
		endpoints, err = d.roster(ctx, app)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		endpoints, err = &roster{}, nil // nobody is left who asks for it
	}
	for len(batches) > 0 && err == nil {
		var jobs []storage.Job
		n, size := 0, 0
		for n < len(batches) && size < maxPush {
			for _, e := range endpoints.endpoints {
				if one, ok := d.jobFor(app, e, batches[n]); ok {
					jobs = append(jobs, one)
					size += len(one.Payload)
				}
			}
			n++
		}
		if err = o.push(jobs); err != nil {
			break
		}
		for _, batch := range batches[:n] {
			o.settle(app, batch, true)
		}
		batches = batches[n:]
		d.board.Metrics.queued.WithLabelValues(app).Add(float64(len(jobs)))
	}
	if err != nil {
		lost := 0
		for _, batch := range batches {
			lost += len(batch)
			o.settle(app, batch, false)
		}
		d.settings.Log.Error("webhook events could not be queued", zap.String("app", app), zap.Int("events", lost), zap.Error(err))
	}
}

// jobFor is the job of an endpoint for a batch, if it asks for any of its events.
func (d *Delivery) jobFor(app string, e *endpoint, batch []item) (storage.Job, bool) {
	j := &job{App: app, Endpoint: e.name, Target: e.target}
	for i := range batch {
		b := &batch[i]
		if !e.wants(b.set, b.channel) {
			continue
		}
		if j.Count++; j.Count == 1 {
			j.Events, j.TimeMS = append(j.Events, '['), b.timeMS
		} else {
			j.Events = append(j.Events, ',')
		}
		j.Events = append(j.Events, b.text...)
		j.TimeMS = min(j.TimeMS, b.timeMS)
	}
	if j.Count == 0 {
		return storage.Job{}, false
	}
	if d.board.isGone(app, e) {
		d.board.Metrics.dropped.WithLabelValues(app, "gone").Add(float64(j.Count))
		return storage.Job{}, false
	}
	j.Events = append(j.Events, ']')
	return storage.Job{Queue: QueueName, ID: newID(), Payload: j.encode(), MaxAttempts: unlimited}, true
}

// push puts jobs into the queue, in several steps if they are large.
func (o *outbox) push(jobs []storage.Job) error {
	for len(jobs) > 0 {
		n, size := 0, 0
		for n < len(jobs) && (n == 0 || size+len(jobs[n].Payload) <= maxPush) {
			size += len(jobs[n].Payload)
			n++
		}
		step := jobs[:n]
		if err := o.insist(func(ctx context.Context) error { return o.delivery.settings.Queue.Push(ctx, step...) }); err != nil {
			return fmt.Errorf("putting %d jobs into the queue: %w", len(jobs), err)
		}
		jobs = jobs[n:]
	}
	return nil
}

// insist calls f until it succeeds, for a while. A queue that is closed has been
// replaced, and one that finds a job too large will not change its mind.
func (o *outbox) insist(f func(context.Context) error) error {
	start, pause := time.Now(), firstPause
	for {
		ctx, cancel := context.WithTimeout(o.ended, callTimeout)
		err := f(ctx)
		cancel()
		switch {
		case err == nil, errors.Is(err, storage.ErrClosed), errors.Is(err, storage.ErrTooLarge),
			errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrNotFound), time.Since(start) > patience:
			return err
		}
		if !wait.For(o.ended, pause) {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}
