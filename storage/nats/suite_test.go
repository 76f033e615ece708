package nats

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// machine is the server that is there anyway.
func machine() string { return cmp.Or(os.Getenv("TEST_NATS_URL"), "nats://127.0.0.1:4222") }

// unique is a prefix that no other test uses.
func unique() string { return "test." + strings.ToLower(rand.Text()[:12]) }

// engineOf asks a server for its version.
func engineOf(t *testing.T, address string) string {
	t.Helper()
	conn, err := nats.Connect(address)
	if err != nil {
		t.Fatalf("%v; scripts/setup nats starts a server", err)
	}
	defer conn.Close()
	return "nats: nats-server " + conn.ConnectedServerVersion()
}

func openAdapter(t *testing.T, o Options) *Adapter {
	t.Helper()
	a, err := OpenAdapter(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return a
}

// Checklist: configuration 49, 50, 62
func TestAdapterSuites(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"without echo": func(*Options) {},
		"with echo":    func(o *Options) { o.Echo = true },
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, machine()))
			o := Options{Servers: []string{machine()}, Prefix: unique()}
			change(&o)
			t.Run("one", func(t *testing.T) {
				storagetest.TestAdapter(t, func(t *testing.T) storage.Adapter { return openAdapter(t, o) })
			})
			t.Run("cluster", func(t *testing.T) {
				storagetest.TestAdapterCluster(t, func(t *testing.T, n int) []storage.Adapter {
					nodes := make([]storage.Adapter, n)
					for i := range nodes {
						nodes[i] = openAdapter(t, o)
					}
					return nodes
				})
			})
		})
	}
}

// Checklist: configuration 63, 64
func TestAdapterOutage(t *testing.T) {
	server := natstest.Start(t, "")
	storagetest.Engine(t, engineOf(t, server.Addr()))
	storagetest.TestAdapterOutage(t, server.Addr(), func(t *testing.T, address string) storage.Adapter {
		return openAdapter(t, Options{Servers: []string{address}, Prefix: strings.ReplaceAll(t.Name(), "/", ".")})
	})
}
