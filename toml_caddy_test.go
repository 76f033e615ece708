package sockudo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
)

// caddyOf is the configuration of a file, compact.
func caddyOf(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(mustReadSockudo(t, text).caddy())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is Caddy's own business becomes Caddy's own objects.
//
// Checklist: configuration 148
func TestFilesAreCaddysToo(t *testing.T) {
	for text, parts := range map[string][]string{
		"":                           {`"listen":["0.0.0.0:6001"]`, `"grace_period":"10s"`, `"automatic_https":{"disable":true}`, `"env_overrides":true`},
		"host = \"::1\"\nport = 80":  {`"listen":["[::1]:80"]`},
		"shutdown_grace_period = 2":  {`"grace_period":"2s"`},
		"debug = true":               {`"logging":{"logs":{"default":{"level":"DEBUG"}}}`},
		"[metrics]\nport = \"9100\"": {`"listen":["0.0.0.0:9100"]`, `"handler":"metrics"`, `"disable_openmetrics":true`, `"path":["/metrics"]`},
		"trusted_proxies = [\"10.0.0.0/8\"]\n[rate_limiter.api_rate_limit]\ntrust_hops = 1":            {`"trusted_proxies":{"ranges":["10.0.0.0/8"],"source":"static"}`, `"trusted_proxies_strict":1`},
		"trusted_proxies = [\"private_ranges\"]":                                                       {`"192.168.0.0/16"`, `"::1"`},
		"[unix_socket]\nenabled = true\npath = \"/run/s.sock\"\npermission_mode = \"600\"":             {`"listen":["unix//run/s.sock|0600"]`},
		"[logging]\ncolors_enabled = true":                                                             {`"encoder":{"format":"console","level_format":"color"}`},
		"[logging]\ncolors_enabled = false\ninclude_target = false":                                    {`"level_format":"upper"`, `"name_key":""`},
		"[ssl]\nenabled = true\ncert_path = \"c\"\nkey_path = \"k\"":                                   {`"load_files":[{"certificate":"c","key":"k","tags":["sockudo"]}]`, `"any_tag":["sockudo"]`},
		"port = 443\n[ssl]\nenabled = true\ncert_path = \"c\"\nkey_path = \"k\"\nredirect_http = true": {`"listen":["0.0.0.0:80"]`, `https://{http.request.host}{http.request.uri}`},
	} {
		contains(t, caddyOf(t, text), parts...)
	}
	if text := caddyOf(t, "[metrics]\nenabled = false"); strings.Contains(text, "9601") {
		t.Errorf("metrics are off, and served: %s", text)
	}
	if text := caddyOf(t, "debug = false"); strings.Contains(text, "logging") {
		t.Errorf("the log is Caddy's, unless the file says something: %s", text)
	}
}

// Secrets that are variables stay variables: their values are not in the configuration.
// Braces in other text mean nothing, and what has the form of a placeholder of Caddy is
// one.
func TestVariablesOfFiles(t *testing.T) {
	env := map[string]string{"SECRET": "hush", "PORT": "7001", "PART": "a{b}", "DRIVER": "redis", "MAX": "7", "PAST": "two\nlines = 1"}
	f, err := readSockudo([]byte(`
port = ${PORT:-6001} # ${SECRET}
host = "${HOST:-127.0.0.1}"
[cache]
driver = "${DRIVER}"
[cache.redis]
prefix = "${PART}:"
url_override = 'redis://:${SECRET}@h:1'
[database.redis]
password = "${SECRET}"
port = "${PORT}"
[[app_manager.array.apps]]
id = "a"
key = "$SECRET"
secret = '${SECRET}'
max_connections = ${MAX}
allowed_origins = ["${PAST}", "{env.X}", "a{2}\\}"]
`), "f", envOf(env))
	if err != nil {
		t.Fatal(err)
	}
	app := f.Hub["apps"].([]any)[0].(map[string]any)
	cache := f.Hub["cache"].(map[string]any)
	redis := f.Hub["database"].(map[string]any)["redis"].(map[string]any)
	for what, c := range map[string][2]any{
		"port": {f.Port, 7001}, "host": {f.Host, "127.0.0.1"}, "driver": {cache["driver"], "redis"},
		"part": {cache["prefix"], `a\{b}:`}, "within": {cache["url"], "redis://:hush@h:1"},
		"password": {redis["password"], "{env.SECRET}"}, "number in quotes": {redis["port"], json.Number("7001")},
		"bare": {app["key"], "$SECRET"}, "secret": {app["secret"], "{env.SECRET}"}, "number": {app["max_connections"], json.Number("7")},
		"list": {fmt.Sprint(app["allowed_origins"]), `[{env.PAST} {env.X} a\{2}\\}]`},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %#v, want %#v", what, c[0], c[1])
		}
	}
}

// A file with ssl serves TLS from its certificate, and redirects to it.
func TestFileWithTLS(t *testing.T) {
	files := certtest.New(t)
	authority, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	s, port, plain := newServer(t), freePort(t), freePort(t)
	s.loadFile(fmt.Sprintf("host = \"127.0.0.1\"\nport = %s\n[ssl]\nenabled = true\ncert_path = %q\nkey_path = %q\nredirect_http = true\nhttp_port = %s\n%s",
		port, files.Cert, files.Key, plain, strings.ReplaceAll(pageApp, "@\n", "")))
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noRedirect.Get("http://127.0.0.1:" + plain + "/up?x=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusPermanentRedirect || to != "https://127.0.0.1:"+port+"/up?x=1" {
		t.Errorf("%d %s", resp.StatusCode, to)
	}
}

// A file with a Unix socket serves there, with the mode that it says, and nowhere else.
func TestFileWithUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path, port := filepath.Join(dir, "s.sock"), freePort(t)
	s := newServer(t)
	s.loadFile(fmt.Sprintf("host = \"127.0.0.1\"\nport = %s\n[unix_socket]\nenabled = true\npath = %q\npermission_mode = \"600\"\n%s", port, path, strings.ReplaceAll(pageApp, "@\n", "")))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	over := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	resp, err := over.Get("http://localhost/up")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		_ = c.Close()
		t.Error("it listens on the port too")
	}
}
