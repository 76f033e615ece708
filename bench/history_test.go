//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

func everyStore(string) bool { return true }

// Rows and columns are told by their names, so no two may have the same, and what
// ratios are taken to must be there.
func TestHistoryPlanNames(t *testing.T) {
	cases := map[string]bool{}
	for _, table := range historyPlan(true, everyStore) {
		var columns []string
		for _, c := range table.columns {
			if slices.Contains(columns, c.name) {
				t.Errorf("two columns are %q", c.name)
			}
			if columns = append(columns, c.name); c.base != "" && !slices.Contains(columns, c.base) {
				t.Errorf("%q, the base of %q, is not before it", c.base, c.name)
			}
		}
		for _, c := range table.cases {
			if cases[c.name] {
				t.Errorf("two cases are %q", c.name)
			}
			cases[c.name] = true
		}
	}
}

func TestChooseHistory(t *testing.T) {
	without := historyPlan(false, func(store string) bool { return store != inRedis })
	tables, err := chooseHistory(without, "rewind,keep-8")
	if err != nil || len(tables) != 2 || len(tables[0].cases) != 1 || len(tables[0].columns) != 5 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	if _, err := chooseHistory(historyPlan(false, everyStore), "no-such"); err == nil {
		t.Error("an unknown case is accepted")
	}
}

func TestHistoryMarkdown(t *testing.T) {
	tables, err := chooseHistory(historyPlan(false, everyStore), "rewind")
	if err != nil {
		t.Fatal(err)
	}
	runs := []singleRun{
		{1, "rewind", "memory", loadgen.Result{PerCPUSecond: 2000, Seconds: .5}},
		{1, "rewind", "memory, rewind 50", loadgen.Result{PerCPUSecond: 1000, Seconds: 2}},
	}
	text := historyMarkdown("a machine", tables, runs, 1)
	for _, want := range []string{
		"| 1,000 V2 subscribers of one channel, all at once | memory | memory, rewind 50 | sqlite |",
		"| clients per CPU-second | 2,000 | 1,000 (0.50×) | — | — |",
		"| until the last one is ready, s | 0.50 | 2.00 (4.00×) |",
		"Runs with any other fault: 0 of 2.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// A filled channel is as if it had been published.
func TestFill(t *testing.T) {
	s := newStore(inSQLite, t.TempDir())
	f := filled{"room", fillBatch + 5, time.Now().Add(-time.Hour)}
	if err := s.fill(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	h, err := sql.OpenHistory(t.Context(), s.server(), sql.HistoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	entries, err := h.Read(t.Context(), history.Key("app-id", "room"), "filled-room", storage.LogQuery{Reverse: true, Limit: 1})
	if err != nil || len(entries) != 1 || entries[0].Row != fillBatch+5 || entries[0].At != f.at(fillBatch+5) {
		t.Fatalf("%+v, %v", entries, err)
	}
	if r, err := history.ParseRecord(entries[0].Payload); err != nil || r.Channel != "room" || r.Event != "bench" {
		t.Errorf("%+v, %v", r, err)
	}
}
