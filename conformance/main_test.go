package conformance

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the server that all tests but the restarting ones use.
var shared struct {
	once   sync.Once
	server *server
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := errors.Join(stopped(shared.server), stopped(featured.server), stopped(recorded.server), stopped(versioned.server), os.RemoveAll(binaries)); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		code = 1
	}
	os.Exit(code)
}

// need skips a test that wants outside clients when only a short run was asked
// for, and returns the running server.
func need(t *testing.T) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("outside clients are not part of a short run")
	}
	shared.once.Do(func() { shared.server, shared.err = startTarget() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	mark := shared.server.log.len()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server:\n%s", shared.server.log.since(mark, 8<<10))
		}
	})
	return shared.server
}

// needOurs is need for what only our own server can be asked to do.
func needOurs(t *testing.T) *server {
	t.Helper()
	s := need(t)
	if s.external {
		t.Skip("CONFORMANCE_TARGET names a server that is not ours")
	}
	return s
}

// startTarget takes the server that CONFORMANCE_TARGET names, or starts ours.
func startTarget() (*server, error) {
	if addr := os.Getenv("CONFORMANCE_TARGET"); addr != "" {
		return externalServer(addr)
	}
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	return s, s.start()
}

// stopped stops a server, if there is one, and removes what it has left.
func stopped(s *server) error {
	if s == nil {
		return nil
	}
	err := s.stop()
	s.remove()
	return err
}
