// Command matrix runs the suites of storage contracts and prints which driver
// passes which, and the engine that it was run against.
//
//	go run ./internal/house/matrix [-race] [-run REGEXP]
//
// It fails if a test fails. Figures that tests report are printed below the table.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	race := flag.Bool("race", false, "run with the race detector")
	run := flag.String("run", "Suite|Outage|Killed", "the tests to run")
	flag.Parse()
	if err := matrix(os.Stdout, *race, *run); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func matrix(out io.Writer, race bool, run string) error {
	args := []string{"test", "-json", "-count=1", "-run", run}
	if race {
		args = append(args, "-race")
	}
	command := exec.CommandContext(context.Background(), "go", append(args, "./storage/...")...) //nolint:gosec // its own arguments
	command.Stderr = os.Stderr
	events, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	results, err := read(events)
	err = errors.Join(err, command.Wait())
	if results != nil {
		results.print(out)
	}
	return err
}

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Key, Value, Output string
}

// results are the outcomes of suites by driver.
type results struct {
	attributes map[string]map[string]string // by test, then key
	outcomes   map[string]string            // by test
	figures    []string
}

func read(events io.Reader) (*results, error) {
	r := &results{attributes: map[string]map[string]string{}, outcomes: map[string]string{}}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%w in %q", err, lines.Text())
		}
		test := e.Package + " " + e.Test
		switch e.Action {
		case "attr":
			if r.attributes[test] == nil {
				r.attributes[test] = map[string]string{}
			}
			r.attributes[test][e.Key] = e.Value
		case "pass", "fail", "skip":
			r.outcomes[test] = e.Action
		case "output":
			if at := strings.Index(e.Output, "FIGURE "); at >= 0 {
				r.figures = append(r.figures, strings.TrimSpace(e.Output[at:]))
			} else if strings.Contains(e.Output, "_test.go:") {
				_, _ = fmt.Fprint(os.Stderr, e.Output)
			}
		}
	}
	return r, lines.Err()
}

// find is the nearest value of an attribute, of the test or of one it is within.
func (r *results) find(test, key string) (value, at string) {
	for {
		if value, ok := r.attributes[test][key]; ok {
			return value, test
		}
		cut := strings.LastIndexByte(test, '/')
		if cut < 0 {
			return "", ""
		}
		test = test[:cut]
	}
}

// cell counts the tests of one suite. A skipped one is about a limit that the
// driver does not have.
type cell struct{ passed, all, skipped int }

func (c *cell) String() string {
	switch {
	case c == nil:
		return ""
	case c.skipped > 0:
		return fmt.Sprintf("%d of %d, %d n/a", c.passed, c.all, c.skipped)
	}
	return fmt.Sprintf("%d of %d", c.passed, c.all)
}

func (c *cell) count(outcome string) {
	switch outcome {
	case "pass":
		c.passed++
		c.all++
	case "skip":
		c.skipped++
	default:
		c.all++
	}
}

func (r *results) print(out io.Writer) {
	table := map[string]map[string]*cell{} // by engine, then contract
	var contracts []string
	for test, outcome := range r.outcomes {
		contract, suite := r.find(test, "contract")
		if contract == "" || test == suite || r.hasChildren(test) {
			continue
		}
		engine, _ := r.find(test, "engine")
		engine = cmp.Or(engine, "not named: "+suite)
		if table[engine] == nil {
			table[engine] = map[string]*cell{}
		}
		if table[engine][contract] == nil {
			table[engine][contract] = new(cell)
		}
		if !slices.Contains(contracts, contract) {
			contracts = append(contracts, contract)
		}
		table[engine][contract].count(outcome)
	}
	slices.Sort(contracts)
	engines := make([]string, 0, len(table))
	for engine := range table {
		engines = append(engines, engine)
	}
	slices.Sort(engines)
	_, _ = fmt.Fprintf(out, "| driver and engine | %s |\n|%s\n", strings.Join(contracts, " | "), strings.Repeat(" --- |", len(contracts)+1))
	for _, engine := range engines {
		row := []string{engine}
		for _, contract := range contracts {
			row = append(row, table[engine][contract].String())
		}
		_, _ = fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
	for _, figure := range r.figures {
		_, _ = fmt.Fprintln(out, figure)
	}
}

func (r *results) hasChildren(test string) bool {
	for other := range r.outcomes {
		if strings.HasPrefix(other, test+"/") {
			return true
		}
	}
	return false
}
