package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// race runs the racers, half of them on each node.
func (p pushes) race(run func(on storage.PushStore, racer int)) {
	atOnce(racers, func(i int) {
		on := p.here
		if i%2 == 1 {
			on = p.there
		}
		run(on, i)
	})
}

// pushPutRace has all racers change the same version. One of them wins.
func pushPutRace(t *testing.T, p pushes) {
	last := putOf(pushKeyOf("a"), "0")
	p.apply(t, last)
	for turn := range turns {
		var won atomic.Pointer[storage.PushChange]
		p.race(func(s storage.PushStore, i int) {
			c := on(putOf(last.Key, fmt.Sprint(turn, " ", i)), last.Version)
			c.Counts[0] = 1
			switch err := s.Apply(t.Context(), c); {
			case err == nil:
				if other := won.Swap(&c); other != nil {
					t.Errorf("%s and %s won", c.Value, other.Value)
				}
			case !errors.Is(err, storage.ErrConflict):
				t.Errorf("put %d: %v", i, err)
			}
		})
		if won.Load() == nil {
			t.Fatalf("turn %d: nobody won", turn)
		}
		last = *won.Load()
		last.Counts[0] = int64(turn + 1)
		p.want(t, last)
	}
}

// pushMakeRace has all racers make the same record, beside another one of each.
func pushMakeRace(t *testing.T, p pushes) {
	base := pushKeyOf("x")
	for turn := range turns {
		var won atomic.Int64
		p.race(func(s storage.PushStore, i int) {
			key := named(base, fmt.Sprint(turn))
			own := putOf(named(base, fmt.Sprint(turn, " of ", i)), "")
			c := on(putOf(key, ""), 0)
			var err error
			if turn%2 == 0 {
				err = s.Apply(t.Context(), c)
			} else {
				err = s.Apply(t.Context(), own, c)
			}
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, storage.ErrConflict):
				t.Errorf("put %d: %v", i, err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("turn %d: %d won", turn, won.Load())
		}
	}
	if list := p.list(t, storage.PushQuery{App: base.App, Table: base.Table, Limit: 100}); len(list) != turns+turns/2 {
		t.Fatalf("%d records are there", len(list))
	}
}

func pushAddRace(t *testing.T, p pushes) {
	base := pushKeyOf("a")
	p.race(func(s storage.PushStore, i int) {
		for turn := range turns {
			changes := []storage.PushChange{addOf(base, 1, int64(i), -1)}
			if turn%2 == 1 {
				changes = append(changes, addOf(named(base, fmt.Sprint(turn)), 2))
			}
			if err := s.Apply(t.Context(), changes...); err != nil {
				t.Errorf("add: %v", err)
			}
		}
	})
	want := [storage.PushCounts]int64{racers * turns, turns * racers * (racers - 1) / 2, -racers * turns}
	if r := p.get(t, base); r.Counts != want || string(r.Value) != "added" {
		t.Fatalf("after all adds: %+v, want %v", r, want)
	}
	for turn := 1; turn < turns; turn += 2 {
		if r := p.get(t, named(base, fmt.Sprint(turn))); r.Counts[0] != 2*racers {
			t.Fatalf("after the adds of turn %d: %+v", turn, r)
		}
	}
}

// pushAddPutRace has some racers put what others add to.
func pushAddPutRace(t *testing.T, p pushes) {
	first := putOf(pushKeyOf("a"), "0")
	p.apply(t, first)
	p.race(func(s storage.PushStore, i int) {
		for done := 0; done < turns; {
			c := addOf(first.Key, 1)
			if i < 2 {
				read, err := s.Get(t.Context(), first.Key)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				var n int
				_, _ = fmt.Sscan(string(read[0].Value), &n)
				c = on(putOf(first.Key, fmt.Sprint(n+1)), read[0].Version)
				c.Counts[1] = 1
			}
			switch err := s.Apply(t.Context(), c); {
			case err == nil:
				done++
			case c.Op == storage.PushAdd || !errors.Is(err, storage.ErrConflict):
				t.Errorf("apply: %v", err)
				return
			}
		}
	})
	r := p.get(t, first.Key)
	if want := fmt.Sprint(2 * turns); string(r.Value) != want || r.Counts[0] != (racers-2)*turns || r.Counts[1] != 2*turns {
		t.Fatalf("after all: %+v, want the value %s", r, want)
	}
}

// pushSeveralRace moves what is counted between records, in any order: nothing waits for
// ever, and the sum stays.
func pushSeveralRace(t *testing.T, p pushes) {
	base := pushKeyOf("x")
	k := func(i int) storage.PushKey { return named(base, fmt.Sprint("account ", i)) }
	var moved atomic.Int64
	p.race(func(s storage.PushStore, _ int) {
		for range turns {
			order := rand.Perm(6)
			changes := []storage.PushChange{addOf(k(order[0]), -3), addOf(k(order[1]), 1), addOf(k(order[2]), 2)}
			conditional := rand.IntN(2) == 0
			if conditional {
				read, err := s.Get(t.Context(), k(order[3]))
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				c := on(putOf(k(order[3]), "seen"), read[0].Version)
				c.Counts[1] = 1
				changes = append(changes, c)
			}
			switch err := s.Apply(t.Context(), changes...); {
			case err == nil && conditional:
				moved.Add(1)
			case err != nil && (!conditional || !errors.Is(err, storage.ErrConflict)):
				t.Errorf("apply: %v", err)
				return
			}
		}
	})
	sum, puts := int64(0), int64(0)
	for i := range 6 {
		r := p.get(t, k(i))
		sum, puts = sum+r.Counts[0], puts+r.Counts[1]
	}
	if sum != 0 || puts != moved.Load() {
		t.Fatalf("the sum is %d; %d puts are counted of %d", sum, puts, moved.Load())
	}
}

// pushSkewRace has two records of which each is made only if the other is not there.
func pushSkewRace(t *testing.T, p pushes) {
	base := pushKeyOf("x")
	for turn := range 2 * turns {
		keys := [2]storage.PushKey{named(base, fmt.Sprint(turn, " a")), named(base, fmt.Sprint(turn, " b"))}
		var made [2]atomic.Int64
		p.race(func(s storage.PushStore, i int) {
			i /= 2
			err := s.Apply(t.Context(), putOf(keys[i%2], ""), checkOf(keys[1-i%2], 0))
			switch {
			case err == nil:
				made[i%2].Add(1)
			case !errors.Is(err, storage.ErrConflict):
				t.Errorf("apply: %v", err)
			}
		})
		if (made[0].Load() == 0) == (made[1].Load() == 0) {
			t.Fatalf("turn %d: one was made %d times, the other %d times", turn, made[0].Load(), made[1].Load())
		}
	}
}

// pushCheckRace has some racers make records as long as another is as it was, while it is
// changed.
func pushCheckRace(t *testing.T, p pushes) {
	base := pushKeyOf("x")
	for turn := range turns {
		gate := putOf(named(base, fmt.Sprint("gate ", turn)), "open")
		p.apply(t, gate)
		closed := make(chan struct{})
		p.race(func(s storage.PushStore, i int) {
			if i == 0 {
				defer close(closed)
				if err := s.Apply(t.Context(), on(putOf(gate.Key, "shut"), gate.Version)); err != nil {
					t.Errorf("put: %v", err)
				}
				return
			}
			pass := func(n int) error {
				return s.Apply(t.Context(), checkOf(gate.Key, gate.Version), putOf(named(base, fmt.Sprint(turn, " ", i, " ", n)), ""))
			}
			for n := range turns {
				if err := pass(n); err != nil && !errors.Is(err, storage.ErrConflict) {
					t.Errorf("while the gate is shut: %v", err)
				}
			}
			<-closed
			if err := pass(turns); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("after the gate is shut: %v", err)
			}
		})
		for i := range racers {
			p.wantNone(t, named(base, fmt.Sprint(turn, " ", i, " ", turns)))
		}
	}
}
