package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushReads is how many records are asked for at once.
const pushReads = 64

// Get implements storage.PushStore.
func (s *PushStore) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return nil, err
		}
	}
	read := make([]storage.PushRecord, 0, len(keys))
	for some := range slices.Chunk(keys, pushReads) {
		err := s.client.call(ctx, func(ctx context.Context) error {
			pipe := s.client.Pipeline()
			found := make([]*redis.MapStringStringCmd, len(some))
			for i := range some {
				found[i] = pipe.HGetAll(ctx, s.recordKey(&some[i]))
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
			for i := range some {
				r, err := readPush(some[i], found[i].Val())
				if err != nil {
					return err
				}
				read = append(read, r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return read, nil
}

// readPush is the record that a hash holds, see applyPush.
func readPush(key storage.PushKey, fields map[string]string) (storage.PushRecord, error) {
	r := storage.PushRecord{Key: key}
	if len(fields) == 0 {
		return r, nil
	}
	wrong := func() (storage.PushRecord, error) {
		return storage.PushRecord{}, fmt.Errorf("a record in %s of push notifications cannot be read: somebody else has written there", key.Table)
	}
	for name, text := range fields {
		var err error
		switch name {
		case "v":
			r.Version, err = strconv.ParseUint(text, 10, 63)
		case "d":
			r.Due, err = strconv.ParseInt(text, 10, 64)
		case "x":
			r.Value = []byte(text)
		default:
			var i uint64
			if i, err = strconv.ParseUint(name, 10, 8); err != nil || i >= storage.PushCounts || strconv.FormatUint(i, 10) != name {
				return wrong()
			}
			r.Counts[i], err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			return wrong()
		}
	}
	if r.Version == 0 || r.Due < 0 || r.Value == nil || len(r.Value) > storage.MaxPushValue {
		return wrong()
	}
	return r, nil
}

// List implements storage.PushStore. It asks for the names, and then for the records; when
// some of them have been removed in between, it asks for more.
func (s *PushStore) List(ctx context.Context, q storage.PushQuery) (read []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || q.Limit <= 0 {
		return nil, err
	}
	from, to := "-", "+"
	switch {
	case q.Group != nil:
		from, to = "("+listMember(*q.Group, q.AfterName), "("+groupText(*q.Group)+afterGroup
	case q.AfterName != "":
		from = "(" + listMember(q.AfterGroup, q.AfterName)
	}
	for {
		var members []string
		most := min(q.Limit-len(read), pushReads)
		err := s.client.call(ctx, func(ctx context.Context) (err error) {
			members, err = s.client.ZRangeByLex(ctx, s.listKey(q.App, q.Table), &redis.ZRangeBy{Min: from, Max: to, Count: int64(most)}).Result()
			return err
		})
		if err != nil {
			return nil, err
		}
		keys := make([]storage.PushKey, len(members))
		for i, member := range members {
			keys[i] = storage.PushKey{App: q.App, Table: q.Table}
			if keys[i].Group, keys[i].Name, err = readListMember(member); err != nil {
				return nil, s.client.fail(ctx, err)
			}
		}
		page, err := s.Get(ctx, keys...)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if page[i].Version != 0 {
				read = append(read, page[i])
			}
		}
		if len(members) < most || len(read) >= q.Limit {
			return read, nil
		}
		from = "(" + members[len(members)-1]
	}
}

// Due implements storage.PushStore. It asks each bucket, and then for the records.
func (s *PushStore) Due(ctx context.Context, table string, now int64, limit int) (due []storage.PushRecord, err error) {
	if err := s.usable(ctx); err != nil || limit <= 0 {
		return nil, err
	}
	var found []redis.Z
	err = s.client.call(ctx, func(ctx context.Context) error {
		pipe := s.client.Pipeline()
		var lists [pushBuckets]*redis.ZSliceCmd
		for i := range lists {
			lists[i] = pipe.ZRangeByScoreWithScores(ctx, s.pushDueKey(i, table), &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now, 10), Count: int64(limit)})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for _, list := range lists {
			found = append(found, list.Val()...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b redis.Z) int { return cmp.Compare(a.Score, b.Score) })
	found = found[:min(limit, len(found))]
	keys := make([]storage.PushKey, len(found))
	for i := range found {
		member, _ := found[i].Member.(string)
		if keys[i], err = readDueMember(table, member); err != nil {
			return nil, s.client.fail(ctx, err)
		}
	}
	due, err = s.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	// What has been changed in between is not due any more.
	return slices.DeleteFunc(due, func(r storage.PushRecord) bool { return r.Version == 0 || r.Due == 0 || r.Due > now }), nil
}
