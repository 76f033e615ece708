//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// Rows and columns are told by their names, so no two may have the same.
func TestV2PlanNames(t *testing.T) {
	shapes := map[string]bool{}
	for _, table := range v2Plan() {
		subjects := map[string]bool{}
		for _, s := range table.subjects {
			if subjects[s.name] {
				t.Errorf("two subjects are %q", s.name)
			}
			subjects[s.name] = true
		}
		if table.second != "" && !subjects[table.second] {
			t.Errorf("%q is no subject", table.second)
		}
		for _, s := range table.shapes {
			if shapes[s.name] {
				t.Errorf("two scenarios are %q", s.name)
			}
			shapes[s.name] = true
		}
	}
}

func TestChooseShapes(t *testing.T) {
	tables, err := chooseShapes(v2Plan(), "paced,resume")
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 2 || len(tables[0].shapes) != 1 || tables[0].shapes[0].name != "paced" || tables[1].shapes[0].name != "resume" {
		t.Errorf("%d tables", len(tables))
	}
	if all, err := chooseShapes(v2Plan(), ""); err != nil || len(all) != len(v2Plan()) {
		t.Errorf("%d tables, %v", len(all), err)
	}
	if _, err := chooseShapes(v2Plan(), "window1,no-such"); err == nil {
		t.Error("an unknown scenario is accepted")
	}
}

func TestV2Markdown(t *testing.T) {
	tables, err := chooseShapes(v2Plan(), "delta-window1")
	if err != nil {
		t.Fatal(err)
	}
	run := func(subject string, perCPU, bytes float64) singleRun {
		return singleRun{1, "delta-window1", subject, loadgen.Result{PerCPUSecond: perCPU, BytesPerUnit: bytes}}
	}
	runs := []singleRun{run("V1", 1000, 600), run("V2 JSON", 800, 660), run("V2 JSON, fossil", 400, 330)}
	runs[2].Result.Faults.Lost = 3
	text := v2Markdown("a machine", tables, runs, 1)
	for _, want := range []string{
		"deliveries per CPU-second | bytes per delivery | window 1 |\n| --- | ---: | ---: |\n",
		"| V1 | 600 | 1,000 |\n",
		"| V2 JSON | 660 (1.10×) | 800 (0.80×) |\n",
		"| V2 JSON, fossil | 330 (0.55×; 0.50×) | 400 (0.40×; 0.50×) |\n",
		"| V2 JSON, xdelta3 | — | — |\n",
		"a machine; medians of 1. Messages lost / repeated / reordered: 3 / 0 / 0. Runs with any other fault: 0 of 3.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
