package rest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// plain sends a request that is not signed.
func plain(method, path string) request {
	none := ""
	return request{method: method, path: path, query: &none}
}

// Checklist: http-api 1
func TestHTTP001UnknownPath(t *testing.T) {
	n := newNode(t, testApp())
	for _, path := range []string{
		"/apps/app-id", "/apps/app-id/", "/apps/app-id/unknown", "/apps//events", "/apps/app-id/events/x",
		"/apps/app-id/channels/x/y", "/apps/app-id/channels//users", "/apps/app-id/events//",
		"/apps/app-id/users/u1", "/apps/app-id/users//force_reconnect", "/up/a/b", "/usage", "/apps/",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			got := n.do(plain(method, path))
			if got.status != 404 || got.body != "404 NOT FOUND" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s %s: %d %q %q", method, path, got.status, got.header.Get("Content-Type"), got.body)
			}
		}
	}
}

// Checklist: http-api 2
func TestHTTP002WrongMethod(t *testing.T) {
	n := newNode(t, testApp())
	for path, allow := range map[string]string{
		"/apps/app-id/events":                         "POST, OPTIONS",
		"/apps/app-id/batch_events":                   "POST, OPTIONS",
		"/apps/app-id/revocations":                    "POST, OPTIONS",
		"/apps/app-id/channels":                       "GET, HEAD, OPTIONS",
		"/apps/app-id/channels/x":                     "GET, HEAD, OPTIONS",
		"/apps/app-id/channels/x/users":               "GET, HEAD, OPTIONS",
		"/apps/app-id/connections":                    "GET, HEAD, OPTIONS",
		"/apps/app-id/users/u1/terminate_connections": "POST, OPTIONS",
		"/apps/app-id/users/u1/force_reconnect":       "POST, OPTIONS",
		"/up":                                         "GET, HEAD",
		"/up/app-id":                                  "GET, HEAD",
		"/live":                                       "GET, HEAD",
	} {
		got := n.do(plain("DELETE", path))
		got.fails(t, 405, "method_not_allowed", "Method not allowed")
		if got.header.Get("Allow") != allow {
			t.Errorf("%s: Allow is %q", path, got.header.Get("Allow"))
		}
	}
}

// Checklist: http-api 3
func TestHTTP003TrailingSlash(t *testing.T) {
	n := newNode(t, testApp())
	// The harness signs the path without the slash, as item 3 has it.
	n.get("channels/").is(t, 200, `{"channels":{}}`)
	n.post("events/", body("name", "e", "channel", "c", "data", "d")).is(t, 200, `{}`)
	if got := n.get("channels//"); got.status != 404 {
		t.Errorf("two slashes: %d %s", got.status, got.body)
	}
	if got := n.do(plain("GET", "/up/")); got.status != 200 {
		t.Errorf("/up/: %d %s", got.status, got.body)
	}
	if got := n.do(plain("GET", "/up//")); got.status != 404 {
		t.Errorf("/up//: %d %s", got.status, got.body)
	}
	// A slash that is escaped belongs to the name.
	n.get("channels/x%2F").fails(t, 400, "invalid_input", "invalid characters")
}

// Checklist: http-api 4
func TestHTTP004Envelope(t *testing.T) {
	n := newNode(t, testApp())
	// fails checks the form of every error.
	n.post("events", `{}`).fails(t, 400, "invalid_input", "Event name is required")
	n.post("events", `{"name":"e"}`).fails(t, 400, "missing_channel_info", "Request must contain 'channels' (list) or 'channel' (string)")
	n.do(plain("GET", "/apps/app-id/channels")).fails(t, 400, "invalid_input", "Missing authentication query parameters")
	n.get("channels/public/users").fails(t, 400, "invalid_input", "Only presence channels support this endpoint")
	// What a text repeats of the request is bounded and valid.
	got := n.post("events", body("name", "e", "channel", strings.Repeat("x", 100_000)+":y"))
	got.fails(t, 400, "invalid_input", "Unknown channel namespace")
	if len(got.body) > 1000 {
		t.Errorf("the text repeats %d bytes", len(got.body))
	}
	for text, want := range map[string]string{
		"plain": "plain", "a\xffb": "a\uFFFDb",
		strings.Repeat("x", 511) + "ä": strings.Repeat("x", 511) + "...",
		strings.Repeat("x", 510) + "ä": strings.Repeat("x", 510) + "ä",
	} {
		if got := bounded(text); got != want {
			t.Errorf("bounded(%q) is %q", text, got)
		}
	}
}

