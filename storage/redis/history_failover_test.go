package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// surely are the arguments of a server that has on disk what it has answered.
var surely = []string{"--appendonly", "yes", "--appendfsync", "always"}

var testLog = storage.LogKey{App: "app", Channel: "channel"}

// addRow appends a row, and returns its error.
func addRow(h *History, key storage.LogKey, fresh, payload string) (*storage.LogAppend, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a := &storage.LogAppend{Key: key, Fresh: fresh, At: 1, Row: true, Payload: []byte(payload)}
	h.Append(ctx, []*storage.LogAppend{a})
	return a, a.Err
}

// addRows appends rows, which has to succeed.
func addRows(t *testing.T, h *History, fresh string, payloads ...string) (last *storage.LogAppend) {
	t.Helper()
	for _, payload := range payloads {
		var err error
		if last, err = addRow(h, testLog, fresh, payload); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// wantLog checks what a log holds.
func wantLog(t *testing.T, h *History, id, payloads string) {
	t.Helper()
	head, err := h.Head(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.Read(t.Context(), testLog, id, storage.LogQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range entries {
		got += string(e.Payload)
	}
	if head.Stream != id || got != payloads || head.Serial != uint64(len(payloads)) {
		t.Errorf("log %+v with %q, want %q with %q", head, got, id, payloads)
	}
}

// wantDegraded checks that a log takes nothing until it is reset, and then begins anew.
func wantDegraded(t *testing.T, h *History, id, payloads string) {
	t.Helper()
	wantLog(t, h, id, payloads)
	head, err := h.Head(t.Context(), testLog)
	if s := head.State; err != nil || s.Name != "degraded" || s.Reason != "store_failed_over" || s.Since < time.Now().Add(-time.Minute).UnixMilli() {
		t.Errorf("the state is %+v, %v", s, err)
	}
	if _, err := addRow(h, testLog, "other", "x"); !errors.Is(err, ErrFailedOver) || errors.Is(err, storage.ErrConflict) || !says(err, testLog.Channel) {
		t.Errorf("Append: %v", err)
	}
	if err := h.Mark(t.Context(), testLog, id, storage.LogState{Since: time.Now().UnixMilli() + 1}); err != nil {
		t.Error(err)
	}
	if _, err := addRow(h, testLog, "other", "x"); !errors.Is(err, ErrFailedOver) {
		t.Errorf("Append after somebody has said that the log is healthy: %v", err)
	}
	if head, err := h.Head(t.Context(), testLog); err != nil || head.State.Name != "degraded" {
		t.Errorf("and its state is %+v, %v", head.State, err)
	}
	wantLog(t, h, id, payloads)
	if err := h.Reset(t.Context(), testLog, "reset"); err != nil {
		t.Fatal(err)
	}
	if head, err := h.Head(t.Context(), testLog); err != nil || head != (storage.LogHead{Stream: "reset", First: 1}) {
		t.Errorf("after the reset: %+v, %v", head, err)
	}
	addRows(t, h, "unused", "n", "e", "w")
	wantLog(t, h, "reset", "new")
}

// A server that had every entry on disk goes on with its logs, however it was ended.
// One that had not does not.
func TestHistoryAfterRestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		before [][]string // commands before the end
		after  [][]string // and after the restart
		kill   bool
		want   string // goes on, degraded or nothing
	}{
		"stopped, every entry on disk":   {args: surely, want: "goes on"},
		"killed, every entry on disk":    {args: surely, kill: true, want: "goes on"},
		"rewritten before it was ended":  {args: surely, before: [][]string{{"BGREWRITEAOF"}}, want: "goes on"},
		"every second":                   {args: []string{"--appendonly", "yes"}, want: "degraded"},
		"not during a rewrite":           {args: append([]string{"--no-appendfsync-on-rewrite", "yes"}, surely...), want: "degraded"},
		"a snapshot":                     {args: []string{"--save", "3600 1"}, before: [][]string{{"SAVE"}}, want: "degraded"},
		"nothing is kept":                {want: "nothing"},
		"rewritten before we have asked": {args: surely, after: [][]string{{"BGREWRITEAOF"}}, want: "degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, c.args...)
			h := openHistory(t, at(server), "")
			addRows(t, h, "one", "a", "b")
			for _, command := range c.before {
				server.MustDo(command...)
				until(t, "end of the rewrite", func() bool {
					return strings.Contains(server.MustDo("INFO", "persistence"), "aof_rewrite_in_progress:0\r")
				})
			}
			if c.kill {
				server.Kill()
			} else {
				server.Stop()
			}
			begun := time.Now()
			if _, err := addRow(h, testLog, "lost", "x"); !says(err, server.Addr()) {
				t.Errorf("while the server is down: %v", err)
			}
			if took := time.Since(begun); took > callTimeout+time.Second {
				t.Errorf("that took %v", took)
			}
			server.Restart()
			until(t, "answer after the restart", func() bool { return h.Check(t.Context()) == nil })
			for _, command := range c.after {
				server.MustDo(command...)
			}
			switch c.want {
			case "goes on":
				wantLog(t, h, "one", "ab")
				addRows(t, h, "two", "c")
				wantLog(t, h, "one", "abc")
			case "degraded":
				wantDegraded(t, h, "one", "ab")
			default:
				if _, err := h.Head(t.Context(), testLog); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("Head: %v", err)
				}
				addRows(t, h, "two", "c")
				wantLog(t, h, "two", "c")
			}
		})
	}
}

