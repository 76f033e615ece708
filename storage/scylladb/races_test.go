package scylladb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// unequivocal checks that no two rows have one key, and that each key's claim is
// that of its row.
func unequivocal(t *testing.T, m *AppManager) {
	t.Helper()
	apps, err := m.Apps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{}
	for _, app := range apps {
		if other, twice := owners[app.Key]; twice {
			t.Errorf("apps %s and %s have the key %s", other, app.ID, app.Key)
		}
		owners[app.Key] = app.ID
		claimed(t, m, app.Key, app.ID)
		knows(t, m, app.Key, app.ID)
	}
}

// Many change few apps and give them few keys, from two servers. Statements are
// executed in any order; in the second half the outcome of some is unknown, whether
// they were executed or not.
func TestManyChangesAtOnce(t *testing.T) {
	const rounds, workers, changes = 6, 6, 12
	for _, uncertain := range []bool{false, true} {
		t.Run(fmt.Sprintf("uncertain %v", uncertain), func(t *testing.T) {
			s, o := server(t, cqltest.Options{})
			managers := []*AppManager{open(t, o), open(t, o)}
			s.Let(func(r cqltest.Request, run func() error) error {
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				if !uncertain || rand.IntN(25) > 0 || !strings.Contains(r.Text, " IF ") {
					return nil
				}
				if rand.IntN(2) == 0 {
					if err := run(); err != nil {
						return err
					}
				}
				return cqltest.WriteTimeout([]string{"CAS", "SIMPLE"}[rand.IntN(2)])
			})
			var made, refused, others atomic.Int32
			for range rounds {
				var group sync.WaitGroup
				for w := range workers {
					group.Go(func() {
						for range changes {
							m := managers[w%len(managers)]
							id, key := fmt.Sprint("a", rand.IntN(3)), fmt.Sprint("k", rand.IntN(4))
							var err error
							if rand.IntN(4) == 0 {
								err = m.DeleteApp(t.Context(), id, storage.AnyVersion)
							} else {
								err = m.PutApp(t.Context(), app(id, key), storage.AnyVersion)
							}
							switch {
							case err == nil:
								made.Add(1)
							case errors.Is(err, storage.ErrKeyTaken), errors.Is(err, storage.ErrNotFound):
								refused.Add(1)
							case strings.Contains(err.Error(), errLost.Error()):
								others.Add(1)
							default:
								t.Error(err)
							}
						}
					})
				}
				group.Wait()
				if t.Failed() {
					return
				}
				s.Let(nil)
				unequivocal(t, managers[0])
			}
			t.Logf("%d changes were made, %d refused, %d given up", made.Load(), refused.Load(), others.Load())
			if made.Load() < rounds*workers || others.Load() > rounds {
				t.Error("too few changes came through")
			}
		})
	}
}

// held is a statement that waits until it is released.
type held struct {
	reached chan struct{}
	release chan struct{}
}

// hold lets the first statement wait that begins with some words.
func hold(s *cqltest.Server, beginning string) *held {
	h := &held{make(chan struct{}), make(chan struct{})}
	var met atomic.Bool
	s.Let(func(r cqltest.Request, _ func() error) error {
		if strings.HasPrefix(r.Text, beginning) && !met.Swap(true) {
			close(h.reached)
			<-h.release
		}
		return nil
	})
	return h
}

// A claim is taken over whose app is about to write its row. At most one of the two
// may have the key in the end, wherever they meet.
func TestTakeOverOfAClaimInUse(t *testing.T) {
	for name, beginning := range map[string]string{
		"before the row is written":    `INSERT INTO "ks"."applications" `,
		"before the second look":       `UPDATE "ks"."applications_keys" SET nonce`,
		"before the claim is moved":    `UPDATE "ks"."applications_keys" SET app_id`,
		"before the claim is made":     `INSERT INTO "ks"."applications_keys"`,
		"before another app's is read": `SELECT app_id`,
	} {
		t.Run(name, func(t *testing.T) {
			s, o := server(t, cqltest.Options{})
			first, second := open(t, o), open(t, o)
			if strings.Contains(beginning, "app_id") {
				execute(t, first, `INSERT INTO ks.applications_keys (key, app_id, nonce) VALUES ('k', 'gone', 'n')`)
			}
			h := hold(s, beginning)
			results := make(chan error, 2)
			go func() { results <- first.PutApp(t.Context(), app("a", "k"), storage.NoVersion) }()
			<-h.reached
			go func() { results <- second.PutApp(t.Context(), app("b", "k"), storage.NoVersion) }()
			one := <-results // the second
			close(h.release)
			two := <-results
			won := 0
			for _, err := range []error{one, two} {
				if err == nil {
					won++
				} else if !errors.Is(err, storage.ErrKeyTaken) {
					t.Error(err)
				}
			}
			if won != 1 {
				t.Errorf("%d apps got the key", won)
			}
			unequivocal(t, first)
		})
	}
}

