package realtime

import (
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// metricsHistory are the collectors of what is kept.
type metricsHistory struct {
	writes, failures, degraded     *meter.CounterVec
	members, memberFailures        *meter.CounterVec
	mutations, retrievals          *meter.CounterVec
	annotated, unannotated, sumups *meter.ChannelCounterVec
	clipped, rebuilds              *meter.ChannelCounterVec
	substitutions                  *meter.CounterVec
	rebuilding                     *meter.HistogramVec
	latency, memberLatency         *meter.HistogramVec
	waiting, membersWaiting        *meter.GaugeVec
}

func newMetricsHistory(
	r *meter.Registry,
	counter func(name, help string, more ...string) *meter.CounterVec,
	gauge func(name, help string, more ...string) *meter.GaugeVec,
	histogram func(name, help string, buckets []float64, more ...string) *meter.HistogramVec,
) metricsHistory {
	return metricsHistory{
		writes:         counter("history_writes_total", "Events that the history has kept."),
		failures:       counter("history_write_failures_total", "Events that the history could not keep."),
		degraded:       counter("history_degraded_total", "Times that a channel has become degraded: events were delivered that the history lacks."),
		latency:        histogram("history_write_latency_ms", "Time until the history has kept an event, in milliseconds.", milliseconds),
		members:        counter("presence_history_writes_total", "Transitions of members that the presence history has kept."),
		memberFailures: counter("presence_history_write_failures_total", "Transitions of members that the presence history could not keep."),
		waiting:        gauge("history_queue_depth", "Events that wait for the history to keep them."),
		membersWaiting: gauge("presence_history_queue_depth", "Transitions of members that wait for the presence history to keep them."),
		memberLatency:  histogram("presence_history_write_latency_ms", "Time until the presence history has kept a transition, in milliseconds.", milliseconds),
		mutations:      counter("versioned_message_mutations_total", "Calls that change a message.", "action", "result"),
		retrievals:     counter("versioned_message_retrieval_total", "Calls that read versions of a message.", "surface", "result"),
		annotated:      r.ChannelCounters("annotations_published_total", "Annotations that were made.", "app_id", "type"),
		unannotated:    r.ChannelCounters("annotations_deleted_total", "Annotations that were deleted.", "app_id", "type"),
		substitutions:  counter("versioned_history_substitution_total", "Messages in pages of the history, by whether a newer version is shown (substituted), their own (current), or the stored one because no version is left (gone).", "result"),
		clipped:        r.ChannelCounters("annotation_summary_clipped_total", "Summaries of annotations that do not name all clients, because they would be too large.", "app_id", "type"),
		rebuilds:       r.ChannelCounters("annotation_projection_rebuild_total", "Times that all annotations of a channel were read to sum them up.", "app_id"),
		rebuilding:     histogram("annotation_projection_rebuild_duration_seconds", "Time that this took, in seconds.", rebuildSeconds, "channel_type"),
		sumups:         r.ChannelCounters("annotation_summary_deliveries_total", "Summaries of annotations that were sent to the subscribers of a channel.", "app_id"),
	}
}

// rebuildSeconds are the buckets of what is read in the background.
var rebuildSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// rebuilt counts that all annotations of a channel were read.
func (m *Metrics) rebuilt(key storage.LogKey, took time.Duration) {
	_, channel := history.KindOf(key)
	kind := protocol.ParseChannel(channel).Kind.String()
	m.history.rebuilds.WithLabelValues(channel, key.App, kind).Inc()
	m.history.rebuilding.WithLabelValues(key.App, kind).Observe(took.Seconds())
}

// CountShown counts what the pages of an app's histories show (history.Log.Shown).
func (h *Hub) CountShown(app string) func(substituted, current, gone int) {
	return func(substituted, current, gone int) {
		for result, n := range map[string]int{"substituted": substituted, "current": current, "gone": gone} {
			if n > 0 {
				h.metrics.history.substitutions.WithLabelValues(app, result).Add(float64(n))
			}
		}
	}
}

// Retrieved counts a call that reads versions of a message.
func (h *Hub) Retrieved(app, surface, result string) {
	h.metrics.history.retrievals.WithLabelValues(app, surface, result).Inc()
}
