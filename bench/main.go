//go:build linux

// Command bench compares this repository's server with the textbook one in
// bench/textbook, both inside Caddy, both on this machine, in the same run. It
// prints one Markdown table and, with -gate, fails when the ratios or the
// deliveries are not what the project promises. See README.md beside it.
//
//	go run ./bench [-quick] [-rounds 3] [-scenarios a,b] [-gate] [-json FILE] [-md FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	quick     bool
	rounds    int
	scenarios string
	servers   string
	gate      bool
	cluster   bool
	v2        bool
	history   bool
	json      string
	markdown  string
}

// errGate means that the run is complete and the gates are not all met.
var errGate = errors.New("gates not met")

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "one round of short runs, less than 90 seconds once both servers are built")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, 1 to 20; figures are medians over them (-quick: always 1)")
	flag.StringVar(&o.scenarios, "scenarios", "", "comma-separated names, all when empty: "+strings.Join(names(plan(false)), ", "))
	flag.StringVar(&o.servers, "servers", "textbook,ours", "comma-separated servers to measure")
	flag.BoolVar(&o.gate, "gate", false, "exit with 1 unless all gates are met")
	flag.BoolVar(&o.cluster, "cluster", false, "compare one node with two and three, over the Redis and the NATS of this machine")
	flag.BoolVar(&o.v2, "v2", false, "compare protocol V2 and its features with V1, on our server")
	flag.BoolVar(&o.history, "history", false, "compare publishing, rewinds and versions with and without history, and read its pages, on our server")
	flag.StringVar(&o.json, "json", "", "write every single run to this file as JSON")
	flag.StringVar(&o.markdown, "md", "", "write the table to this file as well")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.quick {
		o.rounds = 1
	}
	if o.rounds < 1 || o.rounds > 20 || flag.NArg() > 0 {
		return errors.New("1 to 20 rounds, and no arguments besides flags")
	}
	if o.cluster {
		return inTemporary(func(dir string) error { return runCluster(ctx, o, dir) })
	}
	if o.v2 {
		return inTemporary(func(dir string) error { return runV2(ctx, o, dir) })
	}
	if o.history {
		return inTemporary(func(dir string) error { return runHistory(ctx, o, dir) })
	}
	cases, err := choose(plan(o.quick), o.scenarios)
	if err != nil {
		return err
	}
	servers, err := chooseServers(o.servers)
	if err != nil {
		return err
	}
	return inTemporary(func(dir string) error {
		for i := range servers {
			if err := servers[i].build(ctx, dir); err != nil {
				return err
			}
		}
		runs, err := measure(ctx, dir, servers, cases, o.rounds)
		if err != nil {
			return err
		}
		return publish(o, cases, runs)
	})
}

// inTemporary runs f with a directory that is gone afterwards.
func inTemporary(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)
	return f(dir)
}

// publish prints and writes the outcome, and judges it when asked to.
func publish(o options, cases []benchCase, runs []singleRun) error {
	table := markdown(describeMachine(), cases, runs, o.rounds)
	fmt.Print(table)
	if o.markdown != "" {
		if err := os.WriteFile(o.markdown, []byte(table), 0o644); err != nil { //nolint:gosec // for everyone to read
			return fmt.Errorf("table: %w", err)
		}
	}
	if o.json != "" {
		if err := writeJSON(o.json, runs); err != nil {
			return err
		}
	}
	if !o.gate {
		return nil
	}
	if broken := judge(cases, runs); len(broken) > 0 {
		return fmt.Errorf("%w:\n  %s", errGate, strings.Join(broken, "\n  "))
	}
	fmt.Println("\nAll gates are met.")
	return nil
}
