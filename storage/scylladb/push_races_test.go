package scylladb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// device is a key of these tests.
func device(name string) storage.PushKey {
	return storage.PushKey{App: "app", Table: "devices", Group: "g", Name: name}
}

func pushPut(key storage.PushKey, value string) storage.PushChange {
	return storage.PushChange{Op: storage.PushPut, Key: key, Version: storage.NewPushVersion(), Value: []byte(value)}
}

func pushOne(key storage.PushKey) storage.PushChange {
	return storage.PushChange{Op: storage.PushAdd, Key: key, Version: storage.NewPushVersion(), Counts: [storage.PushCounts]int64{1}}
}

func pushDelete(key storage.PushKey) storage.PushChange {
	return storage.PushChange{Op: storage.PushDelete, Key: key}
}

func onlyIf(c storage.PushChange, version uint64) storage.PushChange {
	c.If = &version
	return c
}

func apply(t *testing.T, s *PushStore, changes ...storage.PushChange) {
	t.Helper()
	if err := s.Apply(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func pushGet(t *testing.T, s *PushStore, key storage.PushKey) storage.PushRecord {
	t.Helper()
	read, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return read[0]
}

// Two sessions change the same records while the outcome of many transactions stays
// unknown: whether they were made or not, and whether the answer is an error or a
// connection that breaks. What is acknowledged is there, what is refused is not, nothing is
// there twice or by half.
func TestUnknownOutcomesOfPush(t *testing.T) {
	for _, cassandra := range []bool{false, true} {
		t.Run(fmt.Sprint("cassandra ", cassandra), func(t *testing.T) {
			const writers, turns = 6, 20
			s, o := server(t, cqltest.Options{Cassandra: cassandra})
			stores := []*PushStore{openPush(t, o, ""), openPush(t, o, "")}
			var unknown, doubts atomic.Int64
			s.Let(func(r cqltest.Request, run func() error) error {
				if !isBatch(r) || rand.IntN(4) > 0 {
					return nil
				}
				unknown.Add(1)
				if rand.IntN(2) == 0 {
					if err := run(); err != nil {
						return err
					}
				}
				if rand.IntN(8) == 0 {
					return cqltest.ErrDrop
				}
				return cqltest.WriteTimeout([]string{"CAS", "SIMPLE"}[rand.IntN(2)])
			})
			var said sync.Map // of each receipt, whether it is there
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					for n := range turns {
						receipt := device(fmt.Sprint(w, " ", n))
						changes := []storage.PushChange{pushOne(device("total")), onlyIf(pushPut(receipt, "x"), 0)}
						if n%3 == 0 {
							changes = append(changes, pushPut(device("last"), receipt.Name), pushOne(device(fmt.Sprint("of ", w))))
						}
						switch err := stores[w%2].Apply(t.Context(), changes...); {
						case err == nil:
							said.Store(receipt, true)
						case errors.Is(err, storage.ErrConflict):
							said.Store(receipt, false) // which it never is
						default:
							doubts.Add(1)
						}
					}
				})
			}
			group.Wait()
			s.Let(nil)
			there := 0
			for w := range writers {
				thirds := int64(0)
				for n := range turns {
					receipt := device(fmt.Sprint(w, " ", n))
					is := pushGet(t, stores[n%2], receipt).Version != 0
					if is {
						there++
					}
					if is && n%3 == 0 {
						thirds++
					}
					if want, known := said.Load(receipt); known && want != true || known && !is {
						t.Errorf("of %s was said %v, and that it is there is %t", receipt.Name, want, is)
					}
				}
				if r := pushGet(t, stores[0], device(fmt.Sprint("of ", w))); r.Counts[0] != thirds {
					t.Errorf("of %d, %d are there and %d counted", w, thirds, r.Counts[0])
				}
			}
			if r := pushGet(t, stores[1], device("total")); r.Counts[0] != int64(there) || unknown.Load() == 0 || there == 0 {
				t.Errorf("%d are there and %d counted, with %d unknown outcomes", there, r.Counts[0], unknown.Load())
			}
			t.Logf("FIGURE push store in a CQL server of our own: %d unknown outcomes, %d changes there, %d in doubt", unknown.Load(), there, doubts.Load())
		})
	}
}

