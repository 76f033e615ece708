package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// below is an API that answers with what it was called with.
type below struct {
	mu    sync.Mutex
	calls []realtime.SignedCall
}

func (b *below) ServeSigned(w http.ResponseWriter, r *http.Request, c realtime.SignedCall) {
	b.mu.Lock()
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "%s %s limit=%s deviceId=%s %s", r.Method, c.Path, c.Param("limit"), c.Param("deviceId"), c.Body)
}

func (b *below) use(s *realtime.Settings) { s.PushAPI = b }

func (b *below) called() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.calls)
}

const belowPush = "/apps/app-id/push/"

// Without the API there is no such path, whatever is asked.
// Checklist: push 12
func TestPushRoutesAreOff(t *testing.T) {
	n := newNode(t, testApp())
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"} {
		for _, path := range []string{"publish", "deviceRegistrations/d", "x"} {
			got := n.do(request{method: method, path: belowPush + path})
			want := "404 NOT FOUND"
			if method == "HEAD" {
				want = ""
			}
			got.is(t, 404, want)
			if got.header.Get("Allow") != "" || got.header.Get("X-Ratelimit-Limit") != "" {
				t.Errorf("%s %s: %v", method, path, got.header)
			}
		}
	}
}

func TestSignedAPI(t *testing.T) {
	b := &below{}
	n := newNode(t, testApp(), b.use)
	do := func(method, path, text string, params ...string) answer {
		values := url.Values{}
		for i := 0; i < len(params); i += 2 {
			values.Set(params[i], params[i+1])
		}
		return n.do(request{method: method, path: belowPush + path, body: text, params: values})
	}
	do("GET", "deviceRegistrations", "", "limit", "10", "deviceId", "d+1 ä", "cursor", "eyJh").is(t, 202, "GET deviceRegistrations limit=10 deviceId=d+1 ä ")
	do("GET", "templates/a%2Fb/", "").is(t, 202, "GET templates/a%2Fb limit= deviceId= ")
	do("POST", "publish", `{"payload":{}}`, "mode", "sync").is(t, 202, `POST publish limit= deviceId= {"payload":{}}`)
	do("POST", "deadLetters/x/replay", "").is(t, 202, "POST deadLetters/x/replay limit= deviceId= ")
	do("DELETE", "channelSubscriptions", "", "channel", "orders", "deviceId", "d").is(t, 204, "")
	if got := do("HEAD", "templates", ""); got.status != 202 || got.body != "" {
		t.Errorf("HEAD: %d %s", got.status, got.body)
	}
	// What content types are fine is for the API to say.
	n.do(request{method: "POST", path: belowPush + "publish", body: "text", header: http.Header{"Content-Type": {"text/plain"}}}).is(t, 202, "POST publish limit= deviceId= text")
	if c := b.calls[4]; c.App.ID != appID || c.Body != nil || c.Param("channel") != "orders" {
		t.Errorf("%+v", c)
	}
	// A body may be kept: no later call changes it.
	if got := string(b.calls[2].Body); got != `{"payload":{}}` {
		t.Errorf("the body became %q", got)
	}

	m := gather(t, n.hub)
	if m["http_calls_received_total"] != 7 || m["http_received_bytes"] != float64(len(`{"payload":{}}`)+len("text")) || m["http_transmitted_bytes"] < 200 {
		t.Errorf("counted %v calls, %v and %v bytes", m["http_calls_received_total"], m["http_received_bytes"], m["http_transmitted_bytes"])
	}
	for _, path := range []string{"/apps/app-id/push", "/apps/app-id/push/", "/apps//push/publish", "/apps/app-id/pushes/publish"} {
		n.do(request{method: "GET", path: path}).is(t, 404, "404 NOT FOUND")
	}
}

