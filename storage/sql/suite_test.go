package sql

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// postgresServer and mysqlServer are the servers that the tests use. Each has an
// environment variable with another address.
func postgresServer() Options {
	return Options{Dialect: Postgres, DSN: cmp.Or(os.Getenv("TEST_POSTGRES_DSN"), "postgres://root@127.0.0.1:5432/test")}
}

func mysqlServer() Options {
	return Options{Dialect: MySQL, DSN: cmp.Or(os.Getenv("TEST_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/test")}
}

// servers are the databases that the tests use.
func servers(t *testing.T) map[Dialect]Options {
	t.Helper()
	return map[Dialect]Options{
		SQLite:   {Dialect: SQLite, Path: filepath.Join(t.TempDir(), "a?b #%", "apps.db")},
		Postgres: postgresServer(), MySQL: mysqlServer(),
	}
}

// engineOf asks a database for its name and version.
func engineOf(t *testing.T, o Options) string {
	t.Helper()
	statement := map[Dialect]string{
		SQLite: "SELECT 'SQLite ' || sqlite_version()", Postgres: "SELECT 'PostgreSQL ' || current_setting('server_version')", MySQL: "SELECT version()",
	}[o.Dialect]
	db, err := open(t.Context(), o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var version string
	if err := db.QueryRowContext(t.Context(), statement).Scan(&version); err != nil {
		t.Fatal(err)
	}
	return string(o.Dialect) + ": " + version
}

// onEach runs a test on every dialect with a table of its own.
func onEach(t *testing.T, f func(t *testing.T, o Options, table string)) {
	for dialect, o := range servers(t) {
		t.Run(string(dialect), func(t *testing.T) {
			table := "apps_" + strings.ToLower(rand.Text()[:10])
			t.Cleanup(func() {
				m := openTable(t, o, table)
				execute(t, m, "DROP TABLE "+m.quoted)
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, o, table)
		})
	}
}

func openTable(t *testing.T, o Options, table string) *AppManager {
	t.Helper()
	m, err := OpenAppManager(context.Background(), o, table, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func execute(t *testing.T, m *AppManager, statement string, args ...any) {
	t.Helper()
	if _, err := m.db.ExecContext(context.Background(), m.dialect.bind(statement), args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestAppManagerSuite(t *testing.T) {
	for dialect, o := range servers(t) {
		t.Run(string(dialect), func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, o))
			storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
				table := "apps_" + strings.ToLower(rand.Text()[:10])
				m := openTable(t, o, table)
				t.Cleanup(func() {
					again := openTable(t, o, table)
					execute(t, again, "DROP TABLE "+again.quoted)
					_ = again.Close()
				})
				for _, app := range apps {
					if err := m.PutApp(t.Context(), app, storage.NoVersion); err != nil {
						t.Fatal(err)
					}
				}
				return m
			})
		})
	}
}

// Checklist: configuration 32
func TestPutKeepsKeysUnique(t *testing.T) {
	onEach(t, func(t *testing.T, o Options, table string) {
		m := openTable(t, o, table)
		defer func() { _ = m.Close() }()
		a, b := &storage.App{ID: "a", Key: "ka", Secret: "s", Enabled: true}, &storage.App{ID: "b", Key: "ka", Secret: "s"}
		if err := m.PutApp(t.Context(), a, storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if err := m.PutApp(t.Context(), b, storage.NoVersion); err == nil || !strings.Contains(err.Error(), "app a has the key too") {
			t.Errorf("a second app with the key: %v", err)
		}
		a.Key = "new"
		if err := m.PutApp(t.Context(), a, storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if _, err := m.AppByKey(t.Context(), "ka"); err == nil {
			t.Error("the old key is still known")
		}
		if app, err := m.AppByKey(t.Context(), "new"); err != nil || app.ID != "a" {
			t.Errorf("by its new key: %v, %v", app, err)
		}
	})
}

// Checklist: configuration 33, 34, 48
func TestRowsOfSockudo(t *testing.T) {
	onEach(t, func(t *testing.T, o Options, table string) {
		core, logs := observer.New(zap.WarnLevel)
		m := openTable(t, o, table)
		m.Log = zap.New(core)
		defer func() { _ = m.Close() }()
		insert := fmt.Sprintf("INSERT INTO %s (id, %s, secret, max_connections, max_client_events_per_second, enabled, enable_client_messages, max_event_batch_size, connection_recovery, channel_delta_compression, allowed_origins, policy) VALUES (?, ?, 's', 7, 8, TRUE, TRUE, 9, '{\"max_buffer_size\":60}', '{\"ticker\":\"fossil\"}', ?, ?)", m.quoted, m.dialect.quote("key"))
		execute(t, m, insert, "flat", "kf", `["https://a.example"]`, nil)
		execute(t, m, insert, "policy", "kp", nil, `{"limits":{"max_connections":"70"},"features":{"enable_watchlist_events":true},"webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"ai_transport":{"enabled":true}}`)
		execute(t, m, insert, "broken", "kb", nil, `{"limits":{"max_connections":-1}}`)

		app, err := m.AppByKey(t.Context(), "kf")
		if err != nil {
			t.Fatal(err)
		}
		if app.Limits.MaxConnections != 7 || app.Limits.MaxClientEventsPerSecond != 8 || app.Limits.MaxEventBatchSize != 9 ||
			!app.Features.ClientMessages || !app.Enabled || len(app.AllowedOrigins) != 1 || app.Recovery.BufferSize != 60 || app.Delta["ticker"].Algorithm != "fossil" {
			t.Errorf("flat columns became %+v", app)
		}
		if app, err = m.AppByID(t.Context(), "policy"); err != nil {
			t.Fatal(err)
		}
		if app.Limits.MaxConnections != 70 || app.Limits.MaxEventBatchSize != 0 || app.Features.ClientMessages || !app.Features.WatchlistEvents || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 || app.Recovery.Enabled == nil || app.Delta != nil {
			t.Errorf("the policy became %+v", app)
		}
		if warned := logs.FilterField(zap.Strings("ignored", []string{"ai_transport"})).Len(); warned != 1 {
			t.Errorf("the log says %d times that ai_transport is ignored", warned)
		}
		if _, err = m.AppByID(t.Context(), "broken"); err == nil || !strings.Contains(err.Error(), `"-1"`) {
			t.Errorf("a broken record: %v", err)
		}
		if m.UnreadableApps() != 1 {
			t.Errorf("%d records count as unreadable, want one", m.UnreadableApps())
		}
		if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 {
			t.Errorf("Apps = %v, %v; want the two that can be read", apps, err)
		}
	})
}

// Checklist: configuration 35
func TestMigrationAddsWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, o Options, table string) {
		m := openTable(t, o, table)
		if err := m.PutApp(t.Context(), &storage.App{ID: "a", Key: "k", Secret: "s", Enabled: true}, storage.NoVersion); err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{"policy", "idempotency", "updated_at"} {
			execute(t, m, "ALTER TABLE "+m.quoted+" DROP COLUMN "+c)
		}
		_ = m.Close()
		for range 2 {
			again := openTable(t, o, table)
			if app, err := again.AppByID(t.Context(), "a"); err != nil || !app.Enabled {
				t.Errorf("after the migration: %v, %v", app, err)
			}
			_ = again.Close()
		}
	})
}

// Checklist: configuration 36
func TestOddTableNameIsRefused(t *testing.T) {
	for _, table := range []string{`a"; DROP TABLE x`, "a b", "a`b", strings.Repeat("a", 64)} {
		_, err := OpenAppManager(t.Context(), servers(t)[SQLite], table, nil)
		if err == nil || !strings.Contains(err.Error(), "table_name") {
			t.Errorf("table %q: %v", table, err)
		}
	}
}

func TestOpenNamesThePlaceAndNoSecret(t *testing.T) {
	for _, o := range []Options{
		{Dialect: Postgres, Host: "127.0.0.1", Port: 1, Password: "hush", Database: "d"},
		{Dialect: MySQL, Host: "127.0.0.1", Port: 1, Password: "hush", Database: "d"},
		{Dialect: Postgres, DSN: "postgres://u:hush@127.0.0.1:1/d"},
		{Dialect: MySQL, DSN: "u:hush@tcp(127.0.0.1:1)/d"},
	} {
		_, err := OpenAppManager(t.Context(), o, "", nil)
		if err == nil || !strings.Contains(err.Error(), string(o.Dialect)+" 127.0.0.1:1/d") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", o.Dialect, err)
		}
	}
	for _, o := range []Options{{Dialect: Postgres, DSN: "postgres://u:hush@[/d"}, {Dialect: MySQL, DSN: "u:hush@/d/e@("}} {
		_, err := OpenAppManager(t.Context(), o, "", nil)
		if err == nil || !strings.Contains(err.Error(), "dsn cannot be read") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", o.Dialect, err)
		}
	}
}
