package surrealdb

import (
	"bufio"
	"context"
	"encoding/json"
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

// killVariable makes the test binary the process that is killed. Its value is where
// the logs are.
const killVariable = "SOCKUDO_KILL_HISTORY"

// appendUntilKilled appends to two logs, and says "LOG SERIAL ONCE" of each entry when
// it is acknowledged.
func appendUntilKilled(text string) error {
	var o HistoryOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	h, err := OpenHistory(context.Background(), o, nil)
	if err != nil {
		return err
	}
	round := os.Getenv("SOCKUDO_KILL_ROUND")
	var saying sync.Mutex
	failed := make(chan error)
	for p := range 4 {
		go func() {
			for n := 0; ; n++ {
				var appends []*storage.LogAppend
				for k := range 1 + n%3 {
					once := fmt.Sprintf("%s.%d.%d.%d", round, p, n, k)
					appends = append(appends, &storage.LogAppend{Key: logOf(fmt.Sprint("c", (p+k)%2)), Fresh: "id", Row: true, Subject: fmt.Sprint(k), Once: once, Payload: []byte("payload of " + once)})
				}
				h.Append(context.Background(), appends)
				for _, a := range appends {
					if a.Err != nil {
						failed <- a.Err
						return
					}
					saying.Lock()
					_, _ = fmt.Fprintln(os.Stdout, "added", a.Key.Channel, a.Entry.Serial, a.Once+";")
					saying.Unlock()
				}
			}
		}()
	}
	return <-failed
}

// TestKilledWritersLoseNothing kills a process that appends, again and again, at any
// moment. What it was told to be added must be there, and no log may have a gap.
func TestKilledWritersLoseNothing(t *testing.T) {
	if text := os.Getenv(killVariable); text != "" {
		t.Fatal(appendUntilKilled(text))
	}
	o := HistoryOptions{Options: standing(t)}
	const rounds = 12
	acknowledged := map[string]string{} // what is there once, by log and serial
	for round := range rounds {
		for _, line := range killWriter(t, o, round) {
			var log, serial, once string
			if n, _ := fmt.Sscanf(line, "added %s %s %s", &log, &serial, &once); n < 3 || !strings.HasSuffix(once, ";") {
				continue // the pipe has ended within it
			}
			if at := log + " " + serial; acknowledged[at] != "" {
				t.Errorf("%s is both %s and %s", at, acknowledged[at], once)
			} else {
				acknowledged[at] = strings.TrimSuffix(once, ";")
			}
		}
	}
	h := openHistory(t, o.Options)
	all := 0
	for _, log := range []string{"c0", "c1"} {
		storagetest.AwaitCalm(t, h, logOf(log))
		found := everything(t, h, log)
		all += len(found)
		for i, e := range found {
			at := fmt.Sprint(log, " ", e.Serial)
			if e.Serial != uint64(i+1) || e.Row != e.Serial || string(e.Payload) != "payload of "+e.Once {
				t.Fatalf("entry %d of %s is %+v", i+1, log, e)
			}
			if once := acknowledged[at]; once != "" && once != e.Once {
				t.Errorf("%s was said to be %s and is %s", at, once, e.Once)
			}
			delete(acknowledged, at)
		}
		add(t, h, &storage.LogAppend{Key: logOf(log), Fresh: "id"})
	}
	if len(acknowledged) > 0 {
		t.Errorf("acknowledged and not there: %v", acknowledged)
	}
	if all < rounds*10 {
		t.Errorf("only %d entries were added in %d rounds", all, rounds)
	}
	t.Logf("FIGURE kill -9 of a process that appends to SurrealDB: %d rounds, %d entries, no gap, %d acknowledged ones lost", rounds, all, len(acknowledged))
}

// everything reads a whole log.
func everything(t *testing.T, h *History, channel string) (all []storage.LogEntry) {
	t.Helper()
	for {
		page, err := h.Read(t.Context(), logOf(channel), "id", storage.LogQuery{From: uint64(len(all)) + 1, Limit: maxPage})
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < maxPage {
			return all
		}
	}
}

// killWriter runs a process for a while, kills it, and returns what it said.
func killWriter(t *testing.T, o HistoryOptions, round int) (lines []string) {
	t.Helper()
	place, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledWritersLoseNothing$")
	c.Env = append(os.Environ(), killVariable+"="+string(place), fmt.Sprint("SOCKUDO_KILL_ROUND=", round))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	go func() {
		<-first
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		_ = c.Process.Kill()
	}()
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) == 1 {
			close(first)
		}
	}
	if len(lines) == 0 {
		close(first)
	}
	_ = c.Wait()
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "added ") {
		t.Errorf("round %d said %q", round, lines)
	}
	return lines
}
