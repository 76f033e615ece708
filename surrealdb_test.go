package sockudo

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/surrealtest"
	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/surrealdb"
)

func TestSurrealDBModule(t *testing.T) {
	t.Setenv("TEST_SURREAL_PASS", "hush")
	for text, want := range map[string]string{
		"surrealdb": "",
		"surrealdb {\n url wss://db/surreal\n namespace my-ns\n database db\n username u\n password {env.TEST_SURREAL_PASS}\n auth_level database\n table_name t_1\n tls {\n insecure_skip_verify\n}\n}": "",
		"surrealdb {\n url https://db\n tls\n}":                                 "",
		"surrealdb {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":                 "password:",
		"surrealdb {\n table_name a-b\n}":                                       `table_name "a-b"`,
		"surrealdb {\n url db:8000\n}":                                          "url is not one such as",
		"surrealdb {\n url ws://u:hush@db:8000\n}":                              "url is not one such as",
		"surrealdb {\n url mem://\n}":                                           "url is not one such as",
		"surrealdb {\n url ws://db\n tls\n}":                                    "tls is written, but url does not begin with wss://",
		"surrealdb {\n url wss://db\n tls {\n ca /no/such/file\n}\n}":           "tls: ca: open /no/such/file",
		"surrealdb {\n url wss://db\n tls x\n}":                                 "wrong argument count",
		"surrealdb {\n auth_level record\n password {env.TEST_SURREAL_PASS}\n}": `auth_level "record"`,
		"surrealdb {\n tabel_name a\n}":                                         "tabel_name is unknown to this driver",
		"surrealdb {\n namespace a\n namespace b\n}":                            "written twice",
		"surrealdb {\n namespace\n}":                                            "namespace takes one value",
		"surrealdb apps":                                                        "wrong argument count",
	} {
		m := new(surrealdb.AppManagerModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "my-ns") && err == nil && !strings.Contains(m.Key(), "hush") {
			t.Error("the secret is not that of the environment")
		}
	}
}

func TestKeyTellsSurrealDBsApart(t *testing.T) {
	key := func(m surrealdb.AppManagerModule) string {
		if err := m.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	one := surrealdb.AppManagerModule{Login: surrealdb.Login{Password: "b"}}
	same := one
	same.URL, same.Namespace, same.Database, same.TableName, same.AuthLevel = "http://127.0.0.1:8000/", "sockudo", "sockudo", "applications", "root"
	if key(one) != key(same) {
		t.Error("one table has two keys")
	}
	for _, change := range []func(*surrealdb.AppManagerModule){
		func(m *surrealdb.AppManagerModule) { m.URL = "ws://127.0.0.1:8001" },
		func(m *surrealdb.AppManagerModule) { m.URL = "wss://127.0.0.1:8000" },
		func(m *surrealdb.AppManagerModule) { m.Namespace = "other" },
		func(m *surrealdb.AppManagerModule) { m.Database = "other" },
		func(m *surrealdb.AppManagerModule) { m.TableName = "other" },
		func(m *surrealdb.AppManagerModule) { m.Username = "other" },
		func(m *surrealdb.AppManagerModule) { m.Password = "other" },
		func(m *surrealdb.AppManagerModule) { m.AuthLevel = "database" },
		func(m *surrealdb.AppManagerModule) { m.TLS = new(words.TLS) },
		func(m *surrealdb.AppManagerModule) { m.TLS = &words.TLS{InsecureSkipVerify: true} },
	} {
		other := one
		if change(&other); key(one) == key(other) {
			t.Errorf("%+v has the key of another table", other)
		}
	}
}

// The server dies and comes back under a running Caddy.
//
// Checklist: configuration 40, 41
func TestAppsOfSurrealDB(t *testing.T) {
	engine, err := surrealtest.Start(t.TempDir())
	t.Cleanup(engine.Kill)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SURREAL_PASS", engine.Password)
	block := func(url string) string {
		return "database surrealdb {\nurl " + url + "\npassword {env.TEST_SURREAL_PASS}\n}\napp_manager surreal\n"
	}
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+block(engine.URL())+"}")) // which makes the table
	store, err := surrealdb.OpenAppManager(t.Context(), surrealdb.Options{URL: engine.URL(), Password: engine.Password}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.PutApp(t.Context(), &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	up := func() int {
		status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil)
		return status
	}
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	live.subscribe("room")
	publish(t, port, "a-secret", "by SurrealDB")
	live.expect("by SurrealDB")
	if status := up(); status != 200 {
		t.Errorf("/up: %d", status)
	}
	if code := refusal(t, port, "unknown"); code != 4001 {
		t.Errorf("a handshake with an unknown key: %d", code)
	}

	engine.Kill()
	publish(t, port, "a-secret", "in between") // the app is known
	live.expect("in between")
	if code := refusal(t, port, "never-seen"); code != 4100 {
		t.Errorf("a handshake with an unknown key while the store is down: %d", code)
	}
	if status := up(); status != 503 {
		t.Errorf("/up while the store is down: %d", status)
	}
	// A load that needs the server fails, and the old configuration goes on.
	err = s.load("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+strings.Replace(block(engine.URL()), "password", "table_name other\npassword", 1)+"}"))
	if err == nil || !strings.Contains(err.Error(), "app_manager: opening surrealdb: surrealdb "+engine.Addr()+"/sockudo/sockudo: ") || strings.Contains(err.Error(), engine.Password) {
		t.Errorf("a configuration whose store is down: %v", err)
	}
	publish(t, port, "a-secret", "after that")
	live.expect("after that")

	if err := engine.Restart(); err != nil {
		t.Fatal(err)
	}
	soon(t, "use of the store that is back", func() bool { return up() == 200 && refusal(t, port, "never-seen") == 4001 })
	if strings.Contains(s.logged(), engine.Password) {
		t.Error("the log has the password")
	}
}