// A server that is changed to write later is noticed by the next look.
func TestHistoryNoticesSettings(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, surely...)
	h := openHistory(t, at(server), "")
	addRows(t, h, "one", "a", "b")
	server.MustDo("CONFIG", "SET", "appendfsync", "everysec")
	if _, err := h.Due(t.Context(), time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server.Restart() // with appendfsync always, which says nothing about before
	until(t, "answer after the restart", func() bool { return h.Check(t.Context()) == nil })
	wantDegraded(t, h, "one", "ab")
}

// A master whose replication id changes for its replicas' sake goes on.
func TestHistoryWithFirstReplica(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0", "--repl-backlog-ttl", "1"), redistest.Start(t)
	h := openHistory(t, at(master), "")
	addRows(t, h, "one", "a")
	id := func() string { return infoField(master.MustDo("INFO", "replication"), "master_replid") }
	before := id()
	replica.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(master.Port))
	until(t, "replica", func() bool { return strings.Contains(replica.MustDo("INFO", "replication"), "master_link_status:up") })
	during := id()
	addRows(t, h, "two", "b")
	replica.MustDo("REPLICAOF", "NO", "ONE")
	until(t, "end of the backlog", func() bool { return id() != during })
	if before == during {
		t.Error("the first replica changes no id")
	}
	addRows(t, h, "two", "c")
	wantLog(t, h, "one", "abc")
}

// A replica that is promoted gives no serial that the old master gives too.
func TestHistoryAfterPromotion(t *testing.T) {
	t.Parallel()
	args := append([]string{"--repl-diskless-sync-delay", "0"}, surely...)
	master, replica := redistest.Start(t, args...), redistest.Start(t, args...)
	replica.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(master.Port))
	until(t, "replica", func() bool { return strings.Contains(replica.MustDo("INFO", "replication"), "master_link_status:up") })
	old := openHistory(t, at(master), "")
	addRows(t, old, "one", "a", "b")
	other := storage.LogKey{App: "app", Channel: "idle"}
	if _, err := addRow(old, other, "idle", "x"); err != nil {
		t.Fatal(err)
	}
	head := "sockudo_history:{h" + strconv.Itoa(bucketOf(logName(other))) + "}:head:" + logName(other)
	until(t, "replication", func() bool { return replica.MustDo("EXISTS", head) == "1" })

	replica.MustDo("REPLICAOF", "NO", "ONE")
	addRows(t, old, "two", "c") // which the new master does not know
	wantLog(t, old, "one", "abc")
	core, logs := observer.New(zap.ErrorLevel)
	promoted, err := OpenHistory(t.Context(), at(replica), HistoryOptions{}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = promoted.Close() }()
	if logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, "failed over") {
		t.Errorf("the log says %v", logs.All())
	}
	wantDegraded(t, promoted, "one", "ab")

	// The old master comes back as a replica, is promoted in turn, and even restarted: a
	// log that nobody has touched in between remembers.
	master.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(replica.Port))
	until(t, "replica", func() bool { return strings.Contains(master.MustDo("INFO", "replication"), "master_link_status:up") })
	if _, err := addRow(old, testLog, "two", "x"); err == nil {
		t.Error("a replica takes an entry")
	}
	master.MustDo("REPLICAOF", "NO", "ONE")
	for _, round := range []string{"promoted", "restarted"} {
		if _, err := addRow(old, other, "idle", "y"); !errors.Is(err, ErrFailedOver) {
			t.Errorf("%s: %v", round, err)
		}
		master.Stop()
		master.Restart()
		until(t, "answer after the restart", func() bool { return old.Check(t.Context()) == nil })
	}
	wantDegraded(t, old, "reset", "new")
}

