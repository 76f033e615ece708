//go:build linux

package loadgen

import (
	"context"
	"sync/atomic"
	"time"
)

// calls are HTTP calls that some connections make over and over.
type calls struct {
	unit          string
	units         int64 // of one call
	by            *publishing
	warm, measure time.Duration
	// one makes a call with a number of its own and returns, nil for none, what is to be
	// looked at when its time is taken.
	one func(ctx context.Context, l *lane, turn int64) (look func() error, err error)
}

// countCalls makes calls as fast as answers come.
func countCalls(ctx context.Context, target Target, c calls) (Result, error) {
	var count atomic.Int64
	var measuring atomic.Bool
	latencies := make([]histogram, len(c.by.lanes))
	defer c.by.stop()
	c.by.start(ctx, func(ctx context.Context, l *lane) error {
		turn := c.by.turn.Add(1) - 1
		start := time.Now()
		look, err := c.one(ctx, l, turn)
		if err == nil && measuring.Load() {
			count.Add(c.units)
			latencies[l.index].add(time.Since(start).Nanoseconds())
		}
		if err == nil && look != nil {
			err = look()
		}
		return err
	})
	r, err := c.measured(ctx, target, &measuring, &count)
	if err != nil {
		return Result{}, err
	}
	c.by.stop()
	for i := range latencies[1:] {
		latencies[0].merge(&latencies[i+1])
	}
	r.setLatency(&latencies[0])
	c.by.addFaults(&r.Faults)
	return r, ctx.Err()
}

// measured takes the samples at both ends of the measured time.
func (c calls) measured(ctx context.Context, target Target, measuring *atomic.Bool, count *atomic.Int64) (Result, error) {
	rest(ctx, c.warm)
	from, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	measuring.Store(true)
	rest(ctx, c.measure)
	to, err := takeSample(target)
	to.count = count.Load()
	measuring.Store(false)
	if err != nil {
		return Result{}, err
	}
	return between(c.unit, from, to), nil
}