// Checklist: http-api 6, 8
func TestHTTP006BackendFailure(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	adapter := &gate{Adapter: drivers.Adapter}
	drivers.Adapter = adapter
	cache := &brokenCache{Cache: drivers.Cache}
	drivers.Cache = cache
	n := startNode(t, "node-1", drivers)
	adapter.fail.Store(true)
	cache.reads.Store(true)
	for _, got := range []answer{
		n.post("events", body("name", "e", "channel", "c")),
		n.post("batch_events", `{"batch":[{"name":"e","channel":"c"}]}`),
		n.get("channels/cache-c", "info", "cache"),
	} {
		got.fails(t, 500, "internal_error", "Internal server error")
		if strings.Contains(got.body, errBackend.Error()) {
			t.Errorf("tells the cause: %s", got.body)
		}
	}
	n.post("users/u1/terminate_connections", `{}`).fails(t, 500, "termination_failed", "Connection termination failed")
	adapter.fail.Store(false)
	cache.claims.Store(true)
	got := n.post("events", body("name", "e", "channel", "c", "idempotency_key", "k"))
	got.fails(t, 503, "service_unavailable", "Idempotency coordination")
	if got.header.Get("Retry-After") != "" {
		t.Error("service_unavailable of idempotency has Retry-After")
	}
}

// An app store that cannot answer is told apart from an unknown app.
func TestStoreDown(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	drivers.Apps = brokenApps{drivers.Apps}
	n := startNode(t, "node-1", drivers)
	got := n.get("channels")
	got.fails(t, 503, "service_unavailable", "temporarily unavailable")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
}

// Checklist: http-api 9
func TestHTTP009ContentType(t *testing.T) {
	n := newNode(t, testApp())
	text := body("name", "e", "channel", "c", "data", "d")
	for contentType, status := range map[string]int{
		"application/json":                  200,
		"application/json; charset=utf-8":   200,
		"Application/JSON":                  200,
		"application/vnd.x+json":            200,
		"application/vnd.x+json; profile=a": 200,
		"text/plain":                        415,
		"text/x+json":                       415,
		"application/jsonp":                 415,
		"application/x-www-form-urlencoded": 415,
		"":                                  415,
	} {
		got := n.do(request{method: "POST", path: "/apps/app-id/events", body: text, header: http.Header{"Content-Type": {contentType}}})
		if got.status != status {
			t.Errorf("%q: %d %s", contentType, got.status, got.body)
		}
		if status == 415 {
			got.fails(t, 415, "unsupported_media_type", "application/json")
		}
	}
}

// Checklist: http-api 10
func TestHTTP010Syntax(t *testing.T) {
	n := newNode(t, testApp())
	deep := strings.Repeat("[", 100_000)
	for _, text := range []string{``, `{`, `{"name":"e",}`, `{"name":"e"} x`, `nul`, `{"name":"` + "\n" + `"}`, `{"data":` + deep, `{"data":` + deep + strings.Repeat("]", 100_000) + `}`, "{\"name\":\"\xff\"}", "\ufeff{}"} {
		n.post("events", text).fails(t, 400, "invalid_input", "not valid")
		n.post("batch_events", text).fails(t, 400, "invalid_input", "not valid")
	}
	for _, text := range []string{
		`null`, `[]`, `"x"`, `1`,
		`{"name":1,"channel":"c"}`,
		`{"name":"e","channels":"c"}`, `{"name":"e","channels":[1]}`, `{"name":"e","channels":{"a":1}}`, `{"name":"e","channel":["c"]}`,
		`{"name":"e","channel":"c","info":["user_count"]}`, `{"name":"e","channel":"c","socket_id":12.5}`,
		`{"name":"e","channel":"c","tags":["x"]}`, `{"name":"e","channel":"c","tags":{"a":1}}`, `{"name":"e","channel":"c","delta":"no"}`,
		`{"name":"e","channel":"c","idempotency_key":1}`, `{"name":"e","channel":"c","message_id":{}}`,
		`{"name":"e","channel":"c","extras":[]}`, `{"name":"e","channel":"c","extras":{"ephemeral":1}}`, `{"name":"e","channel":"c","extras":{"push":"x"}}`,
	} {
		n.post("events", text).fails(t, 422, "invalid_input", "must be")
	}
	for _, text := range []string{`{}`, `{"batch":{}}`, `{"batch":null}`, `{"batch":[1]}`, `{"batch":[{"name":1}]}`, `[]`} {
		n.post("batch_events", text).fails(t, 422, "invalid_input", "must be")
	}
}

