package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// A server that comes back is used again, and watchers are told that they may have
// missed something.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			certificates := certtest.New(t)
			server := redistest.Start(t, redistest.TLSArgs(certificates.CA, certificates.Cert, certificates.Key)...)
			o := at(server)
			if secure {
				o = tlsAt(server)
				o.TLS = tlsOf(t, certificates)
			}
			m := openApps(t, o, "", appOf("a", "k"))
			var h heard
			defer m.WatchApps(h.changed)()
			until(t, "subscription", func() bool { return h.count("") == 1 })
			for round := range 2 {
				server.Stop()
				for range 3 {
					_, err := m.AppByID(t.Context(), "a")
					if err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), o.place()) {
						t.Errorf("while the server is down: %v", err)
					}
				}
				if err := m.Check(t.Context()); err == nil {
					t.Error("the check passes while the server is down")
				}
				server.Restart()
				until(t, "answer after the restart", func() bool { return m.Check(t.Context()) == nil })
				if _, err := m.AppByID(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("the server has lost its data, and says %v", err)
				}
				until(t, "new subscription", func() bool { return h.count("") == 2+round })
				if err := m.PutApp(t.Context(), appOf("a", "k"), storage.NoVersion); err != nil {
					t.Error(err)
				}
				until(t, "word of the change", func() bool { return h.count("a") == 1+round })
			}
		})
	}
}

// A connection that has gone silent is noticed, not only one that was closed.
func TestWatchThroughSilence(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := outage.NewProxy(t, server.Addr())
	m := openApps(t, Options{Addresses: []string{proxy.Addr()}}, "")
	var h heard
	defer m.WatchApps(h.changed)()
	until(t, "subscription", func() bool { return h.count("") == 1 })
	time.Sleep(silence + silence/2) // with nothing to hear but an answer to a question
	if h.count("") != 1 {
		t.Error("a quiet subscription is taken for a lost one")
	}
	proxy.Stall()
	time.Sleep(2*silence + silence/2)
	proxy.Mend()
	until(t, "new subscription", func() bool { return h.count("") == 2 })
}

// When the master dies, the Sentinels make the replica master, and the client
// follows. It also follows when the old master lives on and does not know.
func TestFailover(t *testing.T) {
	t.Parallel()
	sentinels := redistest.StartSentinels(t, "")
	m := openApps(t, sentinelOptions(sentinels), "", appOf("a", "k"))
	var h heard
	defer m.WatchApps(h.changed)()
	until(t, "subscription", func() bool { return h.count("") >= 1 })
	master, replica := sentinels.Servers[0], sentinels.Servers[1]
	until(t, "replication", func() bool { return replica.MustDo("HLEN", "sockudo:apps") == "1" })

	master.Freeze()
	start := time.Now()
	until(t, "change on the new master", func() bool { return m.PutApp(t.Context(), appOf("b", "kb"), storage.AnyVersion) == nil })
	t.Logf("%v after the master froze", time.Since(start))
	if n := replica.MustDo("HLEN", "sockudo:apps"); n != "2" {
		t.Errorf("the new master has %s apps", n)
	}
	until(t, "new subscription", func() bool { return h.count("") >= 2 })
	if err := m.PutApp(t.Context(), appOf("c", "kc"), storage.AnyVersion); err != nil {
		t.Error(err)
	}
	until(t, "word of the change", func() bool { return h.count("c") == 1 })
	master.Thaw()
	for range 100 {
		if _, err := m.AppByID(t.Context(), "b"); err != nil {
			t.Fatalf("after the old master is back: %v", err)
		}
	}
}

// One node of a cluster that comes back is used again.
func TestClusterNodeRestart(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	m := openApps(t, Options{Cluster: true, Addresses: cluster.Addrs()}, "", appOf("a", "k"))
	var owner *redistest.Server
	for _, node := range cluster.Nodes {
		if n, err := node.Do("HLEN", m.apps); err == nil && n == "1" {
			owner = node
		}
	}
	owner.Stop()
	if _, err := m.AppByID(t.Context(), "a"); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("while the node is down: %v", err)
	}
	if err := m.Check(t.Context()); err == nil {
		t.Error("the check passes while the node is down")
	}
	owner.Restart()
	until(t, "change after the restart", func() bool { return m.PutApp(t.Context(), appOf("a", "k"), storage.AnyVersion) == nil })
	if _, err := m.AppByKey(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}
