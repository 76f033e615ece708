package scylladb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushCallsOf are all calls of a store.
func pushCallsOf(s *PushStore) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Get": func(ctx context.Context) error { _, err := s.Get(ctx, device("a")); return err },
		"List": func(ctx context.Context) error {
			_, err := s.List(ctx, storage.PushQuery{App: "app", Table: "devices", Limit: 1})
			return err
		},
		"Apply": func(ctx context.Context) error { return s.Apply(ctx, pushOne(device("a")), dueAtTime("b", 1)) },
		"Due":   func(ctx context.Context) error { _, err := s.Due(ctx, "devices", 1, 1); return err },
		"Check": s.Check,
	}
}

// In the middle of an outage each call fails in time, and never with the word that a
// condition does not hold; afterwards everything works again.
func TestPushStoreOutage(t *testing.T) {
	o := cluster(t)
	target := o.Nodes[0]
	for name, begin := range map[string]func(*outage.Proxy){"cut": (*outage.Proxy).Cut, "stalled": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := outage.NewProxy(t, target)
			through := o
			through.Nodes = []string{proxy.Addr()}
			s := openPush(t, through, tables())
			apply(t, s, pushPut(device("before"), "x"))
			begin(proxy)
			for what, call := range pushCallsOf(s) {
				ctx, cancel := contextFor(t, 300*time.Millisecond)
				began := time.Now()
				err := call(ctx)
				cancel()
				if took := time.Since(began); err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrClosed) || took > 5*time.Second {
					t.Errorf("%s during the outage: %v after %v", what, err, took)
				}
			}
			proxy.Mend()
			for what, call := range pushCallsOf(s) {
				eventually(t, what+" after the outage", call)
			}
			if r := pushGet(t, s, device("before")); string(r.Value) != "x" {
				t.Errorf("what was there is %+v", r)
			}
		})
	}
}

// Without a majority nothing is acknowledged, and nothing is said not to be there.
func TestPushStoreWithoutMajority(t *testing.T) {
	server := cqltest.Start(t, cqltest.Options{DataCenters: []string{"a", "a", "a"}})
	s := openPush(t, Options{Nodes: []string{server.Addr()}, Keyspace: "ks", ReplicationFactor: 3}, "")
	apply(t, s, pushPut(device("x"), "x"))
	server.Node(1).Stop()
	eventually(t, "apply with two of three nodes", pushCallsOf(s)["Apply"])
	server.Node(2).Stop()
	for what, call := range pushCallsOf(s) {
		if err := call(t.Context()); err == nil || errors.Is(err, storage.ErrConflict) || !strings.Contains(err.Error(), s.place) {
			t.Errorf("%s with one of three nodes: %v", what, err)
		}
	}
	for i := range 2 {
		if err := server.Node(i + 1).Start(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the records after the outage", func(ctx context.Context) error {
		read, err := s.Get(ctx, device("x"))
		if err == nil && string(read[0].Value) != "x" {
			t.Fatalf("after the outage it is %+v", read)
		}
		return err
	})
}

// What the server answers with an error is not taken for anything else, and says what it
// is.
func TestErrorsOfTheServerAboutPush(t *testing.T) {
	server, o := server(t, cqltest.Options{})
	s := openPush(t, o, "")
	apply(t, s, dueAtTime("a", 1))
	for want, fault := range map[string]error{
		"Server is overloaded": cqltest.Overloaded(), "NullPointerException": cqltest.Broken(), "no SELECT": cqltest.Unauthorized("no SELECT"),
	} {
		for _, only := range []string{"", " IF "} {
			server.Let(func(r cqltest.Request, _ func() error) error {
				if strings.Contains(r.Text, only) {
					return fault
				}
				return nil
			})
			for what, call := range pushCallsOf(s) {
				if only != "" && what != "Apply" {
					continue
				}
				if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), s.place) || errors.Is(err, storage.ErrConflict) {
					t.Errorf("%s with the fault %q: %v", what, want, err)
				}
			}
		}
	}
	server.Let(nil)
	if r := pushGet(t, s, device("a")); r.Counts[0] != 0 {
		t.Errorf("a refused change is there: %+v", r)
	}
	if err := s.session.Query("UPDATE "+s.table+" SET counts = ?"+pushKeyIs, append([]any{[]byte("odd")}, pushKeyValues(new(device("a")))...)...).Exec(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), device("a")); err == nil || err.Error() != s.place+": "+errCounts.Error() {
		t.Errorf("broken counters: %v", err)
	}
}

