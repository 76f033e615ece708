//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errPosition means that the server has not told a subscriber where its channel
// stands, so that there is nothing to resume from.
var errPosition = errors.New("loadgen: no position to resume from")

// Resume cuts V2 subscribers off, publishes what they miss, and lets all of them
// come back at once: each connects, subscribes and asks for what it has missed
// (section 6.6). What is measured is the time from the first connect until the last
// one is told that it has everything.
type Resume struct {
	// Subscribers is the number of connections, a multiple of Channels.
	Subscribers int
	// Channels is how many channels they are spread over evenly. Default 1.
	Channels int
	// Missed is the number of events that each of them misses. Default 20, at most 100.
	Missed int
	// Payload is the size of the events' data in bytes. Default 100, at most 10,000.
	Payload int
	// Opening is how many may be on their way at once. Default: all.
	Opening int
	// Patience is how long the server may take to be idle after the cut. Default 10
	// seconds, at most a minute.
	Patience time.Duration
}

func (o Resume) checked() (Resume, error) {
	setDefault(&o.Channels, 1)
	setDefault(&o.Missed, 20)
	setDefault(&o.Payload, 100)
	setDefault(&o.Opening, o.Subscribers)
	setDefault(&o.Patience, 10*time.Second)
	if err := errors.Join(
		checkBounds(
			bounded{"subscribers", o.Subscribers, 1, maxConnections},
			bounded{"channels", o.Channels, 1, maxChannels},
			bounded{"missed", o.Missed, 1, 100},
			bounded{"payload", o.Payload, 1, maxPayload},
			bounded{"opening", o.Opening, 1, maxConnections},
		),
		checkPhases(o.Patience),
	); err != nil {
		return o, err
	}
	if o.Subscribers%o.Channels != 0 {
		return o, fmt.Errorf("%w: %d subscribers do not divide into %d channels", errBounds, o.Subscribers, o.Channels)
	}
	return o, nil
}

// Run implements Scenario.
func (o Resume) Run(ctx context.Context, target Target) (Result, error) {
	o, err := o.checked()
	if err != nil {
		return Result{}, err
	}
	options := swarmOptions{
		connections: o.Subscribers, opening: 200, channels: channelNames("bench-", o.Channels), dialect: V2JSON,
	}
	if options.positions, err = cutOff(ctx, target, options); err != nil {
		return Result{}, err
	}
	missed := newPublishing(target, 1, options.channels, form{payload: o.Payload})
	if err := publishToAll(ctx, missed.lanes[0], o.Missed); err != nil {
		return Result{}, err
	}
	if err := awaitIdle(ctx, target, o.Patience); err != nil {
		return Result{}, err
	}
	options.opening, options.lanes = o.Opening, 1
	return comeAtOnce(ctx, target, options, missed, "resumes")
}

// cutOff opens the subscribers, ends all of them with a reset, and returns how far
// each had come.
func cutOff(ctx context.Context, target Target, options swarmOptions) ([]position, error) {
	s, err := startSwarm(target, options)
	if err != nil {
		return nil, err
	}
	s.awaitReady(ctx)
	s.stop()
	if s.tally.ready < s.connections {
		return nil, fmt.Errorf("loadgen: only %d of %d have subscribed: %w", s.tally.ready, s.connections, s.tally.firstError)
	}
	positions := make([]position, s.connections)
	for i, c := range s.sessions {
		if c.position.stream == "" {
			return nil, fmt.Errorf("%w: connection %d", errPosition, i)
		}
		positions[i] = c.position
	}
	return positions, nil
}

// publishToAll sends so many events to each channel in turn.
func publishToAll(ctx context.Context, l *lane, events int) error {
	defer l.close()
	for range events {
		for channel := range l.channels {
			if err := l.publish(ctx, channel, noSlot, time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitIdle waits until the server has done what a cut or a publish causes, so that
// it is not charged to what follows: until it takes less than a twentieth of a core.
func awaitIdle(ctx context.Context, target Target, patience time.Duration) error {
	const look = 250 * time.Millisecond
	last, err := target.usage()
	for deadline := time.Now().Add(patience); err == nil && ctx.Err() == nil && time.Now().Before(deadline); {
		rest(ctx, look)
		var now usage
		if now, err = target.usage(); now.cpu-last.cpu < look/20 {
			break
		}
		last = now
	}
	return errors.Join(err, ctx.Err())
}

// comeAtOnce opens subscribers, who are all to get what has been published before they
// are ready.
func comeAtOnce(ctx context.Context, target Target, options swarmOptions, before *publishing, unit string) (Result, error) {
	from, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	s, err := startSwarm(target, options)
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	var after sample // taken at the instant the last one is back
	s.await(ctx, maxPhase, func(t *tally) bool {
		complete := t.ready+t.failed+t.dropped >= s.connections
		if complete {
			after, err = takeSample(target)
			after.count, after.reads, after.bytes = int64(t.ready), t.reads, t.bytes
		}
		return complete
	})
	if err == nil && after.at.IsZero() {
		after, err = takeSample(target)
	}
	if err != nil {
		return Result{}, err
	}
	rest(ctx, 200*time.Millisecond) // for what should not come
	s.stop()

	r := between(unit, from, after)
	r.setLatency(&s.tally.openings)
	r.Faults = s.faults()
	r.Faults.Lost, r.Faults.Diverged = s.account(before)
	return r, ctx.Err()
}
