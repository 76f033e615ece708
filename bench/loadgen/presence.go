//go:build linux

package loadgen

import (
	"context"
	"errors"
	"time"
)

// Presence lets members join one presence channel as fast as the server takes
// them. Every join is told to every earlier member, so n members cause
// n(n-1)/2 events. At the end each subscriber must know every member, and must
// have heard of none of them twice.
type Presence struct {
	// Members is how many join, 1 to 2,000.
	Members int
	// Opening is how many may be on their way at once. Default 100.
	Opening int
	// Patience is how long the end waits for missing events after the last one
	// that came. Default 2 seconds, at most a minute.
	Patience time.Duration
}

// Run implements Scenario.
func (o Presence) Run(ctx context.Context, target Target) (Result, error) {
	setDefault(&o.Opening, 100)
	setDefault(&o.Patience, defaultPatience)
	if err := errors.Join(
		checkBounds(bounded{"members", o.Members, 1, 2000}, bounded{"opening", o.Opening, 1, 1000}),
		checkPhases(o.Patience),
	); err != nil {
		return Result{}, err
	}
	before, err := takeSample(target)
	if err != nil {
		return Result{}, err
	}
	s, err := startSwarm(target, swarmOptions{
		connections: o.Members, opening: o.Opening, channels: channelNames("presence-bench-", 1),
	})
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	s.awaitReady(ctx)
	var after sample // taken at the instant the last event is there
	s.drain(ctx, o.Patience, func(t *tally) (int64, bool) {
		complete := s.rostersComplete()
		if complete && after.at.IsZero() {
			after, err = takeSample(target)
		}
		return t.memberEvents, complete
	})
	if err == nil && after.at.IsZero() {
		after, err = takeSample(target)
	}
	if err != nil {
		return Result{}, err
	}
	s.stop()

	after.count, after.reads, after.bytes = int64(s.tally.ready), s.tally.reads, s.tally.bytes
	r := between("joins", before, after)
	r.setLatency(&s.tally.openings)
	r.Faults = s.faults()
	for _, c := range s.sessions {
		r.Faults.Lost += int64(o.Members - c.roster.count)
	}
	return r, ctx.Err()
}

// rostersComplete reports whether all subscribers know all members.
func (s *swarm) rostersComplete() bool {
	for _, c := range s.sessions {
		if c.roster.count < s.connections {
			return false
		}
	}
	return true
}
