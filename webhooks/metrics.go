package webhooks

import (
	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Metrics are what the webhooks of a hub count, in its registry of metrics.
type Metrics struct {
	events, queued, deliveries, retried, dead *meter.CounterVec
	failed, dropped                           *meter.CounterVec
	latency                                   *meter.HistogramVec
	inFlight, pending                         *meter.Gauge
	depth                                     *depthCollector
}

func newMetrics(r *meter.Registry) *Metrics {
	m := &Metrics{}
	counter := func(name, help string, more ...string) *meter.CounterVec {
		return r.Counters("webhook_"+name, help, append([]string{"app_id"}, more...)...)
	}
	m.events = counter("events_total", "Events that webhooks were to tell.")
	m.queued = counter("queued_total", "Requests that were put into the queue.")
	m.deliveries = counter("delivered_total", "Requests that receivers have accepted.")
	m.failed = counter("failed_total", "Attempts that have failed, by reason.", "reason")
	m.retried = counter("retried_total", "Failed attempts that another one follows.")
	m.dead = counter("dead_total", "Requests that have failed for good.")
	m.dropped = counter("dropped_total", "Events and requests that nobody gets, by reason.", "reason")
	m.latency = r.Histograms("webhook_delivery_seconds", "Time until a receiver has answered, or failed to.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "app_id")
	m.inFlight = r.Gauge("webhook_in_flight", "Requests under way.")
	m.pending = r.Gauge("webhook_pending_bytes", "Events that are not in the queue yet, in bytes of memory.")
	m.depth = newDepthCollector(r)
	return m
}
