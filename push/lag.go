package push

import (
	"context"
	"sync"
	"time"
)

// stage is what waits in one queue.
type stage struct {
	queue string
	ready int
	// age is for how long the oldest of them has been ready, about.
	age time.Duration
}

// lagGauge knows how much waits to be done. It asks the queue once in a second at most.
type lagGauge struct {
	p *Pipeline

	mu     sync.Mutex
	at     time.Time
	stages []stage
	// since is when a queue that had something ready was last seen to do any of it.
	since map[string]time.Time
}

func newLagGauge(p *Pipeline) *lagGauge { return &lagGauge{p: p, since: map[string]time.Time{}} }

// done notes that a job has begun, which was to run at ready.
func (g *lagGauge) done(queue string, ready int64) {
	now := g.p.now()
	wait := max(now.Sub(time.UnixMilli(ready)), 0)
	g.p.board.Metrics.lag(queue, wait)
	g.mu.Lock()
	// The next one in line has become ready about then, too.
	g.since[queue] = now.Add(-wait)
	g.mu.Unlock()
}

// read tells what waits.
func (g *lagGauge) read(ctx context.Context) ([]stage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.p.now()
	if g.stages != nil && now.Sub(g.at) < time.Second {
		return g.stages, nil
	}
	queues := []string{queuePublishes}
	for _, kind := range Kinds {
		if g.p.active[kind] {
			queues = append(queues, queueDeliveries+kind.Key())
		}
	}
	stages := make([]stage, 0, len(queues))
	for _, queue := range queues {
		stats, err := g.p.settings.Queue.Stats(ctx, queue)
		if err != nil {
			return nil, err
		}
		s := stage{queue: queue, ready: stats.Ready}
		if stats.Ready == 0 || g.since[queue].IsZero() {
			g.since[queue] = now
		}
		s.age = now.Sub(g.since[queue])
		stages = append(stages, s)
	}
	g.at, g.stages = now, stages
	return stages, nil
}
