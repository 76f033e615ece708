//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// v2Length is how long the phases of a run with V2 take.
var v2Length = length{warm: 500 * time.Millisecond, measure: 2 * time.Second, paced: 4 * time.Second, idle: 10_000}

// v2Handler is oursHandler with WORDS, which are replaced.
const v2Handler = `	sockudo {
		rate_limiter {
			enabled off
		}
		WORDS
		app app-id {
			key app-key
			secret app-secret
		}
	}`

// Words that single rows need. Without them recovery and filters are off.
const (
	recoveryOn = "recovery {\n\t\t\tenabled on\n\t\t}"
	filtersOn  = "tag_filtering {\n\t\t\tenabled on\n\t\t}"
	deltasOn   = "delta_compression {\n\t\t\tenabled on\n\t\t}"
)

// subject is a row: one kind of client, and what the server is configured with.
type subject struct {
	name  string
	words string
	load  func(n length, shape loadgen.Fanout) loadgen.Scenario
}

// shape is a column: what all rows of a table are loaded with.
type shape struct {
	name    string // as -scenarios knows it
	fan     loadgen.Fanout
	figures []figure
}

// v2Table is one table: every subject in every shape, with ratios to the first
// subject and, where there is one, to another.
type v2Table struct {
	title    string
	subjects []subject
	shapes   []shape
	second   string
}

// v2Plan is all that is measured.
func v2Plan() []v2Table {
	return []v2Table{fanoutTable(), deltaTable(), resumeTable()}
}

// shapes are the loads of a table with events of a size: one channel of a thousand.
func fanShapes(prefix string, payload int, more ...figure) []shape {
	fan := loadgen.Fanout{Subscribers: 1000, Payload: payload, Record: true, Tags: `{"region":"eu"}`}
	single, joined, paced := fan, fan, fan
	single.Window, joined.Window, paced.Rate = 1, 32, 20
	return []shape{
		{prefix + "window1", single, append(more, perCPU("window 1", 0))},
		{prefix + "window32", joined, []figure{perCPU("window 32", 0)}},
		{prefix + "paced", paced, []figure{perCPU("20 publishes/s", 0)}},
	}
}

// speaking is a subject of a fanout with a dialect and members of the subscription.
func speaking(name, words string, d loadgen.Dialect, members func(int) string) subject {
	return subject{name, words, func(n length, fan loadgen.Fanout) loadgen.Scenario {
		fan.Dialect, fan.Members = d, members
		return n.fan(fan)
	}}
}

// always is the same members for every subscriber.
func always(members string) func(int) string { return func(int) string { return members } }

func fanoutTable() v2Table {
	one := always(`"filter":{"key":"region","cmp":"in","vals":["eu","us"]}`)
	own := func(number int) string {
		return fmt.Sprintf(`"filter":{"key":"region","cmp":"in","vals":["eu","u%d"]}`, number)
	}
	expression := always(`"filter":{"expression":"tags.region == 'eu' && data.price > ` + "`1`" + `"}`)
	return v2Table{
		title: "1 × 1,000, events of 100 bytes of JSON with a tag: deliveries per CPU-second",
		subjects: []subject{
			speaking("V1", "", loadgen.V1, nil),
			speaking("V2 JSON", "", loadgen.V2JSON, nil),
			speaking("V2 JSON, recovery on", recoveryOn, loadgen.V2JSON, nil),
			speaking("V2 MessagePack", "", loadgen.V2MessagePack, nil),
			speaking("V2 Protobuf", "", loadgen.V2Protobuf, nil),
			speaking("V2 JSON, one tag filter for all", filtersOn, loadgen.V2JSON, one),
			speaking("V2 JSON, a tag filter for each", filtersOn, loadgen.V2JSON, own),
			speaking("V2 JSON, one expression for all", filtersOn, loadgen.V2JSON, expression),
		},
		shapes: fanShapes("", 100),
	}
}

func deltaTable() v2Table {
	compressed := func(algorithm string) subject {
		return subject{"V2 JSON, " + algorithm, deltasOn, func(n length, fan loadgen.Fanout) loadgen.Scenario {
			fan.Dialect, fan.Delta, fan.Members = loadgen.V2JSON, true, always(`"delta":"`+algorithm+`"`)
			return n.fan(fan)
		}}
	}
	return v2Table{
		title: "1 × 1,000, events of 500 bytes of JSON, few numbers change: deliveries per CPU-second",
		subjects: []subject{
			speaking("V1", "", loadgen.V1, nil),
			speaking("V2 JSON", deltasOn, loadgen.V2JSON, nil),
			compressed("fossil"),
			compressed("xdelta3"),
		},
		shapes: fanShapes("delta-", 500, bytesPerDelivery("bytes per delivery")),
		second: "V2 JSON",
	}
}

func resumeTable() v2Table {
	const channels, missed = 100, 20
	connect := func(name string, d loadgen.Dialect) subject {
		return subject{name, recoveryOn, func(n length, _ loadgen.Fanout) loadgen.Scenario {
			return loadgen.Idle{Connections: n.idle, Channels: channels, Opening: n.idle, Dialect: d}
		}}
	}
	return v2Table{
		title: fmt.Sprintf("%s connections in %d channels, all at once", grouped(v2Length.idle), channels),
		subjects: []subject{
			connect("V1: connect, subscribe", loadgen.V1),
			connect("V2 JSON: connect, subscribe", loadgen.V2JSON),
			{fmt.Sprintf("V2 JSON: connect, subscribe, resume, get %d events", missed), recoveryOn, func(n length, _ loadgen.Fanout) loadgen.Scenario {
				return loadgen.Resume{Subscribers: n.idle, Channels: channels, Missed: missed}
			}},
		},
		shapes: []shape{{name: "resume", figures: []figure{
			perCPU("clients per CPU-second", 0),
			{title: "until the last one is ready, s", digits: 2, lower: true, value: func(r loadgen.Result) float64 { return r.Seconds }},
			bytesPerDelivery("bytes to each"),
		}}},
	}
}

