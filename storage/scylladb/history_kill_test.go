package scylladb

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// killVariable makes the test binary the process that is killed. Its value is the
// options of the history.
const killVariable = "SOCKUDO_KILL_HISTORY"

func TestMain(m *testing.M) {
	if text := os.Getenv(killVariable); text != "" {
		if err := beKilled(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

const (
	killLogs    = 3  // how many logs are written at a time
	killAtLeast = 10 // how many appends a process has acknowledged when it is killed
)

func killKey(i int) storage.LogKey { return storage.LogKey{App: "kill", Channel: fmt.Sprint(i)} }

// beKilled appends to logs until the process is killed, and trims them. It prints
// "added LOG SERIAL PAYLOAD" when an append was acknowledged.
func beKilled(text string) error {
	var o HistoryOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	h, err := OpenHistory(context.Background(), o, nil)
	if err != nil {
		return err
	}
	round := os.Getenv("SOCKUDO_KILL_ROUND")
	var mu sync.Mutex
	for w := range 2 * killLogs {
		go func() {
			for n := 0; ; n++ {
				var list []*storage.LogAppend
				for k := range 1 + n%4 {
					payload := fmt.Sprintf("%s.%d.%d.%d", round, w, n, k)
					list = append(list, &storage.LogAppend{
						Key: killKey(w % killLogs), Fresh: "id", Row: true, Subject: fmt.Sprint(w), Once: payload, Payload: []byte(payload), Keep: time.Hour,
					})
				}
				h.Append(context.Background(), list)
				for _, a := range list {
					if a.Err != nil {
						fmt.Fprintln(os.Stderr, a.Err)
						os.Exit(1)
					}
					mu.Lock()
					_, _ = fmt.Fprintf(os.Stdout, "added %d %d %s\n", w%killLogs, a.Entry.Serial, a.Payload)
					mu.Unlock()
				}
				if before := list[0].Entry.Serial; n%10 == 9 && before > 40 {
					if err := h.Trim(context.Background(), killKey(w%killLogs), "id", before-40); err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
				}
			}
		}()
	}
	select {}
}

// TestKilledWritersLoseNothing kills a process that appends to logs and trims them,
// again and again, at any moment. What was acknowledged is at its serial, unless it
// was trimmed, and nobody sees a hole or half a transaction. What the server keeps is
// not at stake: it lives on, and unless SCYLLADB_NODES names a cluster it is a server
// of our own.
func TestKilledWritersLoseNothing(t *testing.T) {
	const rounds = 12
	o := cluster(t)
	h := openHistory(t, o, "")
	text, err := json.Marshal(h.options)
	if err != nil {
		t.Fatal(err)
	}
	given := [killLogs]map[uint64]string{}
	for i := range given {
		given[i] = map[uint64]string{}
	}
	acknowledged := 0
	for round := range rounds {
		for _, line := range killWriter(t, string(text), round) {
			var log int
			var serial uint64
			var payload string
			if n, err := fmt.Sscanf(line, "added %d %d %s", &log, &serial, &payload); n != 3 || log >= killLogs {
				t.Fatalf("round %d says %q: %v", round, line, err)
			}
			if other, twice := given[log][serial]; twice {
				t.Errorf("serial %d of log %d went to %s and %s", serial, log, other, payload)
			}
			given[log][serial] = payload
			acknowledged++
		}
	}
	kept, lost := 0, 0
	for i, serials := range given {
		storagetest.AwaitCalm(t, h, killKey(i))
		head, err := h.Head(t.Context(), killKey(i))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := h.Read(t.Context(), killKey(i), "id", storage.LogQuery{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if uint64(len(entries)) != head.Serial+1-head.First {
			t.Errorf("log %d has %d entries, and its head is %+v", i, len(entries), head)
		}
		kept += len(entries)
		there := map[uint64]string{}
		for _, e := range entries {
			there[e.Serial] = string(e.Payload)
		}
		for serial, payload := range serials {
			if serial > head.Serial || serial >= head.First && there[serial] != payload {
				lost++
				t.Errorf("%s was acknowledged with serial %d of log %d, where %q is; its head is %+v", payload, serial, i, there[serial], head)
			}
		}
		trimmed(t, h, killKey(i), head.Serial+1)
	}
	if n := count(t, h, h.table); n != killLogs {
		t.Errorf("after all was trimmed %d rows are left, want the heads of %d logs", n, killLogs)
	}
	if acknowledged < rounds*killAtLeast {
		t.Errorf("only %d entries were acknowledged in %d rounds", acknowledged, rounds)
	}
	t.Logf("FIGURE kill -9 of a process that appends to logs in CQL: %d rounds, %d entries acknowledged, %d kept at the end, %d lost", rounds, acknowledged, kept, lost)
}

// killWriter runs a process for a while, kills it, and returns what it said.
func killWriter(t *testing.T, options string, round int) (lines []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), killVariable+"="+options, "SOCKUDO_KILL_ROUND="+strconv.Itoa(round))
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	enough, ended := make(chan struct{}), make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-enough:
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // at any moment
		case <-ended:
		}
		_ = c.Process.Kill()
	})
	last := killAtLeast + rand.IntN(200)
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // the last line may be half a one
		}
		if lines = append(lines, line); len(lines) == last {
			close(enough)
		}
	}
	close(ended)
	killer.Wait()
	_ = c.Wait()
	if failure.Len() > 0 {
		t.Errorf("round %d: %s", round, &failure)
	}
	return lines
}
