package sockudo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// redisHub is a directive for a hub that Redis joins with others.
func redisHub(name, driver, more string) string {
	return "sockudo " + name + " {\nhealth_timeout 500ms\ncluster_health {\nheartbeat 200ms\nnode_timeout 1s\ncleanup 100ms\n}\nidempotency {\nenabled off\n}\nrate_limiter {\nenabled off\n}\n" + appBlock + "adapter " + driver + " {\nprefix sockudo\n" + more + "\n}\n}"
}

// Two hubs are as two nodes, in each kind of Redis. The words are those of the
// product page.
//
// Checklist: configuration 10, 49, 51, 62
func TestRedisAdapterJoinsNodes(t *testing.T) {
	server, cluster := redistest.Start(t), redistest.StartCluster(t)
	nodes := "nodes " + strings.Join(cluster.Addrs(), " ")
	for _, c := range []struct{ name, driver, more string }{
		{"single", "redis", fmt.Sprint("host 127.0.0.1\nport ", server.Port)},
		{"cluster", "redis-cluster", nodes},
		{"sharded", "redis_cluster", nodes + "\nuse_sharded_pubsub on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, a, b := newServer(t), freePort(t), freePort(t)
			s.mustLoad("", site(a, redisHub("a", c.driver, c.more))+site(b, redisHub("b", c.driver, c.more)))
			one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
			for _, k := range []*socket{one, other} {
				k.subscribe("room")
			}
			// The first event right after the subscriptions comes, and each comes once.
			for i, port := range []string{a, b, a} {
				if status := publishDemo(t, port, "e", fmt.Sprint("event ", i), ""); status != http.StatusOK {
					t.Fatal(status)
				}
			}
			for _, k := range []*socket{one, other} {
				if got := k.events(3); !slices.Equal(got, []string{"event 0", "event 1", "event 2"}) { // of two nodes, and so in any order
					t.Errorf("got %q", got)
				}
			}
			publishDemo(t, a, "e", "not for the other", other.id)
			publishDemo(t, a, "e", "for all", "")
			one.expect("not for the other")
			if frame := other.expect(`"event":"e"`); !strings.Contains(frame, "for all") {
				t.Errorf("the socket that is excepted got %s", frame)
			}
			one.expect("for all")
			var state HubState
			if s.call("GET", "/sockudo/hubs/a", &state); state.Drivers[kindAdapter] != strings.ReplaceAll(c.driver, "-", "_") {
				t.Errorf("the adapter is %s", state.Drivers[kindAdapter])
			}
		})
	}
}

// The outage lasts until the nodes have given each other up.
//
// Checklist: configuration 40, 52, 54, 63, 64, 71
func TestRedisAdapterOutage(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "hush")
	s, a, b := newServer(t), freePort(t), freePort(t)
	t.Setenv("TEST_REDIS_RIGHT", "hush")
	t.Setenv("TEST_REDIS_WRONG", "hushhush")
	sites := func(address, variable string) string {
		more := "address " + address + "\npassword {env." + variable + "}"
		return site(a, redisHub("a", "redis", more)) + site(b, redisHub("b", "redis", more))
	}
	if err := s.load("", sites("127.0.0.1:1", "TEST_REDIS_RIGHT")); err == nil || !strings.Contains(err.Error(), "adapter: opening redis: redis 127.0.0.1:1/0: dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("a server that is not there: %v", err)
	}
	if err := s.load("", sites(server.Addr(), "TEST_REDIS_WRONG")); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hush") {
		t.Errorf("a wrong password: %v", err)
	}
	s.mustLoad("", sites(server.Addr(), "TEST_REDIS_RIGHT"))
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	up := func(port string) int {
		status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil)
		return status
	}
	one.joinPresence("one")
	other.joinPresence("other")
	present := func(port string, want ...string) func() bool {
		return func() bool { return slices.Equal(members(t, port), want) }
	}
	soon(t, "both members on the first node", present(a, "one", "other"))
	soon(t, "both members on the other node", present(b, "one", "other"))
	server.Kill()
	soon(t, "503 of /up in the outage", func() bool { return up(a) == http.StatusServiceUnavailable && up(b) == http.StatusServiceUnavailable })
	if status := publishDemo(t, a, "e", "alone", ""); status != http.StatusOK {
		t.Errorf("publishing in the outage: %d", status)
	}
	one.expect("alone")
	soon(t, "end of the member that cannot be reached", present(a, "one"))
	server.Restart()
	soon(t, "200 of /up after the outage", func() bool { return up(a) == http.StatusOK && up(b) == http.StatusOK })
	soon(t, "all members on the first node", present(a, "one", "other"))
	soon(t, "all members on the other node", present(b, "one", "other"))
	publishDemo(t, a, "e", "together", "")
	one.expect("together")
	if frame := other.expect(`"event":"e"`); !strings.Contains(frame, "together") {
		t.Errorf("the other node got %s", frame)
	}
	if strings.Contains(s.logged(), "hush") {
		t.Error("the log shows the password")
	}
	contains(t, s.logged(), "connection lost", "connected again")
}

