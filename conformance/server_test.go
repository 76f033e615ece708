package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// server is a Caddy with this module, or a server somebody else started.
type server struct {
	external bool
	host     string
	port     int
	app      app
	conf     caddyfile
	dir      string
	binary   string
	log      *output
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
	exit     error         // how, after done
}

// externalServer is one that runs already; it has the app of the environment.
func externalServer(addr string) (*server, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("CONFORMANCE_TARGET: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("CONFORMANCE_TARGET: %w", err)
	}
	return &server{external: true, host: host, port: number, app: openApp, log: new(output)}, nil
}

// newServer prepares a Caddy and writes everything it needs into a directory of its own.
func newServer() (*server, error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	s := &server{host: "127.0.0.1", port: ports[0], app: openApp, dir: dir, log: new(output)}
	s.conf = caddyfile{
		Host: s.host, Plain: ports[0], TLS: ports[1], Admin: ports[2], HTTP: ports[3], TLS2: ports[4], Hooks: ports[5],
		Site: filepath.Join(dir, "site"), MaxEventName: 200,
	}
	s.binary, err = compiled()
	if err := errors.Join(writeSite(s.conf.Site), err); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// compiled is Caddy with this module, built once for all servers in a directory that
// the end of the run removes.
var compiled = sync.OnceValues(func() (binary string, err error) {
	if binaries, err = os.MkdirTemp("", "conformance-"); err != nil {
		return "", err
	}
	binary = filepath.Join(binaries, "caddy")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/caddy")...)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/caddy: %w\n%s", err, out)
	}
	return binary, nil
})

// binaries is where compiled has put what it has built.
var binaries string

// start runs Caddy and returns when /up answers 200.
func (s *server) start() error {
	file := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(s.conf.String()), 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command(s.binary, "run", "--config", file, "--adapter", "caddyfile")
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(),
		"XDG_DATA_HOME="+filepath.Join(s.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(s.dir, "config"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd) {
		s.exit = cmd.Wait()
		close(s.done)
	}(s.cmd)
	if err := s.up(30 * time.Second); err != nil {
		err = fmt.Errorf("%w\n%s", err, s.log.since(0, 8<<10))
		return errors.Join(err, s.stop())
	}
	return nil
}

// up waits until the server says that it is ready.
func (s *server) up(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	last := errors.New("not asked yet")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("caddy is not up after %s: %w", limit, last)
		case <-s.done:
			return errors.Join(errors.New("caddy ended"), s.exit)
		case <-time.After(20 * time.Millisecond):
		}
		res, err := http.Get(s.url("/up"))
		if err != nil {
			last = err
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("/up answers %s", res.Status)
	}
}

// stop asks Caddy to end and says what was wrong with how it did.
func (s *server) stop() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	var errs []error
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, err)
	}
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		errs = append(errs, errors.New("caddy did not end within 20 s of SIGTERM"), cmd.Process.Kill())
		<-s.done
	}
	if s.exit != nil {
		errs = append(errs, fmt.Errorf("caddy ended: %w", s.exit))
	}
	return errors.Join(append(errs, s.log.complaint())...)
}

// remove deletes the server's directory.
func (s *server) remove() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // it is in the system's temporary directory anyway
	}
}

func (s *server) addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

func (s *server) url(path string) string { return "http://" + s.addr() + path }

// freePorts finds ports that nobody uses, all different.
func freePorts(n int) ([]int, error) {
	ports, held := make([]int, n), make([]net.Listener, 0, n)
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held, ports[i] = append(held, l), l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
