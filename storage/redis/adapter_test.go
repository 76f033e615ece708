package redis

import (
	"context"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openAdapter(t *testing.T, o Options, a AdapterOptions) *Adapter {
	t.Helper()
	adapter, err := OpenAdapter(context.Background(), o, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := adapter.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return adapter
}

// adapterKind is a Redis, and a way to meet in it.
type adapterKind struct {
	name    string
	sharded bool
	start   func(t *testing.T) Options
}

func (k adapterKind) options(t *testing.T) AdapterOptions {
	return AdapterOptions{Prefix: strings.TrimSuffix(ownPrefix(t, k.start(t)), ":"), Sharded: k.sharded}
}

var adapterKinds = []adapterKind{
	{"single", false, standing},
	{"sentinel", false, func(*testing.T) Options { return sentinelOptions(sentinelsOf()) }},
	{"cluster", false, func(*testing.T) Options { return Options{Cluster: true, Addresses: clusterOf().Addrs()} }},
	{"sharded cluster", true, func(*testing.T) Options { return Options{Cluster: true, Addresses: clusterOf().Addrs()} }},
}

// Checklist: configuration 49, 50, 62
func TestAdapterSuites(t *testing.T) {
	for _, k := range adapterKinds {
		t.Run(k.name, func(t *testing.T) {
			o, a := k.start(t), k.options(t)
			storagetest.Engine(t, engineOf(t, strings.TrimPrefix(k.name, "sharded "), o))
			adapterSuites(t, o, a)
		})
	}
	t.Run("user and tls", func(t *testing.T) {
		certificates := certtest.New(t)
		server := redistest.Start(t, redistest.TLSArgs(certificates.CA, certificates.Cert, certificates.Key)...)
		// These are all the rights that an adapter needs.
		server.MustDo("ACL", "SETUSER", "node", "on", ">hush", "&test-acl:#*", "+publish", "+subscribe", "+unsubscribe", "+ping", "+hello")
		o := tlsAt(server)
		o.TLS, o.Username, o.Password = tlsOf(t, certificates), "node", "hush"
		storagetest.Engine(t, engineOf(t, "single", at(server)))
		adapterSuites(t, o, AdapterOptions{Prefix: "test-acl"})
	})
}

func adapterSuites(t *testing.T, o Options, a AdapterOptions) {
	t.Run("one", func(t *testing.T) {
		storagetest.TestAdapter(t, func(t *testing.T) storage.Adapter { return openAdapter(t, o, a) })
	})
	t.Run("cluster", func(t *testing.T) {
		storagetest.TestAdapterCluster(t, func(t *testing.T, n int) []storage.Adapter {
			nodes := make([]storage.Adapter, n)
			for i := range nodes {
				nodes[i] = openAdapter(t, o, a)
			}
			return nodes
		})
	})
}

// Checklist: configuration 63, 64
func TestAdapterOutage(t *testing.T) {
	server := redistest.Start(t)
	storagetest.Engine(t, engineOf(t, "single", at(server)))
	storagetest.TestAdapterOutage(t, server.Addr(), func(t *testing.T, address string) storage.Adapter {
		return openAdapter(t, Options{Addresses: []string{address}}, AdapterOptions{Prefix: t.Name()})
	})
}
