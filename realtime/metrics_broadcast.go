package realtime

import (
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// milliseconds are the buckets of latencies (configuration 6.7).
var milliseconds = []float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000}

// sizes are the labels of how many get an event: up to ten, a hundred, a thousand,
// ten thousand, and more.
var sizes = [...]string{"xs", "sm", "md", "lg", "xl"}

// flight is what is known of an event on its way to the sockets of this node.
type flight struct {
	// begun is when it came here, by sinceStart, or zero for what is not measured.
	begun time.Duration
	// open are the parts that have not written it yet, and the publisher while it
	// hands the event to them.
	open       atomic.Int32
	recipients int
	kind       protocol.Kind
}

// sinceStart is the time since the process began. It never jumps.
func sinceStart() time.Duration { return time.Since(started) }

// depart says that an event of a channel is handed to parts from now on, and landed
// has to be called once more than there are parts.
func (m *message) depart(ch *channel, recipients int) {
	if m.event {
		m.flight.kind, m.flight.recipients = ch.info.Kind, recipients
		m.flight.open.Add(1)
	}
}

// boarded says that a part has the message.
func (m *message) boarded() {
	if m.event {
		m.flight.open.Add(1)
	}
}

// landed says that a part has written the message to its sockets. The last one
// measures how long it has taken: once for an event, whoever gets it.
func (m *message) landed(a *App) {
	if m.event && m.flight.open.Add(-1) == 0 && m.flight.begun > 0 && m.flight.recipients > 0 {
		took := sinceStart() - m.flight.begun
		a.meter.latencyOf(m.flight.kind, m.flight.recipients).Observe(float64(took) / float64(time.Millisecond))
	}
}

// latencies are histograms of one app, looked up once each.
type latencies [4][len(sizes)]atomic.Pointer[meter.Histogram]

// latencyOf is the histogram of events of one kind of channel that so many get.
func (a *appMeter) latencyOf(k protocol.Kind, recipients int) *meter.Histogram {
	size := 0
	for most := 10; recipients > most && size < len(sizes)-1; most *= 10 {
		size++
	}
	held := &a.latency[k][size]
	h := held.Load()
	if h == nil {
		h = a.m.latency.WithLabelValues(a.app, k.String(), sizes[size])
		held.Store(h)
	}
	return h
}
