package scylladb

import (
	"context"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// openPush opens the tables, for as long as the test lasts.
func openPush(t *testing.T, o Options, prefix string) *PushStore {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := OpenPushStore(ctx, PushOptions{Options: o, Prefix: prefix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestPushStoreSuite runs against a CQL server of our own, unless SCYLLADB_NODES names a
// cluster, which shows as much as with TestHistorySuite.
func TestPushStoreSuite(t *testing.T) {
	o := cluster(t)
	storagetest.TestPushStore(t, func(t *testing.T) (here, there storage.PushStore) {
		prefix := tables()
		return openPush(t, o, prefix), openPush(t, o, prefix)
	})
}

// Cassandra answers transactions otherwise, so this is done with both.
func TestPushStoreReopens(t *testing.T) {
	_, cassandra := server(t, cqltest.Options{Cassandra: true})
	for name, o := range map[string]Options{"scylladb": cluster(t), "cassandra": cassandra} {
		t.Run(name, func(t *testing.T) {
			prefix := tables()
			storagetest.TestPushStoreReopens(t, func(t *testing.T) storage.PushStore { return openPush(t, o, prefix) })
		})
	}
}
