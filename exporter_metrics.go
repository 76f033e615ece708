package sockudo

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/eventstream"
)

// exporterCollector has what a TCP exporter counts. It belongs to no hub: several may
// share one. The prefix of their metrics is not put before these names.
type exporterCollector struct {
	exporter *exporter
	values   []exporterValue
}

type exporterValue struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels []string
	of     func(eventstream.Stats) float64
}

func newExporterCollector(address string, e *exporter) *exporterCollector {
	c := &exporterCollector{exporter: e}
	constant := prometheus.Labels{"address": address}
	add := func(name, help string, kind prometheus.ValueType, of func(eventstream.Stats) float64) {
		c.values = append(c.values, exporterValue{prometheus.NewDesc("sockudo_tcp_exporter_"+name, help, nil, constant), kind, nil, of})
	}
	add("readers", "Readers of the TCP exporter.", prometheus.GaugeValue, func(s eventstream.Stats) float64 { return float64(s.Clients) })
	add("readers_refused_total", "Readers that were too many.", prometheus.CounterValue, func(s eventstream.Stats) float64 { return float64(s.Refused) })
	add("readers_disconnected_total", "Readers that were disconnected because they were too slow, or had sent something.", prometheus.CounterValue, func(s eventstream.Stats) float64 { return float64(s.Disconnected) })
	dropped := prometheus.NewDesc("sockudo_tcp_exporter_events_dropped_total", "Events that were dropped, from the hubs (inbound) or to a slow reader (reader).", []string{"buffer"}, constant)
	c.values = append(c.values,
		exporterValue{dropped, prometheus.CounterValue, []string{"inbound"}, func(s eventstream.Stats) float64 { return float64(s.DroppedInbound) }},
		exporterValue{dropped, prometheus.CounterValue, []string{"reader"}, func(s eventstream.Stats) float64 { return float64(s.DroppedClients) }},
	)
	return c
}

// Describe names the metrics.
func (c *exporterCollector) Describe(to chan<- *prometheus.Desc) {
	for _, v := range c.values[:len(c.values)-1] { // the last two are one
		to <- v.desc
	}
}

// Collect asks the exporter.
func (c *exporterCollector) Collect(to chan<- prometheus.Metric) {
	stats := c.exporter.Stats()
	for _, v := range c.values {
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(stats), v.labels...)
	}
}

// register adds what an exporter counts to the metrics of a configuration, once for all
// hubs that share it.
func (e *exporter) register(registry prometheus.Registerer, address string) error {
	err := registry.Register(newExporterCollector(address, e))
	if _, again := errors.AsType[prometheus.AlreadyRegisteredError](err); again {
		return nil
	}
	return err
}
