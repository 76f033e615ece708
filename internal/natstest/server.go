//go:build unix

// Package natstest starts servers of NATS for tests, from the machine's own
// nats-server, on free ports of loopback. They end with the test. It is imported by
// tests only.
package natstest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/freeport"
)

const (
	// patience bounds the wait for a server to do what it was told.
	patience = 30 * time.Second
	// pause is the time between two looks.
	pause = 10 * time.Millisecond
	// attempts is how often a server is started, in case somebody takes its port.
	attempts = 5
)

// Server is a nats-server of this test.
type Server struct {
	// Port is where it listens, on 127.0.0.1.
	Port int
	// ClusterPort is where it listens for servers, if its settings use the word
	// CLUSTER.
	ClusterPort int

	t   testing.TB
	dir string

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server with further settings, in the language of its
// configuration. The word CLUSTER in them stands for another free port.
func Start(t testing.TB, settings string) *Server {
	t.Helper()
	if _, err := exec.LookPath("nats-server"); err != nil {
		t.Fatalf("%v; scripts/setup nats installs it", err)
	}
	s := &Server{t: t, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	var err error
	for range attempts {
		s.Port, s.ClusterPort = freePort(t), freePort(t)
		text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\n%s\n", s.Port, strings.ReplaceAll(settings, "CLUSTER", strconv.Itoa(s.ClusterPort)))
		if err := os.WriteFile(s.file("server.conf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// Addr is HOST:PORT.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// start runs the process and waits until it answers.
func (s *Server) start() error {
	command := exec.Command("nats-server", "-c", s.file("server.conf"), "-l", s.file("log")) //nolint:noctx,gosec // ended by Kill
	command.Dir, command.SysProcAttr = s.dir, endsWithUs()
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	s.mu.Lock()
	s.command, s.ended = command, ended
	s.mu.Unlock()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		select {
		case <-ended:
			text, _ := os.ReadFile(s.file("log"))
			return fmt.Errorf("nats-server ended: %s", text)
		default:
		}
		if s.answers() {
			return nil
		}
	}
	return fmt.Errorf("nats-server does not answer on port %d", s.Port)
}

// answers reports whether the server greets who connects.
func (s *Server) answers() bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second) //nolint:noctx // bounded
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(conn).ReadString(' ')
	return err == nil && line == "INFO "
}

// Restart starts a server that has been killed, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if ended := s.signal(syscall.SIGKILL); ended != nil {
		<-ended
	}
}

// Freeze stops the server in its tracks: its connections stay open, and it does not
// answer. Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// Retire lets the server close its connections and end, as operators do.
func (s *Server) Retire() { s.signal(syscall.SIGUSR2) }

func (s *Server) signal(signal syscall.Signal) (ended chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.command == nil {
		return nil
	}
	_ = s.command.Process.Signal(signal)
	return s.ended
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
