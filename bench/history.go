//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

// historyLength is how long the phases of a run with history take; quickHistoryLength
// is that of a short run.
var (
	historyLength      = length{warm: 500 * time.Millisecond, measure: 2 * time.Second}
	quickHistoryLength = length{warm: 300 * time.Millisecond, measure: time.Second}
)

// historyColumn is what one column of a table is measured with.
type historyColumn struct {
	name  string
	store string // the name of a store
	// base is the column that ratios are taken to, none when empty.
	base string
	// change makes a load that of the column, if it is not nil.
	change func(loadgen.Scenario) loadgen.Scenario
}

// historyTable has a row for each figure and a column for each store.
type historyTable struct {
	title   string
	words   string // of the hub, beside the store
	cases   []benchCase
	columns []historyColumn
	// filled are the channels that have a past, which all runs of the table share.
	filled []filled
}

// historyPlan is all that is measured, in the stores that answer.
func historyPlan(quick bool, answers func(store string) bool) []historyTable {
	n, rows := historyLength, 1_000_000
	if quick {
		n, rows = quickHistoryLength, 100_000
	}
	tables := []historyTable{keepingTable(n), pagesTable(n, rows), rewindTable(), versionsTable(n)}
	for i := range tables {
		tables[i].columns = slices.DeleteFunc(tables[i].columns, func(c historyColumn) bool { return !answers(c.store) })
	}
	return tables
}

// keepingTable is what it costs to keep what is published.
func keepingTable(n length) historyTable {
	t := historyTable{title: "acknowledged publishes over HTTP, events of 100 bytes"}
	for _, store := range []string{withoutHistory, inMemory, inSQLite, inPostgres, inMySQL, inRedis} {
		t.columns = append(t.columns, historyColumn{name: store, store: store, base: withoutHistory})
	}
	add := func(name, title string, load loadgen.Publish) {
		load.Warm, load.Measure = n.warm, n.measure
		t.cases = append(t.cases, benchCase{name: name, load: load, figures: []figure{
			perSecond(title + ": events/s"), perCPU(title+": events per CPU-second", 0),
			p50(title + ": answer p50, ms"), p99(title + ": answer p99, ms"),
		}})
	}
	add("keep-8", "8 connections, one channel", loadgen.Publish{Publishers: 8, Channels: 1})
	add("keep-64", "64 connections, one channel", loadgen.Publish{Publishers: 64, Channels: 1})
	add("keep-64-own", "64 connections, a channel each", loadgen.Publish{Publishers: 64})
	add("keep-8-heard", "8 connections, one channel with 10 subscribers", loadgen.Publish{Publishers: 8, Channels: 1, Subscribers: 10})
	add("keep-64-heard", "64 connections, one channel with 10 subscribers", loadgen.Publish{Publishers: 64, Channels: 1, Subscribers: 10})
	return t
}

// pagesTable is what it costs to read what is kept.
func pagesTable(n length, rows int) historyTable {
	began := time.Now().Add(-2 * time.Hour)
	long, short := filled{"long", rows, began}, filled{"short", 1000, began}
	t := historyTable{
		title:   fmt.Sprintf("pages of 100 from a channel of %s events, one reader", grouped(rows)),
		filled:  []filled{long, short},
		columns: []historyColumn{{name: inSQLite, store: inSQLite}, {name: inPostgres, store: inPostgres}},
	}
	add := func(name, title string, load loadgen.Pages) {
		load.Rows, load.Warm, load.Measure = 100, n.warm, n.measure
		t.cases = append(t.cases, benchCase{name: name, load: load, figures: []figure{
			p50(title + ": p50, ms"), p99(title + ": p99, ms"), perCPU(title+": pages per CPU-second", 0),
		}})
	}
	newest := []map[string]string{{"limit": "100"}}
	// Two hundred places all over the channel, so that a page is seldom read again.
	var before, since []map[string]string
	for i := range 200 {
		row := rows/10 + (i*7919%200)*(rows*8/10)/200
		before = append(before, map[string]string{"limit": "100", "end_serial": strconv.Itoa(row)})
		since = append(since, map[string]string{"limit": "100", "direction": "oldest_first", "start_time_ms": strconv.FormatInt(long.at(row), 10)})
	}
	add("pages-short", "the newest page of a channel of 1,000", loadgen.Pages{Channel: short.channel, Queries: newest})
	add("pages-newest", "the newest page", loadgen.Pages{Channel: long.channel, Queries: newest})
	add("pages-cursor", "a page in the middle, by cursor", loadgen.Pages{Channel: long.channel, Queries: before, Next: true})
	add("pages-time", "a page in the middle, by start_time_ms", loadgen.Pages{Channel: long.channel, Queries: since})
	return t
}

