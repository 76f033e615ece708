package cqltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// wide makes a keyspace with a table whose partitions have rows.
func wide(t *testing.T, session *gocql.Session) {
	t.Helper()
	do(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	do(t, session, "CREATE TABLE ks.w (p blob, q int, a blob, n bigint, v text, PRIMARY KEY ((p, q), a, n))")
	do(t, session, "CREATE TABLE ks.x (p blob, a blob, n bigint, v text, PRIMARY KEY (p, a, n))")
}

func TestStatementsAboutPartitions(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	wide(t, session)
	b := []byte("b")
	for _, c := range []struct {
		want, statement string
		values          []any
	}{
		{"Unknown or repeated definition a", "CREATE TABLE ks.y (p int, PRIMARY KEY (p, a))", nil},
		{"Unknown or repeated definition p", "CREATE TABLE ks.y (p int, PRIMARY KEY (p, p))", nil},
		{"Multiple PRIMARY KEYs", "CREATE TABLE ks.y (p int, a int PRIMARY KEY, b int PRIMARY KEY)", nil},
		{"primary key", "ALTER TABLE ks.w DROP n", nil},
		{"", "INSERT INTO ks.w (p, q, a, n) VALUES (?, 1, ?, 1)", []any{b, b}},
		{"", "INSERT INTO ks.w (p, q, a, n) VALUES (?, 1, ?, 1)", []any{[]byte{}, []byte{}}},
		{"Key may not be empty", "INSERT INTO ks.x (p, a, n) VALUES (?, ?, 1)", []any{[]byte{}, b}},
		{"Some partition key parts are missing: q", "INSERT INTO ks.w (p, a, n) VALUES (?, ?, 1)", []any{b, b}},
		{"Some clustering keys are missing: n", "INSERT INTO ks.w (p, q, a) VALUES (?, 1, ?)", []any{b, b}},
		{"longer than maximum", "INSERT INTO ks.x (p, a, n) VALUES (?, ?, 1)", []any{make([]byte, 1<<16), b}},
		{"Slice restrictions", "UPDATE ks.x SET v = 'a' WHERE p = ? AND a = ? AND n > 1", []any{b, b}},
		{"Some clustering keys are missing: n", "UPDATE ks.x SET v = 'a' WHERE p = ? AND a = ?", []any{b, b}},
		{"found in SET part", "UPDATE ks.x SET n = 1 WHERE p = ? AND a = ?", []any{b, b}},
		{"Some partition key parts are missing: q", "DELETE FROM ks.w WHERE p = ?", []any{b}},
		{"(preceding column \"a\" is not restricted)", "DELETE FROM ks.x WHERE p = ? AND n = 1", []any{b}},
		{"(preceding column \"a\" is restricted by a non-EQ", "DELETE FROM ks.x WHERE p = ? AND a > ? AND n = 1", []any{b, b}},
		{"must restrict all PRIMARY KEY columns", "DELETE FROM ks.x WHERE p = ? AND a = ? IF v = 'a'", []any{b, b}},
		{"Only EQ and IN", "SELECT * FROM ks.x WHERE p > ?", []any{b}},
		{"Order by currently only supports", "SELECT * FROM ks.x WHERE p = ? ORDER BY n DESC", []any{b}},
		{"Unsupported order by relation", "SELECT * FROM ks.x WHERE p = ? ORDER BY a DESC, n ASC", []any{b}},
		{"clustered columns", "SELECT * FROM ks.x WHERE p = ? ORDER BY v DESC", []any{b}},
		{"restricted by an EQ", "SELECT * FROM ks.x ORDER BY a DESC", nil},
		{"Invalid null value", "SELECT * FROM ks.x WHERE p = ?", []any{nil}},
		{"repeated", "SELECT * FROM ks.x WHERE p = ? AND p = ?", []any{b, b}},
		{"Invalid constant", "SELECT * FROM ks.x WHERE p = 'a'", nil},
	} {
		err := session.Query(c.statement, c.values...).Exec()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.statement, err, c.want)
		}
	}
}

