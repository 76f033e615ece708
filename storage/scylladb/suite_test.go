package scylladb

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// patience bounds the wait for what must happen.
const patience = 30 * time.Second

// standIn is what answers unless SCYLLADB_NODES names a cluster.
const standIn = "scylladb: a CQL server of our own, not ScyllaDB itself"

// cluster is what the suites run against: a cluster that SCYLLADB_NODES names, with
// SCYLLADB_USERNAME, SCYLLADB_PASSWORD and SCYLLADB_REPLICATION_FACTOR, or else a
// server of our own. The keyspace is the test's own.
func cluster(t *testing.T) Options {
	t.Helper()
	o := Options{
		Keyspace: "t_" + strings.ToLower(rand.Text()[:12]), ReplicationFactor: 1,
		Username: os.Getenv("SCYLLADB_USERNAME"), Password: os.Getenv("SCYLLADB_PASSWORD"),
	}
	nodes := os.Getenv("SCYLLADB_NODES")
	if nodes == "" {
		storagetest.Engine(t, standIn)
		o.Nodes = []string{cqltest.Start(t, cqltest.Options{}).Addr()}
		return o
	}
	storagetest.Engine(t, "scylladb: "+nodes)
	o.Nodes = strings.Split(nodes, ",")
	var err error
	if o.ReplicationFactor, err = strconv.Atoi(cmp.Or(os.Getenv("SCYLLADB_REPLICATION_FACTOR"), "1")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other := o
		other.Table = "other" // that of the test may not be one that opens
		m := open(t, other)
		execute(t, m, "DROP KEYSPACE IF EXISTS "+quote(o.Keyspace))
	})
	return o
}

// server is a server of our own with a keyspace, for what no real one can be made to
// do.
func server(t *testing.T, of cqltest.Options) (*cqltest.Server, Options) {
	t.Helper()
	s := cqltest.Start(t, of)
	return s, Options{Nodes: []string{s.Addr()}, Keyspace: "ks", ReplicationFactor: 1}
}

// open opens the table, for as long as the test lasts.
func open(t *testing.T, o Options) *AppManager {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := OpenAppManager(ctx, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// execute executes a statement as somebody else might.
func execute(t *testing.T, m *AppManager, statement string, args ...any) {
	t.Helper()
	if err := m.session.Query(statement, args...).Exec(); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func app(id, key string) *storage.App {
	return &storage.App{ID: id, Key: key, Secret: "s", Enabled: true}
}

func put(t *testing.T, m *AppManager, app *storage.App) {
	t.Helper()
	if err := m.PutApp(t.Context(), app, storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
}

// knows checks which app has a key, none for an empty id.
func knows(t *testing.T, m *AppManager, key, id string) {
	t.Helper()
	got, err := m.AppByKey(t.Context(), key)
	switch {
	case id == "" && !errors.Is(err, storage.ErrNotFound):
		t.Errorf("key %s: %v, %v; want no app", key, got, err)
	case id != "" && (err != nil || got.ID != id):
		t.Errorf("key %s: %v, %v; want app %s", key, got, err, id)
	}
}

// claimed checks whose claim a key has, none for an empty id.
func claimed(t *testing.T, m *AppManager, key, id string) {
	t.Helper()
	c, err := m.claimOf(t.Context(), key, gocql.Serial)
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		c = new(claim)
	}
	if c.app != id {
		t.Errorf("the claim of key %s is that of %q, want %q", key, c.app, id)
	}
}

// Checklist: configuration 30, 31, 32
func TestAppManagerSuite(t *testing.T) {
	o := cluster(t)
	storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
		return holding(t, o, apps)
	})
}

// Cassandra answers otherwise in some ways.
func TestAppManagerSuiteOfCassandra(t *testing.T) {
	storagetest.Engine(t, "scylladb: a CQL server of our own, not Cassandra itself")
	_, o := server(t, cqltest.Options{Cassandra: true})
	storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
		return holding(t, o, apps)
	})
}

// holding opens a table of its own with apps in it.
func holding(t *testing.T, o Options, apps []*storage.App) *AppManager {
	t.Helper()
	o.Table = "apps_" + strings.ToLower(rand.Text()[:12])
	m := open(t, o)
	for _, app := range apps {
		if err := m.PutApp(t.Context(), app, storage.NoVersion); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// Checklist: configuration 41
func TestAppOutageSuite(t *testing.T) {
	o := cluster(t)
	target := o.Nodes[0]
	storagetest.TestAppOutage(t, target, func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager {
		through := o
		through.Nodes = []string{proxy.Addr()}
		return holding(t, through, apps)
	})
}
