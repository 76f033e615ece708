//go:build linux

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultPatience is how long without any news the end of a run waits for what
// is still under way.
const defaultPatience = 2 * time.Second

// Fanout publishes to channels with subscribers and counts every delivery.
//
// With a window the loop is closed: no more publishes are outstanding than the
// window has slots, each held until all subscribers of its channel have the
// message. A window of 1 leaves a server nothing to join; larger ones measure
// the most that it can do, while nothing can pile up without bound. With a rate
// the loop is open, and latency means something.
type Fanout struct {
	// Subscribers is the number of connections, a multiple of Channels.
	Subscribers int
	// Channels is how many channels they are spread over evenly. Default 1.
	Channels int
	// Window is the number of slots of a closed loop, up to 999.
	Window int
	// Rate is the number of publishes a second of an open loop; it excludes Window.
	Rate float64
	// Publishers is how many connections publish. Default 8, at most 99.
	Publishers int
	// Payload is the size of the events' data in bytes. Default 100, at most 10,000.
	Payload int
	// Record makes the data JSON of that size, in which few numbers change from one
	// event to the next; at least 89 bytes. Default: text without structure.
	Record bool
	// Tags are those of every publish, a JSON object. Default: none.
	Tags string
	// Dialect is what subscribers speak. Default: V1.
	Dialect Dialect
	// Members gives more members of a subscriber's subscribe data, as JSON without
	// braces. Default: none.
	Members func(number int) string
	// Delta says that subscribers get deltas. Events are then told by their number in
	// the delta sequence, and there is no latency. It needs one channel and V2JSON.
	Delta bool
	// Warm passes before the measurement, Measure is its length; at most a minute each.
	Warm, Measure time.Duration
	// Patience is how long the end waits for missing messages after the last one
	// that came. Default 2 seconds, at most a minute.
	Patience time.Duration
}

func (o Fanout) checked() (Fanout, error) {
	setDefault(&o.Channels, 1)
	setDefault(&o.Publishers, 8)
	setDefault(&o.Payload, 100)
	setDefault(&o.Patience, defaultPatience)
	if (o.Window > 0) == (o.Rate > 0) {
		return o, fmt.Errorf("%w: a fanout needs a window or a rate", errBounds)
	}
	if o.Delta && (o.Channels != 1 || o.Dialect != V2JSON) {
		return o, fmt.Errorf("%w: deltas need one channel and V2 in JSON", errBounds)
	}
	if o.Channels > 0 && o.Subscribers%o.Channels != 0 {
		return o, fmt.Errorf("%w: %d subscribers do not divide into %d channels", errBounds, o.Subscribers, o.Channels)
	}
	return o, errors.Join(
		checkBounds(
			bounded{"subscribers", o.Subscribers, 1, maxConnections},
			bounded{"channels", o.Channels, 1, maxChannels},
			bounded{"window", o.Window, 0, maxWindow},
			bounded{"rate", int(o.Rate), 0, 10_000},
			bounded{"publishers", o.Publishers, 1, maxPublishers},
			bounded{"payload", o.Payload, 1, maxPayload},
			bounded{"dialect", int(o.Dialect), 0, len(dialects) - 1},
		),
		checkPhases(o.Warm, o.Measure, o.Patience),
	)
}

func setDefault[T int | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// Run implements Scenario.
func (o Fanout) Run(ctx context.Context, target Target) (Result, error) {
	o, err := o.checked()
	if err != nil {
		return Result{}, err
	}
	channels := channelNames("bench-", o.Channels)
	options := o.swarm(channels)
	s, err := startSwarm(target, options)
	if err != nil {
		return Result{}, err
	}
	defer s.stop()
	s.awaitReady(ctx)

	p := newPublishing(target, o.Publishers, channels, form{payload: o.Payload, record: o.Record, tags: o.Tags})
	defer p.stop()
	if o.Window > 0 {
		p.start(ctx, p.closedLoop(options.window))
	} else {
		p.start(ctx, p.openLoop(o.Rate))
	}
	r, err := o.measure(ctx, target, s)
	if err != nil {
		return Result{}, err
	}
	p.stop()
	expected := p.accepted() * int64(o.Subscribers/o.Channels)
	s.drain(ctx, o.Patience, func(t *tally) (int64, bool) { return t.delivered, t.delivered >= expected })
	s.stop()

	r.setLatency(&s.tally.latency)
	r.Faults = s.faults()
	r.Faults.Lost, r.Faults.Diverged = s.account(p)
	p.addFaults(&r.Faults)
	return r, ctx.Err()
}

// swarm are the subscribers that the options ask for.
func (o Fanout) swarm(channels []string) swarmOptions {
	s := swarmOptions{
		connections: o.Subscribers, opening: 200, channels: channels, lanes: o.Publishers,
		dialect: o.Dialect, members: o.Members, deltas: o.Delta,
	}
	if o.Delta {
		s.lanes = 1 // which one published is not to be seen
	}
	if o.Window > 0 {
		s.window = newWindow(o.Window, o.Subscribers/o.Channels)
	}
	return s
}

// measure takes the samples at both ends of the measured time.
func (o Fanout) measure(ctx context.Context, target Target, s *swarm) (Result, error) {
	rest(ctx, o.Warm)
	from, err := s.sample(target, true)
	if err != nil {
		return Result{}, err
	}
	rest(ctx, o.Measure)
	to, err := s.sample(target, false)
	if err != nil {
		return Result{}, err
	}
	return between("deliveries", from, to), nil
}

// sample reads clocks and counters at one instant of the loop, and switches the
// recording of latency.
func (s *swarm) sample(target Target, measuring bool) (taken sample, err error) {
	s.call(func() {
		taken, err = takeSample(target)
		taken.count, taken.reads, taken.bytes = s.tally.delivered, s.tally.reads, s.tally.bytes
		s.tally.measuring = measuring
	})
	return taken, err
}

// drain waits until nothing is missing or, for as long as patience says, nothing
// has come; and then a little longer, for what should not come. Progress tells
// how much has come and whether it is all.
func (s *swarm) drain(ctx context.Context, patience time.Duration, progress func(*tally) (int64, bool)) {
	last, since := int64(-1), time.Now()
	s.await(ctx, maxPhase, func(t *tally) bool {
		come, complete := progress(t)
		if come != last {
			last, since = come, time.Now()
		}
		return complete || time.Since(since) > patience
	})
	rest(ctx, 100*time.Millisecond)
}

// account closes the books of a stopped swarm: the messages that are missing,
// and the subscribers with all messages in another order than most.
func (s *swarm) account(p *publishing) (lost, diverged int64) {
	orders := make(map[int]map[uint64]int64, len(s.channels)) // subscribers by order, by channel
	published := make([]uint32, s.lanes)
	for _, c := range s.sessions {
		clear(published)
		for i, l := range p.lanes {
			published[i%s.lanes] += l.published[c.channel]
		}
		if missing := c.ledger.lost(published); missing > 0 {
			lost += missing
			continue
		}
		if orders[c.channel] == nil {
			orders[c.channel] = make(map[uint64]int64, 1)
		}
		orders[c.channel][c.ledger.order]++
	}
	for _, counts := range orders {
		all, most := int64(0), int64(0)
		for _, n := range counts {
			all, most = all+n, max(most, n)
		}
		diverged += all - most
	}
	return lost, diverged
}
