package surrealdb

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// infoOf describes the database and the table.
func infoOf(t *testing.T, o Options) [2]map[string]any {
	t.Helper()
	var info [2]map[string]any
	run(t, o, "INFO FOR DB", nil, &info[0])
	run(t, o, "INFO FOR TABLE "+o.withDefaults().Table, nil, &info[1])
	return info
}

// Checklist: configuration 35
func TestTableIsMadeOnce(t *testing.T) {
	t.Parallel()
	o := standing(t)
	m := open(t, o)
	made := infoOf(t, o)
	table := fmt.Sprint(made[0]["tables"])
	index := fmt.Sprint(made[1]["indexes"])
	if !strings.Contains(table, "SCHEMALESS") || index != "map[applications_key_idx:DEFINE INDEX applications_key_idx ON applications FIELDS key UNIQUE]" {
		t.Errorf("the table is %s with %s", table, index)
	}
	put(t, m, app("a", "k"))
	again := open(t, o)
	knows(t, again, "k", "a")
	if now := infoOf(t, o); !reflect.DeepEqual(now, made) {
		t.Errorf("a second start has made\n%v of\n%v", now, made)
	}
	// One that may only read can start too, so nothing is written.
	viewer := withUser(t, o, levelDatabase, "VIEWER")
	knows(t, open(t, viewer), "k", "a")

	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
	run(t, o, "REMOVE TABLE applications", nil, nil)
	const gone = "The table 'applications' does not exist"
	if err := again.Check(t.Context()); err == nil || !strings.Contains(err.Error(), again.place+": "+gone) {
		t.Errorf("a check without a table: %v", err)
	}
	if _, err := again.AppByKey(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("a lookup without a table: %v", err)
	}
}

// Finding an app by its key does not read the whole table.
func TestKeysAreFoundByTheIndex(t *testing.T) {
	m := open(t, standing(t))
	var plan any
	if err := m.link.query(t.Context(), true, "EXPLAIN "+m.whereKey(), map[string]any{"key": "k"}, &plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(plan), m.index()) {
		t.Errorf("the server's plan is\n%v", plan)
	}
}

// A table of Sockudo's from before there was an index gets one, and one in which two
// apps have a key is refused.
func TestIndexIsAdded(t *testing.T) {
	o := standing(t)
	o.Table = "_Apps2"
	run(t, o, "CREATE _Apps2:a SET key = 'k', payload = '{\"secret\":\"s\"}'", nil, nil)
	m := open(t, o)
	knows(t, m, "k", "a")
	if err := m.PutApp(t.Context(), app("b", "k"), storage.NoVersion); err == nil || !strings.Contains(err.Error(), "app a has the key too") {
		t.Errorf("a key that a record from before has: %v", err)
	}
	o = standing(t)
	run(t, o, "FOR $i IN 0..2 { CREATE applications SET key = 'k' }", nil, nil)
	if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), o.place()+": making the table: Database index `applications_key_idx` already contains 'k'") {
		t.Errorf("a table with a key twice: %v", err)
	}
}

// An index of the name that is another one is left as it is.
func TestOtherIndexIsRefused(t *testing.T) {
	t.Parallel()
	for _, definition := range []string{"FIELDS key", "FIELDS payload UNIQUE", "FIELDS key, payload UNIQUE"} {
		o := standing(t)
		run(t, o, "DEFINE INDEX applications_key_idx ON TABLE applications "+definition, nil, nil)
		before := infoOf(t, o)
		if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), o.place()+": the table is another one") {
			t.Errorf("an index of %s: %v", definition, err)
		}
		if !reflect.DeepEqual(infoOf(t, o), before) {
			t.Errorf("an index of %s was changed", definition)
		}
	}
}

func TestManyNodesMakeTheTable(t *testing.T) {
	t.Parallel()
	for range 3 {
		o := standing(t)
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				m, err := OpenAppManager(t.Context(), o, nil)
				if err != nil {
					t.Error(err)
					return
				}
				_ = m.Close()
			})
		}
		group.Wait()
	}
}

// Checklist: configuration 36
func TestOddNames(t *testing.T) {
	t.Parallel()
	o := standing(t)
	for _, table := range []string{"a-b", "1a", "a b", `a"; REMOVE TABLE x; "`, "a`b", "a.b", "ключ", strings.Repeat("a", 129)} {
		odd := Options{Table: table, URL: "ws://127.0.0.1:1"}
		if _, err := OpenAppManager(t.Context(), odd, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("table_name %q", table)) {
			t.Errorf("table %q: %v", table, err)
		}
	}
	o.Table = "select" // which is a word of the language
	m := open(t, o)
	put(t, m, app("a", "k"))
	knows(t, m, "k", "a")
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	// The names of namespaces and databases are never part of a statement.
	for _, database := range []string{"a-b", "a b", "a`b", `"; REMOVE TABLE applications; "`, "ключ/⟨x⟩"} {
		odd := o
		odd.Database = database
		m, err := OpenAppManager(t.Context(), odd, nil)
		if err != nil {
			t.Errorf("database %q: %v", database, err)
			continue
		}
		put(t, m, app("b", "k"))
		knows(t, m, "k", "b")
		_ = m.Close()
		escaped := strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(database)
		run(t, o, "REMOVE DATABASE `"+escaped+"`", nil, nil)
	}
	knows(t, m, "k", "a")
	if _, err := OpenAppManager(t.Context(), Options{Database: "a\nb"}, nil); err == nil || !strings.Contains(err.Error(), `database "a\nb"`) {
		t.Errorf("a name of two lines: %v", err)
	}
}

// withUser defines a user and gives the options to sign in as that one.
func withUser(t *testing.T, o Options, level, role string) Options {
	t.Helper()
	user := o
	user.Username, user.Password, user.AuthLevel = strings.ToLower(level+role)+o.Database, "hush-of-"+role, level
	run(t, o, fmt.Sprintf("DEFINE USER %s ON %s PASSWORD '%s' ROLES %s", user.Username, level, user.Password, role), nil, nil)
	if level != levelDatabase {
		t.Cleanup(func() {
			run(t, o, fmt.Sprintf("REMOVE USER %s ON %s", user.Username, level), nil, nil)
		})
	}
	return user
}
