package scylladb

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// defined are the statements that have changed the schema since it was asked last.
func defined(s *cqltest.Server) (list []string) {
	for _, r := range s.Asked() {
		if verb, _, _ := strings.Cut(r.Text, " "); verb == "CREATE" || verb == "ALTER" || verb == "DROP" {
			list = append(list, r.Text)
		}
	}
	return list
}

// Checklist: configuration 35
func TestWhatIsMissingIsMade(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	o.Keyspace, o.Table, o.ReplicationClass = "Mixed_1", "Apps", "NetworkTopologyStrategy"
	m := open(t, o)
	got := defined(s)
	if len(got) != 4 || !strings.HasPrefix(got[0], `CREATE KEYSPACE IF NOT EXISTS "mixed_1" WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}`) ||
		!strings.HasPrefix(got[1], `CREATE TABLE IF NOT EXISTS "mixed_1"."apps" (`) ||
		got[2] != `CREATE INDEX IF NOT EXISTS ON "mixed_1"."apps" ("key")` || !strings.HasPrefix(got[3], `CREATE TABLE IF NOT EXISTS "mixed_1"."apps_keys" (`) {
		t.Errorf("the first start has made %q", got)
	}
	var replication map[string]string
	if err := m.session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'mixed_1'").Scan(&replication); err != nil || !strings.HasSuffix(replication["class"], ".NetworkTopologyStrategy") {
		t.Errorf("the keyspace is replicated by %v, %v", replication, err)
	}
	put(t, m, app("a", "k"))
	s.Asked()
	for range 2 {
		knows(t, open(t, o), "k", "a")
	}
	if got := defined(s); len(got) > 0 {
		t.Errorf("a later start has made %q", got)
	}
	if err := m.session.Query(`SELECT id FROM mixed_1.apps WHERE key = 'k'`).Exec(); err != nil { // as Sockudo writes names
		t.Error(err)
	}
}

// A table of Sockudo is complete as it is.
func TestTableOfSockudoIsNotTouched(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	sockudo(t, o, append(flatColumns, "policy text")...)
	open(t, o)
	s.Asked()
	open(t, o)
	if got := defined(s); len(got) > 0 {
		t.Errorf("opening a complete table has made %q", got)
	}
}

func TestMissingColumnsAreAdded(t *testing.T) {
	o := cluster(t)
	writer := sockudo(t, o, slices.DeleteFunc(slices.Clone(flatColumns), func(c string) bool {
		return strings.HasPrefix(c, "channel_delta") || strings.HasPrefix(c, "updated_at")
	})...)
	execute(t, writer, "INSERT INTO "+o.Keyspace+".applications (id, key, secret, enabled, max_connections) VALUES ('a', 'k', 's', true, 7)")
	for range 2 {
		m := open(t, o)
		app, err := m.AppByKey(t.Context(), "k")
		if err != nil || app.Limits.MaxConnections != 7 {
			t.Errorf("after the migration: %v, %v", app, err)
		}
		app.Limits.MaxConnections = 7
		put(t, m, app)
	}
}

func TestMissingIndexIsMade(t *testing.T) {
	o := cluster(t)
	m := open(t, o)
	execute(t, m, "INSERT INTO "+o.Keyspace+".applications (id, key, secret, enabled) VALUES ('a', 'k', 's', true)")
	execute(t, m, "DROP INDEX "+o.Keyspace+".applications_key_idx")
	execute(t, m, "DROP TABLE "+o.Keyspace+".applications_keys")
	again := open(t, o)
	knows(t, again, "k", "a")
	put(t, again, app("b", "k2"))
	claimed(t, again, "k2", "b")
}

func TestManyStartAtOnce(t *testing.T) {
	o := cluster(t)
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			m := open(t, o)
			if err := m.PutApp(t.Context(), app(fmt.Sprint("a", i), fmt.Sprint("k", i)), storage.NoVersion); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	unequivocal(t, open(t, o))
}

// Another node adds a column at the same moment.
func TestColumnThatComesInBetween(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	writer := sockudo(t, o, flatColumns...)
	s.Let(func(r cqltest.Request, _ func() error) error {
		if strings.HasPrefix(r.Text, "ALTER TABLE") && strings.Contains(r.Text, "policy") {
			s.Let(nil)
			execute(t, writer, "ALTER TABLE ks.applications ADD policy text")
		}
		return nil
	})
	put(t, open(t, o), app("a", "k"))
}

func TestColumnsOfOtherTypesAreRefused(t *testing.T) {
	o := cluster(t)
	sockudo(t, o, append(slices.DeleteFunc(slices.Clone(flatColumns), func(c string) bool { return strings.HasPrefix(c, "allowed_origins") }), "allowed_origins set<text>")...)
	refused(t, o, "table applications: its column allowed_origins is of the type set<text>, not text")
}

// Whoever may only read can serve apps.
func TestReadingRightsAreEnough(t *testing.T) {
	all := []string{"CREATE", "ALTER", "SELECT", "MODIFY", "DROP"}
	s, o := server(t, cqltest.Options{Logins: map[string]cqltest.Login{
		"root": {Password: "hush", Rights: all}, "reader": {Password: "hush", Rights: []string{"SELECT"}}, "nobody": {Password: "hush"},
		"writer": {Password: "hush", Rights: []string{"SELECT", "MODIFY"}},
	}})
	as := func(user string) Options {
		login := o
		login.Username, login.Password = user, "hush"
		return login
	}
	refused(t, as("reader"), "making keyspace ks: User reader has no CREATE permission on <all keyspaces>")
	writer := sockudo(t, as("root"), append(flatColumns, "policy text")...)
	execute(t, writer, "INSERT INTO ks.applications (id, key, secret, enabled) VALUES ('a', 'k', 's', true)")
	refused(t, as("nobody"), "User nobody has no SELECT permission on <table ks.applications>")

	// There is no table of keys yet, and no right to make it.
	core, logs := observer.New(zap.WarnLevel)
	reader, err := OpenAppManager(t.Context(), as("reader"), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	if logs.FilterMessageSnippet("there is no table of keys").Len() != 1 {
		t.Error("the log does not say that there is no table of keys")
	}
	reads := func(m *AppManager) {
		t.Helper()
		knows(t, m, "k", "a")
		knows(t, m, "unknown", "")
		if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 {
			t.Errorf("Apps = %v, %v", apps, err)
		}
		if err := m.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	writes := func(m *AppManager, want string) {
		t.Helper()
		for what, err := range map[string]error{
			"PutApp": m.PutApp(t.Context(), app("a", "k2"), storage.AnyVersion), "DeleteApp": m.DeleteApp(t.Context(), "a", storage.AnyVersion),
		} {
			if err == nil || !strings.Contains(err.Error(), m.place) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s without the right to: %v", what, err)
			}
		}
	}
	reads(reader)
	writes(reader, "User reader has no ")

	// Somebody with the right makes it.
	put(t, open(t, as("root")), app("a", "k"))
	reads(reader)
	again := open(t, as("reader"))
	reads(again)
	writes(again, "User reader has no MODIFY permission")
	put(t, open(t, as("writer")), app("a", "k"))

	// A table that is not complete cannot be made so without rights.
	execute(t, writer, "ALTER TABLE ks.applications DROP policy")
	s.Asked()
	refused(t, as("writer"), "adding column policy to table applications: User writer has no ALTER permission")
	if got := defined(s); len(got) != 1 {
		t.Errorf("without the right to, %q was tried", got)
	}
}
