package cqltest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// connect connects a client to nodes.
func connect(t *testing.T, s *Server, change func(*gocql.ClusterConfig)) *gocql.Session {
	t.Helper()
	c := gocql.NewCluster(s.Addr())
	c.Port, c.ProtoVersion, c.Consistency = s.port, 4, gocql.Quorum
	if change != nil {
		change(c)
	}
	session, err := c.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

func do(t *testing.T, session *gocql.Session, statement string, values ...any) {
	t.Helper()
	if err := session.Query(statement, values...).Exec(); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// tabled makes a keyspace with a table.
func tabled(t *testing.T, session *gocql.Session) {
	t.Helper()
	do(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	do(t, session, `CREATE TABLE ks.t (id text PRIMARY KEY, "key" text, n int, b boolean, at timestamp)`)
	do(t, session, "CREATE INDEX ON ks.t (key)")
}

func TestStatements(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	tabled(t, session)
	for statement, want := range map[string]string{
		"CREATE KEYSPACE IF NOT EXISTS ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}": "",
		"CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}":               "existing keyspace",
		"CREATE KEYSPACE k2 WITH replication = {'class': 'Odd', 'replication_factor': 1}":                          "strategy class",
		"CREATE KEYSPACE k2 WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 0}":               "positive",
		"CREATE TABLE IF NOT EXISTS ks.t (id text PRIMARY KEY)":                                                    "",
		"CREATE TABLE ks.t (id text PRIMARY KEY)":                                                                  "already existing table",
		"CREATE TABLE none.t (id text PRIMARY KEY)":                                                                "doesn't exist",
		"CREATE TABLE ks.u (id text)":                                                                              "No PRIMARY KEY",
		"CREATE TABLE ks.u (id text, id int, PRIMARY KEY (id))":                                                    "Multiple definition",
		"CREATE TABLE ks.u (id json PRIMARY KEY)":                                                                  "Unknown type json",
		"CREATE TABLE ks.u (table text PRIMARY KEY)":                                                               "no viable alternative at input 'table'",
		"CREATE INDEX IF NOT EXISTS ON ks.t (key)":                                                                 "",
		"CREATE INDEX ON ks.t (key)":                                                                               "already exists",
		"CREATE INDEX ON ks.t (none)":                                                                              "No column definition",
		"ALTER TABLE ks.t ADD n int":                                                                               "conflicts with an existing column",
		"ALTER TABLE ks.t DROP id":                                                                                 "primary key",
		"ALTER TABLE ks.t DROP key":                                                                                "dependent secondary indexes",
		"DROP TABLE ks.none":                                                                                       "unconfigured table none",
		"DROP TABLE IF EXISTS ks.none":                                                                             "",
		"INSERT INTO ks.t (id, n) VALUES ('a', 1, 2)":                                                              "Unmatched column names",
		"INSERT INTO ks.t (n) VALUES (1)":                                                                          "Some partition key parts are missing: id",
		"INSERT INTO ks.t (id) VALUES ('')":                                                                        "Key may not be empty",
		"INSERT INTO ks.t (id) VALUES (null)":                                                                      "Invalid null value",
		"INSERT INTO ks.t (id, n) VALUES ('a', 'b')":                                                               "Invalid constant (b) for a value of type int",
		"INSERT INTO ks.t (id, n) VALUES ('a', 3000000000)":                                                        "Unable to make int",
		"INSERT INTO ks.t (id, m) VALUES ('a', 1)":                                                                 "Undefined column name m",
		"INSERT INTO ks.t (id) VALUES ('a') USING TTL 5":                                                           "expecting the end",
		"UPDATE ks.t SET n = 1 WHERE n = 2":                                                                        "Some partition key parts are missing: id",
		"UPDATE ks.t SET id = 'b' WHERE id = 'a'":                                                                  "found in SET part",
		"UPDATE ks.t SET n = 1 WHERE id = 'a' IF id = 'a'":                                                         "cannot have IF conditions",
		"DELETE FROM ks.t WHERE id = 'a' AND n = 1":                                                                "Invalid restrictions",
		"DELETE FROM ks.t":                                                                                         "expecting WHERE",
		"SELECT * FROM ks.t WHERE n = 1":                                                                           "ALLOW FILTERING",
		"SELECT none FROM ks.t":                                                                                    "Undefined column name none",
		"SELECT * FROM t":                                                                                          "No keyspace has been specified",
		"SELECT * FROM ks.t LIMIT 0":                                                                               "LIMIT must be strictly positive",
		"SELECT * FROM system.peers_v2":                                                                            "does not exist",
		"SELECT 'a FROM ks.t":                                                                                      "no viable alternative at character '''",
		"TRUNCATE ks.t":                                                                                            "a statement that this server knows",
	} {
		err := session.Query(statement).Exec()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
}

func TestData(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	tabled(t, session)
	at := time.UnixMilli(1234567890123)
	do(t, session, "INSERT INTO ks.t (id, key, n, b, at) VALUES (?, ?, ?, ?, ?)", "a", "k'1", -5, true, at)
	do(t, session, "INSERT INTO ks.t (id, key) VALUES ('it''s', 'k''1')")
	do(t, session, "UPDATE ks.t SET n = 7, key = null WHERE id = ?", "new")
	var key *string
	var n int
	var b bool
	var when time.Time
	if err := session.Query("SELECT key, n, b, at FROM ks.t WHERE id = ?", "a").Scan(&key, &n, &b, &when); err != nil || *key != "k'1" || n != -5 || !b || !when.Equal(at) {
		t.Errorf("the row is %v %d %v %v, %v", key, n, b, when, err)
	}
	if err := session.Query("SELECT key, n FROM ks.t WHERE id = 'new'").Scan(&key, &n); err != nil || key != nil || n != 7 {
		t.Errorf("the row made by UPDATE is %v %d, %v", key, n, err)
	}
	ids := func(q *gocql.Query) (list []string) {
		rows, id := q.Iter(), ""
		for rows.Scan(&id) {
			list = append(list, id)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		slices.Sort(list)
		return list
	}
	if got := ids(session.Query("SELECT id FROM ks.t WHERE key = ?", "k'1")); !slices.Equal(got, []string{"a", "it's"}) {
		t.Errorf("by the index: %q", got)
	}
	do(t, session, "DELETE FROM ks.t WHERE id = 'a'")
	if got := ids(session.Query("SELECT id FROM ks.t WHERE key = ?", "k'1")); !slices.Equal(got, []string{"it's"}) {
		t.Errorf("by the index, after a deletion: %q", got)
	}
	for i := range 25 {
		do(t, session, "INSERT INTO ks.t (id) VALUES (?)", strings.Repeat("x", i+1))
	}
	if got := ids(session.Query("SELECT id FROM ks.t").PageSize(4)); len(got) != 27 || len(slices.Compact(got)) != 27 {
		t.Errorf("page by page there are %d rows: %q", len(got), got)
	}
	if got := ids(session.Query("SELECT id FROM ks.t LIMIT ?", 3)); len(got) != 3 {
		t.Errorf("LIMIT gives %q", got)
	}
	s.Forget() // and the client prepares its statements again
	if got := ids(session.Query("SELECT id FROM ks.t WHERE id = ?", "x")); len(got) != 1 {
		t.Errorf("after the server has forgotten what was prepared: %q", got)
	}
}

func TestTransactions(t *testing.T) {
	for _, cassandra := range []bool{false, true} {
		transactions(t, connect(t, Start(t, Options{Cassandra: cassandra}), nil))
	}
}

func transactions(t *testing.T, session *gocql.Session) {
	t.Helper()
	tabled(t, session)
	swap := func(want bool, there map[string]any, statement string, values ...any) {
		t.Helper()
		got := map[string]any{}
		applied, err := session.Query(statement, values...).MapScanCAS(got)
		if err != nil || applied != want {
			t.Errorf("%s: applied %v, %v", statement, applied, err)
		}
		for name, value := range there {
			if got[name] != value {
				t.Errorf("%s: %s is shown as %v, want %v", statement, name, got[name], value)
			}
		}
	}
	const insert = "INSERT INTO ks.t (id, key, n) VALUES (?, ?, ?) IF NOT EXISTS"
	swap(true, nil, insert, "a", "k", 1)
	swap(false, map[string]any{"id": "a", "key": "k", "n": 1}, insert, "a", "k2", 2)
	swap(false, map[string]any{"n": 1}, "UPDATE ks.t SET n = 5 WHERE id = 'a' IF n = ? AND key = 'k'", 2)
	swap(true, nil, "UPDATE ks.t SET n = 5 WHERE id = 'a' IF n = ? AND key = 'k' AND b = ?", 1, nil)
	swap(false, nil, "UPDATE ks.t SET n = 5 WHERE id = 'none' IF EXISTS")
	swap(false, nil, "DELETE FROM ks.t WHERE id = 'a' IF b = true")
	swap(true, nil, "DELETE FROM ks.t WHERE id = 'a' IF EXISTS")
	swap(true, nil, "UPDATE ks.t SET n = 1 WHERE id = 'b' IF n = null")

	// One of many wins, and all changes count.
	var won, counted atomic.Int32
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			if applied, err := session.Query(insert, "race", "k", i).MapScanCAS(map[string]any{}); err != nil {
				t.Error(err)
			} else if applied {
				won.Add(1)
			}
			for {
				var n int
				if err := session.Query("SELECT n FROM ks.t WHERE id = 'b'").Consistency(gocql.Serial).Scan(&n); err != nil {
					t.Error(err)
					return
				}
				if applied, err := session.Query("UPDATE ks.t SET n = ? WHERE id = 'b' IF n = ?", n+1, n).MapScanCAS(map[string]any{}); applied || err != nil {
					counted.Add(1)
					return
				}
			}
		})
	}
	group.Wait()
	var n int
	if err := session.Query("SELECT n FROM ks.t WHERE id = 'b'").Scan(&n); err != nil || n != 17 || won.Load() != 1 {
		t.Errorf("%d inserts have won, and 16 increments from 1 give %d, %v", won.Load(), n, err)
	}
}

func TestConsistency(t *testing.T) {
	s := Start(t, Options{DataCenters: []string{"a", "a", "b"}})
	session := connect(t, s, func(c *gocql.ClusterConfig) { c.HostFilter = gocql.WhiteListHostFilter("127.0.0.1") })
	do(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 3}")
	do(t, session, "CREATE TABLE ks.t (id text PRIMARY KEY)")
	fails := func(want string, statement string, level gocql.Consistency) {
		t.Helper()
		err := session.Query(statement).Consistency(level).Exec()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s with %v: %v, want %q", statement, level, err, want)
		}
	}
	const read, write = "SELECT id FROM ks.t WHERE id = 'a'", "INSERT INTO ks.t (id) VALUES ('a')"
	fails("", read, gocql.Quorum)
	fails("", read, gocql.LocalQuorum)
	fails("", read, gocql.Serial)
	fails("one partition at a time", "SELECT id FROM ks.t", gocql.Serial)
	fails("conditional updates", write, gocql.Serial)
	s.Node(1).Stop()
	fails("", write, gocql.Quorum)
	fails("cl LOCAL_QUORUM. Requires 2, alive 1", read, gocql.LocalQuorum)
	s.Node(2).Stop()
	fails("cl QUORUM. Requires 2, alive 1", read, gocql.Quorum)
	fails("cl SERIAL. Requires 2, alive 1", write+" IF NOT EXISTS", gocql.One)
	fails("", write, gocql.One)
}

func TestIndexesLagBehind(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	tabled(t, session)
	count := func(key string) (n int) {
		return session.Query("SELECT id FROM ks.t WHERE key = ?", key).Iter().NumRows()
	}
	do(t, session, "INSERT INTO ks.t (id, key) VALUES ('a', 'k')")
	s.HoldIndexes()
	do(t, session, "UPDATE ks.t SET key = 'k2' WHERE id = 'a'")
	if count("k") != 1 || count("k2") != 0 {
		t.Error("an index that is held has changed")
	}
	s.ReleaseIndexes()
	if count("k") != 0 || count("k2") != 1 {
		t.Error("an index that was released has not changed")
	}
}

func TestLogins(t *testing.T) {
	s := Start(t, Options{Logins: map[string]Login{
		"root": {"hush", []string{"CREATE", "ALTER", "SELECT", "MODIFY", "DROP"}}, "reader": {"hush", []string{"SELECT"}},
	}})
	as := func(user, password string) func(*gocql.ClusterConfig) {
		return func(c *gocql.ClusterConfig) {
			c.Authenticator = gocql.PasswordAuthenticator{Username: user, Password: password}
		}
	}
	for name, change := range map[string]func(*gocql.ClusterConfig){"none": func(*gocql.ClusterConfig) {}, "wrong": as("root", "x"), "unknown": as("who", "hush")} {
		c := gocql.NewCluster(s.Addr())
		c.ProtoVersion = 4
		if change(c); true {
			if session, err := c.CreateSession(); err == nil {
				session.Close()
				t.Errorf("%s: the login succeeds", name)
			}
		}
	}
	tabled(t, connect(t, s, as("root", "hush")))
	reader := connect(t, s, as("reader", "hush"))
	do(t, reader, "SELECT id FROM ks.t")
	for _, statement := range []string{
		"INSERT INTO ks.t (id) VALUES ('a')", "DELETE FROM ks.t WHERE id = 'a' IF EXISTS", "DROP TABLE ks.t",
		"CREATE TABLE ks.u (id text PRIMARY KEY)", "ALTER TABLE ks.t ADD x int", "CREATE INDEX ON ks.t (n)",
		"CREATE KEYSPACE k2 WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
	} {
		err := reader.Query(statement).Exec()
		if answer, ok := errors.AsType[gocql.RequestError](err); !ok || answer.Code() != gocql.ErrCodeUnauthorized {
			t.Errorf("%s without the right to: %v", statement, err)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	s := Start(t, Options{})
	c := gocql.NewCluster(s.Addr())
	c.ProtoVersion = 5
	if session, err := c.CreateSession(); err == nil {
		session.Close()
		t.Error("version 5 is accepted")
	}
	c.ProtoVersion = 0 // the client tries what there is
	session, err := c.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
}

func TestHooks(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	tabled(t, session)
	s.Asked()
	for _, c := range []struct {
		want  string
		fault error
	}{
		{"overloaded", Overloaded()},
		{"NullPointerException", Broken()},
		{"no right", Unauthorized("no right")},
		{"timed out", WriteTimeout("CAS")},
		{"only 1", ReadTimeout()},
		{"", ErrDrop},
	} {
		s.Let(func(_ Request, run func() error) error {
			if err := run(); err != nil {
				t.Error(err)
			}
			return c.fault
		})
		if err := session.Query("INSERT INTO ks.t (id) VALUES (?)", "a").Exec(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.fault, err)
		}
	}
	s.Let(nil)
	for _, r := range s.Asked() {
		if r.Consistency != "QUORUM" || r.Serial != "" || len(r.Values) != 1 || r.User != "anonymous" {
			t.Errorf("asked was %+v", r)
		}
	}
}
