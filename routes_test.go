package sockudo

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestSocketKey(t *testing.T) {
	for path, want := range map[string]string{
		"/app/key":      "key",
		"/app/key/":     "key",
		"/app/a%20b":    "a b",
		"/app/a%2Fb":    "a/b",
		"/app":          "",
		"/app/":         "",
		"/app//":        "",
		"/app/key/more": "",
		"/apps/key":     "",
		"/APP/key":      "",
		"/x/app/key":    "",
	} {
		u, err := url.Parse("http://localhost" + path + "?protocol=7")
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := socketKey(u); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", path, got, ok)
		}
	}
}

// All paths that are not the hub's are for the next handler, in whatever method.
func TestNextHandler(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	get := func(path string) string {
		t.Helper()
		_, body := request(t, "GET", "http://127.0.0.1:"+port+path, nil)
		return body
	}
	block := func(usage string) string {
		return site(port, "sockudo {\nusage "+usage+"\n"+appBlock+"}")
	}
	s.mustLoad("", block("off"))
	for _, path := range []string{"/", "/index.html", "/app", "/app/", "/app/a/b", "/apps", "/application", "/upper", "/lively", "/usage", "/stats", "/operator/stats", "/metrics"} {
		if got := get(path); got != "static" {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, path := range []string{"/app/demo-key", "/apps/demo", "/apps/demo/events", "/up", "/up/", "/up/demo", "/live"} {
		if got := get(path); got == "static" {
			t.Errorf("%s went to the next handler", path)
		}
	}
	s.mustLoad("", block("on"))
	for _, path := range []string{"/usage", "/stats"} {
		if got := get(path); got == "static" {
			t.Errorf("%s went to the next handler", path)
		}
	}
}

// A stream loses the idle timeouts of the server; a request of HTTP/1.1 does not.
func TestStayOpen(t *testing.T) {
	for major, overridden := range map[int]bool{1: false, 2: true, 3: true} {
		r := httptest.NewRequest(http.MethodConnect, "/app/key", nil)
		r.ProtoMajor = major
		reader := &caddyhttp.IdleTimeoutReader{Ctrl: http.NewResponseController(httptest.NewRecorder())}
		r = r.WithContext(caddyhttp.ContextWithIdleTimeouts(r.Context(), reader, nil))
		stayOpen(r)
		if got := reader.Deadline.Timeout > 0; got != overridden {
			t.Errorf("HTTP/%d: %v", major, reader.Deadline.Timeout)
		}
	}
	stayOpen(httptest.NewRequest(http.MethodGet, "/app/key", nil)) // without timeouts
}
