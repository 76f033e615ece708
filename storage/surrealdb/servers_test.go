package surrealdb

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/surrealtest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// patience bounds the wait for what must happen.
const patience = 30 * time.Second

// shared is the server that tests share and none of them stops. One that
// TEST_SURREALDB_URL names takes its place; TEST_SURREALDB_USERNAME and
// TEST_SURREALDB_PASSWORD are those of its root user.
var shared struct {
	sync.Once
	folder string
	server *surrealtest.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Kill()
		_ = os.RemoveAll(shared.folder)
	}
	os.Exit(code)
}

// standing is that server, with a database for the test alone.
func standing(t *testing.T) Options {
	t.Helper()
	if address := os.Getenv("TEST_SURREALDB_URL"); address != "" {
		o := Options{URL: address, Username: os.Getenv("TEST_SURREALDB_USERNAME"), Password: os.Getenv("TEST_SURREALDB_PASSWORD")}
		return ownDatabase(t, o)
	}
	shared.Do(func() {
		if shared.folder, shared.err = os.MkdirTemp("", "surrealdb"); shared.err == nil { //nolint:usetesting // many tests share it
			shared.server, shared.err = surrealtest.Start(shared.folder)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return ownDatabase(t, optionsOf(shared.server))
}

// ownServer is a server that the test may stop. It keeps its data.
func ownServer(t *testing.T) (*surrealtest.Server, Options) {
	t.Helper()
	server, err := surrealtest.Start(t.TempDir())
	t.Cleanup(server.Kill)
	if err != nil {
		t.Fatal(err)
	}
	return server, optionsOf(server)
}

func optionsOf(s *surrealtest.Server) Options {
	return Options{URL: s.URL(), Username: s.User, Password: s.Password}
}

// ownDatabase names a new one, and removes it behind the test.
func ownDatabase(t *testing.T, o Options) Options {
	t.Helper()
	o.Namespace, o.Database = "sockudo-tests", strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() { run(t, o, "REMOVE DATABASE IF EXISTS `"+o.Database+"`", nil, nil) })
	return o
}

// hostOf is HOST:PORT.
func hostOf(t *testing.T, o Options) string {
	t.Helper()
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// engine names what answers.
func engine(t *testing.T) {
	t.Helper()
	name := "SurrealDB 3.0.2 on RocksDB, its engine in a server of ours"
	if os.Getenv("TEST_SURREALDB_URL") != "" {
		var version string
		o := standing(t)
		l := linkTo(t, o)
		s, err := l.connection(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := l.say(t.Context(), s, "version")
		if err != nil {
			t.Fatal(err)
		}
		if err := read(answer, &version); err != nil {
			t.Fatal(err)
		}
		name = version
	}
	storagetest.Engine(t, "surrealdb: "+name)
}

// linkTo is a connection beside that of an app manager.
func linkTo(t *testing.T, o Options) *link {
	t.Helper()
	l, err := newLink(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// run runs one statement beside an app manager.
func run(t *testing.T, o Options, text string, vars map[string]any, to any) {
	t.Helper()
	l, err := newLink(o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.query(context.Background(), false, text, vars, to); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func open(t *testing.T, o Options) *AppManager {
	t.Helper()
	return openLogged(t, o, nil)
}

func openLogged(t *testing.T, o Options, log *zap.Logger) *AppManager {
	t.Helper()
	m, err := OpenAppManager(context.Background(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func put(t *testing.T, m *AppManager, apps ...*storage.App) {
	t.Helper()
	for _, app := range apps {
		if err := m.PutApp(t.Context(), app, storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
	}
}

func app(id, key string) *storage.App {
	return &storage.App{ID: id, Key: key, Secret: "s", Enabled: true}
}

// until waits until a condition holds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: no %s", patience, what)
		}
	}
}
