package eventstream

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Source is what a server listens to: the metrics of a hub.
type Source interface {
	// Infos are all metrics there are.
	Infos() []meter.Info
	// SetRecorder says who is told of operations, nil for nobody.
	SetRecorder(r meter.Recorder)
}

// Feed is a source of a server.
type Feed struct {
	server *Server
	source Source
	prefix string
	known  atomic.Pointer[catalog]
}

// catalog is the metrics of a feed. It is not changed any more.
type catalog struct {
	metrics map[string]metric // by name without prefix
	order   []string
}

// metric is what an event says of its metric.
type metric struct {
	name     string // with prefix
	kind     meter.Kind
	metadata []byte
}

// Attach adds a source, whose names get a prefix unless they are complete. Readers are
// told of its metrics, and of operations on them from now on.
func (s *Server) Attach(source Source, prefix string) *Feed {
	f := &Feed{server: s, source: source, prefix: prefix}
	f.known.Store(&catalog{})
	s.mu.Lock()
	if !s.closed {
		s.feeds = append(s.feeds, f)
	}
	s.mu.Unlock()
	f.Refresh()
	return f
}

// Refresh tells readers of metrics that the source has had since it was last asked.
func (f *Feed) Refresh() {
	next := &catalog{metrics: map[string]metric{}}
	for _, info := range f.source.Infos() {
		if _, twice := next.metrics[info.Name]; twice {
			continue
		}
		name := meter.FullName(f.prefix, info.Name)
		next.metrics[info.Name] = metric{name, info.Kind, metadataEvent(name, info)}
		next.order = append(next.order, info.Name)
	}
	s := f.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.feeds, f) {
		return // it has ended
	}
	_, before := s.metadata()
	f.known.Store(next)
	var more [][]byte
	all, _ := s.metadata()
	for _, m := range all {
		if !before[m.name] {
			more = append(more, m.metadata)
		}
	}
	for c := range s.clients {
		c.describe(more)
	}
	if len(s.clients) > 0 {
		f.source.SetRecorder(f)
	}
}

// Detach ends a feed. Its readers stay.
func (f *Feed) Detach() {
	s := f.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.feeds, f); i >= 0 {
		s.feeds = slices.Delete(s.feeds, i, i+1)
		f.source.SetRecorder(nil)
	}
}

// metadata describes the metrics of all feeds, each once. The caller holds mu.
func (s *Server) metadata() (all []metric, known map[string]bool) {
	known = map[string]bool{}
	for _, f := range s.feeds {
		catalog := f.known.Load()
		for _, short := range catalog.order {
			if m := catalog.metrics[short]; !known[m.name] {
				known[m.name] = true
				all = append(all, m)
			}
		}
	}
	return all, known
}

// Record is called by the source.
func (f *Feed) Record(name string, labels []meter.Label, op meter.Op, value float64) {
	m, ok := f.known.Load().metrics[name]
	if !ok {
		return
	}
	event, ok := metricEvent(operation{
		name: m.name, at: time.Now(), kind: m.kind, labels: labels, op: op, value: value,
	})
	if ok {
		f.server.inbound.put(event)
	}
}
