package sql

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// historyKillVariable makes the test binary the process that is killed. Its value is a
// killPlan.
const historyKillVariable = "SOCKUDO_KILL_HISTORY"

const (
	// killLogs is how many logs are written, and killWriters how many write at once.
	killLogs, killWriters = 4, 12
	// killLines is how many entries are accepted at least before a process is killed.
	killLines = 200
)

// killPlan says what the process that is killed writes to.
type killPlan struct {
	Options Options
	Prefix  string
	Round   int
}

// beKilledWithHistory appends until the process is killed. It prints "log serial once ."
// for each entry when its Append has returned.
func beKilledWithHistory(text string) error {
	var plan killPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	h, err := OpenHistory(context.Background(), plan.Options, HistoryOptions{TablePrefix: plan.Prefix})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	for w := range killWriters {
		go func() {
			for n := 0; ; n++ {
				appends := make([]*storage.LogAppend, 1+n%16)
				for k := range appends {
					log := (w + k*n) % killLogs
					once := fmt.Sprintf("%d.%d.%d.%d", plan.Round, w, n, k)
					appends[k] = &storage.LogAppend{
						Key: channel(log), Fresh: "id", At: int64(n), Row: k != 1, Subject: fmt.Sprint(n % 5), Once: once, Payload: killPayload(once), Keep: time.Hour,
					}
				}
				h.Append(context.Background(), appends)
				mu.Lock()
				for _, a := range appends {
					if a.Err != nil {
						fmt.Fprintln(os.Stderr, a.Err)
						os.Exit(1)
					}
					_, _ = fmt.Fprintf(os.Stdout, "%s %d %s .\n", strings.TrimPrefix(a.Key.Channel, "channel "), a.Entry.Serial, a.Once)
				}
				mu.Unlock()
			}
		}()
	}
	select {}
}

// killPayload is what an entry must hold, by its Once. Some are larger than a page.
func killPayload(once string) []byte {
	return []byte(strings.Repeat(once+" ", 1+len(once)*len(once)%97))
}

// TestHistoryOfKilledProcesses kills a process that appends to several logs, again and
// again, at any moment. Whatever Append has accepted must be there, where it said.
func TestHistoryOfKilledProcesses(t *testing.T) {
	const rounds = 8
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		type place struct {
			log    int
			serial uint64
		}
		accepted := map[place]string{}
		for round := range rounds {
			for _, line := range killHistoryOnce(t, killPlan{o, prefix, round}) {
				var at place
				var once string
				if _, err := fmt.Sscanf(line, "%d %d %s .", &at.log, &at.serial, &once); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				if other, twice := accepted[at]; twice {
					t.Fatalf("serial %d of log %d went to %s and %s", at.serial, at.log, other, once)
				}
				accepted[at] = once
			}
		}
		h := openHistory(t, o, prefix)
		there, said := 0, len(accepted)
		for log := range killLogs {
			there += checkKilledLog(t, h, log, func(e storage.LogEntry) {
				once, known := accepted[place{log, e.Serial}]
				if known && once != e.Once {
					t.Errorf("serial %d of log %d is %s, and was accepted as %s", e.Serial, log, e.Once, once)
				}
				delete(accepted, place{log, e.Serial})
			})
		}
		for at, once := range accepted {
			t.Errorf("%s was accepted as serial %d of log %d, and is not there", once, at.serial, at.log)
		}
		t.Logf("FIGURE kill -9 of a process with the history in %s: %d rounds, %d entries accepted, %d there, %d lost", o.Dialect, rounds, said, there, len(accepted))
	})
}

// checkKilledLog reads a whole log and compares it with its head. It returns how many
// entries there are.
func checkKilledLog(t *testing.T, h *History, log int, each func(storage.LogEntry)) (n int) {
	t.Helper()
	var last storage.LogEntry
	onces := map[string]bool{}
	storagetest.AwaitCalm(t, h, channel(log))
	for {
		page, err := h.Read(t.Context(), channel(log), "id", storage.LogQuery{From: last.Serial + 1, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			row, total := last.Row, last.Total
			if e.IsRow {
				row, total = row+1, total+uint64(e.Size)
			}
			if e.Serial != last.Serial+1 || e.Row != row || e.Total != total || e.At < last.At || onces[e.Once] || string(e.Payload) != string(killPayload(e.Once)) {
				t.Fatalf("after %+v of log %d comes %+v", last, log, e)
			}
			each(e)
			onces[e.Once], e.Payload = true, nil
			last = e
			n++
		}
	}
	head, err := h.Head(t.Context(), channel(log))
	want := storage.LogHead{Stream: "id", Serial: last.Serial, Row: last.Row, At: last.At, Total: last.Total, First: 1}
	if err != nil || head != want {
		t.Errorf("the head of log %d is %+v, %v; its entries say %+v", log, head, err, want)
	}
	again := &storage.LogAppend{Key: channel(log), Fresh: "id", Once: last.Once}
	if h.Append(t.Context(), []*storage.LogAppend{again}); !errors.Is(again.Err, storage.ErrExists) || again.Entry.Serial != last.Serial {
		t.Errorf("the newest entry of log %d once more: %v, %+v", log, again.Err, again.Entry)
	}
	return n
}

// killHistoryOnce runs a process for a while, kills it, and returns its whole lines.
func killHistoryOnce(t *testing.T, plan killPlan) (lines []string) {
	t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	return killAfter(t, historyKillVariable+"="+string(text), killLines+rand.IntN(killLines))
}

// killAfter runs the test binary with a variable, kills it at any moment after so many lines,
// which a slow machine prints too, and returns its whole lines.
func killAfter(t *testing.T, variable string, enough int) (lines []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), variable)
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	moment := time.Duration(rand.IntN(50)) * time.Millisecond
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if lines = append(lines, scanner.Text()); len(lines) == enough {
			time.AfterFunc(moment, func() { _ = c.Process.Kill() })
		}
	}
	_ = c.Wait()
	if failure.Len() > 0 || len(lines) < enough {
		t.Errorf("with %s it printed %d lines: %s", variable, len(lines), &failure)
	}
	// The pipe ends within a line when the process does.
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], " .") {
		lines = lines[:n-1]
	}
	return lines
}
