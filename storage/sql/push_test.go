package sql

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// newPushTable is the name of a table that is dropped when the test ends.
func newPushTable(t testing.TB, o Options) string {
	prefix := "push_" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		if o.Dialect == SQLite { // whose file goes
			return
		}
		db, err := open(context.Background(), o.withDefaults())
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = db.Close() }()
		for _, table := range []string{"", "_schema"} {
			if _, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+o.Dialect.quote(prefix+table)); err != nil {
				t.Error(err)
			}
		}
	})
	return prefix
}

func openPush(t testing.TB, o Options, prefix string) *PushStore {
	t.Helper()
	s, err := OpenPushStore(context.Background(), o, PushOptions{TablePrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// onPushes runs a test on every dialect with a table of its own.
func onPushes(t *testing.T, f func(t *testing.T, o Options, prefix string)) {
	for dialect, o := range servers(t) {
		t.Run(string(dialect), func(t *testing.T) { f(t, o, newPushTable(t, o)) })
	}
}

// Two nodes share the table, and two holds an SQLite file.
func TestPushStoreSuite(t *testing.T) {
	onPushes(t, func(t *testing.T, o Options, prefix string) {
		storagetest.Engine(t, engineOf(t, o))
		storagetest.TestPushStore(t, func(t *testing.T) (here, there storage.PushStore) {
			o := o
			if o.Dialect == SQLite { // holds of one file wait for each other without an order
				o.Path = filepath.Join(t.TempDir(), "push.db")
			}
			return openPush(t, o, prefix), openPush(t, o, prefix)
		})
	})
}

func TestPushStoreReopens(t *testing.T) {
	onPushes(t, func(t *testing.T, o Options, prefix string) {
		storagetest.Engine(t, engineOf(t, o))
		storagetest.TestPushStoreReopens(t, func(t *testing.T) storage.PushStore { return openPush(t, o, prefix) })
	})
}
