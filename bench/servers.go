//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sockudo/caddy-sockudo/bench/loadgen"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
	// startRest lets a new server finish what it does after it listens, so that
	// its memory is at rest when the first reading is taken.
	startRest = 500 * time.Millisecond

	oursName     = "ours"
	textbookName = "textbook"
)

// caddyfile is the configuration of both servers. PORT and HANDLER are replaced.
const caddyfile = `{
	admin off
	default_bind 127.0.0.1
	auto_https off
	log {
		level WARN
	}
}
http://127.0.0.1:PORT {
HANDLER
}
`

const oursHandler = `	sockudo {
		rate_limiter {
			enabled off
		}
		presence {
			max_members 2000
		}
		app app-id {
			key app-key
			secret app-secret
			enable_client_messages on
		}
	}`

const textbookHandler = `	textbook app-id app-key app-secret`

// server is one of the programs compared: a Caddy with one more handler.
type server struct {
	name    string
	source  string // package to build
	handler string // its part of the Caddyfile
	binary  string // set by build
}

func knownServers() []server {
	return []server{
		{name: textbookName, source: "./bench/textbook", handler: textbookHandler},
		{name: oursName, source: "./cmd/caddy", handler: oursHandler},
	}
}

// chooseServers keeps the servers that a comma-separated list names.
func chooseServers(list string) ([]server, error) {
	known := knownServers()
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(known, func(s server) bool { return s.name == name }) {
			return nil, fmt.Errorf("unknown server %q, known: %s, %s", name, textbookName, oursName)
		}
	}
	return slices.DeleteFunc(known, func(s server) bool { return !slices.Contains(wanted, s.name) }), nil
}

// build compiles the server into dir.
func (s *server) build(ctx context.Context, dir string) error {
	fmt.Fprintf(os.Stderr, "building %s\n", s.source)
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("module root: %w", err)
	}
	s.binary = filepath.Join(dir, filepath.Base(s.source))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.binary, s.source) //nolint:gosec // a package of this module
	cmd.Dir = filepath.Dir(string(bytes.TrimSpace(root)))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", s.source, err, tail(output))
	}
	return nil
}

// process is a running server.
type process struct {
	target loadgen.Target
	cmd    *exec.Cmd
	output bytes.Buffer // read only after exited
	exited chan struct{}
}

// start runs the server on a free port with a state of its own and waits until
// it answers.
func (s *server) start(ctx context.Context, dir string) (*process, error) {
	home, err := os.MkdirTemp(dir, s.name+"-home-")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.name, err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.name, err)
	}
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(home, "Caddyfile")
	text := strings.NewReplacer("PORT", port, "HANDLER", s.handler).Replace(caddyfile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.name, err)
	}

	p := &process{exited: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.binary, "run", "--config", config, "--adapter", "caddyfile") //nolint:gosec // built above
	p.cmd.Dir = home
	p.cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home+"/data", "XDG_CONFIG_HOME="+home+"/config")
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// The server must not outlive this process, however that one ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	p.target = loadgen.Target{Addr: address, AppID: "app-id", Key: "app-key", Secret: "app-secret", PID: p.cmd.Process.Pid}
	if err := p.awaitListening(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("starting %s: %w\n%s", s.name, err, tail(p.output.Bytes()))
	}
	return p, nil
}

// freeAddress is a loopback address that nothing listens on.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *process) awaitListening(ctx context.Context) error {
	dialer := net.Dialer{Timeout: time.Second}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		conn, err := dialer.DialContext(ctx, "tcp4", p.target.Addr)
		if err == nil {
			conn.Close()
			return pause(ctx, startRest)
		}
		select {
		case <-p.exited:
			return errors.New("the process ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("not listening after %s", startTimeout)
}

// stop ends the process, gently first.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// tail is the end of a program's output, where the reason usually is.
func tail(output []byte) []byte {
	const most = 4000
	return output[max(0, len(output)-most):]
}
