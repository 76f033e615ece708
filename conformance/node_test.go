package conformance

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var npm struct {
	once sync.Once
	err  error
}

// needNode installs the pinned packages, once, and fails if that cannot be done.
func needNode(t *testing.T) {
	t.Helper()
	npm.once.Do(func() { npm.err = install() })
	if npm.err != nil {
		t.Fatal(npm.err)
	}
}

// install runs npm ci unless what is installed is younger than the lock file.
func install() error {
	lock, err := os.Stat("package-lock.json")
	if err != nil {
		return err
	}
	have, err := os.Stat(filepath.Join("node_modules", ".package-lock.json"))
	if err == nil && !have.ModTime().Before(lock.ModTime()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

// environment tells the clients where everything is; env of lib/harness.mjs.
func environment(t *testing.T, s *server) string {
	t.Helper()
	e := map[string]any{
		"host": s.host, "port": s.port,
		"appId": s.app.ID, "key": s.app.Key, "secret": s.app.Secret,
		"masterKey": base64.StdEncoding.EncodeToString(masterKey),
		"authority": newAuthority(t, s.app),
		"chromium":  chromium(),
	}
	if !s.external {
		e["tlsPort"], e["adminPort"], e["hooksPort"] = s.conf.TLS, s.conf.Admin, s.conf.Hooks
		e["hooked"] = map[string]string{"appId": hookedApp.ID, "key": hookedApp.Key, "secret": hookedApp.Secret}
		e["guarded"] = map[string]string{
			"appId": guardedApp.ID, "key": guardedApp.Key, "secret": guardedApp.Secret, "origin": allowedOrigin,
		}
		// What other servers may lack, and a scenario names as its need.
		for _, name := range []string{"strict", "forceReconnect", "watchlist", "subscriptionCount", "infoOnTrigger"} {
			e[name] = true
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func chromium() string {
	if path := os.Getenv("CHROMIUM_PATH"); path != "" {
		return path
	}
	return "/usr/bin/chromium"
}

// client is one running Node process.
type client struct {
	*exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr *output
}

// runClient starts a file of clients/ and ends it with the test at the latest.
func runClient(t *testing.T, s *server, file string, limit time.Duration) *client {
	t.Helper()
	needNode(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	c := &client{Cmd: exec.CommandContext(ctx, "node", filepath.Join("clients", file)), stderr: new(output)}
	c.Env = append(os.Environ(), "CONFORMANCE="+environment(t, s), "NODE_NO_WARNINGS=1")
	c.Stderr = c.stderr
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	c.out.Buffer(nil, 16<<20)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // reported by whoever waited first
	})
	return c
}

// next reads one JSON line.
func (c *client) next(into any) error {
	if !c.out.Scan() {
		return errors.Join(errors.New("the client has nothing more to say"), c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), into); err != nil {
		return fmt.Errorf("the client said %q: %w", c.out.Bytes(), err)
	}
	return nil
}

// result is the line of one scenario.
type result struct {
	Scenario, Error, Trace, Skipped string
	OK                              bool
}

// scenarios runs a file of clients/ and makes each scenario a subtest.
func scenarios(t *testing.T, s *server, file string) {
	t.Helper()
	c := runClient(t, s, file, 4*time.Minute)
	var plan struct{ Plan []string }
	if err := c.next(&plan); err != nil {
		t.Fatalf("%v\n%s", err, c.stderr.since(0, 4<<10))
	}
	if len(plan.Plan) == 0 {
		t.Error("no scenario was chosen")
	}
	for _, name := range plan.Plan {
		var r result
		var err error
		read := sync.OnceFunc(func() { err = c.next(&r) })
		t.Run(name, func(t *testing.T) {
			read()
			switch {
			case err != nil:
				t.Fatalf("%v\n%s", err, c.stderr.since(0, 4<<10))
			case r.Scenario != name:
				t.Fatalf("the client ran %q", r.Scenario)
			case r.Skipped != "":
				t.Skip(r.Skipped)
			case !r.OK:
				t.Errorf("%s\n%s", r.Error, r.Trace)
			}
		})
		read() // also when -run left the subtest out
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", file, err, c.stderr.since(0, 4<<10))
	}
}

// The rules for frames must refuse something, or they would prove nothing.
func TestFrameRules(t *testing.T) {
	if testing.Short() {
		t.Skip("Node is not part of a short run")
	}
	out, err := exec.Command("node", "--test", filepath.Join("clients", "frames.test.mjs")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPusherJS(t *testing.T) { scenarios(t, need(t), "pusher-js.mjs") }

func TestLaravelEcho(t *testing.T) { scenarios(t, need(t), "laravel-echo.mjs") }

func TestPusherNode(t *testing.T) { scenarios(t, need(t), "pusher-node.mjs") }

func TestBrowser(t *testing.T) {
	s := needOurs(t)
	needNode(t)
	if _, err := os.Stat(chromium()); err != nil {
		t.Fatalf("a Chromium is needed, apt-get install chromium or CHROMIUM_PATH: %v", err)
	}
	bundle(t, s.conf.Site)
	scenarios(t, s, "browser.mjs")
}

// What is installed is what package.json names, to the digit.
func TestVersions(t *testing.T) {
	if testing.Short() {
		t.Skip("outside clients are not part of a short run")
	}
	needNode(t)
	var pinned struct{ Dependencies map[string]string }
	readJSON(t, "package.json", &pinned)
	for name, want := range pinned.Dependencies {
		var got struct{ Version string }
		readJSON(t, filepath.Join("node_modules", name, "package.json"), &got)
		if got.Version != want {
			t.Errorf("%s is %s, package.json says %s", name, got.Version, want)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
