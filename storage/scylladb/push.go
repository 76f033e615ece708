package scylladb

import (
	"bytes"
	"cmp"
	"context"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxPushBytes bounds the values of one Apply together, in bytes. The servers keep a
// transaction several times over before it is committed.
const maxPushBytes = 4 << 20

// PushOptions say where the records of push notifications are kept, and as whom.
type PushOptions struct {
	// Options are the cluster and the login. Table means nothing here.
	Options
	// Prefix is the name of the table of records, and begins that of the table of what is
	// due. Default: sockudo_push.
	Prefix string
}

// withDefaults are the options as those of a link.
func (o PushOptions) withDefaults() HistoryOptions {
	return HistoryOptions{o.Options, cmp.Or(o.Prefix, "sockudo_push")}.withDefaults()
}

// PushStore keeps the records of push notifications in two tables of ScyllaDB or
// Cassandra, see push_schema.go.
type PushStore struct {
	*link
	table   string // of the records, with its keyspace, as statements have it
	due     string // likewise, of what is due
	locks   locks
	buckets buckets[string]
}

// OpenPushStore connects to a cluster and makes what is missing: the keyspace and the
// tables. The logger may be nil.
func OpenPushStore(ctx context.Context, o PushOptions, logger *zap.Logger) (*PushStore, error) {
	l, err := o.withDefaults().open(ctx, "push store", pushRelations, logger)
	if err != nil {
		return nil, err
	}
	s := &PushStore{link: l, table: l.named(""), due: l.named(dueEnding)}
	if err := s.Check(ctx); err != nil { // a missing right is noticed at once
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// MaxSize is the size above which a value is refused, in bytes.
func (*PushStore) MaxSize() int64 { return storage.MaxPushValue }

// Check reads a record.
func (s *PushStore) Check(ctx context.Context) error {
	_, err := s.Get(ctx, storage.PushKey{App: probe, Table: probe, Name: probe})
	return err
}

// Get implements storage.PushStore. It is what has been acknowledged in this data centre.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	ctx, done, err := s.begin(ctx, callTimeout)
	if err != nil {
		return nil, err
	}
	defer done()
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
	}
	found, err := s.find(ctx, keys, howRead{full: true})
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	read, seen := make([]storage.PushRecord, len(keys)), make(map[storage.PushKey]bool, len(keys))
	for i, key := range keys {
		read[i].Key = key
		if r := found[key]; r != nil {
			read[i] = r.PushRecord
		}
		if seen[key] { // each has a value of its own
			read[i].Value = bytes.Clone(read[i].Value)
		}
		seen[key] = true
	}
	return read, nil
}

// List implements storage.PushStore. What begins within a group is read in two steps:
// that group, and those behind it.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) ([]storage.PushRecord, error) {
	ctx, done, err := s.begin(ctx, callTimeout)
	if err != nil {
		return nil, err
	}
	defer done()
	if q.App == "" { // which is no key of a partition
		return nil, nil
	}
	var list []storage.PushRecord
	read := func(where string, args ...any) {
		if left := q.Limit - len(list); left > 0 && err == nil {
			err = s.rows(ctx, howRead{full: true}, q.App, q.Table, where+" LIMIT ?", append(args, left), func(r *pushRow) { list = append(list, r.PushRecord) })
		}
	}
	const rest = " AND grp = ? AND name > ?"
	switch {
	case q.Group != nil:
		read(rest, []byte(*q.Group), []byte(q.AfterName))
	case q.AfterName == "":
		read("")
	default:
		read(rest, []byte(q.AfterGroup), []byte(q.AfterName))
		read(" AND grp > ?", []byte(q.AfterGroup))
	}
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return list, nil
}

var (
	_ storage.PushStore = (*PushStore)(nil)
	_ storage.Checker   = (*PushStore)(nil)
)
