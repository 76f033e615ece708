package sockudo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/jackc/pgx/v5"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/push/webpush"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// adaptFile is what caddy run --adapter sockudo does with a file.
func adaptFile(t *testing.T, text string) (config []byte, warnings []caddyconfig.Warning) {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("sockudo").Adapt([]byte(text), map[string]any{"filename": "sockudo.toml"})
	if err != nil {
		t.Fatal(err)
	}
	return config, warnings
}

// loadFile runs a file, with the admin address and the log of the test.
func (s *server) loadFile(text string) {
	s.t.Helper()
	config, _ := adaptFile(s.t, text)
	tree, err := objectOf(config)
	if err != nil {
		s.t.Fatal(err)
	}
	tree["admin"] = map[string]any{"listen": s.admin, "config": map[string]any{"persist": false}}
	logging, _ := tree["logging"].(map[string]any)
	logs, _ := logging["logs"].(map[string]any)
	if logs == nil {
		logs = map[string]any{}
	}
	log, _ := logs["default"].(map[string]any)
	if log == nil {
		log = map[string]any{}
	}
	log["writer"] = map[string]any{"output": "file", "filename": s.log}
	logs["default"] = log
	tree["logging"] = map[string]any{"logs": logs}
	b, err := json.Marshal(tree)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Load(b, true); err != nil {
		s.t.Fatal(err)
	}
}

func pageFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "toml", "page", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onPorts is a file on free ports in place of those of the page.
func onPorts(t *testing.T, text string, ports map[string]string) string {
	t.Helper()
	for fixed, free := range ports {
		if !strings.Contains(text, "port = "+fixed+"\n") {
			t.Fatalf("no port %s in\n%s", fixed, text)
		}
		t.Setenv("TEST_PORT_"+fixed, free)
		text = strings.Replace(text, "port = "+fixed+"\n", "port = ${TEST_PORT_"+fixed+":-"+fixed+"}\n", 1)
	}
	return text
}

// The files of the page, byte for byte, are configurations that Caddy takes. What a
// fragment of it needs beside is an app.
//
// Checklist: configuration 148
func TestPageFilesAreTaken(t *testing.T) {
	server := redistest.Start(t)
	t.Setenv("REDIS_URL", fmt.Sprintf("redis://%s/0", server.Addr()))
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	usePostgres(t)
	useVAPID(t)
	const app = "\n[[app_manager.array.apps]]\nid = \"a\"\nkey = \"a-key\"\nsecret = \"a-secret\"\n"
	for name, more := range map[string]string{
		"minimal.toml": "", "production.toml": "", "recovery-history.toml": app, "webhooks.toml": app, "rate-limiter.toml": app,
		"adapter.toml": "\n[cache]\ndriver = \"redis\"\n" + app, "push.toml": app,
	} {
		t.Run(name, func(t *testing.T) {
			text := pageFile(t, name) + more
			if name == "push.toml" { // the one key of the page that is the path of a file
				text = strings.Replace(text, "/var/run/secrets/apns-auth-key.p8", apnsKeyFile(t), 1)
			}
			config, warnings := adaptFile(t, text)
			for _, w := range warnings {
				if w.Message != "metrics.tcp_exporter is read over: it is off" {
					t.Error(w.String())
				}
			}
			validate(t, config)
		})
	}
}

// usePostgres makes a database, and names it by the variables of the page.
func usePostgres(t *testing.T) (dsn string) {
	t.Helper()
	c, err := pgx.ParseConfig(postgresDSN())
	if err != nil {
		t.Fatal(err)
	}
	name := "files_" + strings.ToLower(rand.Text()[:10])
	execute := func(statement string) {
		db, err := pgx.Connect(context.Background(), postgresDSN())
		if err == nil {
			_, err = db.Exec(context.Background(), statement)
			_ = db.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	}
	execute("CREATE DATABASE " + name)
	t.Cleanup(func() { execute("DROP DATABASE " + name + " WITH (FORCE)") })
	for part, value := range map[string]string{"HOST": c.Host, "PORT": fmt.Sprint(c.Port), "USERNAME": c.User, "PASSWORD": c.Password, "DATABASE": name} {
		t.Setenv("DATABASE_POSTGRES_"+part, value)
	}
	return fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s", c.Host, c.Port, c.User, c.Password, name)
}

// useVAPID sets the variables that the page's file for push names.
func useVAPID(t *testing.T) {
	t.Helper()
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEB_PUSH_PUBLIC_KEY", public)
	t.Setenv("WEB_PUSH_PRIVATE_KEY", private)
}

// apnsKeyFile is a key as Apple gives them out.
func apnsKeyFile(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "apns.p8")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// The first file of the page serves: a client connects, and hears what is published.
//
// Checklist: configuration 10, 148
func TestMinimalFileServes(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.loadFile(onPorts(t, pageFile(t, "minimal.toml"), map[string]string{"6001": port}))
	c := dial(t, "127.0.0.1:"+port, "/app/app-key?protocol=7&client=js&version=8")
	c.subscribe("room")
	if status := publishAs(t, port, "app-id", "app-key", "app-secret", "hello"); status != http.StatusOK {
		t.Fatal(status)
	}
	c.expect("hello")
	if !strings.Contains(s.logged(), `"level":"debug"`) {
		t.Error("debug = true does not show in the log")
	}
	if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/elsewhere", nil); status != http.StatusNotFound {
		t.Errorf("a path that nobody serves: %d", status)
	}
	var hubs []HubState
	if s.call("GET", "/sockudo/hubs", &hubs); len(hubs) != 1 || hubs[0].Name != "default" {
		t.Errorf("hubs: %+v", hubs)
	}
}