// pushStatementsFile holds all statements about records. UPDATE_STATEMENTS writes it anew.
const pushStatementsFile = "testdata/push.cql"

var pushRepeated = regexp.MustCompile(`\(\?(, \?)+\)`)

// The statements are those of the file, with these levels: nothing is asked that nobody
// has looked at.
func TestPushStatements(t *testing.T) {
	server, o := server(t, cqltest.Options{})
	s := openPush(t, o, "")
	put, group := dueAtTime("a", 1), "g"
	put.Counts[0] = 1
	again := onlyIf(dueAtTime("a", 1), put.Version)
	absent := onlyIf(storage.PushChange{Op: storage.PushCheck, Key: device("none")}, 0)
	idle := pushOne(device("a"))
	idle.Counts[0] = 0
	for _, c := range []storage.PushChange{put, again, put, pushOne(device("a")), idle, absent, pushDelete(device("a"))} {
		apply(t, s, c)
	}
	if err := s.Apply(t.Context(), onlyIf(put, 1)); !errors.Is(err, storage.ErrConflict) {
		t.Error(err)
	}
	var errs []error
	for _, q := range []storage.PushQuery{{}, {Group: &group}, {AfterGroup: "a", AfterName: "b"}} {
		q.App, q.Table, q.Limit = "app", "devices", 5
		_, err := s.List(t.Context(), q)
		errs = append(errs, err)
	}
	old := &pushNote{key: device("gone"), bucket: 7, due: 1, id: "x"}
	errs = append(errs, s.add(t.Context(), old))
	for range 2 {
		_, err := s.Due(t.Context(), "devices", time.Now().UnixMilli(), 10)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range server.Asked() {
		text := pushRepeated.ReplaceAllString(r.Text, "(?, ...)")
		lines = append(lines, strings.Trim(r.Consistency+" "+r.Serial, " ")+": "+strings.ReplaceAll(text, "; ", ";\n\t"))
	}
	got := strings.Join(slices.Compact(slices.Sorted(slices.Values(lines))), "\n") + "\n"
	if os.Getenv("UPDATE_STATEMENTS") != "" {
		if err := os.WriteFile(pushStatementsFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(pushStatementsFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the statements are not those of %s:\n%s", pushStatementsFile, got)
	}
}

func TestTablesOfPushAreMade(t *testing.T) {
	server, o := server(t, cqltest.Options{})
	openPush(t, o, "")
	server.Asked()
	s := openPush(t, o, "")
	if got := defined(server); len(got) > 0 {
		t.Errorf("a later start has made %q", got)
	}
	if _, err := OpenHistory(t.Context(), HistoryOptions{Options: o, Prefix: "sockudo_push"}, nil); err == nil || !strings.Contains(err.Error(), "it is another table") {
		t.Errorf("as a table of logs: %v", err)
	}
	for want, bad := range map[string]PushOptions{`table_prefix "a-b"`: {Prefix: "a-b"}, `keyspace "a b"`: {Options: Options{Keyspace: "a b"}}} {
		if _, err := OpenPushStore(t.Context(), bad, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if want := fmt.Sprintf("%s.%s", quote(o.Keyspace), quote("sockudo_push")); s.table != want {
		t.Errorf("the table is %s, want %s", s.table, want)
	}
}
