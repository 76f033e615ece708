package console

import (
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// beat is the time between two pulses of a stream. They show that it lives.
const beat = time.Second

// Pulse is how a hub is doing at a moment, and what has happened in each second since the
// pulse before.
type Pulse struct {
	At time.Time `json:"at"`
	// Connections are those that are open.
	Connections float64 `json:"connections"`
	// The rates are in one second.
	Opened      float64 `json:"opened"`
	Closed      float64 `json:"closed"`
	MessagesIn  float64 `json:"messages_in"`
	MessagesOut float64 `json:"messages_out"`
	Calls       float64 `json:"calls"`
	BytesIn     float64 `json:"bytes_in"`
	BytesOut    float64 `json:"bytes_out"`
	Limited     float64 `json:"limited"`
	Errors      float64 `json:"errors"`
	Dropped     float64 `json:"dropped"`
}

// reading is what was counted at a moment.
type reading struct {
	at     time.Time
	counts realtime.Counts
}

// pulses are the newest readings, by app, so that many pages cost no more than one.
type pulses struct {
	mu       sync.Mutex
	readings map[string]reading
}

// read counts again, unless somebody just has.
func (p *pulses) read(hub *realtime.Hub, app string) reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if r, ok := p.readings[app]; ok && now.Sub(r.at) < beat/2 {
		return r
	}
	if len(p.readings) > 100 || p.readings == nil {
		p.readings = map[string]reading{}
	}
	r := reading{now, hub.Counts(app)}
	p.readings[app] = r
	return r
}

// since makes a pulse of two readings.
func (r reading) since(before reading) Pulse {
	seconds := r.at.Sub(before.at).Seconds()
	rate := func(now, then float64) float64 {
		if seconds <= 0 {
			return 0
		}
		return max(now-then, 0) / seconds
	}
	n, b := &r.counts, &before.counts
	return Pulse{
		At: r.at, Connections: n.Connections,
		Opened: rate(n.Opened, b.Opened), Closed: rate(n.Closed, b.Closed),
		MessagesIn: rate(n.MessagesIn, b.MessagesIn), MessagesOut: rate(n.MessagesOut, b.MessagesOut), Calls: rate(n.Calls, b.Calls),
		BytesIn: rate(n.BytesIn, b.BytesIn), BytesOut: rate(n.BytesOut, b.BytesOut),
		Limited: rate(n.Limited, b.Limited), Errors: rate(n.Errors, b.Errors), Dropped: rate(n.Dropped, b.Dropped),
	}
}
