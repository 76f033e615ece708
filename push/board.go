package push

import (
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Board is what the pipelines of a hub know of providers. A reload keeps it.
type Board struct {
	// Metrics count what all pipelines do.
	Metrics *Metrics

	brake brake
	fair  fair

	mu    sync.Mutex
	links map[string]*link
	lanes map[string]*lane
}

// NewBoard makes the Board of a hub, with its metrics in the hub's registry.
func NewBoard(r *meter.Registry) *Board {
	return &Board{Metrics: newMetrics(r), links: map[string]*link{}, lanes: map[string]*lane{}}
}

// link is the sender with a name, which is made if there is none.
func (b *Board) link(name string, connect func() (Sender, error)) (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.links[name]
	if l == nil {
		sender, err := connect()
		if err != nil {
			return nil, err
		}
		l = &link{name: name, sender: sender}
		b.links[name] = l
	}
	l.refs++
	return l, nil
}

// giveBack takes back what a pipeline has had.
func (b *Board) giveBack(links map[string]*link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, l := range links {
		l.refs--
		l.unused = now
	}
}

// tidy closes senders that nobody has used for some time, or all that nobody uses.
func (b *Board) tidy(now time.Time, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, l := range b.links {
		if l.refs <= 0 && (all || now.Sub(l.unused) > idleLink) {
			delete(b.links, name)
			l.sender.Close()
		}
	}
}

// Close lets go of all connections. No pipeline runs any more.
func (b *Board) Close() { b.tidy(time.Now(), true) }

// laneOf is that of an app and its credentials.
func (b *Board) laneOf(kind Kind, app, link string, s *Settings) *lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := app + " " + link
	l := b.lanes[name]
	if l == nil {
		if len(b.lanes) >= maxLanes {
			clear(b.lanes)
		}
		l = &lane{breaker: new(breaker), metrics: b.Metrics, kind: kind, app: app, limit: laneStart, grown: s.Now()}
		b.lanes[name] = l
	}
	l.mu.Lock()
	l.most = s.Quotas.InFlight
	l.mu.Unlock()
	l.breaker.mu.Lock()
	l.breaker.settings = s.Breaker
	l.breaker.mu.Unlock()
	return l
}
