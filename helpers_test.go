package sockudo

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the usual modules

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// appBlock is the shortest app that works.
const appBlock = "app demo {\n\tkey demo-key\n\tsecret s3cr3t-canary\n}\n"

// parse reads the block of a directive.
func parse(block string) (*Handler, error) {
	h := new(Handler)
	return h, h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("sockudo {\n" + block + "\n}"))
}

func mustParse(t *testing.T, block string) *Handler {
	t.Helper()
	h, err := parse(block)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

func envOf(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}

func resolve(c *HubConfig, env map[string]string) (*definition, error) {
	return c.resolve(caddy.NewReplacer(), envOf(env))
}

func mustResolve(t *testing.T, c *HubConfig, env map[string]string) *definition {
	t.Helper()
	d, err := resolve(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// settingsOf are the settings of a directive, and the first of its apps.
func settingsOf(t *testing.T, block string) (realtime.Settings, *storage.App) {
	t.Helper()
	d := mustResolve(t, &mustParse(t, block+"\n"+appBlock).HubConfig, nil)
	return d.settings, d.apps[0]
}

func adapt(text string) ([]byte, []caddyconfig.Warning, error) {
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
}

// server is a Caddy in this process. There is one at a time.
type server struct {
	t     *testing.T
	admin string
	log   string // a file
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("XDG_DATA_HOME", dir)
	s := &server{t: t, admin: "127.0.0.1:" + freePort(t), log: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		for _, h := range allHubs() {
			t.Errorf("hub %s is left over", h.Name())
		}
		drivers.Range(func(key, _ any) bool {
			t.Errorf("driver %v is left over", key)
			return true
		})
	})
	return s
}

// load runs a Caddyfile, whose global options come first, without braces.
func (s *server) load(global, sites string) error {
	s.t.Helper()
	config, _, err := adapt("{\n\tadmin " + s.admin + "\n\tpersist_config off\n\tlog {\n\t\toutput file " + s.log + "\n\t\tlevel DEBUG\n\t\texclude http.log.access\n\t}\n" + global + "\n}\n" + sites)
	if err != nil {
		s.t.Fatal(err)
	}
	return caddy.Load(config, true)
}

func (s *server) mustLoad(global, sites string) {
	s.t.Helper()
	if err := s.load(global, sites); err != nil {
		s.t.Fatal(err)
	}
}

// logged is what the log says so far.
func (s *server) logged() string {
	text, err := os.ReadFile(s.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(text)
}

// call asks the admin API and reads its answer into v, if that is not nil.
func (s *server) call(method, path string, v any) int {
	s.t.Helper()
	status, body := request(s.t, method, "http://"+s.admin+path, nil)
	if v != nil {
		if err := json.Unmarshal([]byte(body), v); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, body)
		}
	}
	return status
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func request(t *testing.T, method, url string, header http.Header) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	resp, err := persist(func() (*http.Response, error) { return client.Do(r) })
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// expectError compares the text of an error.
func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
	} else if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
