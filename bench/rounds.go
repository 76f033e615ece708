//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// runTimeout bounds one run of one scenario, whatever the server does.
const runTimeout = 3 * time.Minute

// singleRun is one scenario against one server in one round.
type singleRun struct {
	Round    int            `json:"round"`
	Scenario string         `json:"scenario"`
	Server   string         `json:"server"`
	Result   loadgen.Result `json:"result"`
}

// measure runs everything. Every run has a fresh process, and the two servers
// take turns within a scenario, so that a neighbour's noise meets both; every
// other round has them in the opposite order.
func measure(ctx context.Context, dir string, servers []server, cases []benchCase, rounds int) ([]singleRun, error) {
	var runs []singleRun
	for round := range rounds {
		order := slices.Clone(servers)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range cases {
			for _, s := range order {
				if c.oursOnly && s.name != oursName {
					continue
				}
				result, err := measureOne(ctx, dir, s, c)
				if err != nil {
					return nil, fmt.Errorf("%s against %s: %w", c.name, s.name, err)
				}
				runs = append(runs, singleRun{Round: round + 1, Scenario: c.name, Server: s.name, Result: result})
				report(runs[len(runs)-1], c)
			}
		}
	}
	return runs, nil
}

func measureOne(ctx context.Context, dir string, s server, c benchCase) (loadgen.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	p, err := s.start(ctx, dir)
	if err != nil {
		return loadgen.Result{}, err
	}
	defer p.stop()
	result, err := c.load.Run(ctx, p.target)
	if err != nil {
		p.stop()
		return result, fmt.Errorf("%w\n%s", err, tail(p.output.Bytes()))
	}
	return result, nil
}

// report shows the progress.
func report(run singleRun, c benchCase) {
	r := run.Result
	fmt.Fprintf(os.Stderr, "round %d  %-14s %-9s", run.Round, run.Scenario, run.Server)
	for _, f := range c.figures {
		fmt.Fprintf(os.Stderr, " %12s", decimal(f.value(r), f.digits))
	}
	fmt.Fprintf(os.Stderr, "   (server %.2f s CPU, generator %.2f, in %.2f s; writes %.2f, reads %.2f)",
		r.ServerCPUSeconds, r.ClientCPUSeconds, r.Seconds, r.WritesPerUnit, r.ReadsPerUnit)
	if r.Faults.Any() {
		fmt.Fprintf(os.Stderr, "  FAULTS: %s", r.Faults)
	}
	fmt.Fprintln(os.Stderr)
}

// writeJSON writes all runs with the machine they were made on.
func writeJSON(path string, runs []singleRun) error {
	text, err := json.MarshalIndent(map[string]any{
		"machine": describeMachine(),
		"time":    time.Now().UTC().Format(time.RFC3339),
		"runs":    runs,
	}, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // for everyone to read
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}
