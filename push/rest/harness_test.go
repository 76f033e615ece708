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
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	api "github.com/sockudo/caddy-sockudo/realtime/rest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

const (
	appID     = "app-1"
	appKey    = "key-1"
	appSecret = "secret-1"
	otherID   = "app-2"
)

var errBackend = errors.New("secret-backend-detail")

// site is a server of the whole HTTP API with push notifications.
type site struct {
	t        testing.TB
	store    *flaky
	registry *push.Registry
	pipeline *push.Pipeline
	handler  *api.Handler
	server   *httptest.Server
	log      *observer.ObservedLogs
	fcm      *script
}

// setup is what a test changes of a site.
type setup struct {
	registry push.RegistryOptions
	pipeline push.Settings
	api      Options
	app      *storage.App
	idle     bool // nothing is planned or sent
}

func newSite(t testing.TB, change ...func(*setup)) *site {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := &site{t: t, store: &flaky{PushStore: memory.NewPushStore(0)}, log: logs, fcm: &script{kind: push.FCM}}
	providers := map[push.Kind]push.Provider{push.FCM: s.fcm, push.APNs: &script{kind: push.APNs}, push.WebPush: &script{kind: push.WebPush}}
	ring, err := push.NewKeyring("test-key")
	if err != nil {
		t.Fatal(err)
	}
	one := &setup{
		registry: push.RegistryOptions{Store: s.store, Providers: providers, Keys: ring, Log: zap.New(core)},
		pipeline: push.Settings{
			Store: s.store, Codecs: providers, Log: zap.New(core), Tick: 50 * time.Millisecond,
			Queue: memory.NewQueue(memory.QueueOptions{}), Limiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
			Setups: map[push.Kind]push.Setup{
				push.FCM: {Material: json.RawMessage(`{"a":1}`)}, push.WebPush: {Material: json.RawMessage(`{"a":1}`)},
			},
			Retry: push.Retry{MaxAttempts: 2, InitialBackoff: 10 * time.Millisecond},
		},
		api: Options{Log: zap.New(core)},
		app: &storage.App{ID: appID, Key: appKey, Secret: appSecret, Enabled: true},
	}
	for _, f := range change {
		f(one)
	}
	s.registry = push.NewRegistry(one.registry)
	one.pipeline.Registry = s.registry
	s.pipeline = push.New(push.NewBoard(meter.NewRegistry("hub")), one.pipeline)
	if !one.idle {
		if err := s.pipeline.Start(); err != nil {
			t.Fatal(err)
		}
	}
	one.api.Registry, one.api.Pipeline = s.registry, s.pipeline
	s.serve(one)
	return s
}

// serve starts the hub and the server.
func (s *site) serve(one *setup) {
	s.t.Helper()
	apps, err := memory.NewAppManager([]*storage.App{one.app, {ID: otherID, Key: "key-2", Secret: "secret-2", Enabled: true}})
	if err != nil {
		s.t.Fatal(err)
	}
	settings := realtime.DefaultSettings()
	settings.NodeID, settings.PushAPI = "node-1", New(one.api)
	settings.Drivers = realtime.Drivers{
		Apps: apps, Adapter: memory.NewLocal(), Cache: memory.NewCache(memory.CacheOptions{}),
		Queue: memory.NewQueue(memory.QueueOptions{}), RateLimiter: memory.NewRateLimiter(memory.RateLimiterOptions{}),
	}
	hub := realtime.NewHub("node-1")
	hub.Attach(1, &settings)
	if err := hub.Start(1); err != nil {
		s.t.Fatal(err)
	}
	hub.Activate(1)
	s.handler = api.New(hub)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r, "127.0.0.1") }))
	s.t.Cleanup(func() {
		s.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.pipeline.Stop(ctx); err != nil {
			s.t.Error(err)
		}
		hub.Close(ctx)
	})
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a signed call. The path is what follows push/, and may have a query. Further
// texts are names and values of headers.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return s.send(method, path, body, h, appKey, appSecret)
}

// other does the same for the other app.
func (s *site) other(method, path, body string) answer {
	s.t.Helper()
	return s.sendTo(otherID, method, path, body, nil, "key-2", "secret-2")
}

func (s *site) send(method, path, body string, header http.Header, key, secret string) answer {
	s.t.Helper()
	return s.sendTo(appID, method, path, body, header, key, secret)
}

func (s *site) sendTo(app, method, path, body string, header http.Header, key, secret string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.server.URL+target(app, method, path, body, key, secret), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, header)
	resp, err := s.server.Client().Do(req)
	if err != nil {
		s.t.Error(err) // may run outside the test's goroutine
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// target is the signed path and query of a call.
func target(app, method, path, body, key, secret string) string {
	path, raw, _ := strings.Cut(path, "?")
	path = "/apps/" + app + "/push/" + path
	query, _ := url.ParseQuery(raw)
	query.Set("auth_key", key)
	query.Set("auth_timestamp", strconv.FormatInt(time.Now().Unix(), 10))
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
	query.Set("auth_signature", protocol.Sign(secret, method+"\n"+strings.TrimSuffix(path, "/")+"\n"+strings.Join(pairs, "&")))
	return path + "?" + query.Encode()
}

// is compares a whole answer. JSON is compared as it is written.
func (a answer) is(t testing.TB, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("got  %d %s\nwant %d %s", a.status, a.body, status, body)
	}
}

// fails checks an error envelope: nothing else is in it.
func (a answer) fails(t testing.TB, status int, code, text string) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Errorf("got %d with %q, which is no envelope: %v", a.status, a.body, err)
		return
	}
	message, _ := members["error"].(string)
	if a.status != status || members["status"] != float64(status) || members["code"] != code || len(members) != 3 || !strings.Contains(message, text) {
		t.Errorf("got %d %s, want %d %s %q", a.status, a.body, status, code, text)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the content type is %q", got)
	}
}

// read decodes the body of an answer with a status.
func read[T any](t testing.TB, a answer, status int) (v T) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// audits are the lines of the audit log.
func (s *site) audits() (lines []string) {
	for _, e := range s.log.All() {
		if e.LoggerName == "push_audit" {
			subject, _ := e.ContextMap()["subject"].(string)
			lines = append(lines, e.Message+" "+subject)
		}
	}
	return lines
}
