package rest

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

const (
	appID     = "app-id"
	appKey    = "app-key"
	appSecret = "app-secret"
)

var errBackend = errors.New("secret-backend-detail")

// node is a hub with its handler behind a real HTTP server.
type node struct {
	t       testing.TB
	hub     *realtime.Hub
	handler *Handler
	server  *httptest.Server
	drivers realtime.Drivers
	// clientIP is the address that calls come from, as a proxy would tell it.
	clientIP atomic.Value
}

// testApp is an enabled app without limits of its own, changed by the options.
func testApp(change ...func(*storage.App)) *storage.App {
	app := &storage.App{ID: appID, Key: appKey, Secret: appSecret, Enabled: true}
	app.Features.UserAuthentication = true
	for _, f := range change {
		f(app)
	}
	return app
}

// memoryDrivers are the drivers of a node that is alone.
func memoryDrivers(t testing.TB, apps ...*storage.App) realtime.Drivers {
	t.Helper()
	manager, err := memory.NewAppManager(apps)
	if err != nil {
		t.Fatal(err)
	}
	return realtime.Drivers{
		Apps:        manager,
		Adapter:     memory.NewLocal(),
		Cache:       memory.NewCache(memory.CacheOptions{}),
		Queue:       memory.NewQueue(memory.QueueOptions{}),
		RateLimiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
	}
}

// newNode starts a node with one app and default settings, changed by the options.
func newNode(t testing.TB, app *storage.App, change ...func(*realtime.Settings)) *node {
	t.Helper()
	return startNode(t, "node-1", memoryDrivers(t, app), change...)
}

func startNode(t testing.TB, name string, drivers realtime.Drivers, change ...func(*realtime.Settings)) *node {
	t.Helper()
	settings := realtime.DefaultSettings()
	settings.NodeID, settings.Drivers = name, drivers
	for _, f := range change {
		f(&settings)
	}
	hub := realtime.NewHub(name)
	hub.Attach(1, &settings)
	if err := hub.Start(1); err != nil {
		t.Fatal(err)
	}
	hub.Activate(1)
	n := &node{t: t, hub: hub, handler: New(hub), drivers: settings.Drivers}
	n.clientIP.Store("127.0.0.1")
	n.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.handler.ServeHTTP(w, r, n.clientIP.Load().(string))
	}))
	t.Cleanup(func() {
		n.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		hub.Close(ctx)
	})
	return n
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// request is a call that is signed when it is sent, unless told otherwise.
type request struct {
	method, path, body string
	params             url.Values
	header             http.Header
	key, secret        string
	// query, when set, is sent as it is instead of a signed one.
	query *string
}

func (n *node) do(r request) answer {
	n.t.Helper()
	if r.key == "" {
		r.key, r.secret = appKey, appSecret
	}
	target := n.server.URL + r.path
	if r.query == nil {
		target += "?" + signed(r.method, r.path, r.params, r.body, r.key, r.secret, time.Now())
	} else if *r.query != "" {
		target += "?" + *r.query
	}
	req, err := http.NewRequest(r.method, target, strings.NewReader(r.body))
	if err != nil {
		n.t.Fatal(err)
	}
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.header)
	resp, err := n.server.Client().Do(req)
	if err != nil {
		n.t.Error(err) // may run outside the test's goroutine
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// signed is the query of a request, signed by the rules as a client has them.
func signed(method, path string, params url.Values, body, key, secret string, at time.Time) string {
	query := url.Values{}
	maps.Copy(query, params)
	query.Set("auth_key", key)
	query.Set("auth_timestamp", strconv.FormatInt(at.Unix(), 10))
	query.Set("auth_version", "1.0")
	if method == http.MethodPost {
		sum := md5.Sum([]byte(body))
		query.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	var pairs []string
	for name, values := range query {
		pairs = append(pairs, strings.ToLower(name)+"="+values[len(values)-1])
	}
	slices.Sort(pairs)
	text := method + "\n" + strings.TrimSuffix(path, "/") + "\n" + strings.Join(pairs, "&")
	query.Set("auth_signature", protocol.Sign(secret, text))
	return query.Encode()
}

func (n *node) post(path, body string) answer {
	n.t.Helper()
	return n.do(request{method: http.MethodPost, path: "/apps/" + appID + "/" + path, body: body})
}

func (n *node) get(path string, params ...string) answer {
	n.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		values.Set(params[i], params[i+1])
	}
	return n.do(request{method: http.MethodGet, path: "/apps/" + appID + "/" + path, params: values})
}

// event is the body of a publish.
func body(members ...any) string {
	m := map[string]any{}
	for i := 0; i+1 < len(members); i += 2 {
		m[members[i].(string)] = members[i+1]
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (a answer) is(t testing.TB, status int, text string) {
	t.Helper()
	if a.status != status || a.body != text {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, text)
	}
}

// fails checks an error envelope.
func (a answer) fails(t testing.TB, status int, code, text string) {
	t.Helper()
	var e struct {
		Error  string `json:"error"`
		Code   string `json:"code"`
		Status int    `json:"status"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Errorf("got %d with %q, which is no envelope: %v", a.status, a.body, err)
		return
	}
	if a.status != status || e.Status != status || e.Code != code || !strings.Contains(e.Error, text) {
		t.Errorf("got %d %+v, want %d %s %q", a.status, e, status, code, text)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type of an error is %q", got)
	}
}

// gather sums the hub's collectors by name.
func gather(t testing.TB, hub *realtime.Hub) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := hub.Metrics().Register(registry, ""); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sums[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sums
}