// Others change records between the reading and the transaction. If no condition fails by
// that, the call does not.
func TestPushStoreOthersAreFaster(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	store, other := openPush(t, o, ""), openPush(t, o, "")
	there := pushPut(device("there"), "1")
	apply(t, store, there)
	before := func(do func(attempt int)) {
		attempt := 0
		s.Let(func(r cqltest.Request, _ func() error) error {
			if !isBatch(r) || attempt == 3 {
				return nil
			}
			attempt++
			s.Let(nil)
			do(attempt)
			return nil
		})
	}
	// Records come, go and are counted.
	for _, change := range []storage.PushChange{pushPut(device("new"), "mine"), pushOne(device("new")), pushDelete(device("new")), pushOne(there.Key), pushPut(there.Key, "2")} {
		for _, theirs := range []storage.PushChange{pushPut(change.Key, "theirs"), pushOne(change.Key), pushDelete(change.Key)} {
			before(func(int) { apply(t, other, theirs) })
			apply(t, store, change, onlyIf(storage.PushChange{Op: storage.PushCheck, Key: device("none")}, 0))
		}
	}
	// A condition that held when it was read.
	kept := pushPut(device("kept"), "1")
	apply(t, store, kept)
	before(func(int) { apply(t, other, pushPut(kept.Key, "2")) })
	if err := store.Apply(t.Context(), onlyIf(pushPut(kept.Key, "3"), kept.Version), pushOne(device("beside"))); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if r := pushGet(t, store, device("beside")); r.Version != 0 {
		t.Errorf("half of it was made: %+v", r)
	}
	// What is added does not touch what is on the condition of a version.
	version := pushGet(t, store, kept.Key).Version
	before(func(int) { apply(t, other, pushOne(kept.Key)) })
	apply(t, store, onlyIf(pushPut(kept.Key, "4"), version))
	if r := pushGet(t, store, kept.Key); string(r.Value) != "4" || r.Counts[0] != 1 {
		t.Errorf("it is %+v", r)
	}
	if len(store.locks.held) > 0 {
		t.Errorf("%d locks are left", len(store.locks.held))
	}
}

// An old answer to a read is not taken for a condition that does not hold.
func TestPushStoreConflictsAreConfirmed(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	store := openPush(t, o, "")
	first := pushPut(device("a"), "1")
	apply(t, store, first)
	s.Asked()
	err := store.Apply(t.Context(), onlyIf(pushPut(device("a"), "2"), first.Version+2))
	if !errors.Is(err, storage.ErrConflict) || !strings.Contains(err.Error(), store.place) {
		t.Errorf("%v, want a conflict", err)
	}
	var levels []string
	for _, r := range s.Asked() {
		levels = append(levels, r.Consistency)
	}
	if got := strings.Join(levels, " "); got != "LOCAL_QUORUM SERIAL" {
		t.Errorf("it was read with %s", got)
	}
}

// Where nobody can tell what has become of a transaction, it is said so.
func TestPushStoreDoubts(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	store, other := openPush(t, o, ""), openPush(t, o, "")
	first := pushPut(device("a"), "1")
	apply(t, store, first)
	for _, made := range []bool{false, true} {
		version := pushGet(t, store, first.Key).Version
		s.Let(func(r cqltest.Request, run func() error) error {
			if !isBatch(r) {
				return nil
			}
			s.Let(nil)
			if made {
				if err := run(); err != nil {
					return err
				}
			}
			apply(t, other, pushPut(first.Key, "theirs"))
			return cqltest.WriteTimeout("CAS")
		})
		err := store.Apply(t.Context(), onlyIf(pushPut(first.Key, "mine"), version))
		if err == nil || errors.Is(err, storage.ErrConflict) || !strings.Contains(err.Error(), store.place+": it is not known whether") {
			t.Errorf("made %t: %v", made, err)
		}
	} // One record that is as it was tells that the transaction was not made.
	version := pushGet(t, store, first.Key).Version
	s.Let(func(r cqltest.Request, _ func() error) error {
		if !isBatch(r) {
			return nil
		}
		s.Let(nil)
		apply(t, other, pushOne(device("b")))
		return cqltest.WriteTimeout("CAS")
	})
	apply(t, store, onlyIf(pushPut(first.Key, "mine"), version), pushOne(device("b")))
	if r := pushGet(t, store, device("b")); r.Counts[0] != 2 {
		t.Errorf("two changes are counted %d times", r.Counts[0])
	}
}
