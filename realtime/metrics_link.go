package realtime

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// linkCollector asks the adapter of the current settings what it has counted
// (configuration 6.2). It has nothing to say while that is of one node.
type linkCollector struct {
	hub    *Hub
	values []linkValue
	events *prometheus.Desc
}

// linkValue is one number of an adapter.
type linkValue struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*storage.LinkStats) float64
}

func newLinkCollector(h *Hub) *linkCollector {
	c := &linkCollector{hub: h, events: h.meter.Desc(meter.KindCounter, "nats_events_total", "What the client of NATS has reported.", "event")}
	add := func(name, help string, kind prometheus.ValueType, of func(*storage.LinkStats) float64) {
		k := meter.KindCounter
		if kind == prometheus.GaugeValue {
			k = meter.KindGauge
		}
		c.values = append(c.values, linkValue{h.meter.Desc(k, name, help, "driver"), kind, of})
	}
	add("horizontal_transport_up", "1 while other nodes can be reached and nothing of theirs is missed.", prometheus.GaugeValue, func(s *storage.LinkStats) float64 {
		if s.Up {
			return 1
		}
		return 0
	})
	add("horizontal_transport_queue_depth", "Messages that wait to be sent to other nodes.", prometheus.GaugeValue, func(s *storage.LinkStats) float64 { return float64(s.QueuePackets) })
	add("horizontal_transport_queue_bytes", "Bytes that wait to be sent to other nodes.", prometheus.GaugeValue, func(s *storage.LinkStats) float64 { return float64(s.QueueBytes) })
	add("horizontal_transport_topics", "Channels and users of which messages of other nodes come.", prometheus.GaugeValue, func(s *storage.LinkStats) float64 { return float64(s.Topics) })
	add("horizontal_transport_messages_dropped_total", "Messages that could not be sent to other nodes.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Dropped) })
	add("horizontal_transport_messages_missed_total", "Messages of other nodes that came faster than they could be delivered, or too late.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Missed) })
	add("horizontal_transport_messages_malformed_total", "Messages of other programs, or of other versions, that were skipped.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Malformed) })
	add("horizontal_transport_reconnections_total", "Connections to the engine between nodes that replaced a lost one.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Reconnects) })
	add("horizontal_broadcast_published_total", "Messages sent to other nodes.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Published) })
	add("horizontal_broadcast_received_total", "Messages of other nodes.", prometheus.CounterValue, func(s *storage.LinkStats) float64 { return float64(s.Received) })
	return c
}

// Describe names the metrics.
func (c *linkCollector) Describe(to chan<- *prometheus.Desc) {
	for _, v := range c.values {
		to <- v.desc
	}
	to <- c.events
}

// Collect asks the adapter.
func (c *linkCollector) Collect(to chan<- prometheus.Metric) {
	live, err := c.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	meter, ok := live.Settings.Drivers.Adapter.(storage.LinkMeter)
	if !ok {
		return
	}
	stats := meter.LinkStats()
	for _, v := range c.values {
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(&stats), stats.Driver)
	}
	for event, n := range stats.Events {
		to <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(n), event)
	}
}
