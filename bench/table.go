//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// missing stands where a figure was not measured.
const missing = "—"

// markdown is the whole comparison as one table.
func markdown(machine string, cases []benchCase, runs []singleRun, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s; medians of %d | textbook | ours | ours / textbook | gate |\n", machine, rounds)
	b.WriteString("| --- | ---: | ---: | ---: | ---: |\n")
	for _, c := range cases {
		for _, f := range c.figures {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.title,
				cell(c, f, runs, textbookName), cell(c, f, runs, oursName), ratioCell(c, f, runs), gateCell(f))
		}
	}
	fmt.Fprintf(&b, "| messages lost / repeated / reordered, all runs | %s | %s | | 0 / 0 / 0 |\n",
		deliveryCell(runs, textbookName), deliveryCell(runs, oursName))
	fmt.Fprintf(&b, "| runs with any other fault | %s | %s | | 0 |\n",
		faultyCell(runs, textbookName), faultyCell(runs, oursName))
	return b.String()
}

func cell(c benchCase, f figure, runs []singleRun, server string) string {
	values := valuesOf(c, f, runs, server)
	if len(values) == 0 {
		return missing
	}
	return decimal(median(values), f.digits)
}

func ratioCell(c benchCase, f figure, runs []singleRun) string {
	if r, ok := ratioOf(c, f, runs); ok {
		return strconv.FormatFloat(r, 'f', 2, 64) + "×"
	}
	return missing
}

func gateCell(f figure) string {
	switch {
	case f.gate == 0:
		return ""
	case f.lower:
		return fmt.Sprintf("≤ %g×", f.gate)
	default:
		return fmt.Sprintf("≥ %g×", f.gate)
	}
}

func deliveryCell(runs []singleRun, server string) string {
	var sum loadgen.Faults
	n := 0
	for _, r := range runs {
		if r.Server == server {
			f := r.Result.Faults
			sum.Lost += f.Lost
			sum.Repeated += f.Repeated
			sum.Reordered += f.Reordered + f.Diverged
			n++
		}
	}
	if n == 0 {
		return missing
	}
	return fmt.Sprintf("%s / %s / %s", grouped(sum.Lost), grouped(sum.Repeated), grouped(sum.Reordered))
}

func faultyCell(runs []singleRun, server string) string {
	n, faulty := 0, 0
	for _, r := range runs {
		if r.Server != server {
			continue
		}
		n++
		if r.Result.Faults.Other() {
			faulty++
		}
	}
	if n == 0 {
		return missing
	}
	return fmt.Sprintf("%d of %d", faulty, n)
}

// valuesOf are a figure's values over the rounds, in their order.
func valuesOf(c benchCase, f figure, runs []singleRun, server string) (values []float64) {
	for _, r := range runs {
		if r.Scenario == c.name && r.Server == server {
			values = append(values, f.value(r.Result))
		}
	}
	return values
}

// ratioOf is the median over the rounds of the ratio within a round. It is
// steadier than the ratio of the medians, because noise on the machine lasts
// longer than two neighbouring runs.
func ratioOf(c benchCase, f figure, runs []singleRun) (float64, bool) {
	return ratioBetween(c, f, runs, oursName, textbookName)
}

func ratioBetween(c benchCase, f figure, runs []singleRun, over, under string) (float64, bool) {
	ours, textbook := valuesOf(c, f, runs, over), valuesOf(c, f, runs, under)
	var ratios []float64
	for i := range min(len(ours), len(textbook)) {
		if textbook[i] > 0 {
			ratios = append(ratios, ours[i]/textbook[i])
		}
	}
	if len(ratios) == 0 {
		return 0, false
	}
	return median(ratios), true
}

// median is the middle value, or the mean of the two middle ones.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// decimal formats with thousands separated.
func decimal(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n == 0 {
		return text
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return grouped(n) + fraction
}

// grouped formats a whole number with a comma every three digits.
func grouped[T int | int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// describeMachine names what the figures depend on.
func describeMachine() string {
	machine := fmt.Sprintf("%d CPUs, %s", runtime.NumCPU(), runtime.Version())
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return machine
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, model, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return machine + ", " + strings.TrimSpace(model)
		}
	}
	return machine
}
