package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/freeport"
)

// serverBinary is the server of this suite: Caddy with this module and the modules of
// ./server that fail on demand, built with the race detector.
var serverBinary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", "3"); err != nil { // tests that run side by side wait most of the time
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if testing.Short() {
		return m.Run() // every test skips itself
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	serverBinary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-race", "-o", serverBinary, "./server")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the server:", err)
		return 1
	}
	return m.Run()
}

// caddy is one running server process.
type caddy struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string
	admin  string
	port   string // clear text
	secure string // HTTPS, all protocols
	log    *logBuffer
	exited chan struct{}
}

// logBuffer keeps what the process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// config is a configuration of the suite with what a test changes.
type config struct {
	global string // global options
	block  string // inside the sockudo block
	app    string // inside the app block
	sites  string // whole site blocks
	noHub  bool   // leaves the directive out
	port   string // instead of the server's
}

func (c *caddy) caddyfile(cfg config) string {
	port := c.port
	if cfg.port != "" {
		port = cfg.port
	}
	directive := ""
	if !cfg.noHub {
		directive = `
	sockudo {
		rate_limiter {
			enabled off
		}
		` + cfg.block + `
		app app-id {
			key app-key
			secret app-secret
			enable_client_messages on
			` + cfg.app + `
		}
	}`
	}
	return `{
	admin ` + c.admin + `
	skip_install_trust
	metrics
	` + cfg.global + `
}
http://127.0.0.1:` + port + `, https://localhost:` + c.secure + ` {
	tls internal
	log` + directive + `
	handle {
		respond "static site"
	}
}
` + cfg.sites
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

func start(t *testing.T, cfg config) *caddy {
	t.Helper()
	c := newCaddy(t)
	c.secure = freePort(t)
	c.launch(c.caddyfile(cfg))
	c.waitFor("the site", func() bool {
		status, err := c.status("/up")
		return err == nil && (status == http.StatusOK || cfg.noHub)
	})
	c.waitFor("the certificate", func() bool {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", "localhost:"+c.secure, insecure("h2"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return c
}

// newCaddy is a server that does not run yet. It ends with the test.
func newCaddy(t *testing.T) *caddy {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := &caddy{t: t, dir: t.TempDir(), admin: "127.0.0.1:" + freePort(t), port: freePort(t), log: &logBuffer{}}
	t.Cleanup(c.stop)
	return c
}

// launch runs the process with a Caddyfile, for the first time or again.
func (c *caddy) launch(text string) {
	c.t.Helper()
	file := filepath.Join(c.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	cmd, exited := exec.Command(serverBinary, "run", "--config", file, "--adapter", "caddyfile"), make(chan struct{})
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+c.dir, "XDG_CONFIG_HOME="+c.dir, "HOME="+c.dir, "GODEBUG=http2xconnect=1")
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.cmd, c.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it is ended by a signal
	}()
}

// status asks the site for a path.
func (c *caddy) status(path string) (int, error) {
	resp, err := publishClient.Get("http://127.0.0.1:" + c.port + path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// stop ends the process and fails the test if the race detector has spoken.
func (c *caddy) stop() {
	if c.cmd == nil {
		return // it was never launched
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(20 * time.Second):
		_ = c.cmd.Process.Kill()
		c.t.Error("the server did not end")
	}
	log := c.log.String()
	if strings.Contains(log, "DATA RACE") || strings.Contains(log, "recovered from a panic") || strings.Contains(log, "goroutine ") && strings.Contains(log, "panic:") {
		c.t.Error("race or panic in the server:\n" + log[max(0, len(log)-20000):])
	}
	if c.t.Failed() {
		c.t.Log("the last of the log:\n" + log[max(0, len(log)-4000):])
	}
}

func (c *caddy) waitFor(what string, done func() bool) {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if done() {
			return
		}
	}
	c.t.Fatalf("waited in vain for %s\n%s", what, c.log)
}

// load gives the server another configuration and reports how long it took.
func (c *caddy) load(cfg config) (time.Duration, error) {
	began := time.Now()
	_, err := c.adminCall("POST", "/load", "text/caddyfile", c.caddyfile(cfg))
	return time.Since(began), err
}

func (c *caddy) mustLoad(cfg config) {
	c.t.Helper()
	if _, err := c.load(cfg); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caddy) adminCall(method, path, contentType, body string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.admin+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	return string(answer), err
}

func (c *caddy) get(path string) string {
	c.t.Helper()
	answer, err := c.adminCall("GET", path, "", "")
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

var totalLine = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines counts those of the server.
func (c *caddy) goroutines() int {
	c.t.Helper()
	m := totalLine.FindStringSubmatch(c.get("/debug/pprof/goroutine?debug=1"))
	if m == nil {
		c.t.Fatal("no goroutine profile")
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// descriptors counts the open ones of the server.
func (c *caddy) descriptors() int {
	c.t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/fd")
	if err != nil {
		c.t.Fatal(err)
	}
	return len(entries)
}

// metric is the value of a metric line that starts with prefix.
func (c *caddy) metric(prefix string) string {
	c.t.Helper()
	for line := range strings.Lines(c.get("/metrics")) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
