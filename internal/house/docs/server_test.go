package docs

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/sockudo/caddy-sockudo/internal/freeport"
	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// patience bounds every wait for something that has to come.
const patience = 60 * time.Second

// asCaddy is the variable with which the program of this test is Caddy, with all that
// cmd/caddy has: it need not be linked a second time.
const asCaddy = "SOCKUDO_DOCS_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

// caddyBinary is a program named caddy, in a directory of its own.
func caddyBinary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "caddy")
	write(t, binary, fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asCaddy, self))
	if err := os.Chmod(binary, 0o700); err != nil {
		t.Fatal(err)
	}
	return binary
}

// server is a running Caddy, on ports of its own instead of 6001 and 2019.
type server struct {
	port, admin int
	// backend is the port of what the guides put behind it.
	backend int
	log     *output
}

// start runs Caddy with a Caddyfile of the documents in a directory, until the test
// ends. Only its ports are others.
func start(t testing.TB, dir, caddyfile string) *server {
	t.Helper()
	s := &server{port: port(t), admin: port(t), backend: port(t), log: new(output)}
	if !strings.Contains(caddyfile, "http://localhost:6001 {") {
		t.Fatalf("no site on port 6001:\n%s", caddyfile)
	}
	data := t.TempDir()
	file := filepath.Join(data, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin localhost:%d\n}\n\n", s.admin) + s.here(caddyfile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(caddyBinary(t), "run", "--config", file, "--adapter", "caddyfile")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, s.log, s.log
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+data, "XDG_CONFIG_HOME="+data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its end is asked for below
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	s.up(t, ended)
	return s
}

// up waits for the server.
func (s *server) up(t testing.TB, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for wait.For(ctx, 20*time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("caddy has ended:\n%s", s.log)
		default:
		}
		res, err := http.Get(s.here("http://localhost:6001/up"))
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("caddy does not come up:\n%s", s.log)
}

// here puts the ports of this server in the place of those of the documents.
func (s *server) here(text string) string {
	return strings.NewReplacer(
		"localhost:6001", "localhost:"+strconv.Itoa(s.port),
		"localhost:2019", "localhost:"+strconv.Itoa(s.admin),
		"wsPort: 6001", "wsPort: "+strconv.Itoa(s.port),
		"port: 6001", "port: "+strconv.Itoa(s.port),
		"localhost:3000", "localhost:"+strconv.Itoa(s.backend),
		"localhost:8000", "localhost:"+strconv.Itoa(s.backend),
		"_PORT=6001", "_PORT="+strconv.Itoa(s.port),
	).Replace(text)
}

func port(t testing.TB) int {
	t.Helper()
	number, err := freeport.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// output is what a process writes, which a test may read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