// Checklist: http-api 11
func TestHTTP011BodyCap(t *testing.T) {
	n := newNode(t, testApp(), func(s *realtime.Settings) { s.HTTP.MaxBody = 1000 })
	head := `{"name":"e","channel":"c","data":"`
	fits := head + strings.Repeat("x", 1000-len(head)-2) + `"}`
	n.post("events", fits).is(t, 200, `{}`)
	n.post("events", fits+" ").fails(t, 413, "payload_too_large", "1000 bytes")

	// A length over the cap is refused before the body is read, and without a
	// length the cap counts while reading: the server answers before the end.
	for _, rest := range []string{
		"Content-Length: 1001\r\n\r\n",
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", 1001, fits+" "),
	} {
		conn, err := net.Dial("tcp", n.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		query := signed("POST", "/apps/app-id/events", nil, fits, appKey, appSecret, time.Now())
		fmt.Fprintf(conn, "POST /apps/app-id/events?%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s", query, rest)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		answer{resp.StatusCode, resp.Header, string(text)}.fails(t, 413, "payload_too_large", "1000 bytes")
		resp.Body.Close()
		conn.Close()
	}
}

// Checklist: http-api 12
func TestHTTP012UnknownFields(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("c")
	n.post("events", `{"future":{"a":[1,{"b":"\"}"}]},"name":"e","\u0063hannel":"c","NAME":"x","data":"d","extras":{"other":[[]]}}`).is(t, 200, `{}`)
	if got := s.wait("e").text; got != `{"event":"e","channel":"c","data":"d"}` {
		t.Error(got)
	}
}

// Checklist: http-api 14
func TestHTTP014EscapedPath(t *testing.T) {
	n := newNode(t, testApp())
	n.connect().subscribe("room,a@b=c")
	// Signed as it is sent, handled decoded.
	n.get("channels/room%2Ca%40b%3Dc").is(t, 200, `{"occupied":true}`)
	n.get("channels/room,a@b=c").is(t, 200, `{"occupied":true}`)
	// Signed over the decoded path it does not verify.
	query := signed("GET", "/apps/app-id/channels/room,a@b=c", nil, "", appKey, appSecret, time.Now())
	n.do(request{method: "GET", path: "/apps/app-id/channels/room%2Ca%40b%3Dc", query: &query}).fails(t, 401, "auth_failed", "Invalid API signature")
}

// A handler may be mounted under a prefix that the server strips. Clients sign
// the path they send, or the path without the prefix; both verify.
func TestStrippedPrefix(t *testing.T) {
	n := newNode(t, testApp())
	inner := n.server.Config.Handler
	n.server.Config.Handler = http.StripPrefix("/realtime", inner)
	for _, sign := range []string{"/realtime/apps/app-id/channels", "/apps/app-id/channels"} {
		query := signed("GET", sign, nil, "", appKey, appSecret, time.Now())
		n.do(request{method: "GET", path: "/realtime/apps/app-id/channels", query: &query}).is(t, 200, `{"channels":{}}`)
		n.do(request{method: "GET", path: "/realtime/apps/app-id/channels/", query: &query}).is(t, 200, `{"channels":{}}`)
	}
	query := signed("GET", "/other/apps/app-id/channels", nil, "", appKey, appSecret, time.Now())
	n.do(request{method: "GET", path: "/realtime/apps/app-id/channels", query: &query}).fails(t, 401, "auth_failed", "Invalid API signature")
}

func TestOwned(t *testing.T) {
	for path, want := range map[string][2]bool{
		"/apps/x/events": {true, true}, "/apps/": {true, true}, "/up": {true, true}, "/up/": {true, true}, "/up/app": {true, true}, "/live": {true, true}, "/live/": {true, true},
		"/usage": {false, true}, "/stats": {false, true}, "/stats/": {false, true}, "/operator/stats": {false, true},
		"/": {}, "/apps": {}, "/app/key": {}, "/upload": {}, "/alive": {}, "/operator": {}, "/operator/x": {}, "/live//": {}, "": {},
	} {
		if got := [2]bool{Owned(path, false), Owned(path, true)}; got != want {
			t.Errorf("Owned(%q) is %v, want %v", path, got, want)
		}
	}
}
