package realtime

import (
	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// metricsV2 are the collectors of what only V2 clients notice.
type metricsV2 struct {
	ephemeral, suppressed          *meter.CounterVec
	deltas, fulls, original, saved *meter.ChannelCounterVec
	recoveries, failures           *meter.CounterVec
}

func newMetricsV2(r *meter.Registry, counter func(name, help string, more ...string) *meter.CounterVec) metricsV2 {
	channels := func(name, help string) *meter.ChannelCounterVec { return r.ChannelCounters(name, help, "app_id") }
	return metricsV2{
		ephemeral:  counter("ephemeral_messages_total", "Published events that were neither numbered nor kept."),
		suppressed: counter("event_filter_suppressed_total", "Events that a filter has kept from a subscriber."),
		deltas:     channels("delta_compression_delta_messages_total", "Events sent as deltas."),
		fulls:      channels("delta_compression_full_messages_total", "Events sent in full to clients that take deltas."),
		original:   channels("delta_compression_bandwidth_original_bytes", "Bytes that events to clients which take deltas would have had in full."),
		saved:      channels("delta_compression_bandwidth_saved_bytes", "Bytes that deltas have saved."),
		recoveries: counter("history_recovery_success_total", "Channels that clients have resumed.", "source"),
		failures:   counter("history_recovery_failures_total", "Channels that clients could not resume.", "code"),
	}
}

// meterV2 holds those of one app, looked up once.
type meterV2 struct {
	ephemeral, suppressed *meter.Counter
	deltas                [4]deltaMeter // by kind of channel
}

type deltaMeter struct{ deltas, fulls, original, saved *meter.Counter }

func (m *metricsV2) app(id string) meterV2 {
	a := meterV2{ephemeral: m.ephemeral.WithLabelValues(id), suppressed: m.suppressed.WithLabelValues(id)}
	for k := protocol.Public; k <= protocol.Presence; k++ {
		a.deltas[k] = deltaMeter{
			deltas: m.deltas.Typed(id, k.String()), fulls: m.fulls.Typed(id, k.String()),
			original: m.original.Typed(id, k.String()), saved: m.saved.Typed(id, k.String()),
		}
	}
	return a
}

// compressed counts a message to a client that takes deltas: its size in full, and
// what a delta has saved of it, zero if it was sent in full.
func (a *appMeter) compressed(msg *message, size, saved int) {
	k := msg.flight.kind
	d := a.deltas[k]
	if m := &a.m.v2; m.deltas.Named() {
		channel := msg.out.Channel
		d = deltaMeter{
			deltas: m.deltas.WithLabelValues(channel, a.app, k.String()), fulls: m.fulls.WithLabelValues(channel, a.app, k.String()),
			original: m.original.WithLabelValues(channel, a.app, k.String()), saved: m.saved.WithLabelValues(channel, a.app, k.String()),
		}
	}
	d.original.Add(float64(size))
	if saved == 0 {
		d.fulls.Inc()
		return
	}
	d.deltas.Inc()
	d.saved.Add(float64(saved))
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
