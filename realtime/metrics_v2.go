package realtime

import "github.com/sockudo/caddy-sockudo/internal/meter"

// metricsV2 are the collectors of what only V2 clients notice.
type metricsV2 struct {
	ephemeral, suppressed          *meter.CounterVec
	deltas, fulls, original, saved *meter.CounterVec
	recoveries, failures           *meter.CounterVec
}

func newMetricsV2(counter func(name, help string, more ...string) *meter.CounterVec) metricsV2 {
	return metricsV2{
		ephemeral:  counter("ephemeral_messages_total", "Published events that were neither numbered nor kept."),
		suppressed: counter("event_filter_suppressed_total", "Events that a filter has kept from a subscriber."),
		deltas:     counter("delta_compression_delta_messages_total", "Events sent as deltas."),
		fulls:      counter("delta_compression_full_messages_total", "Events sent in full to clients that take deltas."),
		original:   counter("delta_compression_bandwidth_original_bytes", "Bytes that events to clients which take deltas would have had in full."),
		saved:      counter("delta_compression_bandwidth_saved_bytes", "Bytes that deltas have saved."),
		recoveries: counter("history_recovery_success_total", "Channels that clients have resumed.", "source"),
		failures:   counter("history_recovery_failures_total", "Channels that clients could not resume.", "code"),
	}
}

// meterV2 holds those of one app, looked up once.
type meterV2 struct{ ephemeral, suppressed, deltas, fulls, original, saved *meter.Counter }

func (m *metricsV2) app(id string) meterV2 {
	return meterV2{
		m.ephemeral.WithLabelValues(id), m.suppressed.WithLabelValues(id), m.deltas.WithLabelValues(id), m.fulls.WithLabelValues(id),
		m.original.WithLabelValues(id), m.saved.WithLabelValues(id),
	}
}

// compressed counts a message to a client that takes deltas: its size in full, and
// what a delta has saved of it, zero if it was sent in full.
func (a *meterV2) compressed(size, saved int) {
	a.original.Add(float64(size))
	if saved == 0 {
		a.fulls.Inc()
		return
	}
	a.deltas.Inc()
	a.saved.Add(float64(saved))
}

// resumed counts the channels of one answer.
func (a *appMeter) resumed(r *answer) {
	for _, done := range r.result.Recovered {
		a.m.v2.recoveries.WithLabelValues(a.app, done.Source).Inc()
	}
	for _, failed := range r.result.Failed {
		a.m.v2.failures.WithLabelValues(a.app, failed.Code).Inc()
	}
}
