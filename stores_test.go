package sockudo

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// edit sends a change of an app to the admin API. match is for If-Match.
func (s *server) edit(method, id, match, body string) (status int, app AppRecord, text string) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.admin+"/sockudo/hubs/default/apps/"+id, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if match != "" {
		r.Header.Set("If-Match", match)
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode < 300 && len(answer) > 0 {
		if err := json.Unmarshal(answer, &app); err != nil {
			s.t.Fatalf("%v in %s", err, answer)
		}
		if etag := resp.Header.Get("ETag"); etag != `"`+app.Version+`"` {
			s.t.Errorf("ETag is %s, version %s", etag, app.Version)
		}
	}
	return resp.StatusCode, app, string(answer)
}

// signed calls GET /apps/ID/channels and returns the status and headers.
func signed(t *testing.T, port, id, key, secret string) (int, http.Header) {
	t.Helper()
	path := "/apps/" + id + "/channels"
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0", key, time.Now().Unix())
	resp, err := client.Get("http://127.0.0.1:" + port + path + "?" + query + "&auth_signature=" + protocol.Sign(secret, "GET\n"+path+"\n"+query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header
}

func TestAppsAreManagedLive(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", site(port, "sockudo {\napp_manager sqlite\nrate_limiter {\nenabled off\n}\n}"))
	if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/up without apps: %d", status)
	}
	status, app, text := s.edit("PUT", "chat", "", `{"max_connections": 1}`)
	if status != http.StatusCreated || len(app.Secret) != 64 || len(app.Key) != 20 || !app.Enabled {
		t.Fatalf("%d %s", status, text)
	}
	secret, key := app.Secret, app.Key
	if status, app, text = s.edit("GET", "chat", "", ""); status != 200 || app.Secret != "" || strings.Contains(text, secret) {
		t.Errorf("the secret is shown again: %s", text)
	}
	one := dial(t, "127.0.0.1:"+port, "/app/"+key)
	if code := refusal(t, port, key); code != 4004 {
		t.Errorf("over the quota: %d", code)
	}
	// Conflicts.
	if status, _, text := s.edit("PUT", "chat", "", `{}`); status != http.StatusPreconditionRequired || !strings.Contains(text, "If-Match") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := s.edit("PUT", "chat", "0123456789abcdef", `{}`); status != http.StatusPreconditionFailed {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := s.edit("PUT", "other", "", `{"key": "`+key+`"}`); status != http.StatusConflict || strings.Contains(text, secret) {
		t.Errorf("%d %s", status, text)
	}
	// A limit counts at once.
	if status, app, text = s.edit("PUT", "chat", app.Version, `{"max_connections": 5, "enable_client_messages": true}`); status != 200 || app.Secret != "" || app.Key != key {
		t.Fatalf("%d %s", status, text)
	}
	dial(t, "127.0.0.1:"+port, "/app/"+key)
	// A secret that is replaced is good for a while.
	status, app, _ = s.edit("PUT", "chat", app.Version, `{"max_connections": 5, "rotate_secret": true, "secret_overlap": "1h"}`)
	if status != 200 || app.Secret == secret || app.PreviousSecrets != 1 {
		t.Fatalf("%d %+v", status, app)
	}
	for name, good := range map[string]string{"old": secret, "new": app.Secret} {
		if status, _ := signed(t, port, "chat", key, good); status != 200 {
			t.Errorf("the %s secret: %d", name, status)
		}
		channel := "private-" + name
		one.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `","auth":"` + protocol.SignChannel(key, good, one.id, channel, "") + `"}}`)
		one.expect("subscription_succeeded")
	}
	if status, app, _ = s.edit("PUT", "chat", app.Version, `{"secret": "third"}`); status != 200 || app.Secret != "" {
		t.Fatalf("%d %+v", status, app)
	}
	if status, _ := signed(t, port, "chat", key, "fourth"); status != 401 {
		t.Errorf("a wrong secret: %d", status)
	}
	// Disabled, enabled, gone.
	if status, app, _ = s.edit("PUT", "chat", app.Version, `{"enabled": false}`); status != 200 {
		t.Fatal(status)
	}
	one.expectClose(4003)
	if status, app, _ = s.edit("PUT", "chat", app.Version, `{}`); status != 200 {
		t.Fatal(status)
	}
	two := dial(t, "127.0.0.1:"+port, "/app/"+key)
	if status, _, text := s.edit("DELETE", "chat", "0123456789abcdef", ""); status != http.StatusPreconditionFailed {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := s.edit("DELETE", "chat", app.Version, ""); status != http.StatusNoContent {
		t.Errorf("%d %s", status, text)
	}
	two.expectClose(4001)
	if status, _, _ := s.edit("DELETE", "chat", "", ""); status != http.StatusNotFound {
		t.Error(status)
	}
	if strings.Contains(s.logged(), secret) || strings.Contains(s.logged(), app.Secret) && app.Secret != "" {
		t.Error("a secret is in the log")
	}
}

// refusal is the code with which a handshake is refused.
func refusal(t *testing.T, port, key string) int {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://127.0.0.1:"+port+"/app/"+key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			closed, ok := err.(*websocket.CloseError) //nolint:errorlint // gorilla returns it bare
			if !ok {
				t.Fatal(err)
			}
			return closed.Code
		}
	}
}

