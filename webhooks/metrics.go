package webhooks

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the collectors of a hub's webhooks. Like those of the hub they are
// made once and registered with every configuration's registry, so a reload keeps
// their values. Names have no prefix here; the registry adds it.
type Metrics struct {
	events, queued, deliveries, retried, dead *prometheus.CounterVec
	failed, dropped                           *prometheus.CounterVec
	latency                                   *prometheus.HistogramVec
	inFlight, pending                         prometheus.Gauge
	depth                                     *depthCollector
	all                                       []prometheus.Collector
}

func newMetrics(hub string) *Metrics {
	m := &Metrics{}
	labels := prometheus.Labels{"hub": hub}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webhook_" + name, Help: help, ConstLabels: labels}, append([]string{"app_id"}, more...))
		m.all = append(m.all, v)
		return v
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "webhook_" + name, Help: help, ConstLabels: labels})
		m.all = append(m.all, g)
		return g
	}
	m.events = counter("events_total", "Events that webhooks were to tell.")
	m.queued = counter("queued_total", "Requests that were put into the queue.")
	m.deliveries = counter("delivered_total", "Requests that receivers have accepted.")
	m.failed = counter("failed_total", "Attempts that have failed, by reason.", "reason")
	m.retried = counter("retried_total", "Failed attempts that another one follows.")
	m.dead = counter("dead_total", "Requests that have failed for good.")
	m.dropped = counter("dropped_total", "Events and requests that nobody gets, by reason.", "reason")
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "webhook_delivery_seconds", Help: "Time until a receiver has answered, or failed to.", ConstLabels: labels,
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"app_id"})
	m.all = append(m.all, m.latency)
	m.inFlight = gauge("in_flight", "Requests under way.")
	m.pending = gauge("pending_bytes", "Events that are not in the queue yet, in bytes of memory.")
	m.depth = newDepthCollector(labels)
	m.all = append(m.all, m.depth)
	return m
}

// Register adds the collectors to a registry, under a name prefix.
func (m *Metrics) Register(registry prometheus.Registerer, prefix string) error {
	registry = prometheus.WrapRegistererWithPrefix(prefix, registry)
	for _, c := range m.all {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}