func TestRowsOfPartitions(t *testing.T) {
	s := Start(t, Options{})
	session := connect(t, s, nil)
	wide(t, session)
	for _, p := range []string{"p", "other"} {
		for _, a := range []string{"b", "a", "\xff"} {
			for _, n := range []int64{2, -3, 0, 700} {
				do(t, session, "INSERT INTO ks.x (p, a, n, v) VALUES (?, ?, ?, ?)", []byte(p), []byte(a), n, fmt.Sprint(p, n))
			}
		}
	}
	reads := func(want []string, where string, values ...any) {
		t.Helper()
		for _, size := range []int{1, 2, 5, 100} {
			rows := session.Query("SELECT a, n FROM ks.x WHERE p = ?"+where, append([]any{[]byte("p")}, values...)...).PageSize(size).Iter()
			var got []string
			var n int64
			for a := ""; rows.Scan(&a, &n); {
				got = append(got, fmt.Sprint(a, n))
			}
			if err := rows.Close(); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s %v, %d at a time: %q, want %q, %v", where, values, size, got, want, err)
			}
		}
	}
	a, b := []byte("a"), []byte("b")
	reads([]string{"a-3", "a0", "a2", "a700", "b-3", "b0", "b2", "b700", "\xff-3", "\xff0", "\xff2", "\xff700"}, "")
	reads([]string{"a-3", "a0", "a2"}, " LIMIT ?", 3)
	reads([]string{"\xff700", "\xff2", "\xff0", "\xff-3", "b700"}, " ORDER BY a DESC, n DESC LIMIT 5")
	reads([]string{"b0", "b2"}, " AND a = ? AND n > ? AND n <= ?", b, -3, 2)
	reads([]string{"b2", "b0"}, " AND a = ? AND n > ? AND n < ? ORDER BY a DESC, n DESC", b, -3, 700)
	reads([]string{"b-3", "b700"}, " AND a = ? AND n IN ?", b, []int64{700, -3, 5})
	reads([]string{"a-3", "a0", "a2", "a700", "b-3"}, " AND a IN ? LIMIT 5", [][]byte{b, a})
	reads([]string{"a700", "b700"}, " AND a IN ? AND n >= ?", [][]byte{b, a}, 3)
	reads([]string{"b-3", "b0", "b2", "b700"}, " AND a > ? AND a < ?", a, []byte("\xff"))
	reads(nil, " AND a = ? AND n = ?", a, 5)

	do(t, session, "DELETE FROM ks.x WHERE p = ? AND a = ? AND n <= 0", []byte("p"), b)
	do(t, session, "DELETE FROM ks.x WHERE p = ? AND a = ?", []byte("p"), []byte("\xff"))
	do(t, session, "DELETE FROM ks.x WHERE p = ? AND a = ? AND n = 2", []byte("p"), a)
	reads([]string{"a-3", "a0", "a700", "b2", "b700"}, "")
	do(t, session, "DELETE FROM ks.x WHERE p = ?", []byte("p"))
	reads(nil, "")
	if n := session.Query("SELECT v FROM ks.x").PageSize(5).Iter().NumRows(); n != 5 {
		t.Errorf("the first page of all has %d rows", n)
	}
	var kind, order string
	var position int
	if err := session.Query("SELECT kind, position, clustering_order FROM system_schema.columns WHERE keyspace_name = 'ks' AND table_name = 'x' AND column_name = 'n'").
		Scan(&kind, &position, &order); err != nil || kind != "clustering" || position != 1 || order != "asc" {
		t.Errorf("n is described as %s %d %s, %v", kind, position, order, err)
	}
}