// publishAs sends an event of an app to the channel "room".
func publishAs(t *testing.T, port, id, key, secret, data string) int {
	t.Helper()
	path := "/apps/" + id + "/events"
	body := `{"name":"e","channel":"room","data":"` + data + `"}`
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%x", key, time.Now().Unix(), md5.Sum([]byte(body)))
	query += "&auth_signature=" + protocol.Sign(secret, "POST\n"+path+"\n"+query)
	resp, err := client.Post("http://127.0.0.1:"+port+path+"?"+query, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// The second file of the page serves apps that are in PostgreSQL, with the servers that it
// names at addresses that variables say. Metrics are where it says, as plain text.
//
// Checklist: configuration 10, 11, 129, 148
func TestProductionFileServes(t *testing.T) {
	redis := redistest.Start(t)
	t.Setenv("REDIS_URL", fmt.Sprintf("redis://%s/0", redis.Addr()))
	dsn := usePostgres(t)
	apps, err := sql.OpenAppManager(t.Context(), sql.Options{Dialect: sql.Postgres, DSN: dsn}, "applications", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer apps.Close()
	if err := apps.PutApp(t.Context(), &storage.App{ID: "stored", Key: "stored-key", Secret: "stored-secret", Enabled: true}, ""); err != nil {
		t.Fatal(err)
	}
	s, port, metrics := newServer(t), freePort(t), freePort(t)
	s.loadFile(onPorts(t, pageFile(t, "production.toml"), map[string]string{"6001": port, "9601": metrics}))
	c := dial(t, "127.0.0.1:"+port, "/app/stored-key?protocol=7")
	c.subscribe("room")
	if status := publishAs(t, port, "stored", "stored-key", "stored-secret", "hello"); status != http.StatusOK {
		t.Fatal(status)
	}
	c.expect("hello")
	var state HubState
	s.call("GET", "/sockudo/hubs/default", &state)
	for kind, want := range map[string]string{kindApps: "postgres", kindAdapter: "redis", kindCache: "redis", kindQueue: "redis"} {
		if state.Drivers[kind] != want {
			t.Errorf("%s is %s, want %s", kind, state.Drivers[kind], want)
		}
	}
	resp, err := client.Get("http://127.0.0.1:" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Error(err, resp.Header)
	}
	contains(t, string(text), "sockudo_")
	if strings.Contains(s.logged(), `"level":"debug"`) {
		t.Error("debug = false, and the log says everything")
	}
}

// The exporter of metrics is off in the page's file, and nothing comes of its other keys
// then. Where this version has no exporter, one that is on is refused.
func TestTCPExporterOfFiles(t *testing.T) {
	const off = "[metrics.tcp_exporter]\nenabled = false\nhost = \"127.0.0.1\"\nport = 5000\nbuffer_size = 1024\n"
	f := mustReadSockudo(t, off)
	if f.Metrics == nil || f.Metrics.Host != "0.0.0.0" || f.Metrics.Port != 9601 {
		t.Errorf("metrics are served at %+v", f.Metrics)
	}
	for _, k := range pageKeys {
		if !strings.HasPrefix(k.key, "metrics.tcp_exporter") {
			continue
		}
		with, without, _ := k.texts()
		g, err := readSockudo([]byte(with), "f", noEnv)
		if !isWordOfHub("metrics.tcp_exporter") {
			if err == nil || !strings.Contains(err.Error(), "metrics.tcp_exporter is not supported yet") {
				t.Errorf("%s: %v", k.key, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", k.key, err)
			continue
		}
		if other := mustReadSockudo(t, without); reflect.DeepEqual(g.Hub, other.Hub) {
			t.Errorf("%s has no effect", k.key)
		}
	}
}

// Variables of the page count over files as they do over the other doors.
//
// Checklist: configuration 148
func TestVariablesOverFiles(t *testing.T) {
	f := mustReadSockudo(t, pageFile(t, "minimal.toml")+"\n[cache]\ndriver = \"redis\"\n\n[push]\nenabled = true\n")
	c, _ := hubOf(t, f)
	d := mustResolve(t, c, map[string]string{
		"SOCKUDO_DEFAULT_APP_ID": "of-env", "SOCKUDO_DEFAULT_APP_KEY": "k", "SOCKUDO_DEFAULT_APP_SECRET": "s",
		"REDIS_URL": "redis://redis.example:6379/0", "PUSH_FCM_ENABLED": "true", "PUSH_FCM_PROJECT_ID": "project-id", "PUSH_FCM_PROVIDER_TOKEN": "token",
	})
	if len(d.apps) != 1 || d.apps[0].ID != "of-env" {
		t.Errorf("apps: %+v", d.apps)
	}
	contains(t, string(d.drivers[kindCache].config), "redis://redis.example:6379/0")
	contains(t, strings.Join(d.variables, " "), "SOCKUDO_DEFAULT_APP_ID", "REDIS_URL", "PUSH_FCM_ENABLED", "PUSH_FCM_PROJECT_ID")
	// A file without apps is for those that variables name, and no reference.
	empty := mustReadSockudo(t, "")
	config, err := json.Marshal(empty.caddy())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOCKUDO_DEFAULT_APP_ID", "of-env")
	t.Setenv("SOCKUDO_DEFAULT_APP_KEY", "k")
	t.Setenv("SOCKUDO_DEFAULT_APP_SECRET", "s")
	validate(t, config)
}