// A claim is taken over in the very moment in which its app writes its row: after
// the other one has looked at that row, and before the second look at the claim. The
// row is put back, whatever it was.
func TestTakeOverBetweenRowAndSecondLook(t *testing.T) {
	for _, before := range []bool{false, true} {
		s, o := server(t, cqltest.Options{})
		first, second := open(t, o), open(t, o)
		if before {
			put(t, first, app("a", "old"))
		}
		was, _ := first.AppByID(t.Context(), "a")
		s.HoldIndexes() // by which the other one would see the row, too
		gates := map[string]*gate{
			`INSERT INTO "ks"."applications" `: newGate(), `UPDATE "ks"."applications" `: newGate(),
			`UPDATE "ks"."applications_keys" SET nonce`: newGate(), `UPDATE "ks"."applications_keys" SET app_id`: newGate(),
		}
		s.Let(func(r cqltest.Request, _ func() error) error {
			for beginning, g := range gates {
				if strings.HasPrefix(r.Text, beginning) && (!strings.Contains(beginning, "nonce") || string(r.Values[2]) == "a") {
					g.pass()
				}
			}
			return nil
		})
		row, look, move := gates[`INSERT INTO "ks"."applications" `], gates[`UPDATE "ks"."applications_keys" SET nonce`], gates[`UPDATE "ks"."applications_keys" SET app_id`]
		if before {
			row = gates[`UPDATE "ks"."applications" `]
		}
		results := make(chan error, 2)
		go func() { results <- first.PutApp(t.Context(), app("a", "k"), storage.AnyVersion) }()
		<-row.reached
		go func() { results <- second.PutApp(t.Context(), app("b", "k"), storage.AnyVersion) }()
		<-move.reached // it has seen that app a does not have the key
		close(row.release)
		<-look.reached // now it has
		for _, g := range gates {
			if g != row && g != look {
				close(g.release)
			}
		}
		if err := <-results; err != nil { // that of the second
			t.Error(err)
		}
		close(look.release)
		if err := <-results; !errors.Is(err, storage.ErrKeyTaken) {
			t.Errorf("the app whose claim was taken over: %v", err)
		}
		unequivocal(t, first)
		now, err := first.AppByID(t.Context(), "a")
		if !before && !errors.Is(err, storage.ErrNotFound) || before && (err != nil || now.Key != was.Key) {
			t.Errorf("app a has become %v, %v", now, err)
		}
		if err := first.PutApp(t.Context(), app("c", "old"), storage.AnyVersion); before != errors.Is(err, storage.ErrKeyTaken) {
			t.Errorf("its old key for another app: %v", err)
		}
	}
}

// gate lets statements wait until it is open.
type gate struct{ reached, release chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) pass() {
	g.reached <- struct{}{}
	<-g.release
}