func TestBatches(t *testing.T) {
	for _, cassandra := range []bool{false, true} {
		t.Run(fmt.Sprintf("Cassandra %v", cassandra), func(t *testing.T) {
			s := Start(t, Options{Cassandra: cassandra})
			session := connect(t, s, nil)
			wide(t, session)
			batches(t, s, session)
		})
	}
}

func batches(t *testing.T, s *Server, session *gocql.Session) {
	t.Helper()
	const insert, update = "INSERT INTO ks.x (p, a, n, v) VALUES (?, ?, ?, ?)", "UPDATE ks.x SET v = ? WHERE p = ? AND a = ? AND n = ?"
	p, a := []byte("p"), []byte("a")
	batch := func(want any, fill func(b *gocql.Batch)) {
		t.Helper()
		b := session.Batch(gocql.UnloggedBatch)
		fill(b)
		applied, rows, err := b.MapExecCAS(map[string]any{})
		if rows != nil {
			_ = rows.Close()
		}
		if text, ok := want.(string); ok {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the batch: %v, want %q", err, text)
			}
		} else if err != nil || applied != want {
			t.Errorf("the batch: applied %v, %v, want %v", applied, err, want)
		}
	}
	values := func(want string) {
		t.Helper()
		got, v := "", ""
		rows := session.Query("SELECT v FROM ks.x WHERE p = ?", p).Iter()
		for rows.Scan(&v) {
			got += v + " "
		}
		if err := rows.Close(); err != nil || got != want {
			t.Errorf("the partition has %q, want %q, %v", got, want, err)
		}
	}
	batch(true, func(b *gocql.Batch) {
		b.Query(insert+" IF NOT EXISTS", p, a, 0, "h1").Query(insert, p, a, 1, "one").Query(insert, p, a, 2, "two")
	})
	values("h1 one two ")
	batch(false, func(b *gocql.Batch) { b.Query(insert, p, a, 3, "three").Query(insert+" IF NOT EXISTS", p, a, 0, "h2") })
	batch(false, func(b *gocql.Batch) { b.Query(update+" IF v = ?", "h2", p, a, 0, "h0").Query(insert, p, a, 3, "three") })
	values("h1 one two ")
	batch(true, func(b *gocql.Batch) {
		b.Query(update+" IF v = ?", "h2", p, a, 0, "h1").Query("DELETE FROM ks.x WHERE p = ? AND a = ? AND n > ?", p, a, 1).Query(insert, p, a, 3, "gone").Query(insert, p, []byte("b"), 3, "three")
	}) // all at one time, so what is removed is not written
	values("h2 one three ")
	batch("cannot span multiple partitions", func(b *gocql.Batch) {
		b.Query(update+" IF v = ?", "h3", p, a, 0, "h2").Query(insert, []byte("q"), a, 1, "x")
	})
	batch("cannot span multiple tables", func(b *gocql.Batch) {
		b.Query(update+" IF v = ?", "h3", p, a, 0, "h2").Query("INSERT INTO ks.w (p, q, a, n) VALUES (?, 1, ?, 1)", p, a)
	})
	batch("only UPDATE, INSERT and DELETE", func(b *gocql.Batch) { b.Query("SELECT v FROM ks.x") })
	batch("counter batch", func(b *gocql.Batch) { b.Type = gocql.CounterBatch; b.Query(insert, p, a, 1, "x") })
	values("h2 one three ")

	many := session.Batch(gocql.LoggedBatch) // without conditions it may be about anything
	many.Query(insert, p, a, 1, "uno").Query(insert, []byte("q"), a, 1, "x").Query("INSERT INTO ks.w (p, q, a, n) VALUES (?, 1, ?, 1)", p, a)
	s.Forget() // and the client prepares its statements again
	if err := many.Exec(); err != nil {
		t.Error(err)
	}
	values("h2 uno three ")
	for _, r := range s.Asked() {
		if strings.HasPrefix(r.Text, "BEGIN BATCH ") && r.Consistency != "QUORUM" {
			t.Errorf("asked was %+v", r)
		}
	}
}
