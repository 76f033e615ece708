package dynamodb

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// killVariable makes the test binary the process that is killed. Its value is the
// table of the histories.
const killVariable = "SOCKUDO_KILL_HISTORY"

func TestMain(m *testing.M) {
	if table := os.Getenv(killVariable); table != "" {
		if err := beKilled(table); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// killed are the logs that the process appends to.
var killed = []storage.LogKey{{App: "app", Channel: "one"}, {App: "app", Channel: "two"}}

// beKilled appends until the process is killed. It prints what Append has accepted as
// LOG SERIAL SUBJECT PAYLOAD and a full stop.
func beKilled(table string) error {
	h, err := OpenHistory(context.Background(), Options{Table: table, Endpoint: endpoint(), AccessKeyID: "test", SecretAccessKey: "hush"})
	if err != nil {
		return err
	}
	round := os.Getenv("SOCKUDO_KILL_ROUND")
	lines := make(chan string)
	for p := range 4 {
		go func() {
			for n := 0; ; n++ {
				var appends []*storage.LogAppend
				for k := range 1 + n%4 {
					payload := fmt.Sprintf("%s-%d-%d-%d", round, p, n, k)
					appends = append(appends, &storage.LogAppend{
						Key: killed[(p+k)%2], Fresh: fmt.Sprint("id", (p+k)%2), Row: true, Subject: fmt.Sprint("s", n%5), Once: payload, Payload: []byte(payload),
					})
				}
				h.Append(context.Background(), appends)
				for k, a := range appends {
					if a.Err != nil {
						fmt.Fprintln(os.Stderr, a.Err)
						os.Exit(1)
					}
					lines <- fmt.Sprint((p+k)%2, " ", a.Entry.Serial, " ", a.Subject, " ", string(a.Payload), " .")
				}
			}
		}()
	}
	for line := range lines {
		_, _ = fmt.Fprintln(os.Stdout, line)
	}
	return nil
}

// TestHistoryOfKilledProcesses kills a process that appends, again and again, at any
// moment. Whatever Append has accepted must be there, and no log may have a gap.
func TestHistoryOfKilledProcesses(t *testing.T) {
	const rounds = 10
	o := newTable(t)
	h := openHistory(t, o)
	accepted := []map[uint64]string{{}, {}}
	for round := range rounds {
		for _, line := range killOnce(t, o.Table, round) {
			var log int
			var serial uint64
			var subject, payload string
			if _, err := fmt.Sscanf(line, "%d %d %s %s .", &log, &serial, &subject, &payload); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if other, twice := accepted[log][serial]; twice {
				t.Errorf("serial %d of log %d went to %s and %s", serial, log, other, payload)
			}
			accepted[log][serial] = payload
		}
	}
	total := 0
	for n, key := range killed {
		total += len(accepted[n])
		storagetest.AwaitCalm(t, h, key)
		entries, err := h.Read(t.Context(), key, fmt.Sprint("id", n), storage.LogQuery{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		head, err := h.Head(t.Context(), key)
		if err != nil || head.Serial != uint64(len(entries)) || head.First != 1 || len(entries) < len(accepted[n]) {
			t.Fatalf("log %d: head %+v, %v, with %d entries, of which %d were accepted", n, head, err, len(entries), len(accepted[n]))
		}
		of := map[string]int{}
		for i, e := range entries {
			of[e.Subject]++
			if e.Serial != uint64(i+1) || e.Row != e.Serial {
				t.Fatalf("log %d: entry %d is %+v", n, i, e)
			}
			if payload, is := accepted[n][e.Serial]; is && payload != string(e.Payload) {
				t.Errorf("log %d: serial %d has %q, want %q", n, e.Serial, e.Payload, payload)
			}
		}
		for subject, want := range of {
			found, err := h.Read(t.Context(), key, fmt.Sprint("id", n), storage.LogQuery{Subject: subject, Limit: 1 << 20, Bare: true})
			if err != nil || len(found) != want {
				t.Errorf("log %d: %d entries of %s, %v; want %d", n, len(found), subject, err, want)
			}
		}
	}
	t.Logf("FIGURE kill -9 of a process with a history in DynamoDB: %d rounds, %d entries accepted, all there, no gap", rounds, total)
}

// killOnce runs a process for a while, kills it, and returns what it said.
func killOnce(t *testing.T, table string, round int) (lines []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), killVariable+"="+table, fmt.Sprint("SOCKUDO_KILL_ROUND=", round))
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	last := 1 + rand.IntN(40)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) == last {
			time.AfterFunc(time.Duration(rand.IntN(40))*time.Millisecond, func() { _ = c.Process.Kill() }) // at any moment of what it does
		}
	}
	if len(lines) < last {
		t.Errorf("round %d said %q: %s", round, lines, &failure)
	}
	_ = c.Wait()
	if failure.Len() > 0 {
		t.Errorf("round %d: %s", round, &failure)
	}
	// The pipe ends within a line when the process does.
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], " .") {
		lines = lines[:n-1]
	}
	return lines
}