func bytesPerDelivery(title string) figure {
	return figure{title: title, lower: true, value: func(r loadgen.Result) float64 { return r.BytesPerUnit }}
}

// chooseShapes keeps the shapes that a comma-separated list names. An empty list
// names them all.
func chooseShapes(tables []v2Table, list string) ([]v2Table, error) {
	var known []string
	for _, t := range tables {
		for _, s := range t.shapes {
			known = append(known, s.name)
		}
	}
	wanted := known
	if list != "" {
		wanted = strings.Split(list, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown scenario %q, known here: %s", name, strings.Join(known, ", "))
		}
	}
	for i := range tables {
		tables[i].shapes = slices.DeleteFunc(tables[i].shapes, func(s shape) bool { return !slices.Contains(wanted, s.name) })
	}
	return slices.DeleteFunc(tables, func(t v2Table) bool { return len(t.shapes) == 0 }), nil
}

// runV2 measures every subject in every shape and prints the tables.
func runV2(ctx context.Context, o options, dir string) error {
	tables, err := chooseShapes(v2Plan(), o.scenarios)
	if err != nil {
		return err
	}
	ours := server{name: oursName, source: "./cmd/caddy"}
	if err := ours.build(ctx, dir); err != nil {
		return err
	}
	var runs []singleRun
	for round := range o.rounds {
		for _, t := range tables {
			for _, s := range t.shapes {
				taken, err := t.measure(ctx, dir, ours, s, round)
				if err != nil {
					return err
				}
				runs = append(runs, taken...)
			}
		}
	}
	text := v2Markdown(describeMachine(), tables, runs, o.rounds)
	fmt.Print(text)
	if o.markdown != "" {
		if err := os.WriteFile(o.markdown, []byte(text), 0o644); err != nil { //nolint:gosec // for everyone to read
			return fmt.Errorf("table: %w", err)
		}
	}
	if o.json != "" {
		if err := writeJSON(o.json, runs); err != nil {
			return err
		}
	}
	if o.gate && slices.ContainsFunc(runs, func(r singleRun) bool { return r.Result.Faults.Any() }) {
		return errors.Join(errGate, errors.New("there are faults"))
	}
	return nil
}

// measure runs all subjects in one shape, one after the other, so that a neighbour's
// noise meets all of them; every other round has them in the opposite order.
func (t v2Table) measure(ctx context.Context, dir string, ours server, s shape, round int) (runs []singleRun, err error) {
	subjects := slices.Clone(t.subjects)
	if round%2 == 1 {
		slices.Reverse(subjects)
	}
	for _, subject := range subjects {
		c := benchCase{name: s.name, figures: s.figures, load: subject.load(v2Length, s.fan)}
		ours.handler = strings.ReplaceAll(v2Handler, "WORDS", subject.words)
		result, err := measureOne(ctx, dir, ours, c)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.name, subject.name, err)
		}
		runs = append(runs, singleRun{Round: round + 1, Scenario: s.name, Server: subject.name, Result: result})
		report(runs[len(runs)-1], c)
	}
	return runs, nil
}

// v2Markdown has a row for each subject and a column for each figure.
func v2Markdown(machine string, tables []v2Table, runs []singleRun, rounds int) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "| %s |", t.title)
		columns := 0
		for _, s := range t.shapes {
			for _, f := range s.figures {
				fmt.Fprintf(&b, " %s |", f.title)
				columns++
			}
		}
		b.WriteString("\n| --- |" + strings.Repeat(" ---: |", columns) + "\n")
		for _, subject := range t.subjects {
			fmt.Fprintf(&b, "| %s |", subject.name)
			for _, s := range t.shapes {
				for _, f := range s.figures {
					fmt.Fprintf(&b, " %s |", t.cell(s, f, runs, subject.name))
				}
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	all := slices.Clone(runs)
	for i := range all {
		all[i].Server = oursName
	}
	fmt.Fprintf(&b, "%s; medians of %d. Messages lost / repeated / reordered: %s. Runs with any other fault: %s.\n",
		machine, rounds, deliveryCell(all, oursName), faultyCell(all, oursName))
	return b.String()
}

// cell is a figure of a subject, with the ratios in brackets: to the first subject,
// and to the second one of the table.
func (t v2Table) cell(s shape, f figure, runs []singleRun, name string) string {
	c := benchCase{name: s.name}
	text := cell(c, f, runs, name)
	var ratios []string
	for _, base := range []string{t.subjects[0].name, t.second} {
		if base == name || base == "" {
			break
		}
		if r, ok := ratioBetween(c, f, runs, name, base); ok {
			ratios = append(ratios, fmt.Sprintf("%.2f×", r))
		}
	}
	if len(ratios) == 0 {
		return text
	}
	return text + " (" + strings.Join(ratios, "; ") + ")"
}
