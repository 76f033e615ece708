package relay

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// TestSuites runs the suites for adapters on an engine that brings nodes their own
// packets, and on one that does not.
func TestSuites(t *testing.T) {
	for name, silent := range map[string]bool{"engine with echo": false, "engine without echo": true} {
		t.Run(name, func(t *testing.T) {
			storagetest.Engine(t, "relay: in memory")
			open := func(t *testing.T, n int) []storage.Adapter {
				e := newEngine()
				e.silent = silent
				nodes := make([]storage.Adapter, n)
				for i := range nodes {
					nodes[i] = openOn(t, e, Options{})
				}
				return nodes
			}
			t.Run("one", func(t *testing.T) {
				storagetest.TestAdapter(t, func(t *testing.T) storage.Adapter { return open(t, 1)[0] })
			})
			t.Run("cluster", func(t *testing.T) { storagetest.TestAdapterCluster(t, open) })
		})
	}
}
