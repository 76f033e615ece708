package redis

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// historyVariable makes the test binary a process that appends until it is killed. Its
// value is the address of the server, or those of a cluster.
const historyVariable = "SOCKUDO_KILL_HISTORY"

// killedLog is one of those that killed processes append to.
func killedLog(n int) storage.LogKey {
	return storage.LogKey{App: "killed", Channel: fmt.Sprint("log ", n)}
}

const killedLogs = 5

// appendUntilKilled prints "added LOG SERIAL PAYLOAD" when an Append has returned.
func appendUntilKilled(addresses string) error {
	h, err := OpenHistory(context.Background(), queueOptionsOf(addresses), HistoryOptions{}, nil)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	failed := make(chan error)
	for p := range 4 {
		go func() {
			for n := 0; ; n++ {
				var appends []*storage.LogAppend
				for k := range 1 + n%7 {
					payload := fmt.Sprintf("%s.%d.%d.%d", os.Getenv(queueName), p, n, k)
					appends = append(appends, &storage.LogAppend{Key: killedLog(k % killedLogs), Fresh: payload, Row: true, Payload: []byte(payload), Subject: fmt.Sprint(p), Once: payload})
				}
				h.Append(context.Background(), appends)
				for k, a := range appends {
					if a.Err != nil {
						failed <- a.Err
					}
					mu.Lock()
					_, _ = fmt.Fprintln(os.Stdout, "added", k%killedLogs, a.Entry.Serial, string(a.Payload))
					mu.Unlock()
				}
			}
		}()
	}
	return <-failed
}

// TestKilledHistoryProcesses has two processes append to the same logs, and kills one
// after the other. What Append has acknowledged must be there,
// under the serial that it was told, without a gap.
func TestKilledHistoryProcesses(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"single", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var addresses string
			if kind == "single" {
				addresses = redistest.Start(t, surely...).Addr()
			} else {
				addresses = strings.Join(redistest.StartCluster(t, surely...).Addrs(), ",")
			}
			const rounds = 8
			var said []string
			old := startProcess(t, historyVariable, addresses, "p0")
			for round := range rounds {
				next := startProcess(t, historyVariable, addresses, fmt.Sprint("p", round+1))
				select {
				case <-next.first: // both are at work
				case <-next.done: // which kill complains of
				}
				said = append(said, old.kill(t)...)
				old = next
			}
			said = append(said, old.kill(t)...)
			checkKilledLogs(t, kind, openHistory(t, queueOptionsOf(addresses), ""), said, rounds)
		})
	}
}

func checkKilledLogs(t *testing.T, kind string, h *History, said []string, rounds int) {
	t.Helper()
	stored, entries := map[string]bool{}, 0
	for n := range killedLogs {
		key := killedLog(n)
		storagetest.AwaitCalm(t, h, key)
		head, err := h.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		read, err := h.Read(t.Context(), key, head.Stream, storage.LogQuery{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range read {
			if e.Serial != uint64(i+1) || e.Row != e.Serial || e.Once != string(e.Payload) {
				t.Fatalf("entry %d of log %d is %+v", i, n, e)
			}
			stored[fmt.Sprint("added ", n, " ", e.Serial, " ", string(e.Payload))] = true
		}
		if head.Serial != uint64(len(read)) || head.State.Name != "" {
			t.Errorf("log %d has %d entries, and the head %+v", n, len(read), head)
		}
		entries += len(read)
	}
	lost := 0
	for _, line := range said {
		if !stored[line] {
			lost++
			t.Errorf("%q was acknowledged and is not there", line)
		}
	}
	if len(said) < rounds*50 || entries < len(said) {
		t.Errorf("only %d entries were acknowledged in %d rounds", len(said), rounds)
	}
	t.Logf("FIGURE kill -9 of processes with the Redis history (%s, two at a time): %d rounds, %d entries acknowledged, %d stored, %d lost", kind, rounds, len(said), entries, lost)
}
