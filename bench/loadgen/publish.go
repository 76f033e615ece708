//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Publish publishes as fast as answers come, by itself to channels without
// subscribers: the cost of the HTTP API, and of what keeps the events.
type Publish struct {
	// Publishers is how many connections publish. Default 8, at most 99.
	Publishers int
	// Channels is how many channels they are spread over. Default: one for each.
	Channels int
	// Subscribers is the number of V2 subscribers, a multiple of Channels. Default: none.
	Subscribers int
	// Batch is the number of events in one batch_events request, up to 10; with
	// 0 each event is a request to events.
	Batch int
	// Payload is the size of the events' data in bytes. Default 100, at most 10,000.
	Payload int
	// Warm passes before the measurement, Measure is its length; at most a minute each.
	Warm, Measure time.Duration
}

func (o Publish) checked() (Publish, error) {
	setDefault(&o.Publishers, 8)
	setDefault(&o.Channels, o.Publishers)
	setDefault(&o.Payload, 100)
	if err := errors.Join(
		checkBounds(
			bounded{"publishers", o.Publishers, 1, maxPublishers},
			bounded{"channels", o.Channels, 1, maxPublishers},
			bounded{"subscribers", o.Subscribers, 0, maxConnections},
			bounded{"batch", o.Batch, 0, 10},
			bounded{"payload", o.Payload, 1, maxPayload},
		),
		checkPhases(o.Warm, o.Measure),
	); err != nil {
		return o, err
	}
	if o.Subscribers%o.Channels != 0 {
		return o, fmt.Errorf("%w: %d subscribers do not divide into %d channels", errBounds, o.Subscribers, o.Channels)
	}
	return o, nil
}

// Run implements Scenario.
func (o Publish) Run(ctx context.Context, target Target) (Result, error) {
	o, err := o.checked()
	if err != nil {
		return Result{}, err
	}
	if _, err := target.sockaddr(); err != nil {
		return Result{}, err
	}
	channels := channelNames("bench-", o.Channels)
	p := newPublishing(target, o.Publishers, channels, form{payload: o.Payload})
	publishes := calls{
		unit: "events", units: int64(max(o.Batch, 1)), by: p, warm: o.Warm, measure: o.Measure,
		one: func(ctx context.Context, l *lane, _ int64) (func() error, error) { return nil, o.send(ctx, l) },
	}
	if o.Subscribers == 0 {
		return countCalls(ctx, target, publishes)
	}
	s, err := startSwarm(target, swarmOptions{connections: o.Subscribers, opening: 200, channels: channels, dialect: V2JSON, lanes: o.Publishers})
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	s.awaitReady(ctx)
	r, err := countCalls(ctx, target, publishes)
	if err != nil {
		return Result{}, err
	}
	expected := p.accepted() * int64(o.Subscribers/o.Channels)
	s.drain(ctx, defaultPatience, func(t *tally) (int64, bool) { return t.delivered, t.delivered >= expected })
	s.stop()
	r.Faults = s.faults()
	r.Faults.Lost, r.Faults.Diverged = s.account(p)
	p.addFaults(&r.Faults)
	return r, ctx.Err()
}

// send makes one request on the lane's channel.
func (o Publish) send(ctx context.Context, l *lane) error {
	channel := l.index % o.Channels
	if o.Batch > 0 {
		return l.publishBatch(ctx, channel, o.Batch, time.Now())
	}
	return l.publish(ctx, channel, noSlot, time.Now())
}
