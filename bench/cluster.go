//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// clusterRest lets nodes hear of each other before the load begins.
const clusterRest = 4 * time.Second

// clusterHandler is that of a node. ADAPTER and PREFIX are replaced. Idempotency
// needs a shared cache, which is not what is measured.
const clusterHandler = `	sockudo {
		rate_limiter {
			enabled off
		}
		idempotency {
			enabled off
		}
		presence {
			max_members 2000
		}
		ADAPTER
		app app-id {
			key app-key
			secret app-secret
			enable_client_messages on
		}
	}`

// clusterAdapters are the engines by name, as the nodes are configured for them.
var clusterAdapters = map[string]string{
	"redis": "adapter redis {\n\t\t\thost 127.0.0.1\n\t\t\tport 6379\n\t\t\tprefix PREFIX\n\t\t}",
	"nats":  "adapter nats {\n\t\t\tservers nats://127.0.0.1:4222\n\t\t\tprefix PREFIX\n\t\t}",
}

// deployment is a number of nodes with an engine between them, or one without.
type deployment struct {
	engine string // empty for one node by itself
	nodes  int
}

func (d deployment) name() string {
	if d.engine == "" {
		return "one node"
	}
	return fmt.Sprintf("%s, %d nodes", d.engine, d.nodes)
}

// deployments are what is compared with the first of them.
func deployments() []deployment {
	return []deployment{{nodes: 1}, {"nats", 2}, {"nats", 3}, {"redis", 2}, {"redis", 3}}
}

// clusterPlan is what is measured of them. Publishes go to one node, so that their
// order is one; the subscribers are spread over all.
func clusterPlan(quick bool) []benchCase {
	n := fullLength
	if quick {
		n = quickLength
	}
	return []benchCase{
		{name: "paced-1000", load: n.fan(loadgen.Fanout{Subscribers: 1000, Rate: 20}), figures: []figure{
			perCPU("1 × 1,000, 20 publishes/s: deliveries per CPU-second", 0),
			p50("1 × 1,000, 20 publishes/s: latency p50, ms"),
			p99("1 × 1,000, 20 publishes/s: latency p99, ms"),
		}},
		{name: "window32-1000", load: n.fan(loadgen.Fanout{Subscribers: 1000, Window: 32}), figures: []figure{
			perCPU("1 × 1,000, window 32: deliveries per CPU-second", 0),
		}},
		{name: "channels", load: n.fan(loadgen.Fanout{Subscribers: 1000, Channels: 200, Rate: 200}), figures: []figure{
			perCPU("200 × 5, 200 publishes/s: deliveries per CPU-second", 0),
			p50("200 × 5, 200 publishes/s: latency p50, ms"),
			p99("200 × 5, 200 publishes/s: latency p99, ms"),
		}},
		{name: "presence", load: loadgen.Presence{Members: 300}, figures: []figure{
			perCPU("presence, 300 members join: joins per CPU-second", 0),
		}},
	}
}

// runCluster measures the deployments, one after the other within each scenario
// and round, and prints a table of ratios to the first.
func runCluster(ctx context.Context, o options, dir string) error {
	cases, err := choose(clusterPlan(o.quick), o.scenarios)
	if err != nil {
		return err
	}
	node := server{name: oursName, source: "./cmd/caddy"}
	if err := node.build(ctx, dir); err != nil {
		return err
	}
	var runs []singleRun
	for round := range o.rounds {
		for _, c := range cases {
			for _, d := range deployments() {
				result, err := measureCluster(ctx, dir, node, d, c)
				if err != nil {
					return fmt.Errorf("%s with %s: %w", c.name, d.name(), err)
				}
				runs = append(runs, singleRun{Round: round + 1, Scenario: c.name, Server: d.name(), Result: result})
				report(runs[len(runs)-1], c)
			}
		}
	}
	table := clusterTable(describeMachine(), cases, runs, o.rounds)
	fmt.Print(table)
	if o.markdown != "" {
		if err := os.WriteFile(o.markdown, []byte(table), 0o644); err != nil { //nolint:gosec // for everyone to read
			return fmt.Errorf("table: %w", err)
		}
	}
	if o.json != "" {
		return writeJSON(o.json, runs)
	}
	return nil
}

func measureCluster(ctx context.Context, dir string, s server, d deployment, c benchCase) (loadgen.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	adapter := strings.ReplaceAll(clusterAdapters[d.engine], "PREFIX", "bench-"+rand.Text()[:8]+"-")
	s.handler = strings.ReplaceAll(clusterHandler, "ADAPTER", adapter)
	var target loadgen.Target
	var nodes []*process
	defer func() {
		for _, p := range nodes {
			p.stop()
		}
	}()
	for i := range d.nodes {
		p, err := s.start(ctx, dir)
		if err != nil {
			return loadgen.Result{}, err
		}
		if nodes = append(nodes, p); i == 0 {
			target = p.target
		} else {
			target.Others = append(target.Others, loadgen.Node{Addr: p.target.Addr, PID: p.target.PID})
		}
	}
	if d.nodes > 1 {
		if err := pause(ctx, clusterRest); err != nil {
			return loadgen.Result{}, err
		}
	}
	return c.load.Run(ctx, target)
}

// clusterTable has a column for each deployment, with the ratio to the first.
func clusterTable(machine string, cases []benchCase, runs []singleRun, rounds int) string {
	var b strings.Builder
	all := deployments()
	fmt.Fprintf(&b, "| %s; medians of %d |", machine, rounds)
	for _, d := range all {
		fmt.Fprintf(&b, " %s |", d.name())
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(all)) + "\n")
	for _, c := range cases {
		for _, f := range c.figures {
			fmt.Fprintf(&b, "| %s |", f.title)
			for _, d := range all {
				fmt.Fprintf(&b, " %s%s |", cell(c, f, runs, d.name()), clusterRatio(c, f, runs, all[0].name(), d.name()))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("| messages lost / repeated / reordered, all runs |")
	for _, d := range all {
		fmt.Fprintf(&b, " %s |", deliveryCell(runs, d.name()))
	}
	return b.String() + "\n"
}

// clusterRatio is the median of the ratios within the rounds, in brackets.
func clusterRatio(c benchCase, f figure, runs []singleRun, base, name string) string {
	if name == base {
		return ""
	}
	if r, ok := ratioBetween(c, f, runs, name, base); ok {
		return fmt.Sprintf(" (%.2f×)", r)
	}
	return ""
}
