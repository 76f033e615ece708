package push

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// depthCollector tells what the queue of the current Pipeline held some seconds ago:
// it is not asked while somebody waits for metrics.
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

// depth is what waits, by stage, and since when.
type depth struct {
	jobs   map[string]storage.QueueStats
	stages []stage
}

// Collect tells what was seen last.
func (c *depthCollector) Collect(to chan<- prometheus.Metric) {
	p := c.current.Load()
	if p == nil {
		return
	}
	seen := p.depth.Load()
	if seen == nil {
		return
	}
	for stage, s := range seen.jobs {
		for state, n := range map[string]int{"ready": s.Ready, "delayed": s.Delayed, "inflight": s.Active} {
			to <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(n), stage, state)
		}
	}
	for _, s := range seen.stages {
		to <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, s.age.Seconds(), stageOf(s.queue), "ready")
	}
}

// look asks the queue how full it is.
func (p *Pipeline) look(ctx context.Context) {
	jobs, err := p.Depth(ctx)
	if err != nil {
		p.depth.Store(nil)
		return
	}
	stages, err := p.gauge.read(ctx)
	if err != nil {
		p.depth.Store(nil)
		return
	}
	p.depth.Store(&depth{jobs, stages})
}