// The outcome of a lightweight transaction is unknown to the server, whether it was
// made or not. The change is made in any case, once.
func TestUnknownOutcomes(t *testing.T) {
	for _, beginning := range []string{
		`INSERT INTO "ks"."applications" `, `UPDATE "ks"."applications" `, `DELETE FROM "ks"."applications" `,
		`INSERT INTO "ks"."applications_keys" `, `UPDATE "ks"."applications_keys" SET app_id`, `UPDATE "ks"."applications_keys" SET nonce`,
		`DELETE FROM "ks"."applications_keys" `, `SELECT app_id`, `SELECT "id"`,
	} {
		for _, executed := range []bool{false, true} {
			s, o := server(t, cqltest.Options{})
			m := open(t, o)
			execute(t, m, "INSERT INTO ks.applications_keys (key, app_id, nonce) VALUES ('k2', 'gone', 'n')")
			met := 0
			s.Let(func(r cqltest.Request, run func() error) error {
				if !strings.HasPrefix(r.Text, beginning) || strings.HasPrefix(r.Text, "SELECT") && r.Consistency != "SERIAL" {
					return nil
				}
				if met++; met > 1 {
					return nil
				}
				if strings.HasPrefix(r.Text, "SELECT") {
					return cqltest.ReadTimeout()
				}
				if executed {
					if err := run(); err != nil {
						t.Error(err)
					}
				}
				return cqltest.WriteTimeout("CAS")
			})
			first, second := app("a", "k"), app("a", "k2")
			if err := m.PutApp(t.Context(), first, storage.NoVersion); err != nil {
				t.Errorf("%s, executed %v: making the app: %v", beginning, executed, err)
			}
			knows(t, m, "k", "a")
			version, err := storage.AppVersion(first)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.PutApp(t.Context(), second, version); err != nil {
				t.Errorf("%s, executed %v: changing it: %v", beginning, executed, err)
			}
			knows(t, m, "k", "")
			unequivocal(t, m)
			if version, err = storage.AppVersion(second); err != nil {
				t.Fatal(err)
			}
			if err := m.DeleteApp(t.Context(), "a", version); err != nil {
				t.Errorf("%s, executed %v: deleting it: %v", beginning, executed, err)
			}
			knows(t, m, "k2", "")
			if met == 0 {
				t.Errorf("there was no %s", beginning)
			}
		}
	}
}

// A change that comes too late for its version leaves no claim behind.
func TestConflictLeavesNoClaim(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	first, second := open(t, o), open(t, o)
	before := app("a", "old")
	put(t, first, before)
	version, err := storage.AppVersion(before)
	if err != nil {
		t.Fatal(err)
	}
	h := hold(s, `UPDATE "ks"."applications" SET`)
	done := make(chan error, 1)
	go func() { done <- first.PutApp(t.Context(), app("a", "new"), version) }()
	<-h.reached
	claimed(t, second, "new", "a")
	changed := app("a", "old")
	changed.Limits.MaxConnections = 5
	put(t, second, changed)
	close(h.release)
	if err := <-done; !errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("a change of an old version: %v", err)
	}
	claimed(t, first, "new", "")
	unequivocal(t, first)
}

// A row comes so late that whoever wrote it has given up, and another app has its
// key. The app of that row is not served, until somebody has settled it.
func TestRowThatComesTooLate(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	first, second := open(t, o), open(t, o)
	put(t, first, app("a", "old"))
	h := hold(s, `UPDATE "ks"."applications" SET`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.PutApp(ctx, app("a", "k"), storage.AnyVersion) }()
	<-h.reached
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the change that was given up: %v", err)
	}
	put(t, second, app("b", "k"))
	close(h.release)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if r, err := second.get(t.Context(), "a", gocql.Serial); err != nil || time.Now().After(end) {
			t.Fatalf("the row has not come: %v, %v", r, err)
		} else if r.holds("k") {
			break
		}
	}
	core, logs := observer.New(zap.WarnLevel)
	second.Log = zap.New(core)
	knows(t, second, "k", "b")
	for range 2 {
		if _, err := second.AppByID(t.Context(), "a"); err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "its key is that of app b") {
			t.Errorf("the app of the late row: %v", err)
		}
		if apps, err := second.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0].ID != "b" {
			t.Errorf("Apps = %v, %v", apps, err)
		}
	}
	if second.UnreadableApps() != 1 || logs.Len() != 1 {
		t.Errorf("%d records count as unreadable, and the log has %d lines", second.UnreadableApps(), logs.Len())
	}
	if err := second.PutApp(t.Context(), app("a", "k"), storage.AnyVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("writing it again: %v", err)
	}
	put(t, second, app("a", "old"))
	unequivocal(t, second)
	if _, err := second.AppByID(t.Context(), "a"); err != nil || second.UnreadableApps() != 0 {
		t.Errorf("after it was settled: %v, %d unreadable", err, second.UnreadableApps())
	}
}

