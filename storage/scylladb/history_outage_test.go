package scylladb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

// historyCalls are all calls.
func historyCalls(h *History, key storage.LogKey) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Append": func(ctx context.Context) error {
			a := &storage.LogAppend{Key: key, Fresh: "id", Payload: []byte("during")}
			h.Append(ctx, []*storage.LogAppend{a})
			return a.Err
		},
		"Head": func(ctx context.Context) error { _, err := h.Head(ctx, key); return err },
		"Read": func(ctx context.Context) error {
			_, err := h.Read(ctx, key, "id", storage.LogQuery{Limit: 1})
			return err
		},
		"Latest": func(ctx context.Context) error { _, err := h.Latest(ctx, key, "id", []string{"s"}); return err },
		"Trim":   func(ctx context.Context) error { return h.Trim(ctx, key, "id", 1) },
		"Reset": func(ctx context.Context) error {
			return h.Reset(ctx, storage.LogKey{App: key.App, Channel: key.Channel + "2"}, "id")
		},
		"Mark":  func(ctx context.Context) error { return h.Mark(ctx, key, "id", storage.LogState{Name: "x", Since: 1}) },
		"Due":   func(ctx context.Context) error { _, err := h.Due(ctx, time.Now(), 1); return err },
		"Check": h.Check,
	}
}

// In the middle of an outage each call fails in time, and never with the word that
// there is no such log; afterwards everything works again, and what was acknowledged
// is there.
func TestHistoryOutage(t *testing.T) {
	o := cluster(t)
	target := o.Nodes[0]
	for name, begin := range map[string]func(*outage.Proxy){"cut": (*outage.Proxy).Cut, "stalled": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := outage.NewProxy(t, target)
			through := o
			through.Nodes = []string{proxy.Addr()}
			h := openHistory(t, through, tables())
			key := logKey()
			appended(t, h, &storage.LogAppend{Key: key, Payload: []byte("before")})
			for round := range 2 {
				begin(proxy)
				for what, call := range historyCalls(h, key) {
					ctx, cancel := contextFor(t, 300*time.Millisecond)
					began := time.Now()
					err := call(ctx)
					cancel()
					if took := time.Since(began); err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) || took > 5*time.Second {
						t.Errorf("%s during the outage: %v after %v", what, err, took)
					}
				}
				proxy.Mend()
				eventually(t, "append after the outage", func(ctx context.Context) error {
					a := &storage.LogAppend{Key: key, Fresh: "id", Payload: fmt.Append(nil, "after", round)}
					h.Append(ctx, []*storage.LogAppend{a})
					return a.Err
				})
				if got := payloads(t, h, key); !strings.Contains(got, fmt.Sprint("after", round, " ")) {
					t.Errorf("after the outage the log has %q", got)
				}
			}
		})
	}
}

// Without a majority nothing is acknowledged, and nothing is said not to be there.
func TestHistoryWithoutMajority(t *testing.T) {
	s := cqltest.Start(t, cqltest.Options{DataCenters: []string{"a", "a", "a"}})
	h := openHistory(t, Options{Nodes: []string{s.Addr()}, Keyspace: "ks", ReplicationFactor: 3}, "")
	key := logKey()
	appended(t, h, &storage.LogAppend{Key: key, Payload: []byte("x")})
	s.Node(1).Stop()
	eventually(t, "append with two of three nodes", func(ctx context.Context) error {
		a := &storage.LogAppend{Key: key, Fresh: "id", Payload: []byte("y")}
		h.Append(ctx, []*storage.LogAppend{a})
		return a.Err
	})
	s.Node(2).Stop()
	for what, call := range historyCalls(h, key) {
		if err := call(t.Context()); err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), h.place) {
			t.Errorf("%s with one of three nodes: %v", what, err)
		}
	}
	for i := range 2 {
		if err := s.Node(i + 1).Start(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the log after the outage", func(ctx context.Context) error {
		entries, err := h.Read(ctx, key, "id", storage.LogQuery{Limit: 10})
		if err == nil && (len(entries) < 2 || string(entries[0].Payload) != "x") {
			t.Fatalf("after the outage the log has %v", entries)
		}
		return err
	})
}

// What the server answers with an error is not taken for a missing log, and says what
// it is.
func TestErrorsOfTheServerAboutLogs(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	appended(t, h, &storage.LogAppend{Key: key})
	for want, fault := range map[string]error{
		"Server is overloaded": cqltest.Overloaded(), "NullPointerException": cqltest.Broken(), "no SELECT": cqltest.Unauthorized("no SELECT"),
	} {
		for _, only := range []string{"", " IF "} {
			s.Let(func(r cqltest.Request, _ func() error) error {
				if strings.Contains(r.Text, only) {
					return fault
				}
				return nil
			})
			for what, call := range historyCalls(h, key) {
				if only != "" && what != "Append" && what != "Mark" && what != "Reset" {
					continue
				}
				if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), h.place) || errors.Is(err, storage.ErrNotFound) {
					t.Errorf("%s with the fault %q: %v", what, want, err)
				}
			}
		}
	}
	s.Let(nil)
	if head, err := h.Head(t.Context(), key); err != nil || head.Serial != 1 || head.State.Name != "" {
		t.Errorf("the head is %+v, %v", head, err)
	}
}
