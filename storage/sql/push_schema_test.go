package sql

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Tables of another version are not opened, and stay as they are.
//
// Checklist: push 110
func TestPushSchemaOfAnotherVersion(t *testing.T) {
	onPushes(t, func(t *testing.T, o Options, prefix string) {
		s := openPush(t, o, prefix)
		c := pushPut("kept", 0)
		if err := s.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		set := func(statement string, args ...any) {
			t.Helper()
			if _, err := s.db.ExecContext(t.Context(), s.text(statement), args...); err != nil {
				t.Fatal(err)
			}
		}
		for _, version := range []int{pushSchema + 1, pushSchema + 6} {
			set("UPDATE {schema} SET version = ?", version)
			_, err := OpenPushStore(t.Context(), o, PushOptions{TablePrefix: prefix})
			if err == nil || !strings.Contains(err.Error(), "schema version") || !strings.Contains(err.Error(), prefix) {
				t.Fatalf("tables of version %d: %v", version, err)
			}
		}
		set("UPDATE {schema} SET version = ?", pushSchema)
		again := openPush(t, o, prefix)
		if r, err := again.Get(t.Context(), c.Key); err != nil || r[0].Version != c.Version {
			t.Fatalf("what was there is %+v, %v", r, err)
		}
		set("ALTER TABLE {records} DROP COLUMN c11")
		if _, err := OpenPushStore(t.Context(), o, PushOptions{TablePrefix: prefix}); err == nil || !strings.Contains(err.Error(), "reading the table "+prefix) {
			t.Fatalf("without a column: %v", err)
		}
	})
}

// Nodes that start at once make the tables once.
func TestPushStoresBeginAtOnce(t *testing.T) {
	onPushes(t, func(t *testing.T, o Options, prefix string) {
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				s, err := OpenPushStore(context.Background(), o, PushOptions{TablePrefix: prefix})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
				_ = s.Close()
			})
		}
		all.Wait()
	})
}

// One file can hold a queue, a history and a push store.
func TestPushStoreSharesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.db")
	q, err := OpenQueue(t.Context(), path, QueueOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	h := openHistory(t, Options{Dialect: SQLite, Path: path}, "")
	s := openPush(t, Options{Dialect: SQLite, Path: path}, "")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := s.Apply(context.Background(), pushPut("x", i), pushPut("y", i)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := appendOnce(h, ""); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := q.Push(context.Background(), storage.Job{Queue: "q", Payload: []byte("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// Values have to fit into the packets of MySQL.
func TestPushValueOfPackets(t *testing.T) {
	for packet, want := range map[int64]int64{
		1 << 30: storage.MaxPushValue, storage.MaxPushValue + packetRest: storage.MaxPushValue, 512 << 10: 512<<10 - packetRest, leastPushValue + packetRest: leastPushValue,
	} {
		if got, err := pushValueOf(packet); err != nil || got != want {
			t.Errorf("packets of %d bytes take %d, %v; want %d", packet, got, err, want)
		}
	}
	if _, err := pushValueOf(leastPushValue); err == nil || !strings.Contains(err.Error(), "max_allowed_packet") {
		t.Errorf("small packets: %v", err)
	}
}

// Names that are more than names are refused.
func TestPushTablePrefix(t *testing.T) {
	for _, prefix := range []string{`a"; DROP TABLE x`, "a b", strings.Repeat("a", 41)} {
		_, err := OpenPushStore(t.Context(), Options{Dialect: SQLite, Path: filepath.Join(t.TempDir(), "p.db")}, PushOptions{TablePrefix: prefix})
		if err == nil || !strings.Contains(err.Error(), "table_prefix") {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
