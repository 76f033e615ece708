package webhooks

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// depthCollector tells what the queue of the current Delivery held some seconds ago:
// it is not asked while somebody waits for metrics.
type depthCollector struct {
	current   atomic.Pointer[Delivery]
	jobs, age *prometheus.Desc
}

func newDepthCollector(r *meter.Registry) *depthCollector {
	c := &depthCollector{
		jobs: r.Desc(meter.KindGauge, "webhook_jobs", "Requests in the queue, by state.", "state"),
		age:  r.Desc(meter.KindGauge, "webhook_oldest_age_seconds", "How long the oldest request has been in the queue."),
	}
	r.Collect(c)
	return c
}

// Describe names the metrics.
func (c *depthCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.jobs
	to <- c.age
}

// depth is what a queue holds.
type depth struct {
	storage.QueueStats
	oldest time.Duration
	aging  bool // oldest is known
}

// Collect tells what was seen last.
func (c *depthCollector) Collect(to chan<- prometheus.Metric) {
	delivery := c.current.Load()
	if delivery == nil {
		return
	}
	seen := delivery.depth.Load()
	if seen == nil {
		return
	}
	for state, n := range map[string]int{"ready": seen.Ready, "delayed": seen.Delayed, "active": seen.Active, "dead": seen.Dead} {
		to <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(n), state)
	}
	if seen.aging {
		to <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, seen.oldest.Seconds())
	}
}

// look asks the queue how full it is.
func (d *Delivery) look(ctx context.Context) {
	stats, err := d.settings.Queue.Stats(ctx, QueueName)
	if err != nil {
		d.depth.Store(nil)
		return
	}
	seen := &depth{QueueStats: stats}
	seen.oldest, seen.aging = oldestAge(ctx, d.settings.Queue)
	d.depth.Store(seen)
}

// oldestAge is how long the oldest job waits, of a queue that knows it.
func oldestAge(ctx context.Context, queue storage.Queue) (age time.Duration, known bool) {
	a, ok := queue.(storage.Aging)
	if !ok {
		return 0, false
	}
	at, err := a.Oldest(ctx, QueueName)
	switch {
	case err != nil:
		return 0, false
	case at.IsZero():
		return 0, true
	}
	return max(time.Since(at), 0), true
}
