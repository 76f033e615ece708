package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// PushStore keeps the records of push notifications in a table of DynamoDB. An Apply is
// one transaction of the service, so it costs twice of what other writes do.
type PushStore struct{ *link }

// OpenPushStore finds the table, or makes it if there is none, and waits until it can be
// used, at most for OpenTimeout. The default of its name is sockudo_push.
func OpenPushStore(ctx context.Context, o Options) (*PushStore, error) {
	l, err := o.forPush().open(ctx, "push store", pushTable)
	if err != nil {
		return nil, err
	}
	return &PushStore{l}, nil
}

func (o Options) forPush() Options {
	o.Table = cmp.Or(o.Table, "sockudo_push")
	return o.withDefaults()
}

// MaxSize is the size above which a value is refused, in bytes.
func (*PushStore) MaxSize() int64 { return maxPayload }

// Get implements storage.PushStore.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	at := make(map[storage.PushKey]*storage.PushRecord, len(keys))
	var places []item
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
		if at[keys[i]] == nil {
			at[keys[i]] = &storage.PushRecord{Key: keys[i]}
			place, _ := placeOf(&keys[i])
			places = append(places, place)
		}
	}
	found, err := s.records(ctx, places)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	for i := range found {
		*at[found[i].Key] = found[i]
	}
	read, seen := make([]storage.PushRecord, len(keys)), make(map[storage.PushKey]bool, len(keys))
	for i, key := range keys {
		read[i] = *at[key]
		if seen[key] { // each has a value of its own
			read[i].Value = bytes.Clone(read[i].Value)
		}
		seen[key] = true
	}
	return read, nil
}

// records are those of the records that are there, as they are now, in any order. No
// place may be given twice.
func (s *PushStore) records(ctx context.Context, places []item) ([]storage.PushRecord, error) {
	items, err := s.getAll(ctx, places)
	if err != nil {
		return nil, err
	}
	records := make([]storage.PushRecord, len(items))
	for n, i := range items {
		if records[n], err = recordOf(i); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Due implements storage.PushStore. The index lags behind, so the records that it names
// have the last word.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) ([]storage.PushRecord, error) {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	d := dueSearch{table: table, now: now, seen: map[string]bool{}}
	var due []storage.PushRecord
	for len(due) < limit {
		places, more, err := d.next(ctx, s, limit-len(due))
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		records, err := s.records(ctx, places)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		for _, r := range records {
			if r.Due > 0 && r.Due <= now {
				due = append(due, r)
			}
		}
		if !more {
			break
		}
	}
	slices.SortFunc(due, func(a, b storage.PushRecord) int { return cmp.Compare(a.Due, b.Due) })
	return due, nil
}

// keyPart is a part of an item's key, or empty.
func keyPart(i item, name string) []byte {
	if v, ok := i[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

var (
	_ storage.PushStore = (*PushStore)(nil)
	_ storage.Checker   = (*PushStore)(nil)
)
