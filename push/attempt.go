package push

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// attempt sends one notice once. device is nil for one that has none.
func (d *dispatch) attempt(ctx context.Context, i int, devices map[string]*Device) (Result, *Device) {
	n := &d.notices[i]
	now := d.now()
	to, device := n.Direct, (*Device)(nil)
	switch {
	case d.pub.ExpiresMS <= now.UnixMilli():
		return Result{Outcome: Expired, Reason: "it expired before it could be sent"}, nil
	case n.Device != "":
		if device = devices[n.Device]; device == nil {
			return Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "the device is gone"}, nil
		}
		if device.State == Failed {
			return Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "the device has failed before"}, nil
		}
		to = &device.Recipient
	}
	if to.Kind() != d.kind {
		return Result{Outcome: Rejected, Class: DeviceTerminal, Reason: "the device has changed its provider"}, nil
	}
	var unusable *materialError
	switch {
	case errors.As(d.payload.err, &unusable):
		return Result{Outcome: Rejected, Class: CredentialAuth, Reason: unusable.Error()}, nil
	case d.payload.err != nil:
		return Result{Outcome: Rejected, Class: CallerPayload, Reason: d.payload.err.Error()}, nil
	}
	leave, err := d.lane.enter(ctx)
	if err != nil {
		return Result{Outcome: Cancelled}, nil
	}
	defer leave()
	m := d.board.Metrics
	flying := m.inFlight.WithLabelValues(d.kind.Key(), m.app(d.App))
	flying.Inc()
	defer flying.Dec()
	result := d.sender.Send(ctx, &Notification{
		App: d.App, PublishID: d.Publish, Key: deliveryKey(d.App, d.Publish, d.kind, d.Batch, to.TokenHash()),
		Recipient: *to, Payload: d.payload.payload, Override: d.payload.override, CollapseKey: d.payload.content.CollapseKey,
		Expires: time.UnixMilli(d.pub.ExpiresMS), TTL: max(time.UnixMilli(d.pub.ExpiresMS).Sub(now), time.Second),
	})
	if result.Outcome != Cancelled {
		d.lane.heard(d.now(), &result)
		d.board.brake.attempt(d.App, d.kind, now)
	}
	return result, device
}

// observe counts an attempt.
func (d *dispatch) observe(r *Result) {
	m := d.board.Metrics
	app := m.app(d.App)
	m.dispatched.WithLabelValues(d.kind.Key(), string(r.Outcome), app).Inc()
	if r.Outcome != Accepted && r.Class != "" {
		m.failures.WithLabelValues(d.kind.Key(), string(r.Class), app).Inc()
	}
	if r.Outcome == Rejected && r.Class == CredentialAuth {
		d.settings.Log.Error("a provider does not accept the credentials", zap.String("app", d.App), zap.String("provider", d.kind.Key()), zap.String("reason", cut(r.Reason, keptReason)))
		d.meta("provider-rejected", d.App, d.Publish, d.kind, cut(r.Reason, keptReason))
	}
}

// settlement is what an attempt does to its notice and to the publish.
type settlement struct {
	result result
	counts counts
	letter *deadLetter
	// refused says that a dead letter is to tell of the batch that some of it was refused.
	refused bool
}

// settle decides what becomes of a notice after an attempt.
func (d *dispatch) settle(i int, r *Result) settlement {
	now := d.nowMS()
	before := d.results[i]
	s := settlement{result: result{Index: i, Attempt: before.Attempt + 1, AtMS: now, Class: r.Class, Reason: cut(r.Reason, keptReason), MessageID: cut(r.MessageID, maxMessageID)}}
	end := func(how string, c int) {
		s.result.End = how
		s.counts[c]++
	}
	m, provider, app := d.board.Metrics, d.kind.Key(), d.board.Metrics.app(d.App)
	if before.Attempt > 0 {
		s.counts[countRetryAttempted]++
		m.retryAttempted.WithLabelValues(provider, app).Inc()
	}
	switch r.Outcome {
	case Accepted:
		s.counts[countDispatched]++
		end(endSucceeded, countSucceeded)
	case Expired:
		s.counts[countDispatched]++
		end(endExpired, countExpired)
	case Rejected:
		s.counts[countDispatched]++
		end(endFailed, countFailed)
		s.refused = r.Class != DeviceTerminal && r.Class != DeviceTransient
	default:
		d.again(i, r, now, &s, end)
	}
	return s
}

