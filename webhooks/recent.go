package webhooks

import (
	"slices"
	"time"
)

// maxRecent is the number of attempts that a Board remembers.
const maxRecent = 200

// Attempt is one request that was sent to an endpoint, by this node.
type Attempt struct {
	// At is when it ended.
	At time.Time `json:"at"`
	// App is the id of the endpoint's app, Endpoint names it, and Place is its host or function.
	App      string `json:"app_id"`
	Endpoint string `json:"endpoint"`
	Place    string `json:"place"`
	// Outcome is "delivered", "refused" by a receiver that wants it never again, or "failed".
	Outcome string `json:"outcome"`
	// Reason says why it was not delivered.
	Reason string `json:"reason,omitempty"`
	// Seconds is how long it has taken.
	Seconds float64 `json:"seconds"`
}

// outcomes are those that are remembered.
var outcomes = map[verdict]string{delivered: "delivered", refused: "refused", failed: "failed"}

// rememberLocked keeps an attempt, and forgets the oldest.
func (b *Board) rememberLocked(app string, e *endpoint, r result, took time.Duration) {
	outcome, ok := outcomes[r.verdict]
	if !ok {
		return
	}
	if len(b.recent) >= maxRecent {
		b.recent = slices.Delete(b.recent, 0, len(b.recent)-maxRecent+1)
	}
	b.recent = append(b.recent, Attempt{b.now(), app, e.name, e.place(), outcome, r.reason, took.Seconds()})
}

// Recent are the newest attempts to reach endpoints of an app, or of all if app is "", newest
// first.
func (b *Board) Recent(app string) []Attempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	recent := []Attempt{}
	for _, a := range slices.Backward(b.recent) {
		if app == "" || a.App == app {
			recent = append(recent, a)
		}
	}
	return recent
}
