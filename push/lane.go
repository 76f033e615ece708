package push

import (
	"context"
	"sync"
	"time"
)

const (
	laneStart, laneMost = 100, 10000
	// laneHalve is how long after being halved a lane is not again, and laneGrow how long
	// without a refusal it takes to get wider.
	laneHalve, laneGrow = 30 * time.Second, time.Minute
	// maxLanes bounds what a Board remembers.
	maxLanes = 10000
)

// lane bounds the requests under way with one set of credentials of one app. It gets
// narrower when the provider says that there are too many.
type lane struct {
	breaker *breaker
	metrics *Metrics
	kind    Kind
	app     string

	mu      sync.Mutex
	limit   int
	most    int
	running int
	waiting []chan struct{}
	halved  time.Time
	grown   time.Time
}

// enter waits until one more request may be under way.
func (l *lane) enter(ctx context.Context) (leave func(), err error) {
	for {
		l.mu.Lock()
		limit := min(l.limit, l.most)
		if half := l.breaker.limit(); half > 0 {
			limit = min(limit, half)
		}
		if l.running < limit {
			l.running++
			l.mu.Unlock()
			return l.leave, nil
		}
		turn := make(chan struct{})
		l.waiting = append(l.waiting, turn)
		l.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			l.forget(turn)
			return nil, ctx.Err()
		}
	}
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.nextLocked()
}

// nextLocked lets the one that has waited longest look again.
func (l *lane) nextLocked() {
	if len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}

// forget takes one out of the line. One whose turn has come gives it to the next.
func (l *lane) forget(turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.waiting {
		if other == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
	l.nextLocked()
}

// heard takes the result of an attempt.
func (l *lane) heard(now time.Time, r *Result) {
	// Anybody can register a web push endpoint that refuses everything.
	if own := l.kind == WebPush && r.Class == CredentialAuth; !own && l.breaker.heard(now, r) {
		l.metrics.breakerOpen.WithLabelValues(l.kind.Key(), l.metrics.app(l.app)).Inc()
	}
	l.metrics.breakerState.WithLabelValues(l.kind.Key(), l.metrics.app(l.app)).Set(l.breaker.state(now))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.Class == ProviderQuota && !r.DeviceOnly:
		if now.Sub(l.halved) >= laneHalve {
			l.limit, l.halved, l.grown = max(l.limit/2, 1), now, now
		}
		l.metrics.throttled.WithLabelValues(l.kind.Key(), l.metrics.app(l.app)).Inc()
	case now.Sub(l.grown) >= laneGrow && r.Outcome == Accepted:
		l.limit, l.grown = min(l.limit+1, laneMost), now
	case r.Outcome == Accepted:
		if l.limit < laneMost && l.running >= l.limit && l.halved.IsZero() {
			l.limit++ // nobody has ever said that it is too much
		}
	}
	l.nextLocked()
}
