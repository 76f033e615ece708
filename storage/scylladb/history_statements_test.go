package scylladb

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// statementsFile holds all statements about logs, for those who want to hold them
// against the grammar of the servers. UPDATE_STATEMENTS writes it anew.
const statementsFile = "testdata/history.cql"

var (
	repeated = regexp.MustCompile(`(; INSERT INTO [^;]*)+; APPLY`)
	removals = regexp.MustCompile(`(DELETE FROM [^;]* AND serial = \?; )+`)
)

// The statements are those of the file, with these levels: nothing is asked that
// nobody has looked at.
func TestHistoryStatements(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	now := time.Now()
	entry := func(change storage.LogAppend) {
		change.Key, change.Fresh, change.Payload, change.Row = key, "id", []byte("x"), true
		h.Append(t.Context(), []*storage.LogAppend{&change})
		if change.Err != nil && !errors.Is(change.Err, storage.ErrConflict) {
			t.Error(change.Err)
		}
	}
	after := uint64(1)
	for range 2 {
		entry(storage.LogAppend{At: 1, Subject: "s", Once: "o", Keep: time.Hour})
	}
	entry(storage.LogAppend{Subject: "s", After: &after, Keep: time.Minute})
	var errs []error
	for _, q := range []storage.LogQuery{{}, {Reverse: true}, {Bare: true, FromAt: 1}, {Bare: true, Reverse: true}, {Subject: "s"}, {Subject: "s", Reverse: true, Bare: true}} {
		q.Limit = 5
		_, err := h.Read(t.Context(), key, "id", q)
		errs = append(errs, err)
	}
	_, err := h.Latest(t.Context(), key, "id", []string{"s"})
	errs = append(errs, err, h.Mark(t.Context(), key, "id", storage.LogState{Name: "x", Since: 1}), h.Trim(t.Context(), key, "id", 100), h.Reset(t.Context(), key, "new"), h.Reset(t.Context(), logKey(), "id"))
	s.Let(func(r cqltest.Request, run func() error) error {
		if isBatch(r) {
			s.Let(nil)
			return errors.Join(run(), cqltest.WriteTimeout("CAS"))
		}
		return nil
	})
	h.Append(t.Context(), []*storage.LogAppend{{Key: key, Fresh: "id"}})
	older(t, h, 5*time.Hour)
	for range 2 {
		_, err := h.Due(t.Context(), now, 10)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range s.Asked() {
		text := repeated.ReplaceAllString(r.Text, "$1; APPLY")
		text = removals.ReplaceAllString(text, "$1")
		if !strings.HasPrefix(text, "SELECT bucket") { // the test's own
			lines = append(lines, strings.Trim(r.Consistency+" "+r.Serial, " ")+": "+strings.ReplaceAll(text, "; ", ";\n\t"))
		}
	}
	got := strings.Join(slices.Compact(slices.Sorted(slices.Values(lines))), "\n") + "\n"
	if os.Getenv("UPDATE_STATEMENTS") != "" {
		if err := os.WriteFile(statementsFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(statementsFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the statements are not those of %s:\n%s", statementsFile, got)
	}
}

// Transactions are bounded by the number of entries and by their size.
func TestTransactionsAreBounded(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	for what, c := range map[string]struct{ entries, size, want int }{
		"many":  {3*maxBatch + 1, 1, 4},
		"large": {5, maxBatchBytes / 2, 3},
		"huge":  {2, maxPayload, 2},
	} {
		key := logKey()
		var list []*storage.LogAppend
		for range c.entries {
			list = append(list, &storage.LogAppend{Key: key, Fresh: "id", Payload: make([]byte, c.size)})
		}
		s.Asked()
		h.Append(t.Context(), list)
		for i, a := range list {
			if a.Err != nil || a.Entry.Serial != uint64(i+1) {
				t.Fatalf("%s: entry %d: %+v, %v", what, i, a.Entry, a.Err)
			}
		}
		if got := slices.DeleteFunc(s.Asked(), func(r cqltest.Request) bool { return !isBatch(r) }); len(got) != c.want {
			t.Errorf("%s: %d transactions, want %d", what, len(got), c.want)
		}
	}
}

func TestTablesOfLogsAreMade(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	o.Keyspace = "Mixed_1"
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { openHistory(t, o, "Logs") })
	}
	group.Wait()
	s.Asked()
	h := openHistory(t, o, "Logs")
	if got := defined(s); len(got) > 0 {
		t.Errorf("a later start has made %q", got)
	}
	if err := h.session.Query("SELECT log FROM mixed_1.logs_due").Exec(); err != nil {
		t.Error(err)
	}
	if err := h.session.Query("CREATE TABLE mixed_1.other (log text, stream blob, part blob, serial bigint, PRIMARY KEY (log))").Exec(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHistory(t.Context(), HistoryOptions{Options: o, Prefix: "other"}, nil); err == nil || !strings.Contains(err.Error(), "its column log is of the type \"text\", not blob") {
		t.Errorf("a table of something else: %v", err)
	}
	for want, bad := range map[string]HistoryOptions{
		`table_prefix "a-b"`: {Prefix: "a-b"}, "44 at most": {Prefix: strings.Repeat("a", 45)},
		`keyspace "a b"`: {Options: Options{Keyspace: "a b"}}, "go together": {Options: Options{Username: "u"}},
	} {
		if _, err := OpenHistory(t.Context(), bad, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	openHistory(t, Options{Nodes: o.Nodes, Keyspace: strings.Repeat("k", 48), ReplicationFactor: 1}, strings.Repeat("t", 44)) // the longest names fit
}

func TestRightsToLogs(t *testing.T) {
	_, o := server(t, cqltest.Options{Logins: map[string]cqltest.Login{
		"root": {Password: "hush", Rights: []string{"CREATE", "ALTER", "SELECT", "MODIFY", "DROP"}}, "writer": {Password: "hush", Rights: []string{"SELECT", "MODIFY"}},
	}})
	as := func(user string) Options {
		login := o
		login.Username, login.Password = user, "hush"
		return login
	}
	if _, err := OpenHistory(t.Context(), HistoryOptions{Options: as("writer")}, nil); err == nil || !strings.Contains(err.Error(), "making keyspace ks: User writer has no CREATE permission") || strings.Contains(err.Error(), "hush") {
		t.Errorf("without the right to make tables: %v", err)
	}
	openHistory(t, as("root"), "")
	appended(t, openHistory(t, as("writer"), ""), &storage.LogAppend{Key: logKey(), Keep: time.Hour})
}

// Keys of logs are told apart in whatever bytes they are.
func TestKeysOfLogs(t *testing.T) {
	seen := map[string]storage.LogKey{}
	for _, key := range []storage.LogKey{{App: "", Channel: "ab"}, {App: "a", Channel: "b"}, {App: "ab", Channel: ""}, {App: strings.Repeat("a", 300), Channel: "\x00\xff"}} {
		log := logOf(key)
		if other, twice := seen[string(log)]; twice || keyOf(log) != key {
			t.Errorf("%v becomes %x, as %v, and %v again", key, log, other, keyOf(log))
		}
		seen[string(log)] = key
	}
	for _, log := range []string{"", "\xff", "\x05a"} {
		if key := keyOf([]byte(log)); key != (storage.LogKey{}) {
			t.Errorf("%x becomes %v", log, key)
		}
	}
}

func TestBlocksOfHistory(t *testing.T) {
	t.Setenv("TEST_SCYLLADB_PASSWORD", "hush")
	read := func(text string) (*HistoryModule, error) { return provisionedHistory("scylladb {\n" + text + "\n}") }
	m, err := read("nodes db\n keyspace ks\n table_prefix p\n username u\n password {env.TEST_SCYLLADB_PASSWORD}\n replication_class NetworkTopologyStrategy\n replication_factor 5")
	if err != nil {
		t.Fatal(err)
	}
	want := HistoryOptions{Options{Nodes: []string{"db:9042"}, Keyspace: "ks", Username: "u", Password: "hush", ReplicationClass: "NetworkTopologyStrategy", ReplicationFactor: 5}, "p"}
	if fmt.Sprint(m.options) != fmt.Sprint(want) || m.Driver() != "scylladb" || m.OpenTimeout() != OpenTimeout {
		t.Errorf("%+v, want %+v", m.options, want)
	}
	if m, err := read("tls {\n insecure_skip_verify\n}"); err != nil || m.options.TLS == nil || !m.options.TLS.SkipVerify {
		t.Errorf("tls: %v", err)
	}
	for text, want := range map[string]string{
		"table_prefix a-b":        `table_prefix "a-b"`,
		"table_name a":            "table_name is unknown to this driver",
		"nodes a:1 b:2":           "nodes: b:2 has another port",
		"password x":              "username and password go together",
		"replication_factor x":    `replication_factor: "x" is not a whole number`,
		"table_prefix {env.NONE}": "table_prefix:",
		"tls {\n ca /no/file\n}":  "tls: ca: open /no/file",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	keys := map[string]string{}
	for _, text := range []string{"", "table_prefix p", "keyspace k", "nodes a", "nodes a\n username u\n password p"} {
		m, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := keys[m.Key()]; twice {
			t.Errorf("%q has the key of %q", text, other)
		}
		keys[m.Key()] = text
	}
	if m, err := read("table_prefix sockudo_history\n nodes 127.0.0.1\n replication_factor 2"); err != nil || keys[m.Key()] != "" {
		t.Errorf("the defaults have another key, %v", err)
	}
}
