package sql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// errCondition is what becomes of an Apply that is not possible. It changes nothing, and
// leaves the transaction of others as it is.
var errCondition = refused{fmt.Errorf("a condition does not hold: %w", storage.ErrConflict)}

// Apply implements storage.PushStore. It is one transaction.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	if err := s.usable(ctx); err != nil {
		return err
	}
	size := int64(0)
	for i := range changes {
		if n := int64(len(changes[i].Value)); n > s.maxSize {
			return fmt.Errorf("%s takes values of at most %d bytes, by its max_allowed_packet, and not %d: %w", s.place, s.maxSize, n, storage.ErrTooLarge)
		}
		size += int64(len(changes[i].Value)) + 1
	}
	ordered := inKeyOrder(changes)
	if len(ordered) == 0 {
		return nil
	}
	if len(ordered) == 1 {
		if q, ok := s.quick(ordered[0]); ok {
			return s.applyQuick(ctx, size, q)
		}
	}
	return s.change(ctx, size, func(tx *transaction) error { return s.apply(tx, ordered) })
}

// inKeyOrder are the changes in the order of their keys, but for those that do nothing.
// All transactions lock in this order, so that they do not wait for each other in a circle.
func inKeyOrder(changes []storage.PushChange) []*storage.PushChange {
	ordered := make([]*storage.PushChange, 0, len(changes))
	for i := range changes {
		if c := &changes[i]; c.Op != storage.PushCheck || c.If != nil {
			ordered = append(ordered, c)
		}
	}
	slices.SortFunc(ordered, func(x, y *storage.PushChange) int {
		a, b := &x.Key, &y.Key
		return cmp.Or(strings.Compare(a.App, b.App), strings.Compare(a.Table, b.Table), strings.Compare(a.Group, b.Group), strings.Compare(a.Name, b.Name))
	})
	return ordered
}

// apply carries out changes within a transaction. It writes nothing before all conditions
// are known to hold.
//
// What is not there cannot be locked: on a server, each record that has to stay away until
// the end is made for that time, so that nobody else can make it.
func (s *PushStore) apply(tx *transaction, changes []*storage.PushChange) error {
	versions, err := s.lock(tx, changes)
	if err != nil {
		return err
	}
	var fresh, puts, adds []*storage.PushChange
	var gone []storage.PushKey
	for _, c := range changes {
		version := versions[c.Key]
		if c.If != nil && *c.If != version {
			return errCondition
		}
		makes := c.Op == storage.PushPut || c.Op == storage.PushAdd
		switch {
		case version == 0 && (makes || s.dialect != SQLite):
			fresh = append(fresh, c)
		case c.Op == storage.PushPut:
			puts = append(puts, c)
		case c.Op == storage.PushAdd:
			adds = append(adds, c)
		}
		if c.Op == storage.PushDelete && version != 0 || version == 0 && !makes && s.dialect != SQLite {
			gone = append(gone, c.Key)
		}
	}
	if err := s.insert(tx, fresh, ""); err != nil { // a duplicate begins anew
		return err
	}
	if err := s.insert(tx, puts, s.onRowThere(true)); err != nil {
		return err
	}
	if err := s.insert(tx, adds, s.onRowThere(false)); err != nil {
		return err
	}
	return s.remove(tx, gone)
}

// lock locks the records of changes that are there, in the order of their keys, and reads
// their versions.
func (s *PushStore) lock(tx *transaction, changes []*storage.PushChange) (map[storage.PushKey]uint64, error) {
	versions := make(map[storage.PushKey]uint64, len(changes))
	read := func(scan func(...any) error) error {
		var app, table, group, name []byte
		var version uint64
		err := scan(&app, &table, &group, &name, &version)
		versions[storage.PushKey{App: string(app), Table: string(table), Group: string(group), Name: string(name)}] = version
		return err
	}
	keys := make([]storage.PushKey, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	if s.dialect == Postgres {
		return versions, tx.query(read, s.text("SELECT found.*"+oneByOne(pushKeyColumns+", version", "FOR UPDATE")), keyArrays(keys)...)
	}
	where, args := anyOf(padded(s.dialect, keys))
	end := ""
	if s.dialect == MySQL {
		end = " ORDER BY " + pushKeyColumns + " FOR UPDATE"
	}
	return versions, tx.query(read, s.text("SELECT "+pushKeyColumns+", version FROM {records}"+s.index("PRIMARY")+" WHERE "+where+end), args...)
}
