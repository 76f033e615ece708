//go:build unix

// Package redistest starts servers of Redis for tests, from the machine's own
// redis-server, on free ports of loopback: single ones, a cluster, and a master with
// a replica and Sentinels. They end with the test. It is imported by tests only.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/freeport"
)

const (
	// patience bounds the wait for a server to do what it was told.
	patience = 30 * time.Second
	// pause is the time between two looks.
	pause = 20 * time.Millisecond
	// attempts is how often a server is started, in case somebody takes its port.
	attempts = 5
)

// Server is a redis-server of this test. Its data is in memory only.
type Server struct {
	// Port is where it listens, on 127.0.0.1.
	Port int
	// Password is what Do logs in with.
	Password string

	t       T
	dir     string
	args    []string
	tlsPort int // of a Sentinel

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server with further arguments, such as "--requirepass", "x". The
// word PORT in one of them stands for its port, and FREE for another free one.
func Start(t T, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("%v; scripts/setup redis installs it", err)
	}
	s := &Server{t: t, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	var err error
	for range attempts {
		s.Port = FreePort(t)
		s.args = []string{
			"--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--dir", s.dir,
			"--save", "", "--appendonly", "no", "--daemonize", "no",
		}
		for _, arg := range args {
			arg = strings.ReplaceAll(arg, "PORT", strconv.Itoa(s.Port))
			if strings.Contains(arg, "FREE") {
				arg = strings.ReplaceAll(arg, "FREE", strconv.Itoa(FreePort(t)))
			}
			s.args = append(s.args, arg)
		}
		if i := slices.Index(args, "--requirepass"); i >= 0 {
			s.Password = args[i+1]
		}
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// FreePort is a port of loopback that nobody listens on.
func FreePort(t T) int {
	t.Helper()
	port, err := freeport.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Addr is HOST:PORT.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Arg is the value that a server was started with behind an argument.
func (s *Server) Arg(name string) string {
	i := slices.Index(s.args, name)
	if i < 0 || i+1 == len(s.args) {
		s.t.Fatalf("the server was started without %s", name)
	}
	return s.args[i+1]
}

// start runs the process and waits until it answers.
func (s *Server) start() error {
	logfile, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logfile.Close() }()
	command := exec.Command("redis-server", s.args...) //nolint:noctx,gosec // ended by Kill
	command.Dir, command.Stdout, command.Stderr = s.dir, logfile, logfile
	command.SysProcAttr = endsWithUs()
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
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("redis-server ended: %s", text)
		default:
		}
		if s.answers(command.Process.Pid, ended) {
			return nil
		}
	}
	return fmt.Errorf("redis-server does not answer on port %d", s.Port)
}

// answers says that the server is there, and not another one that was faster to
// take its port.
func (s *Server) answers(pid int, ended <-chan struct{}) bool {
	info, err := s.Do("INFO", "server")
	if errors.As(err, new(ReplyError)) { // we may not ask
		select {
		case <-ended:
		case <-time.After(10 * pause):
			return true
		}
	}
	return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", pid))
}

// Restart starts a server that has been stopped or killed, on the same port and
// without its data.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Stop ends the server as an operator does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Freeze stops the server in its tracks: its connections stay open, and it does not
// answer. Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) (ended chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.command == nil {
		return nil
	}
	_ = s.command.Process.Signal(signal)
	return s.ended
}

func (s *Server) end(signal syscall.Signal) {
	ended := s.signal(signal)
	if ended == nil {
		return
	}
	_ = s.signal(syscall.SIGCONT) // a frozen one takes no other signal
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
			// A server refuses to end while it writes its first append-only file, and forgets
			// that it was asked to.
			_ = s.signal(signal)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("after %v: no %s", patience, what)
		}
	}
}
