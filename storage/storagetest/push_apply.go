package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func deleteOf(key storage.PushKey) storage.PushChange {
	return storage.PushChange{Op: storage.PushDelete, Key: key}
}

func checkOf(key storage.PushKey, version uint64) storage.PushChange {
	return on(storage.PushChange{Op: storage.PushCheck, Key: key}, version)
}

// pushConditions tries each operation with each condition, on what is there and what is
// not.
func pushConditions(t *testing.T, p pushes) {
	for name, change := range map[string]func(storage.PushKey) storage.PushChange{
		"put": func(k storage.PushKey) storage.PushChange { return putOf(k, "new") }, "delete": deleteOf,
		"add":   func(k storage.PushKey) storage.PushChange { return addOf(k, 1) },
		"check": func(k storage.PushKey) storage.PushChange { return storage.PushChange{Op: storage.PushCheck, Key: k} },
	} {
		there, absent := putOf(pushKeyOf("there"), "old"), pushKeyOf("absent")
		there.Counts[0], there.Due = 5, 1<<40
		p.apply(t, there)
		p.conflict(t, name+" what is there if there is none", on(change(there.Key), 0))
		p.conflict(t, name+" what is there if it is another", on(change(there.Key), there.Version+1))
		p.conflict(t, name+" what is not there if it is", on(change(absent), there.Version))
		p.want(t, there)
		p.wantNone(t, absent)
		for _, c := range []storage.PushChange{on(change(there.Key), there.Version), on(change(absent), 0)} {
			before := p.get(t, c.Key)
			p.apply(t, c)
			p.wantAfter(t, before, c)
		}
		for _, c := range []storage.PushChange{change(there.Key), change(absent), change(absent)} {
			before := p.get(t, c.Key)
			p.apply(t, c)
			p.wantAfter(t, before, c)
		}
	}
}

// wantAfter checks what a change has made of a record.
func (p pushes) wantAfter(t *testing.T, before storage.PushRecord, c storage.PushChange) {
	t.Helper()
	want := storage.PushChange{Key: before.Key, Version: before.Version, Due: before.Due, Value: before.Value, Counts: before.Counts}
	switch {
	case c.Op == storage.PushDelete:
		want = storage.PushChange{Key: c.Key}
	case c.Op == storage.PushPut, c.Op == storage.PushAdd && before.Version == 0:
		want.Version, want.Due, want.Value = c.Version, c.Due, c.Value
	}
	if c.Op == storage.PushPut || c.Op == storage.PushAdd {
		for i, n := range c.Counts {
			want.Counts[i] += n
		}
	}
	p.want(t, want)
}

// pushAllOrNone has calls whose conditions hold but for one, at each place.
func pushAllOrNone(t *testing.T, p pushes) {
	base := pushKeyOf("x")
	k := func(name string) storage.PushKey { return named(base, name) }
	put, added, deleted := putOf(k("put"), "old"), putOf(k("add"), "old"), putOf(k("delete"), "old")
	put.Due, added.Counts[3] = 1<<40, 7
	p.apply(t, put, added, deleted)
	good := func() []storage.PushChange {
		return []storage.PushChange{
			on(putOf(k("put"), "new"), put.Version), addOf(k("add"), 1, 2), on(deleteOf(k("delete")), deleted.Version),
			on(putOf(k("new"), "new"), 0), addOf(k("new counters"), 9), checkOf(k("none"), 0), checkOf(k("zero"), 0),
		}
	}
	for i := range good() {
		changes := good()
		wrong := storage.NewPushVersion()
		changes[i].If = &wrong
		p.conflict(t, fmt.Sprint("with a wrong condition of change ", i), changes...)
		p.want(t, put)
		p.want(t, added)
		p.want(t, deleted)
		for _, name := range []string{"new", "new counters", "none", "zero"} {
			p.wantNone(t, k(name))
		}
	}
	changes := good()
	p.apply(t, changes...)
	p.want(t, changes[0])
	added.Counts[0], added.Counts[1] = 1, 2
	p.want(t, added)
	p.wantNone(t, k("delete"))
	p.want(t, changes[3])
	p.want(t, changes[4])
	p.wantNone(t, k("none"))
	list := p.list(t, storage.PushQuery{App: base.App, Table: base.Table, Limit: 10})
	if len(list) != 4 {
		t.Fatalf("%d records are there, want 4: %+v", len(list), list)
	}
	p.conflict(t, "the same once more", changes...)
}

func pushMadeAnew(t *testing.T, p pushes) {
	key := pushKeyOf("a")
	old := []uint64{}
	for i := range 4 {
		c := on(putOf(key, fmt.Sprint(i)), 0)
		c.Counts[0] = 1
		p.apply(t, c)
		p.want(t, c)
		for _, version := range old {
			p.conflict(t, "a version before it was deleted", on(putOf(key, "no"), version))
			p.conflict(t, "a version before it was deleted", on(deleteOf(key), version))
			p.conflict(t, "a version before it was deleted", checkOf(key, version))
		}
		p.want(t, c)
		p.apply(t, on(deleteOf(key), c.Version))
		p.wantNone(t, key)
		old = append(old, c.Version)
	}
}