// The API never sees a call that is not signed, or that anything shared refuses.
// Checklist: push 1, 2
func TestSignedAPIRefuses(t *testing.T) {
	b := &below{}
	other := &storage.App{ID: "other", Key: "other-key", Secret: "other-secret", Enabled: true}
	off := &storage.App{ID: "off", Key: "off-key", Secret: "off-secret"}
	n := startNode(t, "node-1", memoryDrivers(t, testApp(), other, off), b.use, func(s *realtime.Settings) { s.HTTP.MaxBody = 100 })
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		for _, path := range []string{"publish", "deviceRegistrations", "credentials", "no/such/thing"} {
			path = belowPush + path
			refused := []answer{
				n.do(plain(method, path)),
				n.do(request{method: method, path: path, key: "nobody", secret: "x"}),
				n.do(request{method: method, path: path, key: appKey, secret: "wrong"}),
				n.do(request{method: method, path: path, key: "other-key", secret: "other-secret"}),
			}
			if method == "HEAD" {
				if refused[0].status != 400 || refused[1].status != 401 || refused[2].status != 401 || refused[3].status != 403 {
					t.Errorf("HEAD: %+v", refused)
				}
				continue
			}
			refused[0].fails(t, 400, "invalid_input", "Missing authentication query parameters")
			refused[1].fails(t, 401, "auth_failed", "Application key not found")
			refused[2].fails(t, 401, "auth_failed", "Invalid API signature")
			refused[3].fails(t, 403, "forbidden", "does not match")
		}
	}
	n.do(request{method: "GET", path: "/apps/off/push/templates", key: "off-key", secret: "off-secret"}).fails(t, 403, "forbidden", "disabled")
	n.do(request{method: "POST", path: belowPush + "publish", body: strings.Repeat("x", 101)}).fails(t, 413, "payload_too_large", "100 bytes")
	md5 := signed("POST", belowPush+"publish", nil, "{}", appKey, appSecret, time.Now())
	n.do(request{method: "POST", path: belowPush + "publish", body: "[]", query: &md5}).fails(t, 401, "auth_failed", "body_md5")
	// A signature is for one method and one path.
	get := signed("GET", belowPush+"templates/t", nil, "", appKey, appSecret, time.Now())
	n.do(request{method: "DELETE", path: belowPush + "templates/t", query: &get}).fails(t, 401, "auth_failed", "Invalid API signature")
	n.do(request{method: "GET", path: belowPush + "templates/u", query: &get}).fails(t, 401, "auth_failed", "Invalid API signature")
	got := n.do(request{method: "PUT", path: belowPush + "templates"})
	got.fails(t, 405, "method_not_allowed", "")
	if allow := got.header.Get("Allow"); allow != "GET, HEAD, POST, DELETE, OPTIONS" {
		t.Errorf("Allow is %q", allow)
	}
	if got := b.called(); got != 0 {
		t.Errorf("the API was called %d times", got)
	}
}

// A parameter that was added to a signed query is not seen, though it may stand first.
func TestSignedAPIParameters(t *testing.T) {
	b := &below{}
	n := newNode(t, testApp(), b.use)
	query := signed("DELETE", belowPush+"deviceRegistrations", url.Values{"deviceId": {"mine"}}, "", appKey, appSecret, time.Now())
	for _, added := range []string{"deviceId=yours&" + query, "DEVICEID=yours&" + query, query + "&DEVICEID=yours"} {
		if got := n.do(request{method: "DELETE", path: belowPush + "deviceRegistrations", query: &added}); got.status != 204 {
			t.Errorf("%s: %d %s", added, got.status, got.body)
		}
	}
	for _, added := range []string{query + "&deviceId=yours", query + "&deviceid=yours", query + "&channel=c"} {
		n.do(request{method: "DELETE", path: belowPush + "deviceRegistrations", query: &added}).fails(t, 401, "auth_failed", "Invalid API signature")
	}
	if len(b.calls) != 3 || slices.ContainsFunc(b.calls, func(c realtime.SignedCall) bool { return c.Param("deviceId") != "mine" }) {
		t.Errorf("%+v", b.calls)
	}
}

// Limits and cross-origin requests are those of the whole HTTP API.
func TestSignedAPISharesLimits(t *testing.T) {
	b := &below{}
	n := newNode(t, testApp(), b.use, limited(2))
	n.clientIP.Store("203.0.113.7")
	for range 2 {
		if got := n.do(request{method: "GET", path: belowPush + "templates", header: http.Header{"Origin": {"https://a.example"}}}); got.status != 202 ||
			got.header.Get("X-Ratelimit-Limit") != "2" || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%d %v", got.status, got.header)
		}
	}
	n.do(request{method: "GET", path: belowPush + "templates"}).is(t, 429, tooManyRequests)
	preflight := n.do(request{method: "OPTIONS", path: belowPush + "templates", query: new(""), header: http.Header{
		"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"DELETE"},
	}})
	if preflight.status != 204 || preflight.header.Get("Allow") != "GET, HEAD, POST, DELETE, OPTIONS" || !strings.Contains(preflight.header.Get("Access-Control-Allow-Methods"), "DELETE") {
		t.Errorf("preflight: %d %v", preflight.status, preflight.header)
	}
	if b.called() != 2 {
		t.Errorf("%d calls", b.called())
	}

	reads := newNode(t, testApp(func(a *storage.App) { a.Limits.MaxReadRequestsPerSecond = 1 }), b.use, func(s *realtime.Settings) {
		s.Drivers.RateLimiter = longWindows{s.Drivers.RateLimiter}
	})
	if got := reads.do(request{method: "GET", path: belowPush + "templates"}); got.status != 202 {
		t.Errorf("%d %s", got.status, got.body)
	}
	reads.do(request{method: "GET", path: belowPush + "templates"}).fails(t, 429, "rate_limited", "Read rate limit")
	if got := reads.do(request{method: "DELETE", path: belowPush + "templates/t"}); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