// Entries of a failed over master are not given again, by Sentinel or in a cluster.
func TestHistoryFailover(t *testing.T) {
	t.Parallel()
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		sentinels := redistest.StartSentinels(t, "", surely...)
		h := openHistory(t, sentinelOptions(sentinels), "")
		addRows(t, h, "one", "a", "b")
		replica := sentinels.Servers[1]
		key := h.keys(logName(testLog))[2]
		until(t, "replication", func() bool { return replica.MustDo("HGET", key, "serial") == "2" })
		replica.Freeze()
		last := addRows(t, h, "one", "c") // acknowledged, and lost
		sentinels.Servers[0].Kill()
		replica.Thaw()
		until(t, "new master", func() bool {
			_, err := h.Head(t.Context(), testLog)
			return err == nil
		})
		if n := replica.MustDo("HGET", key, "serial"); n == "3" { // the stream may have been in the buffers of the system
			wantDegraded(t, h, "one", "abc")
		} else {
			wantDegraded(t, h, "one", "ab")
		}
		t.Logf("serial %d was acknowledged by the old master", last.Entry.Serial)
	})
	t.Run("sentinel, restart before the failover", func(t *testing.T) {
		t.Parallel()
		sentinels := redistest.StartSentinels(t, "", surely...)
		h := openHistory(t, sentinelOptions(sentinels), "")
		addRows(t, h, "one", "a", "b")
		sentinels.Servers[0].Stop()
		sentinels.Servers[0].Restart()
		until(t, "entry after the restart", func() bool {
			a, err := addRow(h, testLog, "two", "c")
			if errors.Is(err, ErrFailedOver) || err == nil && a.Entry.Serial != 3 {
				t.Fatalf("%+v", a)
			}
			return err == nil
		})
		wantLog(t, h, "one", "abc")
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster, o := startFailing(t)
		h := openHistory(t, o, "")
		addRows(t, h, "one", "a", "b")
		key := h.keys(logName(testLog))[2]
		slot, _ := strconv.Atoi(cluster.Nodes[0].MustDo("CLUSTER", "KEYSLOT", key))
		owner := min(slot*3/slotCount, 2)
		cluster.Nodes[owner].Kill()
		until(t, "new master", func() bool {
			_, err := h.Head(t.Context(), testLog)
			return err == nil
		})
		wantDegraded(t, h, "one", "ab")
		for i := range 50 { // logs of the other masters go on, and new ones begin
			if _, err := addRow(h, storage.LogKey{App: "app", Channel: fmt.Sprint(i)}, "id", "x"); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("cluster, node restarted", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.StartCluster(t, surely...)
		h := openHistory(t, Options{Cluster: true, Addresses: cluster.Addrs()}, "")
		for i := range 50 {
			if _, err := addRow(h, storage.LogKey{App: "app", Channel: fmt.Sprint(i)}, "id", "x"); err != nil {
				t.Fatal(err)
			}
		}
		for _, node := range cluster.Nodes {
			node.Kill()
			node.Restart()
		}
		for i := range 50 {
			until(t, "entry after the restart", func() bool {
				a, err := addRow(h, storage.LogKey{App: "app", Channel: fmt.Sprint(i)}, "other", "y")
				if errors.Is(err, ErrFailedOver) || err == nil && (a.Entry.Serial != 2 || a.Stream != "id") {
					t.Fatalf("%+v", a)
				}
				return err == nil
			})
		}
	})
}
