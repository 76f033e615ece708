package scylladb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// dueEnding ends the name of the table of what is due.
const dueEnding = "_due"

// Kinds that only these tables have.
const (
	blob  = "blob" // texts too, since they may be of any bytes
	whole = "bigint"
)

// relation is a table of logs, or of records.
type relation struct {
	ending  string // of its name
	columns []column
	key     string
}

// relations are the tables: that of logs, with their heads, and that of what is due.
var relations = []relation{
	{
		"",
		[]column{
			// The key: which log, of which stream, which part of it, and which entry.
			{"log", blob},
			{"stream", blob},
			{"part", blob},
			{"serial", whole},
			// Of entries and heads.
			{"row_count", whole},
			{"at", whole},
			{"total", whole},
			// Of entries.
			{"is_row", flag},
			{"size", number},
			{"subject", blob},
			{"once", blob},
			{"payload", blob},
			{"write_id", blob},
			// Of heads.
			{"current", blob},
			{"last", whole},
			{"first", whole},
			{"keep", whole},
			{"gone", blob},
			{"state_name", blob},
			{"state_reason", blob},
			{"state_node", blob},
			{"state_since", whole},
		},
		"(log), stream, part, serial",
	},
	{
		dueEnding,
		[]column{{"bucket", whole}, {"due", whole}, {"log", blob}, {"note", blob}, {"noted", whole}},
		"(bucket), due, log, note",
	},
}

// prepare makes what is missing. Tables that are there are not touched.
func (l *link) prepare(ctx context.Context, tables []relation) error {
	for n := 0; ; n++ {
		err := l.complete(ctx, tables)
		final := err == nil || n == maxMigrations || isCode(err, gocql.ErrCodeUnauthorized) || errors.Is(err, errOther)
		if final || !wait.For(ctx, time.Duration(rand.IntN(n*200+50))*time.Millisecond) {
			return err
		}
	}
}

// errOther says that a table is there and is something else.
var errOther = errors.New("it is another table")

// complete looks at what there is and makes the rest.
func (l *link) complete(ctx context.Context, tables []relation) error {
	keyspace, err := l.exists(ctx)
	if err != nil {
		return fmt.Errorf("looking for the keyspace: %w", err)
	}
	if !keyspace {
		statement := fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': '%s', 'replication_factor': %d}",
			quote(l.options.Keyspace), l.options.ReplicationClass, l.options.ReplicationFactor)
		if err := l.define(ctx, statement); err != nil {
			return fmt.Errorf("making keyspace %s: %w", l.options.Keyspace, err)
		}
	}
	for _, r := range tables {
		name := l.options.Prefix + r.ending
		there, err := l.inspect(ctx, name)
		switch {
		case err != nil:
			return fmt.Errorf("looking for table %s: %w", name, err)
		case len(there) > 0:
			if err := r.check(there); err != nil {
				return fmt.Errorf("table %s: %w", name, err)
			}
			continue
		}
		if err := l.define(ctx, r.creation(quote(l.options.Keyspace)+"."+quote(name))); err != nil {
			return fmt.Errorf("making table %s: %w", name, err)
		}
	}
	return nil
}

// check refuses a table whose columns are others.
func (r relation) check(there map[string]string) error {
	for _, c := range r.columns {
		if is := there[c.name]; is != string(c.kind) {
			return fmt.Errorf("its column %s is of the type %q, not %s: %w", c.name, is, c.kind, errOther)
		}
	}
	return nil
}

func (r relation) creation(table string) string {
	parts := make([]string, len(r.columns))
	for i, c := range r.columns {
		parts[i] = c.name + " " + string(c.kind)
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, PRIMARY KEY (%s))", table, strings.Join(parts, ", "), r.key)
}

// exists reports whether there is the keyspace.
func (l *link) exists(ctx context.Context) (bool, error) {
	var name string
	err := l.session.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", strings.ToLower(l.options.Keyspace)).
		Consistency(gocql.One).Idempotent(true).ScanContext(ctx, &name) // this table is each node's own
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// inspect are the types of the columns of a table, none if there is no such table.
func (l *link) inspect(ctx context.Context, table string) (map[string]string, error) {
	there := map[string]string{}
	rows := l.session.Query("SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
		strings.ToLower(l.options.Keyspace), strings.ToLower(table)).Consistency(gocql.One).Idempotent(true).IterContext(ctx)
	for name, is := "", ""; rows.Scan(&name, &is); {
		there[name] = is
	}
	return there, rows.Close()
}

// define changes the schema, and waits until all nodes know.
func (l *link) define(ctx context.Context, statement string) error {
	return l.session.Query(statement).Consistency(gocql.One).ExecContext(ctx)
}
