package scylladb

import (
	"context"
	"slices"
	"sync"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// howRead is how records are read.
type howRead struct {
	level gocql.Consistency // the zero value is LOCAL_QUORUM
	full  bool              // with their values
}

// rows reads records of one table in their order. A reader may keep what it is given.
func (s *PushStore) rows(ctx context.Context, how howRead, app, table, where string, args []any, read func(*pushRow)) error {
	statement := "SELECT grp, name, version, stamp, due, note, bucket, counts"
	if how.full {
		statement += ", value"
	}
	level := how.level
	if level == gocql.Any { // with which nothing is read
		level = gocql.LocalQuorum
	}
	rows := s.session.Query(statement+" FROM "+s.table+" WHERE app = ? AND tbl = ?"+where, append([]any{[]byte(app), []byte(table)}, args...)...).
		Consistency(level).Idempotent(true).IterContext(ctx)
	var broken error
	for {
		r := &pushRow{PushRecord: storage.PushRecord{Key: storage.PushKey{App: app, Table: table}}}
		var counts []byte
		to := []any{&r.Key.Group, &r.Key.Name, &r.Version, &r.stamp, &r.Due, &r.note, &r.bucket, &counts}
		if how.full {
			to = append(to, &r.Value)
		}
		if !rows.Scan(to...) {
			break
		}
		var err error
		if r.Counts, err = countsOf(counts); err != nil {
			broken = err
		}
		read(r)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	return broken
}

// find reads those of the records that are there.
func (s *PushStore) find(ctx context.Context, keys []storage.PushKey, how howRead) (map[storage.PushKey]*pushRow, error) {
	type group struct {
		app, table, group string
		names             [][]byte
	}
	var groups []*group
	last, asked := map[storage.PushKey]*group{}, make(map[storage.PushKey]bool, len(keys))
	for _, key := range keys {
		if asked[key] {
			continue
		}
		asked[key] = true
		of := storage.PushKey{App: key.App, Table: key.Table, Group: key.Group}
		g := last[of]
		if g == nil || len(g.names) == payloadPage {
			g = &group{app: key.App, table: key.Table, group: key.Group}
			last[of], groups = g, append(groups, g)
		}
		g.names = append(g.names, []byte(key.Name))
	}
	found := make(map[storage.PushKey]*pushRow, len(keys))
	var mu sync.Mutex
	err := each(len(groups), func(i int) error {
		g := groups[i]
		return s.rows(ctx, how, g.app, g.table, " AND grp = ? AND name IN ?", []any{[]byte(g.group), g.names}, func(r *pushRow) {
			mu.Lock()
			defer mu.Unlock()
			found[r.Key] = r
		})
	})
	return found, err
}

// keysOf are the keys of changes.
func keysOf(changes []*storage.PushChange) []storage.PushKey {
	keys := make([]storage.PushKey, 0, len(changes))
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	return slices.Clip(keys)
}
