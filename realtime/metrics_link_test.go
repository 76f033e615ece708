package realtime_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// metered is an adapter that has counted.
type metered struct {
	*memory.Local
	stats storage.LinkStats
}

func (m *metered) LinkStats() storage.LinkStats { return m.stats }

// gatherLink is what the metrics of a hub say about its adapter.
func gatherLink(t *testing.T, hub *realtime.Hub) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := hub.Metrics().Register(registry, "p_"); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "p_horizontal_") && !strings.HasPrefix(name, "p_nats_") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() != "hub" {
					values[name+" "+l.GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return values
}

func TestLinkMetrics(t *testing.T) {
	f := newFixture(t, nil)
	if got := gatherLink(t, f.hub); len(got) > 0 {
		t.Errorf("an adapter of one node has metrics: %v", got)
	}
	s := f.newSettings(nil)
	s.Drivers.Adapter = &metered{memory.NewLocal(), storage.LinkStats{
		Driver: "fake", Up: true, Published: 1, Received: 2, Dropped: 3, Missed: 4, Malformed: 5, Reconnects: 6,
		QueuePackets: 7, QueueBytes: 8, Topics: 9, Events: map[string]uint64{"slow_consumer": 10},
	}}
	f.load(s)
	got := gatherLink(t, f.hub)
	for name, want := range map[string]float64{
		"p_horizontal_transport_up fake": 1, "p_horizontal_transport_queue_depth fake": 7, "p_horizontal_transport_queue_bytes fake": 8,
		"p_horizontal_transport_topics fake": 9, "p_horizontal_transport_messages_dropped_total fake": 3,
		"p_horizontal_transport_messages_missed_total fake": 4, "p_horizontal_transport_messages_malformed_total fake": 5,
		"p_horizontal_transport_reconnections_total fake": 6, "p_horizontal_broadcast_published_total fake": 1,
		"p_horizontal_broadcast_received_total fake": 2, "p_nats_events_total slow_consumer": 10,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if len(got) != 11 {
		t.Errorf("metrics: %v", got)
	}
}
