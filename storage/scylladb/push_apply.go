package scylladb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

var (
	errCondition = fmt.Errorf("a condition does not hold: %w", storage.ErrConflict)
	// errDoubt says that a transaction may have been made or not.
	errDoubt = errors.New("it is not known whether the changes were made, since others have changed the records meanwhile")
)

// Apply implements storage.PushStore. Those of one app follow each other within this
// process, so that only those of several nodes get into each other's way.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := s.mayApply(changes); err != nil {
		return err
	}
	ctx, done, err := s.begin(ctx, callTimeout)
	if err != nil {
		return err
	}
	defer done()
	a := &applying{s: s, id: rand.Text(), now: time.Now().UnixMilli(), noted: map[storage.PushKey]pushNote{}}
	for i := range changes {
		if c := &changes[i]; c.Op != storage.PushCheck || c.If != nil {
			a.changes = append(a.changes, c)
		}
	}
	if len(a.changes) == 0 {
		return nil
	}
	a.keys = keysOf(a.changes)
	unlock, err := s.locks.take(ctx, storage.LogKey{App: a.keys[0].App})
	if err != nil {
		return s.fail(ctx, err)
	}
	err = a.make(ctx)
	unlock()
	if errors.Is(err, storage.ErrConflict) {
		a.forgetNoted(ctx)
		return fmt.Errorf("%s: %w", s.place, err)
	}
	if err == nil {
		s.forget(ctx, a.obsolete)
		return nil
	}
	return s.fail(ctx, err)
}

// mayApply refuses what the servers do not take.
func (s *PushStore) mayApply(changes []storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	size := 0
	for i := range changes {
		if size += len(changes[i].Value); size > maxPushBytes {
			return fmt.Errorf("%s: values of more than %d bytes at once: %w", s.place, maxPushBytes, storage.ErrTooLarge)
		}
	}
	return nil
}

// applying is an Apply on its way, over several attempts. At most one of them is made: all
// are on conditions that none of them leaves as they are, or write what is there.
type applying struct {
	s        *PushStore
	id       string
	now      int64
	changes  []*storage.PushChange
	keys     []storage.PushKey
	noted    map[storage.PushKey]pushNote // what was noted
	obsolete []pushNote                   // of which there is no need when the changes are made
	// tried are the records before the attempts whose outcome is not known, which they
	// were all planned from. It is nil if there are none.
	tried map[storage.PushKey]*pushRow
}

// make makes the changes.
//
// The first attempt is planned from what a quorum says, which may be old; the transaction
// would fail then. Whoever was too slow reads with the serial level, and so does who is to
// be told that a condition does not hold.
func (a *applying) make(ctx context.Context) error {
	level := gocql.LocalQuorum
	var failed error
	for n := 1; ; n++ {
		there, err := a.s.find(ctx, a.keys, howRead{level: level})
		switch {
		case err != nil && !isUncertain(err):
			return err
		case err == nil:
			made, err := a.fate(there)
			if made || err != nil {
				return err
			}
			if !a.holds(there) {
				if level == gocql.Serial {
					return errCondition
				}
				level = gocql.Serial
				continue
			}
			made, err = a.attempt(ctx, there)
			if made || err != nil && !again(err) {
				return err
			}
			failed = err
		}
		if level = gocql.Serial; !pause(ctx, n) {
			return errors.Join(ctx.Err(), err, failed)
		}
	}
}

// again reports whether there may be another attempt after an error.
func again(err error) bool {
	if _, answered := errors.AsType[gocql.RequestError](err); answered {
		return isUncertain(err) // another one would be refused again
	}
	return true
}

// fate finds out what has become of the attempts whose outcome is not known. It is an
// error if there is no telling. Reading with the serial level has ended what was under
// way, so one record that was to be changed and has not been tells that none was made.
func (a *applying) fate(there map[storage.PushKey]*pushRow) (made bool, err error) {
	if a.tried == nil {
		return false, nil
	}
	same, none := true, false
	for _, c := range a.changes {
		now, before := there[c.Key], a.tried[c.Key]
		if now != nil && now.stamp == a.id {
			return true, nil
		}
		if before == nil { // it may have come and gone
			same = same && now == nil
			continue
		}
		unchanged := now != nil && now.stamp == before.stamp && now.Version == before.Version
		same, none = same && unchanged, none || unchanged && c.Op != storage.PushCheck && !addsNothing(c)
	}
	switch {
	case none:
		a.tried = nil
	case !same:
		return false, errDoubt
	}
	return false, nil
}

func addsNothing(c *storage.PushChange) bool {
	return c.Op == storage.PushAdd && c.Counts == [storage.PushCounts]int64{}
}

// holds reports whether the conditions of the caller do.
func (a *applying) holds(there map[storage.PushKey]*pushRow) bool {
	for _, c := range a.changes {
		version := uint64(0)
		if r := there[c.Key]; r != nil {
			version = r.Version
		}
		if c.If != nil && *c.If != version {
			return false
		}
	}
	return true
}

// attempt makes the transaction, planned from the records as they were read. It reports
// whether it was made.
func (a *applying) attempt(ctx context.Context, there map[storage.PushKey]*pushRow) (made bool, err error) {
	if err := a.note(ctx, there); err != nil {
		return false, err
	}
	b := a.s.session.Batch(gocql.UnloggedBatch)
	a.obsolete = nil
	for _, c := range a.changes {
		r := there[c.Key]
		statement, args := a.statement(c, r)
		b.Query(statement, args...)
		if r != nil && r.Due > 0 && (c.Op == storage.PushPut || c.Op == storage.PushDelete) {
			a.obsolete = append(a.obsolete, pushNote{key: r.Key, bucket: r.bucket, due: r.Due, id: r.note})
		}
	}
	applied, rows, err := b.MapExecCASContext(ctx, map[string]any{})
	if rows != nil {
		_ = rows.Close()
	}
	if err != nil {
		a.tried = there
	}
	return applied && err == nil, err
}