// again lets a notice be tried once more, if it may be.
func (d *dispatch) again(i int, r *Result, now int64, s *settlement, end func(string, int)) {
	m, provider, app := d.board.Metrics, d.kind.Key(), d.board.Metrics.app(d.App)
	retry := d.settings.Retry
	last := d.batch.FirstMS + retry.MaxElapsed.Milliseconds()
	switch {
	case now >= d.pub.ExpiresMS:
		end(endExpired, countExpired)
		m.retryExpired.WithLabelValues(provider, app).Inc()
		return
	case s.result.Attempt >= retry.MaxAttempts:
		d.bury(i, "retry attempts exhausted", now, s, end)
		return
	case now >= last:
		d.bury(i, "retry age expired", now, s, end)
		return
	}
	n := &d.notices[i]
	delivery := deliveryKey(d.App, d.Publish, d.kind, d.Batch, n.Hash)
	pause := retry.backoff(retryKey(d.App, d.Publish, d.kind, d.Batch, delivery, s.result.Attempt+1), s.result.Attempt)
	if r.RetryAfter > 0 && !retry.IgnoreRetryAfter {
		pause = retry.asked(r.RetryAfter)
		m.retryDeferred.WithLabelValues(provider, app).Inc()
	}
	s.result.NextMS = min(now+pause.Milliseconds(), last, d.pub.ExpiresMS)
	s.counts[countRetryScheduled]++
	m.retryScheduled.WithLabelValues(provider, app).Inc()
	m.retryDelay.WithLabelValues(provider, app).Set(pause.Seconds())
}

func (d *dispatch) bury(i int, why string, now int64, s *settlement, end func(string, int)) {
	end(endDead, countDeadLettered)
	s.letter = d.letter(i, why, now, &s.result)
	d.board.Metrics.retryDead.WithLabelValues(d.kind.Key(), d.board.Metrics.app(d.App)).Inc()
}

// afterwards is what an attempt means for the device, once it is kept.
func (d *dispatch) afterwards(device *Device, r *Result) func(context.Context) {
	reg, hash, now := d.settings.Registry, device.Recipient.TokenHash(), d.now()
	var do func(context.Context) error
	switch {
	case r.Class == DeviceTransient:
		do = func(ctx context.Context) error {
			_, err := reg.DeviceFailed(ctx, d.App, device.ID, hash, r.Reason)
			return err
		}
	case r.Outcome == Rejected && r.Class == DeviceTerminal:
		do = func(ctx context.Context) error { return d.quarantine(ctx, device, hash, r, now) }
	default:
		return nil
	}
	return func(ctx context.Context) {
		bounded, cancel := soon(ctx)
		defer cancel()
		if err := do(bounded); err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrConflict) {
			d.board.Metrics.storeErrors.WithLabelValues("devices").Inc()
			d.settings.Log.Warn("what has come of a notification could not be noted with its device", zap.String("app", d.App), zap.Error(err))
		}
	}
}

// note tells the registry what has come of notifications, once that is kept.
func (d *dispatch) note(ctx context.Context, others []func(context.Context), reached []*Device) {
	for _, tell := range others {
		tell(ctx)
	}
	bounded, cancel := soon(ctx)
	defer cancel()
	if err := d.settings.Registry.DevicesDelivered(bounded, d.App, reached, d.now()); err != nil {
		d.board.Metrics.storeErrors.WithLabelValues("devices").Inc()
		d.settings.Log.Warn("it could not be noted which devices were reached", zap.String("app", d.App), zap.Error(err))
	}
}

// quarantine sets a device aside whose address is invalid. It is removed later.
func (d *dispatch) quarantine(ctx context.Context, device *Device, hash string, r *Result, now time.Time) error {
	due := now.Add(d.settings.Quarantine)
	if r.Suspect {
		due = time.Time{} // it may be valid somewhere else
	}
	done, err := d.settings.Registry.Quarantine(ctx, d.App, device.ID, hash, r.InvalidSince, cut(r.Reason, keptReason), due)
	if err != nil || !done {
		return err
	}
	m := d.board.Metrics
	m.invalidations.WithLabelValues(d.kind.Key(), m.app(d.App)).Inc()
	d.meta("token-invalidated", d.App, d.Publish, d.kind, cut(r.Reason, keptReason))
	if d.board.brake.invalid(d.App, d.kind, now) {
		m.guard.WithLabelValues(d.kind.Key(), m.app(d.App)).Inc()
		d.settings.Log.Error("many addresses of one provider have become invalid at once: no device is removed for a day", zap.String("app", d.App), zap.String("provider", d.kind.Key()))
		d.meta("token-invalidation-guard", d.App, d.Publish, d.kind, "")
	}
	return nil
}

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}
