//go:build linux

package loadgen

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Publish publishes as fast as answers come, to channels without subscribers:
// the cost of the HTTP API alone.
type Publish struct {
	// Publishers is how many connections publish. Default 8, at most 99.
	Publishers int
	// Batch is the number of events in one batch_events request, up to 10; with
	// 0 each event is a request to events.
	Batch int
	// Payload is the size of the events' data in bytes. Default 100, at most 10,000.
	Payload int
	// Warm passes before the measurement, Measure is its length; at most a minute each.
	Warm, Measure time.Duration
}

// Run implements Scenario.
func (o Publish) Run(ctx context.Context, target Target) (Result, error) {
	setDefault(&o.Publishers, 8)
	setDefault(&o.Payload, 100)
	if err := errors.Join(
		checkBounds(
			bounded{"publishers", o.Publishers, 1, maxPublishers},
			bounded{"batch", o.Batch, 0, 10},
			bounded{"payload", o.Payload, 1, maxPayload},
		),
		checkPhases(o.Warm, o.Measure),
	); err != nil {
		return Result{}, err
	}
	if _, err := target.sockaddr(); err != nil {
		return Result{}, err
	}
	var count atomic.Int64
	var measuring atomic.Bool
	latencies := make([]histogram, o.Publishers)
	p := newPublishing(target, o.Publishers, channelNames("bench-", o.Publishers), o.Payload)
	defer p.stop()
	p.start(ctx, func(ctx context.Context, l *lane) error {
		start := time.Now()
		n, err := o.send(ctx, l, start)
		if err == nil && measuring.Load() {
			count.Add(int64(n))
			latencies[l.index].add(time.Since(start).Nanoseconds())
		}
		return err
	})
	r, err := o.measure(ctx, target, &measuring, &count)
	if err != nil {
		return Result{}, err
	}
	p.stop()
	for i := range latencies[1:] {
		latencies[0].merge(&latencies[i+1])
	}
	r.setLatency(&latencies[0])
	p.addFaults(&r.Faults)
	return r, ctx.Err()
}

// send makes one request on the lane's own channel and says how many events
// were in it.
func (o Publish) send(ctx context.Context, l *lane, due time.Time) (int, error) {
	if o.Batch > 0 {
		return o.Batch, l.publishBatch(ctx, l.index, o.Batch, due)
	}
	return 1, l.publish(ctx, l.index, noSlot, due)
}

func (o Publish) measure(ctx context.Context, target Target, measuring *atomic.Bool, count *atomic.Int64) (Result, error) {
	rest(ctx, o.Warm)
	from, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	measuring.Store(true)
	rest(ctx, o.Measure)
	to, err := takeSample(target)
	to.count = count.Load()
	measuring.Store(false)
	if err != nil {
		return Result{}, err
	}
	return between("events", from, to), nil
}
