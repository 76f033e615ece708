//go:build linux

package main

import "fmt"

// judge names every gate that is not met. Ratios are gated only for scenarios
// that were chosen, but one that was chosen and not measured is not met, and a
// choice without any gate is not a pass.
func judge(cases []benchCase, runs []singleRun) (broken []string) {
	gates := 0
	for _, c := range cases {
		for _, f := range c.figures {
			if f.gate == 0 {
				continue
			}
			gates++
			r, ok := ratioOf(c, f, runs)
			switch {
			case !ok:
				broken = append(broken, f.title+": not measured against both servers")
			case f.lower && r > f.gate, !f.lower && r < f.gate:
				broken = append(broken, fmt.Sprintf("%s: %.2f×, must be %s", f.title, r, gateCell(f)))
			}
		}
	}
	if gates == 0 {
		broken = append(broken, "none of the chosen scenarios has a gate")
	}
	for _, r := range runs {
		if r.Server == oursName && r.Result.Faults.Any() {
			broken = append(broken, fmt.Sprintf("%s, round %d: %s", r.Scenario, r.Round, r.Result.Faults))
		}
	}
	return broken
}
