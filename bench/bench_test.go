//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// runsOf are runs of the window32-1000 scenario, one round each.
func runsOf(textbook, ours []float64) (runs []singleRun) {
	for server, values := range map[string][]float64{textbookName: textbook, oursName: ours} {
		for i, v := range values {
			runs = append(runs, singleRun{i + 1, "window32-1000", server, loadgen.Result{PerCPUSecond: v, PerSecond: v}})
		}
	}
	return runs
}

func window32(t *testing.T) []benchCase {
	t.Helper()
	cases, err := choose(plan(true), "window32-1000")
	if err != nil || len(cases) != 1 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}

func TestJudge(t *testing.T) {
	faulty := runsOf([]float64{100}, []float64{500})
	for i := range faulty {
		faulty[i].Result.Faults.Lost = 1
	}
	textbookFaulty := runsOf([]float64{100}, []float64{500})
	for i := range textbookFaulty {
		if textbookFaulty[i].Server == textbookName {
			textbookFaulty[i].Result.Faults.Lost = 1
		}
	}
	for name, test := range map[string]struct {
		runs []singleRun
		want string // part of the only complaint, empty for none
	}{
		"above":                 {runsOf([]float64{100}, []float64{400}), ""},
		"below":                 {runsOf([]float64{100}, []float64{399}), "3.99×, must be ≥ 4×"},
		"median of the rounds":  {runsOf([]float64{100, 100, 100}, []float64{410, 100, 420}), ""},
		"ratio within rounds":   {runsOf([]float64{100, 200, 1000}, []float64{500, 1000, 3000}), ""},
		"textbook not measured": {runsOf(nil, []float64{400}), "not measured"},
		"ours lost a message":   {faulty, "1 lost"},
		"textbook lost one":     {textbookFaulty, ""},
	} {
		broken := judge(window32(t), test.runs)
		switch {
		case test.want == "" && len(broken) > 0:
			t.Errorf("%s: %q", name, broken)
		case test.want != "" && (len(broken) != 1 || !strings.Contains(broken[0], test.want)):
			t.Errorf("%s: %q, want one with %q", name, broken, test.want)
		}
	}
	if broken := judge(nil, nil); len(broken) != 1 {
		t.Errorf("nothing measured: %q", broken)
	}
	idle, err := choose(plan(true), "idle")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ours   float64
		broken int
	}{{34, 0}, {36, 1}} {
		runs := []singleRun{
			{1, "idle", textbookName, loadgen.Result{BytesPerConnection: 100}},
			{1, "idle", oursName, loadgen.Result{BytesPerConnection: test.ours}},
		}
		if broken := judge(idle, runs); len(broken) != test.broken {
			t.Errorf("memory at %g %%: %q", test.ours, broken)
		}
	}
}

// The four gates are the project's promise; a plan without one is a mistake.
func TestPlanHasTheGates(t *testing.T) {
	for _, quick := range []bool{false, true} {
		gates := map[string]float64{}
		for _, c := range plan(quick) {
			for _, f := range c.figures {
				if f.gate != 0 {
					gates[c.name] = f.gate
				}
			}
		}
		if len(gates) != 4 || gates["idle"] != .35 || gates["paced-1000"] != 1.25 ||
			gates["window32-1000"] != 4 || gates["window32-5000"] != 6 {
			t.Errorf("quick %v: gates %v", quick, gates)
		}
	}
	if _, err := choose(plan(true), "idle,no-such"); err == nil {
		t.Error("an unknown scenario is accepted")
	}
}

func TestMarkdown(t *testing.T) {
	runs := runsOf([]float64{100_000, 110_000, 90_000}, []float64{1_234_567, 1_100_000, 900_000})
	table := markdown("a machine", window32(t), runs, 3)
	for _, want := range []string{
		"| 1 × 1,000, window 32: deliveries per CPU-second | 100,000 | 1,100,000 | 10.00× | ≥ 4× |",
		"all runs | 0 / 0 / 0 | 0 / 0 / 0 |", "medians of 3",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
	table = markdown("a machine", window32(t), runsOf([]float64{5}, nil), 1)
	if !strings.Contains(table, "| 5 | — | — |") {
		t.Errorf("no dash for what was not measured in\n%s", table)
	}
}

func TestDecimal(t *testing.T) {
	for _, test := range []struct {
		value  float64
		digits int
		want   string
	}{{0, 0, "0"}, {999.6, 0, "1,000"}, {-1234567, 0, "-1,234,567"}, {-0.26, 1, "-0.3"}, {1234.56, 1, "1,234.6"}, {0.04, 1, "0.0"}} {
		if got := decimal(test.value, test.digits); got != test.want {
			t.Errorf("%g with %d digits is %s, want %s", test.value, test.digits, got, test.want)
		}
	}
}

// A whole turn: build, start as a process under Caddy, load, stop.
func TestTextbookProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts a server")
	}
	servers, err := chooseServers(textbookName)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := servers[0].build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	cases := []benchCase{
		{name: "idle", load: loadgen.Idle{Connections: 50, Channels: 1}},
		{name: "fanout", load: loadgen.Fanout{Subscribers: 20, Window: 4, Measure: 200 * time.Millisecond}},
	}
	runs, err := measure(t.Context(), dir, servers, cases, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 {
		t.Fatalf("%d runs, want 2", len(runs))
	}
	for _, r := range runs {
		if r.Result.Faults.Any() || r.Result.Count == 0 || r.Result.ServerRSS < 10<<20 || r.Result.ServerCPUSeconds <= 0 {
			t.Errorf("%s: %+v", r.Scenario, r.Result)
		}
	}
}
