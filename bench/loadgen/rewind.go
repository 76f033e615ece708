//go:build linux

package loadgen

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Rewind publishes events to a channel that keeps them, and then lets V2 subscribers
// come all at once, each of whom asks for those events as it subscribes (section 6.7).
// What is measured is the time from the first connect until the last one is told that
// it has everything.
type Rewind struct {
	// Subscribers is the number of connections.
	Subscribers int
	// Events is how many there are, and how many each asks for. Default 50, at most 100.
	Events int
	// Plain leaves the rewind out: what subscribing costs by itself.
	Plain bool
	// Payload is the size of the events' data in bytes. Default 100, at most 10,000.
	Payload int
	// Patience is how long the server may take to be idle after the publishes. Default 10
	// seconds, at most a minute.
	Patience time.Duration
}

// Run implements Scenario.
func (o Rewind) Run(ctx context.Context, target Target) (Result, error) {
	setDefault(&o.Events, 50)
	setDefault(&o.Payload, 100)
	setDefault(&o.Patience, 10*time.Second)
	if err := errors.Join(
		checkBounds(
			bounded{"subscribers", o.Subscribers, 1, maxConnections},
			bounded{"events", o.Events, 1, 100},
			bounded{"payload", o.Payload, 1, maxPayload},
		),
		checkPhases(o.Patience),
	); err != nil {
		return Result{}, err
	}
	if _, err := target.sockaddr(); err != nil {
		return Result{}, err
	}
	channels := channelNames("bench-", 1)
	past := newPublishing(target, 1, channels, form{payload: o.Payload})
	if err := publishToAll(ctx, past.lanes[0], o.Events); err != nil {
		return Result{}, err
	}
	if err := awaitIdle(ctx, target, o.Patience); err != nil {
		return Result{}, err
	}
	options := swarmOptions{connections: o.Subscribers, opening: o.Subscribers, channels: channels, dialect: V2JSON, lanes: 1}
	if o.Plain {
		past = newPublishing(target, 1, channels, form{}) // nobody is to get anything
		return comeAtOnce(ctx, target, options, past, "subscriptions")
	}
	options.rewinds = true
	options.members = func(int) string { return `"rewind":` + strconv.Itoa(o.Events) }
	return comeAtOnce(ctx, target, options, past, "rewinds")
}
