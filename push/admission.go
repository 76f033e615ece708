package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// audienceSize is how many recipients there seem to be.
func (p *Pipeline) audienceSize(ctx context.Context, app string, targets []Target) (n int64, err error) {
	r := p.settings.Registry
	for i := range targets {
		t := &targets[i]
		var more int64
		switch t.Type {
		case ToDevice:
			var all []*Device
			if all, err = r.LoadDevices(ctx, app, []string{t.DeviceID}); err == nil && all[0] != nil {
				more = 1
			}
		case ToClient:
			more, err = r.CountClient(ctx, app, t.ClientID)
		case ToChannel:
			more, err = r.CountChannel(ctx, app, t.Channel)
		default:
			more = 1
		}
		if err != nil {
			return 0, fmt.Errorf("counting recipients: %w", err)
		}
		n += more
	}
	return n, nil
}

// ready refuses a publish that could not be delivered by this configuration.
func (p *Pipeline) ready(targets []Target) error {
	for i := range targets {
		if to := targets[i].direct(); to != nil && !p.active[to.Kind()] {
			return refuse(http.StatusServiceUnavailable, fmt.Sprintf("push admission unavailable: the provider %s is not enabled", to.Kind()))
		}
	}
	if len(p.active) == 0 {
		return refuse(http.StatusServiceUnavailable, "push admission unavailable: no provider is enabled")
	}
	return nil
}

// health refuses publishes while the queue is out of order.
func (p *Pipeline) health(ctx context.Context) error {
	checker, ok := p.settings.Queue.(storage.Checker)
	if !ok {
		return nil
	}
	if err := checker.Check(ctx); err != nil {
		return refuse(http.StatusServiceUnavailable, "push admission unavailable: the queue is out of order")
	}
	return nil
}

// rate counts a publish against the limit of its app.
func (p *Pipeline) rate(ctx context.Context, app string, o AcceptOptions) error {
	limit := p.settings.Quotas.AcceptanceRPS
	if limit < 0 || o.NoRate || o.NoQuotas {
		return nil
	}
	d, err := p.settings.Limiter.Allow(ctx, "push:acceptance:"+app, 1, limit, time.Second)
	m := p.board.Metrics
	switch {
	case err != nil:
		r := refuse(http.StatusServiceUnavailable, "push admission unavailable: the limiter of publishes is out of order").after(time.Second)
		r.Code = "backpressure"
		return r
	case !d.Allowed:
		m.quotaAcceptance.WithLabelValues(m.app(app)).Inc()
		m.rateDropped.WithLabelValues(m.app(app)).Inc()
		return refuse(http.StatusTooManyRequests, "push acceptance rate exceeded").after(d.Reset)
	}
	m.consumedAcceptance.WithLabelValues(m.app(app)).Set(float64(d.Limit - d.Remaining))
	return nil
}

// backpressure refuses a publish while too much waits to be done. Work whose time has not
// come, and dead letters, do not count.
func (p *Pipeline) backpressure(ctx context.Context) error {
	lag := &p.settings.Lag
	if lag.Refuse {
		return refuse(http.StatusTooManyRequests, "push pipeline is applying backpressure").after(lag.RetryAfter)
	}
	stages, err := p.gauge.read(ctx)
	if err != nil {
		r := refuse(http.StatusServiceUnavailable, "push admission unavailable: the queue does not tell what waits").after(time.Second)
		return r
	}
	for _, s := range stages {
		most := lag.Deliveries
		if s.queue == queuePublishes {
			most = lag.Publishes
		}
		switch {
		case s.ready >= most:
			return refuse(http.StatusTooManyRequests, "push "+stageOf(s.queue)+" lag exceeded").after(lag.RetryAfter)
		case lag.Age > 0 && s.age >= lag.Age:
			return refuse(http.StatusTooManyRequests, "push "+stageOf(s.queue)+" age exceeded").after(lag.RetryAfter)
		}
	}
	return nil
}

// quota is why an app may not publish, and otherwise the change that counts it.
func (p *Pipeline) quota(ctx context.Context, app string, pub *publish, in *intent) (reason string, change *storage.PushChange, err error) {
	q := &p.settings.Quotas
	if q.FanoutMax > 0 && pub.Expected > q.FanoutMax {
		return "fanout_max exceeded for app " + app, nil, nil
	}
	if q.Daily > 0 {
		day := time.UnixMilli(pub.AcceptedMS).UTC()
		k := key(app, tableQuotas, "", day.Format(time.DateOnly))
		records, err := p.settings.Store.Get(ctx, k)
		if err != nil {
			return "", nil, fmt.Errorf("reading a quota: %w", err)
		}
		used := records[0].Counts[0]
		if used+pub.Expected > q.Daily {
			return "delivery_quota_daily exceeded for app " + app, nil, nil
		}
		p.board.Metrics.consumedDelivery.WithLabelValues(p.board.Metrics.app(app)).Set(float64(used + pub.Expected))
		add := set(k, struct{}{}, day.Add(72*time.Hour).UnixMilli())
		add.Op, add.Counts[0] = storage.PushAdd, pub.Expected
		change = &add
	}
	reason, err = p.deviceQuota(ctx, app, in)
	return reason, change, err
}

// deviceQuota looks at the rates of devices that the publish names.
func (p *Pipeline) deviceQuota(ctx context.Context, app string, in *intent) (reason string, err error) {
	var ids []string
	for i := range in.Targets {
		if in.Targets[i].Type == ToDevice {
			ids = append(ids, in.Targets[i].DeviceID)
		}
	}
	if len(ids) == 0 {
		return "", nil
	}
	devices, err := p.settings.Registry.LoadDevices(ctx, app, ids)
	if err != nil {
		return "", fmt.Errorf("reading devices: %w", err)
	}
	for _, d := range devices {
		if d == nil || d.Rate == nil {
			continue
		}
		// As many as the capacity, in the time in which it is full again.
		window := time.Duration(float64(d.Rate.Capacity) / float64(d.Rate.RefillPerSecond) * float64(time.Second))
		decision, err := p.settings.Limiter.Allow(ctx, "push:device:"+app+":"+d.ID, 1, d.Rate.Capacity, max(window, time.Second))
		switch {
		case err != nil:
			return "", errors.Join(errors.New("counting notifications of a device"), err)
		case !decision.Allowed:
			return "per-device rate limit exceeded for device " + d.ID, nil
		}
	}
	return "", nil
}
