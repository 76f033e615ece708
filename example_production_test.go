package sockudo

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/jackc/pgx/v5"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// ownSchema is a DSN whose tables are the test's own.
func ownSchema(t *testing.T) string {
	t.Helper()
	name := "s" + strings.ToLower(rand.Text()[:10])
	do := func(statement string) {
		t.Helper()
		c, err := pgx.Connect(context.Background(), postgresDSN())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		if _, err := c.Exec(context.Background(), statement+" SCHEMA "+name+map[string]string{"DROP": " CASCADE"}[statement]); err != nil {
			t.Error(err)
		}
	}
	do("CREATE")
	t.Cleanup(func() { do("DROP") })
	separator := "?"
	if strings.Contains(postgresDSN(), "?") {
		separator = "&"
	}
	return postgresDSN() + separator + "search_path=" + name
}

// The production example is formatted and runs against PostgreSQL and Redis; its access log
// has the calls of the HTTP API, without what authorizes them.
//
// Checklist: configuration 2, 135
func TestProductionExample(t *testing.T) {
	source, err := os.ReadFile("examples/production.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(caddyfile.Format(source), source) {
		t.Error("examples/production.caddyfile is not formatted")
	}
	s, port, metrics, accessed := newServer(t), freePort(t), freePort(t), filepath.Join(t.TempDir(), "access")
	for name, value := range map[string]string{
		"SITE": "http://127.0.0.1:" + port, "METRICS_PORT": metrics,
		"DATABASE_URL": ownSchema(t), "REDIS_URL": "redis://" + redistest.Start(t).Addr(),
		"SOCKUDO_DEFAULT_APP_ID": "a", "SOCKUDO_DEFAULT_APP_KEY": "a-key", "SOCKUDO_DEFAULT_APP_SECRET": "canary",
	} {
		t.Setenv(name, value)
	}
	_, sites, found := strings.Cut(string(source), "\n}\n")
	if !found || !strings.Contains(sites, "output stderr") {
		t.Fatal("the example has no options, or no log")
	}
	s.mustLoad("metrics", strings.Replace(sites, "output stderr", "output file "+accessed, 1))

	ada := dial(t, "127.0.0.1:"+port, "/app/a-key?protocol=7")
	ada.subscribe("room")
	signature := publish(t, port, "canary", "hello")
	ada.expect(`"data":"hello"`)

	var text []byte
	for end := time.Now().Add(10 * time.Second); !bytes.Contains(text, []byte("/apps/a/events")); time.Sleep(10 * time.Millisecond) {
		if text, err = os.ReadFile(accessed); time.Now().After(end) {
			t.Fatalf("the access log has no call: %s, %v", text, err)
		}
	}
	for _, secret := range []string{signature, "auth_signature", "auth_key", "canary"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s is in the access log: %s", secret, text)
		}
	}
	if _, body := request(t, "GET", "http://127.0.0.1:"+metrics+"/metrics", nil); !strings.Contains(body, `sockudo_connected{app_id="a"`) {
		t.Error("metrics have no socket")
	}
	var states []HubState
	s.call("GET", "/sockudo/hubs", &states)
	for kind, want := range map[string]string{
		"app_manager": "postgres", "adapter": "redis", "cache": "redis", "queue": "redis", "rate_limiter": "redis", "history": "postgres",
	} {
		if len(states) != 1 || states[0].Drivers[kind] != want {
			t.Errorf("%s is not by %s: %+v", kind, want, states)
		}
	}
}