// rewindTable is what it costs to subscribe with a rewind, against the same without.
func rewindTable() historyTable {
	const subscribers, events = 1000, 50
	t := historyTable{title: fmt.Sprintf("%s V2 subscribers of one channel, all at once", grouped(subscribers))}
	plain := func(s loadgen.Scenario) loadgen.Scenario {
		r, _ := s.(loadgen.Rewind)
		r.Plain = true
		return r
	}
	for _, store := range []string{inMemory, inSQLite, inPostgres, inMySQL, inRedis} {
		t.columns = append(t.columns,
			historyColumn{name: store, store: store, base: store, change: plain},
			historyColumn{name: fmt.Sprintf("%s, rewind %d", store, events), store: store, base: store})
	}
	t.cases = []benchCase{{name: "rewind", load: loadgen.Rewind{Subscribers: subscribers, Events: events}, figures: []figure{
		{title: "until the last one is ready, s", digits: 2, lower: true, value: func(r loadgen.Result) float64 { return r.Seconds }},
		perCPU("clients per CPU-second", 0),
		bytesPerDelivery("bytes to each"),
	}}}
	return t
}

// versionsTable is what it costs to append to messages.
func versionsTable(n length) historyTable {
	t := historyTable{title: "appends to messages over HTTP, 16 connections, words of 5 bytes", words: "versioned_messages on"}
	for _, store := range []string{inMemory, inSQLite, inPostgres} {
		t.columns = append(t.columns, historyColumn{name: store, store: store, base: inMemory})
	}
	for _, messages := range []int{1, 100} {
		title := fmt.Sprintf("messages in turn: %d", messages)
		load := loadgen.Appends{Messages: messages, Warm: n.warm, Measure: n.measure}
		t.cases = append(t.cases, benchCase{name: fmt.Sprintf("appends-%d", messages), load: load, figures: []figure{
			perSecond(title + ": appends/s"), perCPU(title+": appends per CPU-second", 0), p99(title + ": answer p99, ms"),
		}})
	}
	return t
}

// chooseHistory keeps the cases that a comma-separated list names. An empty list names
// them all.
func chooseHistory(tables []historyTable, list string) ([]historyTable, error) {
	var all []benchCase
	for _, t := range tables {
		all = append(all, t.cases...)
	}
	chosen, err := choose(all, list)
	if err != nil {
		return nil, err
	}
	for i := range tables {
		tables[i].cases = slices.DeleteFunc(tables[i].cases, func(c benchCase) bool { return !slices.Contains(names(chosen), c.name) })
	}
	return slices.DeleteFunc(tables, func(t historyTable) bool { return len(t.cases) == 0 }), nil
}

// runHistory measures every case in every store and prints the tables.
func runHistory(ctx context.Context, o options, dir string) error {
	tables, err := chooseHistory(historyPlan(o.quick, func(store string) bool { return newStore(store, dir).answers(ctx) }), o.scenarios)
	if err != nil {
		return err
	}
	ours := server{name: oursName, source: "./cmd/caddy"}
	if err := ours.build(ctx, dir); err != nil {
		return err
	}
	var runs []singleRun
	for _, t := range tables {
		taken, err := t.run(ctx, dir, ours, o.rounds)
		if err != nil {
			return err
		}
		runs = append(runs, taken...)
	}
	text := historyMarkdown(describeMachine(), tables, runs, o.rounds)
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

// run measures all rounds of a table. Columns take turns within a case, so that a
// neighbour's noise meets all of them; every other round has them in the opposite order.
func (t historyTable) run(ctx context.Context, dir string, ours server, rounds int) (runs []singleRun, err error) {
	shared := map[string]historyStore{}
	defer func() {
		for _, s := range shared {
			err = errors.Join(err, s.clean(ctx))
		}
	}()
	for _, c := range t.columns {
		if len(t.filled) > 0 {
			shared[c.store] = newStore(c.store, dir)
			if err := shared[c.store].fill(ctx, t.filled...); err != nil {
				return nil, err
			}
		}
	}
	for round := range rounds {
		columns := slices.Clone(t.columns)
		if round%2 == 1 {
			slices.Reverse(columns)
		}
		for _, c := range t.cases {
			for _, column := range columns {
				result, err := t.one(ctx, dir, ours, c, column, shared)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, column.name, err)
				}
				runs = append(runs, singleRun{Round: round + 1, Scenario: c.name, Server: column.name, Result: result})
				report(runs[len(runs)-1], c)
			}
		}
	}
	return runs, nil
}

// one is a single run, in a place of its own unless the columns share one.
func (t historyTable) one(ctx context.Context, dir string, ours server, c benchCase, column historyColumn, shared map[string]historyStore) (_ loadgen.Result, err error) {
	store, ok := shared[column.store]
	if !ok {
		store = newStore(column.store, dir)
		defer func() { err = errors.Join(err, store.clean(ctx)) }()
	}
	if column.change != nil {
		c.load = column.change(c.load)
	}
	ours.handler = strings.ReplaceAll(v2Handler, "WORDS", store.words()+"\n\t\t"+t.words)
	return measureOne(ctx, dir, ours, c)
}

// historyMarkdown has a row for each figure, with the ratio to the column's base in
// brackets.
func historyMarkdown(machine string, tables []historyTable, runs []singleRun, rounds int) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "| %s |", t.title)
		for _, column := range t.columns {
			fmt.Fprintf(&b, " %s |", column.name)
		}
		b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(t.columns)) + "\n")
		for _, c := range t.cases {
			for _, f := range c.figures {
				fmt.Fprintf(&b, "| %s |", f.title)
				for _, column := range t.columns {
					fmt.Fprintf(&b, " %s%s |", cell(c, f, runs, column.name), clusterRatio(c, f, runs, column.base, column.name))
				}
				b.WriteString("\n")
			}
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