// An app changes its key and back while its old claim is being removed.
func TestKeyThatComesBack(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	first, second := open(t, o), open(t, o)
	put(t, first, app("a", "k1"))
	h := hold(s, `DELETE FROM "ks"."applications_keys"`)
	done := make(chan error, 1)
	go func() { done <- first.PutApp(t.Context(), app("a", "k2"), storage.AnyVersion) }()
	<-h.reached
	put(t, second, app("a", "k1"))
	close(h.release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	claimed(t, first, "k1", "a")
	knows(t, first, "k1", "a")
	if err := first.PutApp(t.Context(), app("b", "k1"), storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("the key of another app: %v", err)
	}
}

// Sockudo changes a row between its being read and its being written here.
func TestChangesOfSockudoInBetween(t *testing.T) {
	for name, statement := range map[string]string{
		"a policy where there was none": `UPDATE ks.applications SET policy = '{"limits":{"max_connections":5}}' WHERE id = 'a'`,
		"another secret":                `UPDATE ks.applications SET secret = 'other' WHERE id = 'a'`,
		"switched off":                  `UPDATE ks.applications SET enabled = false WHERE id = 'a'`,
		"another key":                   `UPDATE ks.applications SET key = 'k2' WHERE id = 'a'`,
		"another limit":                 `UPDATE ks.applications SET max_connections = 9, updated_at = 5 WHERE id = 'a'`,
		"gone":                          `DELETE FROM ks.applications WHERE id = 'a'`,
	} {
		t.Run(name, func(t *testing.T) {
			s, o := server(t, cqltest.Options{})
			m, other := open(t, o), open(t, o)
			const insert = "INSERT INTO ks.applications (id, key, secret, enabled) VALUES ('a', 'k', 's', true)"
			execute(t, m, insert)
			app, err := m.AppByID(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			version, err := storage.AppVersion(app)
			if err != nil {
				t.Fatal(err)
			}
			between := func() {
				var once sync.Once
				s.Let(func(r cqltest.Request, _ func() error) error {
					if strings.HasPrefix(r.Text, `UPDATE "ks"."applications" `) || strings.HasPrefix(r.Text, `DELETE FROM "ks"."applications" `) {
						once.Do(func() { execute(t, other, statement) })
					}
					return nil
				})
			}
			changed := *app
			changed.Limits.MaxConnections = 7
			between()
			if err := m.PutApp(t.Context(), &changed, version); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("PutApp: %v, want a conflict", err)
			}
			s.Let(nil)
			execute(t, other, "DELETE FROM ks.applications WHERE id = 'a'")
			execute(t, other, insert)
			between()
			if err := m.DeleteApp(t.Context(), "a", version); !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("DeleteApp: %v, want a conflict", err)
			}
			there, err := m.get(t.Context(), "a", gocql.Serial)
			if err != nil || (there == nil) != (name == "gone") || there != nil && there["max_connections"] == 7 {
				t.Errorf("what Sockudo did has become %v, %v", there, err)
			}
		})
	}
}

// The levels are those that doc.go promises.
func TestLevels(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	m := open(t, o)
	s.Asked()
	put(t, m, app("a", "k"))
	put(t, m, app("a", "k2"))
	if err := m.DeleteApp(t.Context(), "a", storage.AnyVersion); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, r := range s.Asked() {
		kind, _, _ := strings.Cut(r.Text, " ")
		if strings.HasSuffix(r.Text, ` WHERE "key" = ?`) {
			kind = "index"
		}
		kinds = append(kinds, kind)
		want := map[string][2]string{"SELECT": {"SERIAL", ""}, "index": {"LOCAL_QUORUM", ""}}[kind]
		if want[0] == "" {
			want = [2]string{"LOCAL_QUORUM", "SERIAL"}
			if !strings.Contains(r.Text, " IF ") {
				t.Errorf("%s is no lightweight transaction", r.Text)
			}
		}
		if r.Consistency != want[0] || want[1] != "" && r.Serial != want[1] {
			t.Errorf("%s: levels %s and %s, want %v", r.Text, r.Consistency, r.Serial, want)
		}
	}
	for _, kind := range []string{"SELECT", "index", "INSERT", "UPDATE", "DELETE"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("there was no %s", kind)
		}
	}
	for range 2 {
		_, _ = m.AppByKey(t.Context(), "k")
		_, _ = m.AppByID(t.Context(), "a")
		_, _ = m.Apps(t.Context())
		_ = m.Check(t.Context())
	}
	for _, r := range s.Asked() {
		if r.Consistency != "LOCAL_QUORUM" {
			t.Errorf("a lookup with the level %s: %s", r.Consistency, r.Text)
		}
	}
}
