package meter

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// source is what the values of one metric have in common.
type source struct {
	registry *Registry
	name     string
}

// told tells the recorder, if there is one.
func (s *source) told(labels []Label, op Op, value float64) {
	if to := s.registry.recorder.Load(); to != nil {
		(*to).Record(s.name, labels, op, value)
	}
}

// vector makes a vector whose values are made by wrap, and registers it.
func (r *Registry) vector(i Info, wrap func(s *source, labels []Label, values []string) prometheus.Metric) *prometheus.MetricVec {
	names := slices.Clone(i.Labels)
	s := &source{registry: r, name: i.Name}
	v := prometheus.NewMetricVec(prometheus.NewDesc(i.Name, i.Help, names, r.constant()), func(values ...string) prometheus.Metric {
		labels := make([]Label, 0, len(names)+1)
		labels = append(labels, Label{hubLabel, r.hub})
		for n, name := range names {
			labels = append(labels, Label{name, values[n]})
		}
		return wrap(s, labels, values)
	})
	r.describe(i)
	r.Collect(v)
	return v
}

// valueOf is the value of a vector that has the labels. Their number is part of the
// program, so a wrong one is a fault of it.
func valueOf(v *prometheus.MetricVec, values []string) prometheus.Metric {
	m, err := v.GetMetricWithLabelValues(values...)
	if err != nil {
		panic(err)
	}
	return m
}

// Counter is a value that only grows.
type Counter struct {
	prometheus.Metric
	value  prometheus.Counter
	source *source
	labels []Label
}

// Inc adds one.
func (c *Counter) Inc() {
	c.value.Inc()
	c.source.told(c.labels, Increment, 1)
}

// Add adds n, which is not negative.
func (c *Counter) Add(n float64) {
	c.value.Add(n)
	c.source.told(c.labels, Increment, n)
}

// CounterVec are counters that differ in their labels.
type CounterVec struct{ values *prometheus.MetricVec }

// Counters makes counters with labels.
func (r *Registry) Counters(name, help string, labels ...string) *CounterVec {
	inner := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: r.constant()}, labels)
	return &CounterVec{r.vector(Info{Name: name, Kind: KindCounter, Help: help, Labels: labels}, func(s *source, l []Label, values []string) prometheus.Metric {
		c := inner.WithLabelValues(values...)
		return &Counter{c, c, s, l}
	})}
}

// Collect tells the values there are.
func (v *CounterVec) Collect(to chan<- prometheus.Metric) { v.values.Collect(to) }

// WithLabelValues is the counter that has the labels.
func (v *CounterVec) WithLabelValues(values ...string) *Counter {
	return valueOf(v.values, values).(*Counter)
}

// Counter makes a counter without labels.
func (r *Registry) Counter(name, help string) *Counter {
	return r.Counters(name, help).WithLabelValues()
}

// Gauge is a value that goes up and down.
type Gauge struct {
	prometheus.Metric
	value  prometheus.Gauge
	source *source
	labels []Label
}

// Set replaces the value.
func (g *Gauge) Set(n float64) {
	g.value.Set(n)
	g.source.told(g.labels, Set, n)
}

// Inc adds one.
func (g *Gauge) Inc() {
	g.value.Inc()
	g.source.told(g.labels, Increase, 1)
}

// Dec takes one.
func (g *Gauge) Dec() {
	g.value.Dec()
	g.source.told(g.labels, Decrease, 1)
}

// Add adds n.
func (g *Gauge) Add(n float64) {
	g.value.Add(n)
	g.source.told(g.labels, Increase, n)
}

// Sub takes n.
func (g *Gauge) Sub(n float64) {
	g.value.Sub(n)
	g.source.told(g.labels, Decrease, n)
}

// GaugeVec are gauges that differ in their labels.
type GaugeVec struct {
	values *prometheus.MetricVec
	inner  *prometheus.GaugeVec
}

// Gauges makes gauges with labels.
func (r *Registry) Gauges(name, help string, labels ...string) *GaugeVec {
	inner := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: r.constant()}, labels)
	return &GaugeVec{inner: inner, values: r.vector(Info{Name: name, Kind: KindGauge, Help: help, Labels: labels}, func(s *source, l []Label, values []string) prometheus.Metric {
		g := inner.WithLabelValues(values...)
		return &Gauge{g, g, s, l}
	})}
}

// Collect tells the values there are.
func (v *GaugeVec) Collect(to chan<- prometheus.Metric) { v.values.Collect(to) }

// WithLabelValues is the gauge that has the labels.
func (v *GaugeVec) WithLabelValues(values ...string) *Gauge {
	return valueOf(v.values, values).(*Gauge)
}

// Delete removes the gauge that has the labels: nothing is known of it any more.
func (v *GaugeVec) Delete(values ...string) {
	v.values.DeleteLabelValues(values...)
	v.inner.DeleteLabelValues(values...)
}

// Gauge makes a gauge without labels.
func (r *Registry) Gauge(name, help string) *Gauge { return r.Gauges(name, help).WithLabelValues() }

// Histogram counts values by size.
type Histogram struct {
	prometheus.Metric
	value  prometheus.Observer
	source *source
	labels []Label
}

// Observe adds a value.
func (h *Histogram) Observe(n float64) {
	h.value.Observe(n)
	h.source.told(h.labels, Observe, n)
}

// HistogramVec are histograms that differ in their labels.
type HistogramVec struct{ values *prometheus.MetricVec }

// Histograms makes histograms with labels. The buckets are upper bounds.
func (r *Registry) Histograms(name, help string, buckets []float64, labels ...string) *HistogramVec {
	inner := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: r.constant(), Buckets: buckets}, labels)
	return &HistogramVec{r.vector(Info{Name: name, Kind: KindHistogram, Help: help, Labels: labels, Buckets: buckets}, func(s *source, l []Label, values []string) prometheus.Metric {
		h := inner.WithLabelValues(values...)
		return &Histogram{h.(prometheus.Metric), h, s, l}
	})}
}

// WithLabelValues is the histogram that has the labels.
func (v *HistogramVec) WithLabelValues(values ...string) *Histogram {
	return valueOf(v.values, values).(*Histogram)
}

// Histogram makes a histogram without labels.
func (r *Registry) Histogram(name, help string, buckets []float64) *Histogram {
	return r.Histograms(name, help, buckets).WithLabelValues()
}
