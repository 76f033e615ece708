package scylladb

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// openHistory opens the tables, for as long as the test lasts.
func openHistory(t *testing.T, o Options, prefix string) *History {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h, err := OpenHistory(ctx, HistoryOptions{Options: o, Prefix: prefix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// tables is a name for tables of a test's own.
func tables() string { return "logs_" + strings.ToLower(rand.Text()[:12]) }

// TestHistorySuite runs against a CQL server of our own, unless SCYLLADB_NODES names
// a cluster. What it shows of the driver it shows under the assumption that ScyllaDB
// and Cassandra do with these statements what that server does, which knows neither
// replication nor Paxos nor the times of cells: its transactions are atomic as they
// are, and its tombstones just remove.
func TestHistorySuite(t *testing.T) {
	o := cluster(t)
	storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
		prefix := tables()
		return openHistory(t, o, prefix), openHistory(t, o, prefix)
	})
}

// Cassandra answers transactions otherwise.
func TestHistorySuiteOfCassandra(t *testing.T) {
	storagetest.Engine(t, "scylladb: a CQL server of our own, not Cassandra itself")
	_, o := server(t, cqltest.Options{Cassandra: true})
	storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
		prefix := tables()
		return openHistory(t, o, prefix), openHistory(t, o, prefix)
	})
}