func pushAdd(t *testing.T, p pushes) {
	key := pushKeyOf("a")
	first := addOf(key, 1, 0, -3)
	first.Due, first.Value = 1<<41, []byte("first")
	p.apply(t, first)
	p.want(t, first)
	second := addOf(key, 10, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 12)
	second.Due = 7
	p.apply(t, second)
	first.Counts = [storage.PushCounts]int64{11, 5, -2, 0, 0, 0, 0, 0, 0, 0, 0, 12}
	p.want(t, first) // with its value, version and due
	p.apply(t, on(addOf(key, 1), first.Version), addOf(named(key, "b"), 4))
	first.Counts[0] = 12
	p.want(t, first)
	if r := p.get(t, named(key, "b")); r.Counts[0] != 4 || string(r.Value) != "added" {
		t.Fatalf("beside it %+v was made", r)
	}
	p.apply(t, deleteOf(key))
	again := addOf(key, 1)
	p.apply(t, again)
	p.want(t, again) // nothing is left of its counters
}

func pushKeepsCounters(t *testing.T, p pushes) {
	c := putOf(pushKeyOf("a"), "1")
	c.Counts = [storage.PushCounts]int64{1, 2, 3}
	p.apply(t, c)
	next := on(putOf(c.Key, "2"), c.Version)
	next.Due = 1 << 42
	next.Counts[1], next.Counts[11] = 10, 5
	p.apply(t, next)
	next.Counts = [storage.PushCounts]int64{1, 12, 3, 0, 0, 0, 0, 0, 0, 0, 0, 5}
	p.want(t, next)
	last := putOf(c.Key, "")
	p.apply(t, last)
	last.Counts = next.Counts
	p.want(t, last)
}

func pushHundred(t *testing.T, p pushes) {
	key := pushKeyOf("x")
	var puts, mixed, many []storage.PushChange
	for i := range storage.MaxPushChanges {
		puts = append(puts, on(putOf(named(key, fmt.Sprint(i)), "one"), 0))
		k := puts[i].Key
		mixed = append(mixed, []storage.PushChange{
			on(putOf(k, "two"), puts[i].Version), addOf(k, int64(i)), on(deleteOf(k), puts[i].Version),
			checkOf(k, puts[i].Version), on(putOf(named(k, fmt.Sprint("new", i)), "two"), 0),
		}[i%5])
	}
	p.apply(t, puts...)
	p.apply(t, mixed...)
	if list := p.list(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: 150}); len(list) != storage.MaxPushChanges {
		t.Fatalf("%d records are there", len(list))
	}
	for i := range storage.MaxPushChanges + 1 {
		many = append(many, putOf(named(key, fmt.Sprint("many", i)), ""))
	}
	if err := p.here.Apply(t.Context(), many...); err == nil || errors.Is(err, storage.ErrConflict) {
		t.Fatalf("%d changes at once: %v", len(many), err)
	}
	p.wantNone(t, many[0].Key)
}

func pushRefused(t *testing.T, p pushes) {
	key := pushKeyOf("a")
	long := strings.Repeat("x", 513)
	bad := map[string]storage.PushChange{
		"no app": putOf(storage.PushKey{Table: "t", Name: "n"}, ""), "no table": putOf(storage.PushKey{App: "a", Name: "n"}, ""),
		"no name": putOf(named(key, ""), ""), "long name": putOf(named(key, long), ""),
		"no version": {Op: storage.PushPut, Key: key}, "negative due": {Op: storage.PushPut, Key: key, Version: 1, Due: -1},
		"large version": {Op: storage.PushAdd, Key: key, Version: 1 << 63}, "unknown": {Op: storage.PushCheck + 1, Key: key},
		"the same key": putOf(named(key, "good"), "2"),
	}
	group, app := key, named(key, "other")
	group.Group, app.App = long, key.App+"2"
	bad["long group"], bad["another app"] = putOf(group, ""), putOf(app, "")
	for what, c := range bad {
		if err := p.here.Apply(t.Context(), putOf(named(key, "good"), ""), c); err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.wantNone(t, named(key, "good"))
}

func pushTooLarge(t *testing.T, p pushes) {
	limit := int64(storage.MaxPushValue)
	if s, ok := p.here.(SizeLimited); ok {
		limit = min(limit, s.MaxSize())
	}
	key := pushKeyOf("a")
	large, beside := putOf(key, strings.Repeat("x", int(limit)+1)), putOf(named(key, "b"), "")
	if err := p.here.Apply(t.Context(), beside, large); !errors.Is(err, storage.ErrTooLarge) {
		t.Fatalf("a value of %d bytes: %v", limit+1, err)
	}
	p.wantNone(t, beside.Key)
	large.Value = large.Value[1:]
	p.apply(t, large)
	p.want(t, large)
	var all []storage.PushChange
	for i := range storage.MaxPushBytes/(256<<10) + 1 {
		all = append(all, putOf(named(key, fmt.Sprint(i)), strings.Repeat("x", 256<<10)))
	}
	if err := p.here.Apply(t.Context(), all...); !errors.Is(err, storage.ErrTooLarge) {
		t.Fatalf("many large values: %v", err)
	}
	p.wantNone(t, all[0].Key)
}

// pushLarge reads and writes what is more than a page of most databases.
func pushLarge(t *testing.T, p pushes) {
	key := pushKeyOf("x")
	var changes []storage.PushChange
	for i := range 12 {
		c := putOf(named(key, fmt.Sprintf("%02d", i)), strings.Repeat(fmt.Sprint(i%10), 256<<10))
		changes = append(changes, c)
		if i%4 == 3 {
			p.apply(t, changes[i-3:]...)
		}
	}
	p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: 50}, changes)
	keys := []storage.PushKey{}
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	read, err := p.there.Get(t.Context(), keys...)
	must(t, err)
	for i := range read {
		sameRecord(t, read[i], changes[i])
	}
	less := on(putOf(changes[0].Key, "small"), changes[0].Version)
	p.apply(t, less)
	p.want(t, less)
}
