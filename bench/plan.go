//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// benchCase is one scenario and what is read from it.
type benchCase struct {
	name    string
	load    loadgen.Scenario
	figures []figure
	// oursOnly marks what the textbook server cannot do.
	oursOnly bool
}

// figure is one row of the table.
type figure struct {
	title string
	value func(loadgen.Result) float64
	// digits is the number of decimals shown.
	digits int
	// gate bounds the ratio ours/textbook: from above when lower is better,
	// else from below. 0 is no gate.
	gate  float64
	lower bool // lower is better
}

// length is how long the phases of a run take and how much memory runs open.
type length struct {
	warm, measure, paced, settle time.Duration
	idle, members                int
}

var (
	fullLength  = length{warm: time.Second, measure: 4 * time.Second, paced: 5 * time.Second, settle: 4 * time.Second, idle: 10_000, members: 1000}
	quickLength = length{warm: 300 * time.Millisecond, measure: 1500 * time.Millisecond, paced: 3 * time.Second, settle: 1500 * time.Millisecond, idle: 4000, members: 300}
)

// fan completes a fanout scenario with its phases.
func (n length) fan(o loadgen.Fanout) loadgen.Fanout {
	o.Warm, o.Measure = n.warm, n.measure
	if o.Rate > 0 {
		o.Measure = n.paced
	}
	return o
}

// plan is all that is measured. The quick plan leaves out what has no gate and
// says little that another scenario does not.
func plan(quick bool) []benchCase {
	if quick {
		return append(gatedCases(quickLength), costCases(quickLength)...)
	}
	cases := append(gatedCases(fullLength), costCases(fullLength)...)
	return append(cases, moreCases(fullLength)...)
}

// gatedCases are the scenarios with a bound on their ratio.
func gatedCases(n length) []benchCase {
	return []benchCase{
		{name: "idle", load: loadgen.Idle{Connections: n.idle, Channels: n.idle, Settle: n.settle}, figures: []figure{
			bytesPerConnection(fmt.Sprintf("%s idle connections, own channels: bytes each", grouped(n.idle)), .35),
			perCPU("connect and subscribe, own channels: connections per CPU-second", 0),
		}},
		{name: "paced-1000", load: n.fan(loadgen.Fanout{Subscribers: 1000, Rate: 20}), figures: []figure{
			perCPU("1 × 1,000, 20 publishes/s: deliveries per CPU-second", 1.25),
			p50("1 × 1,000, 20 publishes/s: latency p50, ms"),
			p99("1 × 1,000, 20 publishes/s: latency p99, ms"),
		}},
		{name: "window32-1000", load: n.fan(loadgen.Fanout{Subscribers: 1000, Window: 32}), figures: []figure{
			perCPU("1 × 1,000, window 32: deliveries per CPU-second", 4),
			perSecond("1 × 1,000, window 32: deliveries/s"),
		}},
		{name: "window32-5000", load: n.fan(loadgen.Fanout{Subscribers: 5000, Window: 32}), figures: []figure{
			perCPU("1 × 5,000, window 32: deliveries per CPU-second", 6),
			perSecond("1 × 5,000, window 32: deliveries/s"),
		}},
	}
}

// costCases are the scenarios whose cost lies elsewhere than in fanning out to
// one large channel.
func costCases(n length) []benchCase {
	requests := loadgen.Publish{Warm: n.warm, Measure: n.measure}
	batches := requests
	batches.Batch = 10
	many := loadgen.Fanout{Subscribers: 5000, Channels: 1000, Window: 64, Publishers: 16}
	return []benchCase{
		{name: "channels", load: n.fan(many), figures: []figure{
			perCPU("1,000 × 5, window 64: deliveries per CPU-second", 0),
		}},
		{name: "publish", load: requests, figures: []figure{
			perCPU("publish, no subscribers: events per CPU-second", 0),
			p99("publish, no subscribers: answer p99, ms"),
		}},
		{name: "batch", load: batches, figures: []figure{
			perCPU("batch_events of 10, no subscribers: events per CPU-second", 0),
		}},
		{name: "presence", load: loadgen.Presence{Members: n.members}, oursOnly: true, figures: []figure{
			perCPU(fmt.Sprintf("presence, %s members: joins per CPU-second", grouped(n.members)), 0),
		}},
	}
}

// moreCases round off the table.
func moreCases(n length) []benchCase {
	return []benchCase{
		{name: "idle-shared", load: loadgen.Idle{Connections: n.idle, Channels: 1, Settle: n.settle}, figures: []figure{
			bytesPerConnection(fmt.Sprintf("%s idle connections, one channel: bytes each", grouped(n.idle)), 0),
			perCPU("connect and subscribe, one channel: connections per CPU-second", 0),
		}},
		{name: "window1-1000", load: n.fan(loadgen.Fanout{Subscribers: 1000, Window: 1}), figures: []figure{
			perCPU("1 × 1,000, window 1: deliveries per CPU-second", 0),
		}},
		{name: "window1-5000", load: n.fan(loadgen.Fanout{Subscribers: 5000, Window: 1}), figures: []figure{
			perCPU("1 × 5,000, window 1: deliveries per CPU-second", 0),
		}},
		{name: "paced-5000", load: n.fan(loadgen.Fanout{Subscribers: 5000, Rate: 4}), figures: []figure{
			perCPU("1 × 5,000, 4 publishes/s: deliveries per CPU-second", 0),
			p99("1 × 5,000, 4 publishes/s: latency p99, ms"),
		}},
	}
}

func perCPU(title string, gate float64) figure {
	return figure{title: title, gate: gate, value: func(r loadgen.Result) float64 { return r.PerCPUSecond }}
}

func perSecond(title string) figure {
	return figure{title: title, value: func(r loadgen.Result) float64 { return r.PerSecond }}
}

func bytesPerConnection(title string, gate float64) figure {
	return figure{title: title, gate: gate, lower: true, value: func(r loadgen.Result) float64 { return r.BytesPerConnection }}
}

func p50(title string) figure {
	return figure{title: title, digits: 1, lower: true, value: func(r loadgen.Result) float64 { return r.P50 }}
}

func p99(title string) figure {
	return figure{title: title, digits: 1, lower: true, value: func(r loadgen.Result) float64 { return r.P99 }}
}

func names(cases []benchCase) []string {
	list := make([]string, len(cases))
	for i, c := range cases {
		list[i] = c.name
	}
	return list
}

// choose keeps the cases that a comma-separated list names, in the plan's order.
// An empty list names them all.
func choose(cases []benchCase, list string) ([]benchCase, error) {
	if list == "" {
		return cases, nil
	}
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if !slices.Contains(names(cases), name) {
			return nil, fmt.Errorf("unknown scenario %q, known here: %s", name, strings.Join(names(cases), ", "))
		}
	}
	return slices.DeleteFunc(cases, func(c benchCase) bool { return !slices.Contains(wanted, c.name) }), nil
}
