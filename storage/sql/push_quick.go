package sql

import (
	"context"

	"github.com/sockudo/caddy-sockudo/storage"
)

// quick is a change that is one statement, and needs no transaction around it.
type quick struct {
	statement string
	args      []any
	// must says that the condition did not hold if no row was changed.
	must bool
	// makes says that it did not hold if the row is there.
	makes bool
}

// quick is the statement of one change. ok is false if one is not enough.
func (s *PushStore) quick(c *storage.PushChange) (q quick, ok bool) {
	insert := "INSERT INTO {records} (" + pushRowColumns + ") VALUES " + tuples(1, pushColumns)
	condition := append(keyValues(&c.Key), 0)
	if c.If != nil {
		condition[4] = int64(*c.If)
	}
	makes := c.Op == storage.PushPut || c.Op == storage.PushAdd
	switch {
	case makes && c.If == nil:
		return quick{statement: insert + s.onRowThere(c.Op == storage.PushPut), args: rowOf(c)}, true
	case makes && *c.If == 0:
		return quick{statement: insert, args: rowOf(c), makes: true}, true
	case c.Op == storage.PushPut && *c.If != c.Version: // MySQL does not count a row that stays as it is
		args := append([]any{int64(c.Version), c.Due, blob(c.Value)}, counts(c)...)
		return quick{
			statement: "UPDATE {records} SET version = ?, due = ?, value = ?, " + moreCounts + " WHERE " + isPushKey + " AND version = ?",
			args:      append(args, condition...), must: true,
		}, true
	case c.Op == storage.PushAdd && c.Counts != [storage.PushCounts]int64{}:
		return quick{
			statement: "UPDATE {records} SET " + moreCounts + " WHERE " + isPushKey + " AND version = ?",
			args:      append(counts(c), condition...), must: true,
		}, true
	case c.Op == storage.PushDelete && c.If == nil:
		return quick{statement: "DELETE FROM {records} WHERE " + isPushKey, args: condition[:4]}, true
	case c.Op == storage.PushDelete && *c.If != 0:
		return quick{statement: "DELETE FROM {records} WHERE " + isPushKey + " AND version = ?", args: condition, must: true}, true
	}
	return quick{}, false
}

// applyQuick runs the statement: by itself on a server, and with those of others in SQLite.
func (s *PushStore) applyQuick(ctx context.Context, size int64, q quick) error {
	statement := s.text(q.statement)
	return s.changeBy(ctx, size, func(tx *transaction) error {
		n, err := tx.exec(statement, q.args...)
		if q.makes && isDuplicate(err) || q.must && err == nil && n == 0 {
			return errCondition
		}
		return err
	}, s.alone)
}

// alone runs one statement on a server, which commits it.
func (s *PushStore) alone(ctx context.Context, do func(tx *transaction) error) error {
	return do(&transaction{ctx: ctx, tx: s.db})
}
