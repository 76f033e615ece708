package sql

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestHistoryRefusesOddPrefix(t *testing.T) {
	for _, prefix := range []string{`a"; DROP TABLE x`, "a b", "a`b", "{logs}", strings.Repeat("a", 41)} {
		_, err := OpenHistory(t.Context(), servers(t)[SQLite], HistoryOptions{TablePrefix: prefix})
		if err == nil || !strings.Contains(err.Error(), "table_prefix") {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		long := prefix + strings.Repeat("A", 40-len(prefix)) // the longest, and with capitals
		t.Cleanup(func() {
			h := openHistory(t, o, long)
			for _, table := range []string{"{entries}", "{logs}"} {
				if _, err := h.db.ExecContext(context.Background(), h.text("DROP TABLE "+table)); err != nil {
					t.Error(err)
				}
			}
			_ = h.Close()
		})
		appendMany(t, openHistory(t, o, long), channel(0), 1)
	})
}

func TestHistoryNamesThePlaceAndNoSecret(t *testing.T) {
	for _, o := range []Options{
		{Dialect: Postgres, Host: "127.0.0.1", Port: 1, Password: "hush", Database: "d"},
		{Dialect: MySQL, Host: "127.0.0.1", Port: 1, Password: "hush", Database: "d"},
		{Dialect: Postgres, DSN: "postgres://u:hush@127.0.0.1:1/d"},
		{Dialect: MySQL, DSN: "u:hush@tcp(127.0.0.1:1)/d"},
	} {
		_, err := OpenHistory(t.Context(), o, HistoryOptions{})
		if err == nil || !strings.Contains(err.Error(), string(o.Dialect)+" 127.0.0.1:1/d") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", o.Dialect, err)
		}
	}
	for _, o := range []Options{{Dialect: Postgres, DSN: "postgres://u:hush@[/d"}, {Dialect: MySQL, DSN: "u:hush@/d/e@("}} {
		_, err := OpenHistory(t.Context(), o, HistoryOptions{})
		if err == nil || !strings.Contains(err.Error(), "dsn cannot be read") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", o.Dialect, err)
		}
	}
}

// Tables that are there need no right to make any, and those that are of something else
// are refused.
func TestHistoryTablesOfOthers(t *testing.T) {
	denied := map[Dialect]string{Postgres: "permission denied", MySQL: "denied"}
	onServers(t, func(t *testing.T, o Options, table string) {
		prefix := newPrefix(t, o)
		login := stranger(t, o, table, "")
		if _, err := OpenHistory(t.Context(), login, HistoryOptions{TablePrefix: prefix}); err == nil || !strings.Contains(err.Error(), denied[o.Dialect]) || strings.Contains(err.Error(), "hush") {
			t.Errorf("without the right to make tables: %v", err)
		}
		m := openTable(t, o, table)
		defer func() { _ = m.Close() }()
		logs, entries := o.Dialect.quote(prefix+"_logs"), o.Dialect.quote(prefix+"_log_entries")
		execute(t, m, "CREATE TABLE "+logs+" (id INTEGER)")
		if _, err := OpenHistory(t.Context(), o, HistoryOptions{TablePrefix: prefix}); err == nil || !strings.Contains(err.Error(), prefix+"_logs") {
			t.Errorf("with a table of something else: %v", err)
		}
		execute(t, m, "DROP TABLE "+logs)
		execute(t, m, "DROP TABLE IF EXISTS "+entries)

		owner := openHistory(t, o, prefix)
		for _, table := range []string{logs, entries} {
			to := login.Username
			if o.Dialect == MySQL {
				table, to = "test."+table, "'"+to+"'@'%'"
			}
			execute(t, m, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+table+" TO "+to)
		}
		user := openHistory(t, login, prefix)
		appendMany(t, user, channel(0), 3)
		if err := user.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if head, err := owner.Head(t.Context(), channel(0)); err != nil || head.Serial != 3 {
			t.Errorf("the head is %+v, %v", head, err)
		}
	})
}

// Nodes that start at once make the tables once.
func TestHistoryTablesAreMadeOnce(t *testing.T) {
	onHistories(t, func(t *testing.T, o Options, prefix string) {
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				h, err := OpenHistory(t.Context(), o, HistoryOptions{TablePrefix: prefix})
				if err != nil {
					t.Error(err)
					return
				}
				a := &storage.LogAppend{Key: channel(0), Fresh: "id"}
				if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err != nil {
					t.Error(a.Err)
				}
				_ = h.Close()
			})
		}
		all.Wait()
		if head, err := openHistory(t, o, prefix).Head(t.Context(), channel(0)); err != nil || head.Serial != 6 {
			t.Errorf("the head is %+v, %v", head, err)
		}
	})
}

// A file of a later version is not touched.
func TestHistoryOfALaterVersion(t *testing.T) {
	o := servers(t)[SQLite]
	h := openHistory(t, o, "p")
	if _, err := h.db.ExecContext(t.Context(), "UPDATE sockudo_schema SET version = 9"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHistory(t.Context(), o, HistoryOptions{TablePrefix: "p"}); err == nil || !strings.Contains(err.Error(), "later version") || !strings.Contains(err.Error(), o.Path) {
		t.Errorf("opening it: %v", err)
	}
	openHistory(t, o, "other") // other tables of the file are no matter of that
}
