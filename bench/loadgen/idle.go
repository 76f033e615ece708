//go:build linux

package loadgen

import (
	"context"
	"strconv"
	"time"
)

// Idle opens connections as fast as the server takes them and then leaves them
// alone. It measures the storm, connections opened and subscribed per CPU-second
// of the server, and the resident memory per connection once all is quiet. The
// memory is right only for a freshly started server.
type Idle struct {
	// Connections is how many are opened, 1 to 19,500.
	Connections int
	// Channels is over how many channels they are spread, each on one: 0 for no
	// subscription, at most Connections.
	Channels int
	// Opening is how many may be on their way at once. Default 200.
	Opening int
	// Dialect is what they speak. Default: V1.
	Dialect Dialect
	// Settle is the rest before memory is read, at most a minute.
	Settle time.Duration
}

// Run implements Scenario.
func (o Idle) Run(ctx context.Context, target Target) (Result, error) {
	if o.Opening == 0 {
		o.Opening = 200
	}
	if err := checkBounds(
		bounded{"connections", o.Connections, 1, maxConnections},
		bounded{"channels", o.Channels, 0, o.Connections},
		bounded{"opening", o.Opening, 1, maxConnections},
		bounded{"dialect", int(o.Dialect), 0, len(dialects) - 1},
	); err != nil {
		return Result{}, err
	}
	if err := checkPhases(o.Settle); err != nil {
		return Result{}, err
	}
	before, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	s, err := startSwarm(target, swarmOptions{
		connections: o.Connections, opening: o.Opening, channels: channelNames("bench-", o.Channels), dialect: o.Dialect,
	})
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	s.awaitReady(ctx)
	opened, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	rest(ctx, o.Settle)
	settled, err := target.usage()
	if err != nil {
		return Result{}, err
	}
	s.stop()

	opened.count, opened.reads, opened.bytes = int64(s.tally.ready), s.tally.reads, s.tally.bytes
	r := between("connections", before, opened)
	r.ServerRSS = settled.rss
	r.BytesPerConnection = ratio(float64(settled.rss-before.server.rss), float64(s.tally.ready))
	r.setLatency(&s.tally.openings)
	r.Faults = s.faults()
	return r, ctx.Err()
}

// channelNames are n names with a common prefix.
func channelNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return names
}

// rest sleeps, unless the context ends first.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// faults are those that a stopped swarm knows of by itself: all but what the
// publishers have to say.
func (s *swarm) faults() Faults {
	f := Faults{
		Repeated:  s.tally.again,
		Reordered: s.tally.late,
		Misrouted: s.tally.misrouted,
		Failed:    int64(s.connections - s.tally.ready - s.tally.dropped),
		Dropped:   int64(s.tally.dropped),
	}
	if s.tally.firstError != nil {
		f.First = s.tally.firstError.Error()
	}
	return f
}
