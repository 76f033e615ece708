package scylladb

import (
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func TestClaimsFollowKeys(t *testing.T) {
	m := open(t, cluster(t))
	put(t, m, app("a", "k1"))
	claimed(t, m, "k1", "a")
	put(t, m, app("a", "k1"))
	claimed(t, m, "k1", "a")
	put(t, m, app("a", "k2"))
	claimed(t, m, "k1", "")
	claimed(t, m, "k2", "a")
	knows(t, m, "k1", "")
	knows(t, m, "k2", "a")
	put(t, m, app("b", "k1"))
	if err := m.PutApp(t.Context(), app("b", "k2"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) || !strings.Contains(err.Error(), "app a has the key too") {
		t.Errorf("a key that app a has: %v", err)
	}
	knows(t, m, "k1", "b")
	if err := m.DeleteApp(t.Context(), "a", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	claimed(t, m, "k2", "")
	put(t, m, app("b", "k2"))
	knows(t, m, "k2", "b")
}

// Apps that Sockudo has written have no claims. They are found by the index, keep
// their keys to themselves, and get claims when they are changed here.
func TestKeysOfSockudo(t *testing.T) {
	o := cluster(t)
	m := open(t, o)
	insert := "INSERT INTO " + o.Keyspace + ".applications (id, key, secret, enabled) VALUES (?, ?, 's', true)"
	execute(t, m, insert, "a", "ka")
	execute(t, m, insert, "b", "kb")
	knows(t, m, "ka", "a")
	if err := m.PutApp(t.Context(), app("c", "ka"), storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a key that only the index knows: %v", err)
	}
	claimed(t, m, "ka", "")
	knows(t, m, "ka", "a")
	if err := m.PutApp(t.Context(), app("b", "ka"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("changing to such a key: %v", err)
	}
	knows(t, m, "kb", "b")
	put(t, m, app("a", "ka"))
	claimed(t, m, "ka", "a")
	put(t, m, app("a", "ka2"))
	knows(t, m, "ka", "")
	if err := m.DeleteApp(t.Context(), "b", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	knows(t, m, "kb", "")

	// Sockudo changes and deletes rows without a look at claims, which are stale then.
	put(t, m, app("d", "kd"))
	execute(t, m, "UPDATE "+o.Keyspace+".applications SET key = 'kd2' WHERE id = 'd'")
	knows(t, m, "kd", "")
	knows(t, m, "kd2", "d")
	put(t, m, app("e", "kd"))
	claimed(t, m, "kd", "e")
	knows(t, m, "kd", "e")
	execute(t, m, "DELETE FROM "+o.Keyspace+".applications WHERE id = 'e'")
	knows(t, m, "kd", "")
	put(t, m, app("f", "kd"))
	knows(t, m, "kd", "f")

	// Nor does it look whether a key is another app's. The claim tells whose it is.
	execute(t, m, insert, "a thief", "kd")
	knows(t, m, "kd", "f")
	put(t, m, app("f", "kd"))
	if _, err := m.AppByID(t.Context(), "a thief"); err == nil || !strings.Contains(err.Error(), "its key is that of app f") {
		t.Errorf("a row with the key of another app: %v", err)
	}
	if err := m.PutApp(t.Context(), app("a thief", "kd"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a row with the key of another app: %v", err)
	}
	put(t, m, app("a thief", "own"))
	knows(t, m, "own", "a thief")

	// Two of its rows have one key and no claim: the first by id is found, and neither
	// is confirmed.
	execute(t, m, insert, "twin 2", "kt")
	execute(t, m, insert, "twin 1", "kt")
	knows(t, m, "kt", "twin 1")
	if err := m.PutApp(t.Context(), app("twin 1", "kt"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("one of two rows with one key: %v", err)
	}
	put(t, m, app("twin 2", "kt2"))
	put(t, m, app("twin 1", "kt"))
	knows(t, m, "kt", "twin 1")
}

// Lookups of what was written here do not depend on the index, which lags behind in
// ScyllaDB.
func TestIndexThatLagsBehind(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	m := open(t, o)
	put(t, m, app("a", "k"))
	s.HoldIndexes()
	put(t, m, app("a", "k2"))
	put(t, m, app("b", "k3"))
	knows(t, m, "k", "")
	knows(t, m, "k2", "a")
	knows(t, m, "k3", "b")
	put(t, m, app("b", "k")) // which the index says is that of a
	knows(t, m, "k", "b")
	if err := m.PutApp(t.Context(), app("c", "k2"), storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a key that the index does not know yet: %v", err)
	}
	if err := m.DeleteApp(t.Context(), "b", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	knows(t, m, "k", "")
	s.ReleaseIndexes()
	knows(t, m, "k2", "a")
	knows(t, m, "k", "")
}

// failing lets statements fail that begin with some words, and the connections that
// they come by, before or after they are executed: as if this server had ended, or
// the answer were lost.
func failing(t *testing.T, s *cqltest.Server, executed bool, beginning string) {
	t.Helper()
	s.Let(func(r cqltest.Request, run func() error) error {
		if !strings.HasPrefix(r.Text, beginning) {
			return nil
		}
		if executed {
			if err := run(); err != nil {
				t.Error(err)
			}
		}
		return cqltest.ErrDrop
	})
}

// Whoever ends in the middle of a change leaves nothing behind that is in the way of
// others, or of itself.
func TestCrashesInBetween(t *testing.T) {
	for _, c := range []struct {
		name, statement string
		executed        bool
		key, old        string // the app that has the new and the old key afterwards
	}{
		{"before the claim", `INSERT INTO "ks"."applications_keys"`, false, "", "a"},
		{"after the claim", `INSERT INTO "ks"."applications_keys"`, true, "", "a"},
		{"before the row", `UPDATE "ks"."applications" SET`, false, "", "a"},
		{"after the row", `UPDATE "ks"."applications" SET`, true, "a", ""},
		{"before the second look", `UPDATE "ks"."applications_keys" SET nonce`, false, "a", ""},
		{"after the second look", `UPDATE "ks"."applications_keys" SET nonce`, true, "a", ""},
		{"before the end of the old claim", `DELETE FROM "ks"."applications_keys"`, false, "a", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := server(t, cqltest.Options{})
			m := open(t, o)
			put(t, m, app("a", "old"))
			failing(t, s, c.executed, c.statement)
			if err := m.PutApp(t.Context(), app("a", "new"), storage.AnyVersion); err == nil && !strings.HasPrefix(c.statement, "DELETE") {
				t.Error("the change succeeds")
			}
			s.Let(nil)
			again := open(t, o)
			knows(t, again, "new", c.key)
			knows(t, again, "old", c.old)
			// What is free can be had, what is not cannot.
			for key, id := range map[string]string{"new": c.key, "old": c.old} {
				err := again.PutApp(t.Context(), app("b", key), storage.AnyVersion)
				if id == "" && err != nil || id != "" && !errors.Is(err, storage.ErrKeyTaken) {
					t.Errorf("key %s for another app: %v, and it is that of %q", key, err, id)
				}
				if err == nil {
					knows(t, again, key, "b")
					claimed(t, again, key, "b")
				}
			}
		})
	}
	for _, executed := range []bool{false, true} {
		s, o := server(t, cqltest.Options{})
		m := open(t, o)
		put(t, m, app("a", "k"))
		failing(t, s, executed, `DELETE FROM "ks"."applications" `)
		if err := m.DeleteApp(t.Context(), "a", storage.AnyVersion); err == nil {
			t.Error("the deletion succeeds")
		}
		s.Let(nil)
		again := open(t, o)
		_, err := again.AppByID(t.Context(), "a")
		if gone := errors.Is(err, storage.ErrNotFound); gone != executed {
			t.Errorf("after a deletion that was executed, %v: %v", executed, err)
		}
		err = again.PutApp(t.Context(), app("b", "k"), storage.NoVersion)
		if executed && err != nil || !executed && !errors.Is(err, storage.ErrKeyTaken) {
			t.Errorf("the key, after a deletion that was executed, %v: %v", executed, err)
		}
	}
}

// A new app whose server ended after the claim can be made by the next attempt, and
// its key can be had by another app meanwhile.
func TestStaleClaimOfAnAppThatNeverCame(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	m := open(t, o)
	failing(t, s, false, `INSERT INTO "ks"."applications" `)
	if err := m.PutApp(t.Context(), app("a", "k"), storage.NoVersion); err == nil {
		t.Error("the change succeeds")
	}
	s.Let(nil)
	again := open(t, o)
	claimed(t, again, "k", "a")
	knows(t, again, "k", "")
	put(t, again, app("b", "k"))
	claimed(t, again, "k", "b")
	knows(t, again, "k", "b")
	if err := again.PutApp(t.Context(), app("a", "k"), storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("the app that never came: %v", err)
	}
	put(t, again, app("a", "k2"))
	knows(t, again, "k2", "a")
}
