// Package metered counts what queues do, whatever their driver (configuration 6.4).
package metered

import (
	"context"
	"sync"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// states are those of jobs in a queue, as labels.
var states = [...]string{"ready", "delayed", "active", "dead"}

// seconds are the buckets of durations.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// Queues are the metrics of all queues of a hub. Their names are complete: the prefix
// of a configuration is not theirs.
type Queues struct {
	enqueued, claimed, settled, replayed *meter.CounterVec
	depth                                *meter.GaugeVec
	processing, enqueue, batch           *meter.HistogramVec

	mu sync.Mutex
	// watched are the queues that somebody works, whose depth is known.
	watched map[watched]int
}

type watched struct{ backend, queue string }

// NewQueues makes the metrics in the registry of a hub.
func NewQueues(r *meter.Registry) *Queues {
	counter := func(name, help string, more ...string) *meter.CounterVec {
		return r.Counters("sockudo_queue_"+name, help, append([]string{"backend", "queue"}, more...)...)
	}
	histogram := func(name, help string) *meter.HistogramVec {
		return r.Histograms("sockudo_queue_"+name, help, seconds, "backend", "queue")
	}
	return &Queues{
		enqueued:   counter("enqueue_total", "Jobs that were pushed, by whether the queue had them already.", "outcome"),
		claimed:    counter("claimed_total", "Runs of jobs that this node has begun."),
		settled:    counter("settled_total", "Runs of jobs that have ended on this node, by what has become of the job.", "outcome"),
		replayed:   counter("dead_letter_replayed_total", "Jobs that had failed for good, and were put back."),
		depth:      r.Gauges("sockudo_queue_depth", "Jobs in the queue, as of some seconds ago, while this node works it.", "backend", "queue", "state"),
		processing: histogram("processing_duration_seconds", "Time of one run of a job."),
		enqueue:    histogram("enqueue_duration_seconds", "Time to push one job."),
		batch:      histogram("batch_enqueue_duration_seconds", "Time to push several jobs at once."),
		watched:    map[watched]int{},
	}
}

// watch keeps the depth of a queue known until stop is called as often as watch was.
func (m *Queues) watch(q *queue, name string) (stop func()) {
	key := watched{q.backend, name}
	m.mu.Lock()
	m.watched[key]++
	m.mu.Unlock()
	end := meter.Watch(func(ctx context.Context) {
		stats, err := q.Queue.Stats(ctx, name)
		if err != nil {
			m.forget(key)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.watched[key] == 0 {
			return // nobody works it any more
		}
		for i, n := range [...]int{stats.Ready, stats.Delayed, stats.Active, stats.Dead} {
			m.depth.WithLabelValues(q.backend, name, states[i]).Set(float64(n))
		}
	})
	return func() {
		end()
		m.mu.Lock()
		m.watched[key]--
		last := m.watched[key] == 0
		if last {
			delete(m.watched, key)
		}
		m.mu.Unlock()
		if last {
			m.forget(key)
		}
	}
}

// forget says that the depth of a queue is not known.
func (m *Queues) forget(key watched) {
	for _, state := range states {
		m.depth.Delete(key.backend, key.queue, state)
	}
}

// Wrap counts what is done with a queue of a backend, which is a driver's word in the
// configuration. The result can do what the queue can, but moving its jobs
// elsewhere: that is for whoever has the queue itself.
func (m *Queues) Wrap(backend string, inner storage.Queue) storage.Queue {
	q := &queue{Queue: inner, metrics: m, backend: backend}
	letters, keeps := inner.(storage.DeadLetters)
	aging, ages := inner.(storage.Aging)
	checker, checks := inner.(storage.Checker)
	dead := &deadLetters{letters, q}
	switch {
	case keeps && ages && checks:
		return struct {
			*queue
			*deadLetters
			storage.Aging
			storage.Checker
		}{q, dead, aging, checker}
	case keeps && ages:
		return struct {
			*queue
			*deadLetters
			storage.Aging
		}{q, dead, aging}
	case keeps && checks:
		return struct {
			*queue
			*deadLetters
			storage.Checker
		}{q, dead, checker}
	case keeps:
		return struct {
			*queue
			*deadLetters
		}{q, dead}
	case ages && checks:
		return struct {
			*queue
			storage.Aging
			storage.Checker
		}{q, aging, checker}
	case ages:
		return struct {
			*queue
			storage.Aging
		}{q, aging}
	case checks:
		return struct {
			*queue
			storage.Checker
		}{q, checker}
	}
	return q
}
