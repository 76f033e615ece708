package surrealdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxPushBytes bounds the values of one transaction, in bytes: a server takes no message of
// 16 MiB, unless it is told to.
const maxPushBytes = 8 << 20

var (
	// errBusy is no ErrConflict, which would say that a condition does not hold.
	errBusy = errors.New("other nodes change the same records all the time")
	// errForeign says that a record is none of this driver's.
	errForeign = errors.New("a record of push notifications cannot be read: somebody else has written there")
)

// The ends of what a transaction throws: that a condition does not hold, and that it was
// not made.
const (
	conditionMark = "sockudo: a condition does not hold"
	notMadeMark   = "sockudo: not made"
)

// Apply implements storage.PushStore. It is one transaction, which is made again if others
// have changed its records in between.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	size := 0
	for i := range changes {
		size += len(changes[i].Value)
	}
	if size > maxPushBytes {
		return fmt.Errorf("%s takes values of at most %d bytes at once, and not %d: %w", s.place, maxPushBytes, size, storage.ErrTooLarge)
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	t := s.transaction(changes)
	if t.empty() {
		return nil
	}
	letGo, err := s.hold(ctx, changes)
	if err != nil {
		return s.fail(ctx, err)
	}
	defer letGo()
	return s.fail(ctx, s.carryOut(ctx, t))
}

// carryOut makes a transaction, as often as others are in its way.
func (s *PushStore) carryOut(ctx context.Context, t *pushTransaction) error {
	text, vars := t.statement()
	for n := 0; ; n++ {
		vars["mark"] = int64(storage.NewPushVersion())
		err := s.link.query(ctx, false, text, vars, nil)
		switch {
		case err == nil:
			return nil
		case throws(err, conditionMark):
			return fmt.Errorf("a condition does not hold: %w", storage.ErrConflict)
		case throws(err, notMadeMark):
			return errNoRight
		case !isRace(err) && (!isThere(err) || n > maxRaces):
			return err
		case !pauseAfter(ctx, n):
			return errBusy
		}
	}
}

func throws(err error, mark string) bool {
	return says(err, func(m string) bool { return strings.HasSuffix(m, mark) })
}

// pushTransaction is what changes are to the server. What is only looked at is written too,
// since transactions that meet are told apart by what they write: what is there gets a mark,
// and what is not there is made and removed.
type pushTransaction struct {
	table    string
	wants    []map[string]any
	updates  []string // of each list of inserts, what is done to a record that is there
	inserts  map[string][]map[string]any
	gone     []any
	marked   []any
	stayAway []any
}

func (t *pushTransaction) empty() bool {
	return len(t.wants)+len(t.updates)+len(t.gone) == 0
}

// transaction plans changes.
func (s *PushStore) transaction(changes []storage.PushChange) *pushTransaction {
	t := &pushTransaction{table: s.table, inserts: map[string][]map[string]any{}}
	for i := range changes {
		c := &changes[i]
		id := s.pushID(&c.Key)
		if c.If != nil {
			want := int64(-1) // what no record has
			if *c.If <= math.MaxInt64 {
				want = int64(*c.If)
			}
			t.wants = append(t.wants, map[string]any{"id": id, "version": want})
		}
		switch {
		case c.Op == storage.PushPut || c.Op == storage.PushAdd:
			row := pushRowOf(c)
			row["id"] = id
			t.insert(row, updateOf(c))
		case c.If == nil && c.Op == storage.PushCheck:
		case c.If != nil && *c.If == 0:
			t.stayAway = append(t.stayAway, id)
		case c.Op == storage.PushDelete:
			t.gone = append(t.gone, id)
		default:
			t.marked = append(t.marked, id)
		}
	}
	return t
}

func (t *pushTransaction) insert(row map[string]any, update string) {
	if t.inserts[update] == nil {
		t.updates = append(t.updates, update)
	}
	t.inserts[update] = append(t.inserts[update], row)
}

// updateOf is what a change does to a record that is there.
func updateOf(c *storage.PushChange) string {
	set := []string{"touched = $mark"}
	if c.Op == storage.PushPut {
		set = []string{"version = $input.version", "due = $input.due", "size = $input.size", "value = $input.value"}
	}
	for i, n := range c.Counts {
		if n != 0 {
			field := counterField(i)
			set = append(set, field+" += $input."+field) // which begins at zero
		}
	}
	return strings.Join(set, ", ")
}

// statement is the block that the server runs as one transaction.
func (t *pushTransaction) statement() (text string, vars map[string]any) {
	vars = map[string]any{}
	var b strings.Builder
	b.WriteString("{")
	if len(t.wants) > 0 {
		vars["wants"] = t.wants
		b.WriteString(" FOR $w IN $wants { IF ((SELECT VALUE version FROM ONLY $w.id) ?? 0) != $w.version { THROW '" + conditionMark + "' } };")
	}
	for i, update := range t.updates {
		name, rows := "r"+strconv.Itoa(i), t.inserts[update]
		vars[name] = rows
		b.WriteString(" LET $d" + name + " = (INSERT INTO `" + t.table + "` $" + name + " ON DUPLICATE KEY UPDATE " + update + " RETURN VALUE version);" +
			" IF array::len($d" + name + ") != " + strconv.Itoa(len(rows)) + " { THROW '" + notMadeMark + "' };")
	}
	if len(t.gone) > 0 {
		vars["gone"] = t.gone
		b.WriteString(" DELETE $gone RETURN NONE;")
	}
	if len(t.marked) > 0 {
		vars["marked"] = t.marked
		b.WriteString(" UPDATE $marked SET touched = $mark RETURN NONE;")
	}
	if len(t.stayAway) > 0 {
		vars["away"] = t.stayAway
		b.WriteString(" FOR $i IN $away { CREATE $i SET touched = $mark RETURN NONE; DELETE $i RETURN NONE };")
	}
	b.WriteString(" RETURN true }")
	return b.String(), vars
}
