// Package meter makes the metrics of a hub: those of the Prometheus client, with
// one hook beside each of them, which a Recorder gets every change through. A
// change costs one atomic load more than the client's own while nobody records.
package meter

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// hubLabel is the label that all metrics of a hub have.
const hubLabel = "hub"

// fixed begins names that are complete: no prefix is put before them.
const fixed = "sockudo_"

// Kind is what a metric is.
type Kind uint8

// The kinds of metrics.
const (
	// KindCounter only grows.
	KindCounter Kind = iota
	// KindGauge goes up and down.
	KindGauge
	// KindHistogram counts values by size.
	KindHistogram
)

// String is the word of Prometheus for the kind.
func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Info describes a metric.
type Info struct {
	// Name is that of the metric without the prefix of a configuration: FullName
	// makes the one that operators see.
	Name string
	Kind Kind
	Help string
	// Unit is bytes, seconds or milliseconds, or empty.
	Unit string
	// Labels are the names of those that differ within the metric. All metrics have
	// the label hub besides.
	Labels []string
	// Buckets are the upper bounds of a histogram.
	Buckets []float64
}

// FullName is the name of a metric under the prefix of a configuration. Those that
// begin with sockudo_ as they are have no other.
func FullName(prefix, name string) string {
	if strings.HasPrefix(name, fixed) {
		return name
	}
	return prefix + name
}

// Label is a name and a value.
type Label struct{ Name, Value string }

// Op is what happens to a value.
type Op uint8

// The operations.
const (
	// Increment adds to a counter.
	Increment Op = iota
	// Set replaces the value of a gauge.
	Set
	// Increase adds to a gauge.
	Increase
	// Decrease takes from a gauge.
	Decrease
	// Observe adds a value to a histogram.
	Observe
)

// Recorder is told of every change of a metric, by the goroutine that makes it:
// Record must not block, and must not keep or change the labels. The name has no
// prefix. Metrics that are only computed when they are asked for do not change.
type Recorder interface {
	Record(name string, labels []Label, op Op, value float64)
}

// Registry makes the metrics of one hub and knows them all. Metrics are made once
// and registered with each configuration, so they keep their values over a reload.
type Registry struct {
	hub      string
	recorder atomic.Pointer[Recorder]

	mu    sync.Mutex
	infos []Info
	all   []collector
}

// collector has metrics that all take the prefix of a configuration, or none of
// which does.
type collector struct {
	prometheus.Collector
	fixed bool
}

// NewRegistry makes the Registry of a hub.
func NewRegistry(hub string) *Registry { return &Registry{hub: hub} }

// SetRecorder says who is told of changes from now on, nil for nobody.
func (r *Registry) SetRecorder(to Recorder) {
	if to == nil {
		r.recorder.Store(nil)
		return
	}
	r.recorder.Store(&to)
}

// Infos describe all metrics, in the order in which they were made.
func (r *Registry) Infos() []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.infos)
}

// Register adds all metrics to the registry of a configuration, under its prefix.
func (r *Registry) Register(to prometheus.Registerer, prefix string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	prefixed := prometheus.WrapRegistererWithPrefix(prefix, to)
	for _, c := range r.all {
		registerer := prefixed
		if c.fixed {
			registerer = to
		}
		if err := registerer.Register(c.Collector); err != nil {
			return err
		}
	}
	return nil
}

// Desc describes a metric that a collector of its own computes when it is asked
// for. The collector has to be added with Collect.
func (r *Registry) Desc(kind Kind, name, help string, labels ...string) *prometheus.Desc {
	r.describe(Info{Name: name, Kind: kind, Help: help, Labels: labels})
	return prometheus.NewDesc(name, help, labels, r.constant())
}

// Collect adds a collector of the caller's whose metrics Desc has described. Names
// that begin with sockudo_ and others need different collectors.
func (r *Registry) Collect(c prometheus.Collector) {
	descriptions := make(chan *prometheus.Desc, 64)
	go func() {
		defer close(descriptions)
		c.Describe(descriptions)
	}()
	complete := false
	for d := range descriptions {
		complete = strings.Contains(d.String(), `fqName: "`+fixed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, collector{c, complete})
}

// GaugeFunc adds a gauge that is computed when it is asked for.
func (r *Registry) GaugeFunc(name, help string, value func() float64) {
	r.describe(Info{Name: name, Kind: KindGauge, Help: help})
	r.Collect(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: r.constant()}, value))
}

func (r *Registry) constant() prometheus.Labels { return prometheus.Labels{hubLabel: r.hub} }

func (r *Registry) describe(i Info) {
	i.Unit = unitOf(i.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.infos = append(r.infos, i)
}

// unitOf is the unit of a metric by its name, as Prometheus names metrics.
func unitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	switch {
	case strings.HasSuffix(name, "_ms"), strings.HasSuffix(name, "_resolve_time"):
		return "milliseconds"
	case strings.HasSuffix(name, "_seconds"):
		return "seconds"
	case strings.HasSuffix(name, "bytes"):
		return "bytes"
	}
	return ""
}
