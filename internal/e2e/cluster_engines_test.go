//go:build unix

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// engine is what joins the nodes of a test.
type engine struct {
	// addr is where it listens; several addresses stand side by side.
	addr string
	// adapter is the block of a node that reaches it at an address.
	adapter func(addr string) string
	// kill ends it at once, and restart starts it again.
	kill, restart func()
	// prepare makes it ready for failOver. It may be nil.
	prepare func()
	// failOver ends the server that matters, and waits until another has its place.
	failOver func()
}

// everywhere is the block of every node.
func (e *engine) everywhere(int) string { return e.adapter(e.addr) }

// engines start the engines that there are, by name.
var engines = map[string]func(t *testing.T) *engine{
	"nats":                  startNATS,
	"redis":                 startRedis,
	"sentinel":              startSentinels,
	"redis_cluster":         func(t *testing.T) *engine { t.Helper(); return startRedisCluster(t, "off") },
	"redis_cluster sharded": func(t *testing.T) *engine { t.Helper(); return startRedisCluster(t, "on") },
}

var (
	// kinds are an engine of each kind, and single those that are one server.
	kinds  = []string{"nats", "redis", "redis_cluster sharded"}
	single = []string{"nats", "redis"}
)

// onEngines runs a test on each of the named engines.
func onEngines(t *testing.T, names []string, test func(t *testing.T, e *engine)) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, engines[name](t))
		})
	}
}

func startNATS(t *testing.T) *engine {
	t.Helper()
	s := natstest.Start(t, "")
	return &engine{
		addr: s.Addr(), kill: s.Kill, restart: s.Restart,
		adapter: func(addr string) string { return "adapter nats {\nservers " + addr + "\nrequest_timeout 1s\n}\n" },
	}
}

func startRedis(t *testing.T) *engine {
	t.Helper()
	s := redistest.Start(t)
	return &engine{
		addr: s.Addr(), kill: s.Kill, restart: s.Restart,
		adapter: func(addr string) string { return "adapter redis {\naddress " + addr + "\nrequest_timeout 1s\n}\n" },
	}
}

func startSentinels(t *testing.T) *engine {
	t.Helper()
	s := redistest.StartSentinels(t, "")
	return &engine{
		addr: strings.Join(s.Addrs(), " "),
		adapter: func(addr string) string {
			return "adapter redis {\nsentinel {\naddresses " + addr + "\nmaster " + redistest.MasterName + "\n}\nrequest_timeout 1s\n}\n"
		},
		failOver: func() {
			s.Servers[0].Kill()
			mastered(t, s.Servers[1])
		},
	}
}

func startRedisCluster(t *testing.T, sharded string) *engine {
	t.Helper()
	c := redistest.StartCluster(t)
	var replicas []*redistest.Server
	return &engine{
		addr: strings.Join(c.Addrs(), " "),
		adapter: func(addr string) string {
			return "adapter redis_cluster {\nnodes " + addr + "\nuse_sharded_pubsub " + sharded + "\nrequest_timeout 1s\n}\n"
		},
		prepare: func() { replicas = c.AddReplicas(t) },
		failOver: func() {
			for i, master := range c.Nodes {
				if strings.Contains(master.MustDo("PUBSUB", "CHANNELS")+master.MustDo("PUBSUB", "SHARDCHANNELS"), "control") {
					master.Kill()
					mastered(t, replicas[i])
					return
				}
			}
			t.Fatal("nodes listen to no master")
		},
	}
}

// mastered waits until a replica has become a master.
func mastered(t *testing.T, replica *redistest.Server) {
	t.Helper()
	until(t, "another master", func() error {
		role, err := replica.Do("ROLE")
		if err == nil && !strings.HasPrefix(role, "master") {
			err = fmt.Errorf("it is %.20q", role)
		}
		return err
	})
}