func TestBadAppChanges(t *testing.T) {
	s := newServer(t)
	s.mustLoad("", site(freePort(t), "sockudo {\napp_manager sqlite\n}"))
	for body, want := range map[string]string{
		`{"secrt": "x"}`:                           "secrt is unknown (did you mean secret?)",
		`{"id": "other"}`:                          `id: \"other\" is not that of the path, \"chat\"`,
		`{"max_connections": -1}`:                  "max_connections",
		`{"limits": {"max_connections": "x"}}`:     "limits.max_connections",
		`{"policy": {"limits": {"max_conns": 1}}}`: "policy.limits.max_conns is unknown",
		`{"history": {"retention": "5"}}`:          "history.retention",
		`{"webhooks": [{"url": "https://a.example", "events": ["channel_ocupied"]}]}`: "webhook 1: events: channel_ocupied is unknown (did you mean channel_occupied?)",
		`{"secret_overlap": "5"}`:                    "secret_overlap",
		`{"key": "` + strings.Repeat("k", 256) + `"`: "",
		`[]`: "must be an object",
	} {
		status, _, text := s.edit("PUT", "chat", "", body)
		if status != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if status, _, _ := s.edit("GET", "chat", "", ""); status != http.StatusNotFound {
		t.Errorf("a refused change made an app: %d", status)
	}
}

func TestMemoryTakesNoChanges(t *testing.T) {
	s := newServer(t)
	s.mustLoad("", site(freePort(t), "sockudo {\n"+appBlock+"}"))
	status, _, text := s.edit("PUT", "chat", "", `{}`)
	if status != http.StatusConflict || !strings.Contains(text, "sqlite") {
		t.Errorf("%d %s", status, text)
	}
	if status, app, text := s.edit("GET", "demo", "", ""); status != 200 || app.Key != "demo-key" || strings.Contains(text, "canary") {
		t.Errorf("%d %s", status, text)
	}
}

func postgresDSN() string {
	return cmp.Or(os.Getenv("TEST_POSTGRES_DSN"), "postgres://root@127.0.0.1:5432/test")
}

// appTable is a table of a test in PostgreSQL, and a way to open it.
func appTable(t *testing.T) (name string, store *sql.AppManager) {
	t.Helper()
	name = "apps_" + strings.ToLower(rand.Text()[:10])
	store, err := sql.OpenAppManager(t.Context(), sql.Options{Dialect: sql.Postgres, DSN: postgresDSN()}, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = store.Close()
		c, err := pgx.Connect(context.Background(), postgresDSN())
		if err == nil {
			_, err = c.Exec(context.Background(), "DROP TABLE "+name)
			_ = c.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	return name, store
}

// proxy is a way to a server that can be cut.
type proxy struct {
	t      *testing.T
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	p := &proxy{t: t, target: target, addr: "127.0.0.1:" + freePort(t)}
	p.open()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) open() {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Checklist: configuration 40, 41
func TestStoreOutage(t *testing.T) {
	config, err := pgx.ParseConfig(postgresDSN())
	if err != nil {
		t.Fatal(err)
	}
	table, store := appTable(t)
	if err := store.PutApp(t.Context(), &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}, ""); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
	dsn := fmt.Sprintf("postgres://%s:%s@%s/%s", config.User, config.Password, p.addr, config.Database)
	s, port := newServer(t), freePort(t)
	directive := site(port, "sockudo {\nhealth_timeout 500ms\nrate_limiter {\nenabled off\n}\napp_manager postgres {\ndsn "+dsn+"\ntable_name "+table+"\n}\n}")
	s.mustLoad("", directive)
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	live.subscribe("room")

	p.cut()
	publish(t, port, "a-secret", "during the outage") // the record is known
	live.expect("during the outage")
	dial(t, "127.0.0.1:"+port, "/app/a-key")
	if code := refusal(t, port, "unknown"); code != 4100 {
		t.Errorf("a handshake with a key that nobody can look up: %d", code)
	}
	if status, header := signed(t, port, "b", "unknown", "x"); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("an HTTP call with such a key: %d %v", status, header)
	}
	if status, text := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != 503 || strings.Contains(text, p.addr) {
		t.Errorf("/up: %d %s", status, text)
	}
	if err := s.load("", strings.Replace(directive, table, table+"2", 1)); err == nil || !strings.Contains(err.Error(), p.addr) {
		t.Errorf("a configuration whose store is down: %v", err)
	}
	publish(t, port, "a-secret", "after that")
	live.expect("after that")

	p.open()
	deadline := time.Now().Add(15 * time.Second)
	for {
		if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the recovery was not noticed")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for refusal(t, port, "unknown") != 4001 {
		if time.Now().After(deadline) {
			t.Fatal("an unknown key is not refused for good")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestChangeOfAStoreReachesSocketsWithinTheTTL(t *testing.T) {
	table, store := appTable(t)
	app := &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}
	if err := store.PutApp(t.Context(), app, ""); err != nil {
		t.Fatal(err)
	}
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\napp_cache {\nttl 500ms\n}\napp_manager postgres {\ndsn "+postgresDSN()+"\ntable_name "+table+"\n}\n}"))
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	changed := *app
	changed.Enabled = false
	if err := store.PutApp(t.Context(), &changed, storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	live.expectClose(4003)
}

// Apps of the configuration stand above those of a store, and are written there.
func TestWrittenAppsAboveAStore(t *testing.T) {
	table, store := appTable(t)
	for _, app := range []*storage.App{
		{ID: "demo", Key: "old-key", Secret: "s", Enabled: true},
		{ID: "stored", Key: "stored-key", Secret: "s", Enabled: true},
	} {
		if err := store.PutApp(t.Context(), app, ""); err != nil {
			t.Fatal(err)
		}
	}
	s, port := newServer(t), freePort(t)
	directive := "sockudo {\nrate_limiter {\nenabled off\n}\napp_manager postgres {\ndsn " + postgresDSN() + "\ntable_name " + table + "\n}\n" + appBlock + "}"
	s.mustLoad("", site(port, directive))
	dial(t, "127.0.0.1:"+port, "/app/demo-key")
	dial(t, "127.0.0.1:"+port, "/app/stored-key")
	if code := refusal(t, port, "old-key"); code != 4001 {
		t.Errorf("the key that the store had: %d", code)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if app, err := store.AppByID(t.Context(), "demo"); err == nil && app.Key == "demo-key" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the written app does not come into the store")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if status, _, text := s.edit("PUT", "demo", "*", `{}`); status != http.StatusConflict || !strings.Contains(text, "written in the configuration") {
		t.Errorf("%d %s", status, text)
	}
	err := s.load("", site(port, strings.Replace(directive, "key demo-key", "key stored-key", 1)))
	if err == nil || !strings.Contains(err.Error(), "app stored of the store has the key too") {
		t.Errorf("a written app with the key of a stored one: %v", err)
	}
}
