package webhooks

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// attempt sends a job to its endpoint, if that has room.
func (d *Delivery) attempt(ctx context.Context, queued storage.Job, j *job, app *storage.App, e *endpoint) error {
	a := d.board.admit(j.App, e, d.settings.EndpointConcurrency)
	switch {
	case a.gone:
		return d.bury(queued, j, e, "the endpoint is off, because it has answered 410")
	case !a.granted:
		return d.postpone(queued, j, e, a)
	}
	m := &message{app: app, to: e, id: queued.ID, body: j.body(), timeout: d.settings.Timeout}
	if e.Timeout > 0 {
		m.timeout = e.Timeout
	}
	by, retry := d.http, d.settings.retry(e.Retry)
	if e.URL == "" {
		by, retry.Off = d.lambda, true
	}
	r := d.call(ctx, by, m, j.App)
	switch r.verdict {
	case failed, refused:
	case delivered:
		d.board.ended(queued.ID)
		d.board.Metrics.deliveries.WithLabelValues(j.App).Inc()
		return nil
	case aborted:
		return &storage.RetryAfterError{Cause: errors.New(r.reason), Uncounted: true}
	}
	d.board.Metrics.failed.WithLabelValues(j.App, r.class).Inc()
	d.settings.Log.Debug("a webhook request has failed", zap.String("app", j.App), zap.String("endpoint", e.name),
		zap.String("job", queued.ID), zap.Int("attempt", queued.Attempt), zap.String("reason", r.reason))
	if r.gone {
		d.settings.Log.Warn("a webhook endpoint has answered 410 and gets nothing any more, until its definition is changed or this process is restarted",
			zap.String("app", j.App), zap.String("endpoint", e.name))
	}
	if r.verdict == refused {
		return d.bury(queued, j, e, r.reason)
	}
	return d.again(queued, j, e, r, retry)
}

// call sends a message and keeps the board up to date, whatever happens.
func (d *Delivery) call(ctx context.Context, by sender, m *message, app string) (r result) {
	start := time.Now()
	r = result{verdict: failed, reason: "the program has failed while it sent it", class: "panic"}
	d.board.Metrics.inFlight.Inc()
	defer func() {
		took := time.Since(start)
		d.board.Metrics.inFlight.Dec()
		d.board.Metrics.latency.WithLabelValues(app).Observe(took.Seconds())
		d.board.settle(app, m.to, r, took)
		if p := recover(); p != nil {
			d.settings.Log.Error("recovered from a panic", zap.String("in", "sending a webhook"), zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	return by.send(ctx, m)
}

// again decides when a job runs again that has failed, or whether at all.
func (d *Delivery) again(queued storage.Job, j *job, e *endpoint, r result, retry storage.WebhookRetry) error {
	first := d.board.began(queued.ID, queued.Attempt, retry)
	left := retry.MaxElapsed - d.board.now().Sub(first)
	pause := backoff(queued.ID, queued.Attempt, retry)
	if retry.Off || queued.Attempt >= retry.MaxAttempts || pause > left {
		return d.bury(queued, j, e, r.reason)
	}
	// What the receiver asks for counts within the time that there is.
	pause = max(pause, min(r.after, left))
	d.board.Metrics.retried.WithLabelValues(j.App).Inc()
	return &storage.RetryAfterError{Cause: errors.New(r.reason), Delay: pause}
}

// postpone lets a job wait that its endpoint has no room for. Waiting for one that
// is down is bounded like trying.
func (d *Delivery) postpone(queued storage.Job, j *job, e *endpoint, a admission) error {
	cause := errors.New("the endpoint is busy with others")
	if a.down {
		retry := d.settings.retry(e.Retry)
		left := retry.MaxElapsed - d.board.now().Sub(d.board.began(queued.ID, queued.Attempt, retry))
		if left <= 0 {
			return d.bury(queued, j, e, "the endpoint is down, lastly because: "+a.reason)
		}
		cause = errors.New("the endpoint is down, lastly because: " + a.reason)
		a.wait = min(a.wait, left)
	}
	return &storage.RetryAfterError{Cause: cause, Delay: a.wait, Uncounted: true}
}