// Reloads keep the connections or replace them, lose nothing, and leave nothing
// behind. Another prefix is another cluster, and the sockets stay.
//
// Checklist: configuration 68, 121
func TestRedisAdapterReloads(t *testing.T) {
	server := redistest.Start(t)
	s, a, b := newServer(t), freePort(t), freePort(t)
	at := "address " + server.Addr() + "\n"
	load := func(prefix, tuning string) {
		hub := func(name, tuning string) string {
			return strings.Replace(redisHub(name, "redis", at+tuning), "prefix sockudo", "prefix "+prefix, 1)
		}
		s.mustLoad("", site(a, hub("a", tuning))+site(b, hub("b", "")))
	}
	count := func() int { return strings.Count(server.MustDo("CLIENT", "LIST"), "id=") - 1 }
	load("sockudo", "")
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	var want []string
	for i := range 12 {
		load([]string{"sockudo", "sockudo", "other", "other"}[i%4], []string{"", "request_timeout 7s", "username default"}[i%3])
		for k, port := range []string{a, b} {
			text := fmt.Sprint("after reload ", i, " by ", k)
			want = append(want, text)
			if status := publishDemo(t, port, "e", text, ""); status != http.StatusOK {
				t.Fatal(status)
			}
		}
	}
	for _, k := range []*socket{one, other} {
		got := k.events(len(want))
		if sorted := slices.Sorted(slices.Values(want)); !reflect.DeepEqual(got, sorted) {
			t.Errorf("got %q, want %q", got, sorted)
		}
	}
	soon(t, "two connections of each hub", func() bool { return count() == 4 })
	if text := server.MustDo("PUBSUB", "CHANNELS"); strings.Contains(text, "sockudo:#") || !strings.Contains(text, "other:#4:demo:room") {
		t.Errorf("the server has %q", text)
	}
	s.mustLoad("", "")
	soon(t, "end of all connections", func() bool { return count() == 0 })
}

// A hub with another name than default has a cluster of its own unless a prefix is
// written, as it has keys of its own in a cache.
func TestRedisAdapterHubsAreApart(t *testing.T) {
	server := redistest.Start(t)
	s, a, b := newServer(t), freePort(t), freePort(t)
	hub := func(name string) string {
		return strings.Replace(redisHub(name, "redis", "address "+server.Addr()), "prefix sockudo\n", "", 1)
	}
	s.mustLoad("", site(a, hub(""))+site(b, hub("b")))
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	publishDemo(t, a, "e", "of the one", "")
	publishDemo(t, b, "e", "of the other", "")
	if got := one.events(1); !slices.Equal(got, []string{"of the one"}) {
		t.Errorf("got %q", got)
	}
	if got := other.events(1); !slices.Equal(got, []string{"of the other"}) {
		t.Errorf("the other hub got %q", got)
	}
	channels := strings.Split(server.MustDo("PUBSUB", "CHANNELS"), "\n")
	for _, name := range []string{"sockudo_adapter::#4:demo:room", "sockudo_adapter:@b:#4:demo:room"} {
		if !slices.Contains(channels, name) {
			t.Errorf("%q are without %s", channels, name)
		}
	}
}

// REDIS_URL and ADAPTER_DRIVER lead a hub to a server that its text does not name.
//
// Checklist: configuration 25
func TestRedisAdapterByVariables(t *testing.T) {
	server := redistest.Start(t)
	t.Setenv("REDIS_URL", "redis://"+server.Addr()+"/0")
	t.Setenv("ADAPTER_DRIVER", "redis")
	s, a, b := newServer(t), freePort(t), freePort(t)
	local := strings.Replace(redisHub("a", "local", ""), " {\nprefix sockudo\n\n}", "", 1)
	s.mustLoad("", site(a, strings.Replace(local, "adapter local", "", 1))+site(b, redisHub("b", "redis", "host no-such-host.invalid\nport 6379")))
	channels := server.MustDo("PUBSUB", "CHANNELS")
	contains(t, channels, "sockudo_adapter:@a:#control", "sockudo:#control")
}

// The cluster's nodes are overridden too, and its adapter keeps its own words.
func TestRedisClusterAdapterByVariables(t *testing.T) {
	got, _, err := overridden(t, "adapter redis_cluster {\nnodes a:1\npassword p\nuse_sharded_pubsub on\n}", map[string]string{"REDIS_CLUSTER_NODES": "b:2, c:3"})
	if err != nil {
		t.Fatal(err)
	}
	var adapter map[string]any
	want := map[string]any{"driver": "redis_cluster", "nodes": []any{"b:2", "c:3"}, "password": "p", "use_sharded_pubsub": true}
	if err := json.Unmarshal(got.AdapterRaw, &adapter); err != nil || !reflect.DeepEqual(adapter, want) {
		t.Errorf("%v, %v", adapter, err)
	}
}
