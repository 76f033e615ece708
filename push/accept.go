package push

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// AcceptOptions say how a publish is accepted.
type AcceptOptions struct {
	// NoQuotas leaves out the quotas.
	NoQuotas bool
	// NoRate leaves out the limit of publishes in a second, which rules have of their own.
	NoRate bool
	// Conflict refuses an id that another publish has, unless that is the same.
	Conflict bool
}

// Acceptance is the answer to a publish (section 7.3).
type Acceptance struct {
	PublishID    string    `json:"publishId"`
	Status       string    `json:"status"`
	Expected     int64     `json:"expectedRecipients"`
	FanoutRegime string    `json:"fanoutRegime"`
	Rendered     []Preview `json:"renderedPayloads"`
}

// Preview is the payload for one provider, before it is known whom it reaches.
type Preview struct {
	Provider     Kind            `json:"provider"`
	Payload      json.RawMessage `json:"payload"`
	UsedOverride bool            `json:"usedOverride"`
	// Error is why there would be none. Deliveries to the provider fail for it.
	Error string `json:"error,omitempty"`
}

// Accept takes a publish. When it returns nil, the publish is in the store and will come to
// an end. A fault of the request is a *FieldError, and other reasons to do nothing are
// a *Refusal.
func (p *Pipeline) Accept(ctx context.Context, app string, r *Request, o AcceptOptions) (*Acceptance, error) {
	begun := time.Now()
	a, err := p.traced(ctx, app, r, o)
	m := p.board.Metrics
	m.acceptance.WithLabelValues(m.app(app)).Observe(time.Since(begun).Seconds())
	var (
		fault   *FieldError
		refusal *Refusal
	)
	switch {
	case err == nil:
		m.accepted.WithLabelValues(m.app(app), a.Status).Inc()
	case errors.As(err, &fault):
		m.accepted.WithLabelValues(m.app(app), "invalid").Inc()
	case errors.As(err, &refusal):
		m.accepted.WithLabelValues(m.app(app), refusal.Code).Inc()
	default:
		m.accepted.WithLabelValues(m.app(app), "error").Inc()
		level := zap.ErrorLevel
		if errors.Is(err, context.Canceled) { // whoever published has gone
			level = zap.DebugLevel
		}
		p.settings.Log.Log(level, "a push publish could not be accepted", zap.String("app", app), zap.Error(err))
	}
	return a, err
}

// accept goes through the steps of section 7.3 in their order, which callers see.
func (p *Pipeline) accept(ctx context.Context, app string, r *Request, o AcceptOptions) (*Acceptance, error) {
	ctx, cancel := soon(ctx)
	defer cancel()
	if err := p.check(r); err != nil {
		return nil, err
	}
	expected, err := p.audienceSize(ctx, app, r.Targets)
	if err != nil {
		return nil, err
	}
	in := &intent{Targets: r.Targets, Suppress: r.Suppress}
	if in.Payload, in.Overrides, err = p.resolve(ctx, app, r); err != nil {
		return nil, err
	}
	if err := p.ready(r.Targets); err != nil {
		return nil, err
	}
	if err := p.health(ctx); err != nil {
		return nil, err
	}
	if err := p.rate(ctx, app, o); err != nil {
		return nil, err
	}
	if err := p.backpressure(ctx); err != nil {
		return nil, err
	}
	previews, err := p.previews(in)
	if err != nil {
		return nil, err
	}
	now := p.nowMS()
	notBefore, expires := p.times(r, now)
	pub := &publish{ID: r.PublishID, State: Queued, Regime: fastPath, Expected: expected, AcceptedMS: now, NotBeforeMS: notBefore, ExpiresMS: expires}
	pub.Hash = in.hash(r.NotBeforeMS, r.ExpiresAtMS)
	if expected >= p.settings.FastThreshold {
		pub.Regime = shardPath
	}
	a := &Acceptance{Rendered: previews}
	if pub.ID == "" {
		pub.ID = newID()
	} else if known, err := p.known(ctx, app, pub, o); known != nil || err != nil {
		return a.of(known), err
	}
	return p.keep(ctx, app, pub, in, a, o)
}

// of makes the answer about a publish.
func (a *Acceptance) of(pub *publish) *Acceptance {
	if pub == nil {
		return nil
	}
	a.PublishID, a.Status, a.Expected, a.FanoutRegime = pub.ID, word(pub.State), pub.Expected, pub.Regime
	return a
}

// Follow puts what has come of the publish since into the answer.
func (a *Acceptance) Follow(s *Status) {
	a.Status = word(s.State)
	if s.Counters.Planned > 0 {
		a.Expected = s.Counters.Planned
	}
}

// known is the publish that has the id already, or nil.
func (p *Pipeline) known(ctx context.Context, app string, pub *publish, o AcceptOptions) (*publish, error) {
	other, record, err := p.state(ctx, app, pub.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case o.Conflict && other.Hash != pub.Hash:
		return nil, refuse(http.StatusConflict, "the publish id was used for another publish")
	}
	p.board.Metrics.duplicates.Inc()
	if record.Counts[countPlanned] > 0 {
		other.Expected = record.Counts[countPlanned]
	}
	return other, nil
}

// keep writes the publish with everything that makes it go on, in one change.
func (p *Pipeline) keep(ctx context.Context, app string, pub *publish, in *intent, a *Acceptance, o AcceptOptions) (*Acceptance, error) {
	now := pub.AcceptedMS
	changes := []storage.PushChange{}
	if !o.NoQuotas {
		reason, change, err := p.quota(ctx, app, pub, in)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			pub.State, pub.Reason = QuotaExceeded, reason
			changes = append(changes, set(key(app, tableExpiries, "", pub.ID), struct{}{}, now+p.settings.StatusTTL.Milliseconds()))
			p.board.Metrics.quotaDelivery.WithLabelValues(p.board.Metrics.app(app)).Inc()
			p.meta("quota-event", app, pub.ID, "", reason)
		} else if change != nil {
			changes = append(changes, *change)
		}
	}
	due, delay := int64(0), time.Duration(0)
	if pub.State == Queued {
		due = max(now, pub.NotBeforeMS) + p.settings.RepairAge.Milliseconds()
		delay = time.Duration(max(pub.NotBeforeMS-now, 0)) * time.Millisecond
		if delay > horizon {
			due = pub.NotBeforeMS - horizon.Milliseconds()
		}
		changes = append(changes, set(key(app, tableIntents, "", pub.ID), in, 0))
	}
	changes = append(changes, put(key(app, tablePublishes, "", pub.ID), 0, pub, due))
	err := p.settings.Store.Apply(ctx, changes...)
	if errors.Is(err, storage.ErrConflict) {
		if other, err := p.known(ctx, app, pub, o); other != nil || err != nil {
			return a.of(other), err
		}
	}
	if errors.Is(err, storage.ErrTooLarge) {
		return nil, Fault("recipients", "the publish is larger than the store keeps")
	}
	if err != nil {
		return nil, fmt.Errorf("keeping a publish: %w", err)
	}
	if delay > 0 {
		p.board.Metrics.scheduled.WithLabelValues("waiting").Inc()
	}
	if pub.State == Queued && delay <= horizon {
		p.enqueue(ctx, p.planJob(app, pub.ID, delay))
	}
	p.board.Metrics.fanout.WithLabelValues(p.board.Metrics.app(app)).Observe(float64(pub.Expected))
	p.meta("push-accepted", app, pub.ID, "", pub.State)
	return a.of(pub), nil
}

// newID is a random name.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
