package sql

import (
	"context"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	pushKeyColumns = "app, tbl, grp, name"
	// isPushKey is the condition of one record.
	isPushKey = "app = ? AND tbl = ? AND grp = ? AND name = ?"
	// pushColumns is how many there are.
	pushColumns = 7 + storage.PushCounts
)

// eachCount is a text for each counter, in which a percent sign stands for its name.
func eachCount(text string) string {
	parts := make([]string, storage.PushCounts)
	for i := range parts {
		parts[i] = strings.ReplaceAll(text, "%", "c"+strconv.Itoa(i))
	}
	return strings.Join(parts, ", ")
}

var (
	pushRowColumns = pushKeyColumns + ", version, due, value, " + eachCount("%")
	// moreCounts adds to the counters of a record.
	moreCounts = eachCount("% = % + ?")
)

// keyValues are the columns of a key.
func keyValues(k *storage.PushKey) []any {
	return []any{[]byte(k.App), []byte(k.Table), []byte(k.Group), []byte(k.Name)}
}

// anyOf is the condition of some records.
func anyOf(keys []storage.PushKey) (where string, args []any) {
	parts := make([]string, len(keys))
	args = make([]any, 0, 4*len(keys))
	for i := range keys {
		parts[i] = "(" + isPushKey + ")"
		args = append(args, keyValues(&keys[i])...)
	}
	return strings.Join(parts, " OR "), args
}

// counts are the counters of a change as arguments.
func counts(c *storage.PushChange) []any {
	args := make([]any, len(c.Counts))
	for i, n := range c.Counts {
		args[i] = n
	}
	return args
}

// rowOf are the columns of the row that a change makes. A row that only holds the place of
// one that is not there has no version.
func rowOf(c *storage.PushChange) []any {
	value, version, due := c.Value, c.Version, c.Due
	if c.Op == storage.PushDelete || c.Op == storage.PushCheck {
		value, version, due = nil, 0, 0
	}
	return append(append(keyValues(&c.Key), int64(version), due, blob(value)), counts(c)...)
}

// records reads rows of the table. rest follows its name.
func (s *PushStore) records(ctx context.Context, each func(*storage.PushRecord), rest string, args ...any) error {
	return s.rows(ctx, each, "SELECT "+pushRowColumns+" FROM {records}"+rest, args...)
}

// some reads the rows of some keys.
func (s *PushStore) some(ctx context.Context, each func(*storage.PushRecord), keys []storage.PushKey) error {
	if s.dialect == Postgres {
		return s.rows(ctx, each, "SELECT found.*"+oneByOne(pushRowColumns, "LIMIT 1"), keyArrays(keys)...)
	}
	where, args := anyOf(padded(s.dialect, keys))
	return s.records(ctx, each, s.index("PRIMARY")+" WHERE "+where, args...)
}

// oneByOne lets PostgreSQL look for one record after the other in the order of arrays with
// the parts of their keys, whatever it knows of the table. It would read all of a group for
// some of it otherwise. end keeps it from making a join of this.
func oneByOne(columns, end string) string {
	return ` FROM unnest(?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[]) WITH ORDINALITY AS k (k_app, k_tbl, k_grp, k_name, place),
		LATERAL (SELECT ` + columns + ` FROM {records} WHERE app = k_app AND tbl = k_tbl AND grp = k_grp AND name = k_name ` + end + `) found`
}

// keyArrays are those arrays.
func keyArrays(keys []storage.PushKey) []any {
	arrays := make([][][]byte, 4)
	for i := range keys {
		for part, text := range []string{keys[i].App, keys[i].Table, keys[i].Group, keys[i].Name} {
			arrays[part] = append(arrays[part], []byte(text))
		}
	}
	return []any{arrays[0], arrays[1], arrays[2], arrays[3]}
}

func (s *PushStore) rows(ctx context.Context, each func(*storage.PushRecord), statement string, args ...any) error {
	return s.ask(ctx, func(scan func(...any) error) error {
		var r storage.PushRecord
		var app, table, group, name []byte
		to := []any{&app, &table, &group, &name, &r.Version, &r.Due, &r.Value}
		for i := range r.Counts {
			to = append(to, &r.Counts[i])
		}
		if err := scan(to...); err != nil {
			return err
		}
		r.Key = storage.PushKey{App: string(app), Table: string(table), Group: string(group), Name: string(name)}
		each(&r)
		return nil
	}, statement, args...)
}

// onRowThere ends a statement that adds rows, of which some are there already: those are
// put, or only their counters grow.
func (s *PushStore) onRowThere(put bool) string {
	text, old, fresh := " ON CONFLICT ("+pushKeyColumns+") DO UPDATE SET ", "{records}.%", "excluded.%"
	if s.dialect == MySQL {
		text, old, fresh = " ON DUPLICATE KEY UPDATE ", "%", "VALUES(%)"
	}
	if put {
		for _, column := range []string{"version", "due", "value"} {
			text += column + " = " + strings.ReplaceAll(fresh, "%", column) + ", "
		}
	}
	return text + eachCount("% = "+old+" + "+fresh)
}

// insert adds rows, in few statements.
func (s *PushStore) insert(tx *transaction, changes []*storage.PushChange, end string) error {
	for len(changes) > 0 {
		n, size := 0, 0
		for n < len(changes) && (n == 0 || size+len(changes[n].Value) <= maxStatement) {
			size += len(changes[n].Value)
			n++
		}
		n = s.dialect.pieceOf(n)
		args := make([]any, 0, pushColumns*n)
		for _, c := range changes[:n] {
			args = append(args, rowOf(c)...)
		}
		if _, err := tx.exec(s.text("INSERT INTO {records} ("+pushRowColumns+") VALUES "+tuples(n, pushColumns)+end), args...); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// remove removes rows, one by one: databases read many more than those, by an index that
// does not tell them apart, if they are asked for several at once.
func (s *PushStore) remove(tx *transaction, keys []storage.PushKey) error {
	for i := range keys {
		if _, err := tx.exec(s.text("DELETE FROM {records} WHERE "+isPushKey), keyValues(&keys[i])...); err != nil {
			return err
		}
	}
	return nil
}
