//go:build unix

package e2e

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
)

// engine is what joins the nodes of a test.
type engine struct {
	// addr is where it listens.
	addr string
	// adapter is the block of a node that reaches it at an address.
	adapter func(addr string) string
	// kill ends it at once, and restart starts it again.
	kill, restart func()
}

// everywhere is the block of every node.
func (e *engine) everywhere(int) string { return e.adapter(e.addr) }

// engines start the engines that there are, by name.
var engines = map[string]func(t *testing.T) *engine{
	"nats": startNATS,
}

func startNATS(t *testing.T) *engine {
	t.Helper()
	s := natstest.Start(t, "")
	return &engine{
		addr:    s.Addr(),
		adapter: func(addr string) string { return "adapter nats {\nservers " + addr + "\nrequest_timeout 1s\n}\n" },
		kill:    s.Kill, restart: s.Restart,
	}
}

// switches are the changes of engines that are tried.
var switches = [][2]string{{"nats", "nats"}}

// onEngines runs a test on each of the named engines.
func onEngines(t *testing.T, test func(t *testing.T, e *engine), names ...string) {
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
