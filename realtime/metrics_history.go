package realtime

import "github.com/sockudo/caddy-sockudo/internal/meter"

// metricsHistory are the collectors of what is kept.
type metricsHistory struct {
	writes, failures, degraded     *meter.CounterVec
	members, memberFailures        *meter.CounterVec
	mutations, retrievals          *meter.CounterVec
	annotated, unannotated, sumups *meter.CounterVec
	latency                        *meter.HistogramVec
}

func newMetricsHistory(
	counter func(name, help string, more ...string) *meter.CounterVec,
	histogram func(name, help string, buckets []float64, more ...string) *meter.HistogramVec,
) metricsHistory {
	return metricsHistory{
		writes:         counter("history_writes_total", "Events that the history has kept."),
		failures:       counter("history_write_failures_total", "Events that the history could not keep."),
		degraded:       counter("history_degraded_total", "Times that a channel has become degraded: events were delivered that the history lacks."),
		latency:        histogram("history_write_latency_ms", "Time until the history has kept an event, in milliseconds.", []float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000}),
		members:        counter("presence_history_writes_total", "Transitions of members that the presence history has kept."),
		memberFailures: counter("presence_history_write_failures_total", "Transitions of members that the presence history could not keep."),
		mutations:      counter("versioned_message_mutations_total", "Calls that change a message.", "action", "result"),
		retrievals:     counter("versioned_message_retrieval_total", "Calls that read versions of a message.", "surface", "result"),
		annotated:      counter("annotations_published_total", "Annotations that were made.", "type"),
		unannotated:    counter("annotations_deleted_total", "Annotations that were deleted.", "type"),
		sumups:         counter("annotation_summary_deliveries_total", "Summaries of annotations that were sent to the subscribers of a channel."),
	}
}

// Retrieved counts a call that reads versions of a message.
func (h *Hub) Retrieved(app, surface, result string) {
	h.metrics.history.retrievals.WithLabelValues(app, surface, result).Inc()
}
