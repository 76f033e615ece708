package push

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// depthTimeout bounds what the queue may take to tell how full it is.
const depthTimeout = time.Second

// depthCollector asks the queue of the current Pipeline what it holds.
type depthCollector struct {
	current   atomic.Pointer[Pipeline]
	jobs, age *prometheus.Desc
}

func newDepthCollector(r *meter.Registry) *depthCollector {
	c := &depthCollector{
		jobs: r.Desc(meter.KindGauge, namePrefix+"queue_jobs", "Jobs in the queue.", "stage", "state"),
		age:  r.Desc(meter.KindGauge, namePrefix+"queue_oldest_age_seconds", "For how long the oldest job has been ready, about.", "stage", "state"),
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
	p := c.current.Load()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), depthTimeout)
	defer cancel()
	depth, err := p.Depth(ctx)
	if err != nil {
		return
	}
	for stage, s := range depth {
		for state, n := range map[string]int{"ready": s.Ready, "delayed": s.Delayed, "inflight": s.Active} {
			to <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(n), stage, state)
		}
	}
	stages, err := p.gauge.read(ctx)
	if err != nil {
		return
	}
	for _, s := range stages {
		to <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, s.age.Seconds(), stageOf(s.queue), "ready")
	}
}
