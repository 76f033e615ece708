package sockudo

import (
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/scylladb"
)

// Apps come from a cluster that the environment names, outlive its outage, and are
// refused with 4100 when nothing is known of them.
//
// Checklist: configuration 40, 41
func TestAppsOfScyllaDB(t *testing.T) {
	server := cqltest.Start(t, cqltest.Options{Logins: map[string]cqltest.Login{
		"sockudo": {Password: "canary", Rights: []string{"CREATE", "ALTER", "SELECT", "MODIFY"}},
	}})
	t.Setenv("TEST_SCYLLADB_PASSWORD", "canary")
	t.Setenv("SCYLLADB_NODES", server.Addr())
	t.Setenv("SCYLLADB_REPLICATION_FACTOR", "1")
	const block = "sockudo {\nrate_limiter {\nenabled off\n}\ndatabase scylla {\nnodes 127.0.0.1:1\nusername sockudo\npassword {env.TEST_SCYLLADB_PASSWORD}\n}\napp_manager scylladb\n}"
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, block)) // which makes keyspace and table
	store, err := scylladb.OpenAppManager(t.Context(), scylladb.Options{Nodes: []string{server.Addr()}, Username: "sockudo", Password: "canary"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.PutApp(t.Context(), &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	live.subscribe("room")
	publish(t, port, "a-secret", "by ScyllaDB")
	live.expect("by ScyllaDB")
	up := func() int { status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); return status }
	if status := up(); status != 200 {
		t.Errorf("/up: %d", status)
	}
	if code := refusal(t, port, "unknown"); code != 4001 {
		t.Errorf("a handshake with an unknown key: %d", code)
	}

	// A cluster that is not there fails the load, and the old configuration goes on.
	t.Setenv("SCYLLADB_NODES", "127.0.0.1:1")
	err = s.load("", site(port, block))
	if err == nil || !strings.Contains(err.Error(), "app_manager: opening scylladb: scylladb 127.0.0.1:1/sockudo: ") || strings.Contains(err.Error(), "canary") {
		t.Errorf("a configuration whose store is down: %v", err)
	}
	publish(t, port, "a-secret", "after that")
	live.expect("after that")

	server.Node(0).Stop()
	publish(t, port, "a-secret", "in the middle")
	live.expect("in the middle")
	if code := refusal(t, port, "never-seen"); code != 4100 {
		t.Errorf("a handshake with a key that cannot be looked up: %d", code)
	}
	if status := up(); status != 503 {
		t.Errorf("/up during the outage: %d", status)
	}
	if err := server.Node(0).Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); up() != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("/up is not 200 after the outage")
		}
	}
	if strings.Contains(s.logged(), "canary") {
		t.Error("the log has the secret")
	}
}
