package push

import (
	"cmp"
	"slices"
	"time"
)

// LaneView says how a provider is doing with one set of credentials of an app, as this node
// has met it.
type LaneView struct {
	// App is the id of the app.
	App string `json:"app_id"`
	// Provider is the name of the provider.
	Provider Kind `json:"provider"`
	// Breaker is closed, open while nothing is sent, or half_open while few are tried.
	Breaker string `json:"breaker"`
	// OpenUntil is when it is tried again. It is absent unless the breaker is open.
	OpenUntil *time.Time `json:"open_until,omitempty"`
	// Failures are those in a row.
	Failures int `json:"failures"`
	// Running is the number of requests under way, and Limit the most that may be.
	Running int `json:"running"`
	Limit   int `json:"limit"`
}

// Lanes are those of an app, or of all if app is "".
func (b *Board) Lanes(app string) []LaneView {
	b.mu.Lock()
	lanes := make([]*lane, 0, len(b.lanes))
	for _, l := range b.lanes {
		if app == "" || l.app == app {
			lanes = append(lanes, l)
		}
	}
	b.mu.Unlock()
	views := make([]LaneView, len(lanes))
	for i, l := range lanes {
		views[i] = l.view(time.Now())
	}
	slices.SortFunc(views, func(x, y LaneView) int {
		return cmp.Or(cmp.Compare(x.App, y.App), cmp.Compare(x.Provider, y.Provider))
	})
	return views
}

func (l *lane) view(now time.Time) LaneView {
	l.mu.Lock()
	v := LaneView{App: l.app, Provider: l.kind, Breaker: "closed", Running: l.running, Limit: min(l.limit, l.most)}
	l.mu.Unlock()
	b := l.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	v.Failures = b.failures
	switch {
	case now.Before(b.until):
		until := b.until
		v.Breaker, v.OpenUntil = "open", &until
	case b.open:
		v.Breaker = "half_open"
	}
	return v
}
