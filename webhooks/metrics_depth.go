package webhooks

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// depthTimeout bounds what the queue may take to tell how full it is.
const depthTimeout = time.Second

// depthCollector asks the queue of the current Delivery what it holds.
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

// Collect asks the queue.
func (c *depthCollector) Collect(to chan<- prometheus.Metric) {
	d := c.current.Load()
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), depthTimeout)
	defer cancel()
	stats, err := d.settings.Queue.Stats(ctx, QueueName)
	if err != nil {
		return
	}
	for state, n := range map[string]int{"ready": stats.Ready, "delayed": stats.Delayed, "active": stats.Active, "dead": stats.Dead} {
		to <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(n), state)
	}
	if age, known := oldestAge(ctx, d.settings.Queue); known {
		to <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, age.Seconds())
	}
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
