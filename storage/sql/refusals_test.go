package sql

import (
	"crypto/rand"
	"net"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// stranger makes a login of its own with a password, which may do with a table
// what grants says. It gives options that use it.
func stranger(t *testing.T, o Options, table, grants string) Options {
	t.Helper()
	m := openTable(t, o, table)
	t.Cleanup(func() { _ = m.Close() })
	name, password := "u_"+strings.ToLower(rand.Text()[:10]), "hush"+rand.Text()
	host, _, err := net.SplitHostPort(addressOf(t, o))
	if err != nil {
		t.Fatal(err)
	}
	login := Options{Dialect: o.Dialect, Host: host, Username: name, Password: password, Database: "test"}.withDefaults()
	if o.Dialect == Postgres {
		execute(t, m, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'")
		t.Cleanup(func() { execute(t, m, "DROP OWNED BY "+name); execute(t, m, "DROP ROLE "+name) })
		if grants != "" {
			execute(t, m, "GRANT "+grants+" ON "+m.quoted+" TO "+name)
		}
		return login
	}
	user := "'" + name + "'@'%'"
	execute(t, m, "CREATE USER "+user+" IDENTIFIED BY '"+password+"'")
	t.Cleanup(func() { execute(t, m, "DROP USER "+user) })
	if grants != "" {
		execute(t, m, "GRANT "+grants+" ON test."+m.quoted+" TO "+user)
	}
	return login
}

// refusedWith opens a table that must not open, and checks what the error says.
func refusedWith(t *testing.T, o Options, table, want string) {
	t.Helper()
	m, err := OpenAppManager(t.Context(), o, table, nil)
	if err == nil {
		_ = m.Close()
		t.Fatal("the table opens")
	}
	if text := err.Error(); !strings.Contains(text, o.place()) || !strings.Contains(strings.ToLower(text), want) || strings.Contains(text, "hush") {
		t.Errorf("the error is %q; it should name %q and say %q, without the password", text, o.place(), want)
	}
}

func onServers(t *testing.T, f func(t *testing.T, o Options, table string)) {
	onEach(t, func(t *testing.T, o Options, table string) {
		if o.Dialect != SQLite {
			f(t, o, table)
		}
	})
}

func TestMissingRights(t *testing.T) {
	denied := map[Dialect]string{Postgres: "permission denied", MySQL: "denied"}
	onServers(t, func(t *testing.T, o Options, table string) {
		refusedWith(t, stranger(t, o, table, ""), table, denied[o.Dialect])

		// Whoever may only read can serve apps.
		reader := stranger(t, o, table, "SELECT")
		owner := openTable(t, o, table)
		defer func() { _ = owner.Close() }()
		app := &storage.App{ID: "a", Key: "k", Secret: "s", Enabled: true}
		if err := owner.PutApp(t.Context(), app, storage.NoVersion); err != nil {
			t.Fatal(err)
		}
		m := openTable(t, reader, table)
		defer func() { _ = m.Close() }()
		if _, err := m.AppByKey(t.Context(), "k"); err != nil {
			t.Errorf("reading with the right to read: %v", err)
		}
		if err := m.Check(t.Context()); err != nil {
			t.Errorf("checking with the right to read: %v", err)
		}
		err := m.PutApp(t.Context(), app, storage.AnyVersion)
		if err == nil || !strings.Contains(err.Error(), denied[o.Dialect]) || strings.Contains(err.Error(), "hush") {
			t.Errorf("writing without the right to: %v", err)
		}

		// A table in the middle of a migration cannot be completed without rights.
		execute(t, owner, "ALTER TABLE "+owner.quoted+" DROP COLUMN policy")
		if _, err := OpenAppManager(t.Context(), reader, table, nil); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("opening a table without a column: %v", err)
		}
	})
}

func TestWrongPassword(t *testing.T) {
	t.Run("mysql", func(t *testing.T) { // PostgreSQL trusts loopback here
		o := servers(t)[MySQL]
		table := "apps_" + strings.ToLower(rand.Text()[:10])
		t.Cleanup(func() {
			m := openTable(t, o, table)
			execute(t, m, "DROP TABLE "+m.quoted)
			_ = m.Close()
		})
		login := stranger(t, o, table, "SELECT")
		login.Password = "hush-hush"
		refusedWith(t, login, table, "access denied")
	})
	t.Run("a role that is not there", func(t *testing.T) {
		o := Options{Dialect: Postgres, Host: "127.0.0.1", Username: "nobody_" + strings.ToLower(rand.Text()[:8]), Password: "hush", Database: "test"}
		refusedWith(t, o.withDefaults(), "", "does not exist")
	})
}

func TestTLSFailures(t *testing.T) {
	for dialect, c := range map[Dialect]struct{ option, want string }{
		Postgres: {"?sslmode=verify-full", "tls"},
		MySQL:    {"?tls=true", "tls"},
	} {
		t.Run(string(dialect), func(t *testing.T) {
			o := servers(t)[dialect]
			o.DSN += c.option
			refusedWith(t, o, "", c.want)
		})
	}
}
