package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// pushPrefix is the name of the table unless another is written.
	pushPrefix = "sockudo_push"
	// leastPushValue is the least that a database must take as one value, in bytes.
	leastPushValue = 256 << 10
)

// PushOptions tune a PushStore.
type PushOptions struct {
	// TablePrefix is the name of the table, and begins that of PREFIX_schema. Default:
	// sockudo_push.
	TablePrefix string
	// Timeout bounds one transaction, and one read. Zero means 5s.
	Timeout time.Duration
}

// PushStore keeps the records of push notifications in one table. A server commits an
// Apply by itself; SQLite commits those of many callers together.
type PushStore struct {
	tables
	maxSize int64
}

// OpenPushStore connects to a database and makes the tables if there are none. Several
// may use the same tables, also the same SQLite file, which may hold other things too.
func OpenPushStore(ctx context.Context, o Options, tuning PushOptions) (*PushStore, error) {
	o, prefix := o.withDefaults(), cmp.Or(tuning.TablePrefix, pushPrefix)
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	db, err := openForLogs(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &PushStore{maxSize: storage.MaxPushValue}
	s.of(db, o, "push store", strings.NewReplacer("{records}", o.Dialect.quote(prefix), "{schema}", o.Dialect.quote(prefix+"_schema"), "{prefix}", prefix))
	s.SetTimeout(tuning.Timeout)
	if err := errors.Join(s.migrate(ctx, prefix), s.measure(ctx)); err != nil {
		return nil, errors.Join(s.fail(ctx, err), db.Close())
	}
	s.begun()
	return s, nil
}

// measure finds how large a value can be.
func (s *PushStore) measure(ctx context.Context) error {
	if s.dialect != MySQL {
		return nil
	}
	var packet int64
	if err := s.db.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&packet); err != nil {
		return err
	}
	size, err := pushValueOf(packet)
	s.maxSize = size
	return err
}

// pushValueOf is the largest value of a server that takes packets of so many bytes.
func pushValueOf(packet int64) (int64, error) {
	if packet < leastPushValue+packetRest {
		return 0, fmt.Errorf("max_allowed_packet is %d bytes; push needs %d at least", packet, leastPushValue+packetRest)
	}
	return min(storage.MaxPushValue, packet-packetRest), nil
}

// MaxSize is the size above which a value is refused, in bytes.
func (s *PushStore) MaxSize() int64 { return s.maxSize }

// Get implements storage.PushStore. It is one statement for each 128 keys.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	read, at := make([]storage.PushRecord, len(keys)), make(map[storage.PushKey]storage.PushRecord, len(keys))
	asked := make([]storage.PushKey, 0, len(keys))
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
		if _, twice := at[keys[i]]; !twice {
			at[keys[i]] = storage.PushRecord{Key: keys[i]}
			asked = append(asked, keys[i])
		}
	}
	for some := range slices.Chunk(asked, maxPiece) {
		if err := s.some(ctx, func(r *storage.PushRecord) { at[r.Key] = *r }, some); err != nil {
			return nil, err
		}
	}
	seen := make(map[storage.PushKey]bool, len(keys))
	for i := range keys {
		read[i] = at[keys[i]]
		if seen[keys[i]] { // each has a value of its own
			read[i].Value = append([]byte{}, read[i].Value...)
		}
		seen[keys[i]] = true
	}
	return read, nil
}

// List implements storage.PushStore. A page that begins within a group is two statements,
// since not all databases find such a place by an index at once. What is one and the same
// in all rows is not sorted by, for the same reason.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) (read []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || q.Limit <= 0 {
		return nil, err
	}
	page := func(where, order string, args ...any) error {
		args = append([]any{[]byte(q.App), []byte(q.Table)}, append(args, int64(q.Limit-len(read)))...)
		return s.records(ctx, func(r *storage.PushRecord) { read = append(read, *r) },
			s.index("PRIMARY")+" WHERE app = ? AND tbl = ?"+where+" ORDER BY "+order+" LIMIT ?", args...)
	}
	const groups, rest = "grp, name", " AND grp = ? AND name > ?"
	switch {
	case q.Group != nil:
		err = page(rest, "name", []byte(*q.Group), []byte(q.AfterName))
	case q.AfterName == "":
		err = page("", groups)
	default:
		err = page(rest, "name", []byte(q.AfterGroup), []byte(q.AfterName))
		if err == nil && len(read) < q.Limit {
			err = page(" AND grp > ?", groups, []byte(q.AfterGroup))
		}
	}
	return read, err
}

// Due implements storage.PushStore.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) (due []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	err = s.records(ctx, func(r *storage.PushRecord) { due = append(due, *r) },
		s.index("due")+" WHERE tbl = ? AND due > 0 AND due <= ? ORDER BY due LIMIT ?", []byte(table), now, int64(limit))
	return due, err
}

// Check asks the table, which needs reading rights only.
func (s *PushStore) Check(ctx context.Context) error {
	return s.ask(ctx, func(func(...any) error) error { return nil }, "SELECT version FROM {records} WHERE 1 = 0")
}

// index names the index that a statement uses in MySQL, which otherwise takes another for
// as long as it knows little of the table.
func (s *PushStore) index(name string) string {
	if s.dialect != MySQL {
		return ""
	}
	return " FORCE INDEX (" + name + ")"
}

var (
	_ storage.PushStore = (*PushStore)(nil)
	_ storage.Checker   = (*PushStore)(nil)
)
