package storagetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushes are two holds on the records of one store.
type pushes struct{ here, there storage.PushStore }

func (p pushes) Close() error { return errors.Join(p.here.Close(), p.there.Close()) }

// TestPushStore checks a push store against its contract. open gives what two nodes have
// that share a store, which may be the same store twice. Tables have names of their own,
// so that several tests may use one store at once. A store that is durable has to pass
// TestPushStoreReopens too.
func TestPushStore(t *testing.T, open func(t *testing.T) (here, there storage.PushStore)) {
	t.Attr("contract", "push store")
	runAll(t, func(t *testing.T) pushes {
		here, there := open(t)
		return pushes{here, there}
	}, []subtest[pushes]{
		{"missing", pushMissing},
		{"get in order", pushGet},
		{"records come as they are", pushAsTheyAre},
		{"slices are copied", pushCopies},
		{"keys are apart", pushKeys},
		{"order", pushOrder},
		{"pages", pushPages},
		{"conditions", pushConditions},
		{"all or none", pushAllOrNone},
		{"made anew", pushMadeAnew},
		{"add", pushAdd},
		{"put keeps counters", pushKeepsCounters},
		{"hundred changes", pushHundred},
		{"refused", pushRefused},
		{"too large", pushTooLarge},
		{"large values", pushLarge},
		{"due", pushDue},
		{"due of many apps", pushDueApps},
		{"one of many puts", pushPutRace},
		{"one of many makes", pushMakeRace},
		{"many add", pushAddRace},
		{"add while others put", pushAddPutRace},
		{"many change several", pushSeveralRace},
		{"checks of what is not there", pushSkewRace},
		{"checks of what is there", pushCheckRace},
		{"ended context", pushEnded},
		{"closed", pushClosed},
	})
}

// pushKeyOf is a key in a table that no other test uses.
func pushKeyOf(name string) storage.PushKey {
	return storage.PushKey{App: "app " + unique(), Table: rand.Text()[:16], Group: "group", Name: name}
}

func named(key storage.PushKey, name string) storage.PushKey {
	key.Name = name
	return key
}

func putOf(key storage.PushKey, value string) storage.PushChange {
	return storage.PushChange{Op: storage.PushPut, Key: key, Version: storage.NewPushVersion(), Value: []byte(value)}
}

func addOf(key storage.PushKey, counts ...int64) storage.PushChange {
	c := storage.PushChange{Op: storage.PushAdd, Key: key, Version: storage.NewPushVersion(), Value: []byte("added")}
	copy(c.Counts[:], counts)
	return c
}

// on adds a condition to a change.
func on(c storage.PushChange, version uint64) storage.PushChange {
	c.If = &version
	return c
}

// apply applies changes, those of each app by themselves, which must succeed.
func (p pushes) apply(t *testing.T, changes ...storage.PushChange) {
	t.Helper()
	for len(changes) > 0 {
		var own, others []storage.PushChange
		for _, c := range changes {
			if c.Key.App == changes[0].Key.App {
				own = append(own, c)
			} else {
				others = append(others, c)
			}
		}
		for some := range slices.Chunk(own, storage.MaxPushChanges) {
			must(t, p.here.Apply(t.Context(), some...))
		}
		changes = others
	}
}

// conflict applies changes, which must not be possible.
func (p pushes) conflict(t *testing.T, what string, changes ...storage.PushChange) {
	t.Helper()
	if err := p.here.Apply(t.Context(), changes...); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("%s: %v, want a conflict", what, err)
	}
}

// get reads one record, on both nodes.
func (p pushes) get(t *testing.T, key storage.PushKey) storage.PushRecord {
	t.Helper()
	one, err := p.there.Get(t.Context(), key)
	must(t, err)
	other, err := p.here.Get(t.Context(), key)
	must(t, err)
	if len(one) != 1 || len(other) != 1 || one[0].Key != key {
		t.Fatalf("%q is read as %d records here and %d there", key, len(other), len(one))
	}
	r := other[0]
	sameRecord(t, one[0], storage.PushChange{Key: r.Key, Version: r.Version, Due: r.Due, Value: r.Value, Counts: r.Counts})
	return one[0]
}

// want compares a record with the change that has made it.
func (p pushes) want(t *testing.T, c storage.PushChange) {
	t.Helper()
	sameRecord(t, p.get(t, c.Key), c)
}

func sameRecord(t *testing.T, r storage.PushRecord, c storage.PushChange) {
	t.Helper()
	if r.Key != c.Key || r.Version != c.Version || r.Due != c.Due || !bytes.Equal(r.Value, c.Value) || r.Counts != c.Counts {
		t.Fatalf("record %.300s,\nwant %.300s", fmt.Sprintf("%+v", r), fmt.Sprintf("%+v", c))
	}
}

func (p pushes) wantNone(t *testing.T, key storage.PushKey) {
	t.Helper()
	if r := p.get(t, key); r.Version != 0 || r.Due != 0 || len(r.Value) != 0 || r.Counts != [storage.PushCounts]int64{} {
		t.Fatalf("what is not there is read as %+v", r)
	}
}

func pushMissing(t *testing.T, p pushes) {
	key := pushKeyOf("a")
	p.wantNone(t, key)
	none, err := p.here.Get(t.Context())
	if must(t, err); len(none) != 0 {
		t.Fatalf("without keys come %v", none)
	}
	list, err := p.here.List(t.Context(), storage.PushQuery{App: key.App, Table: key.Table, Limit: 10})
	if must(t, err); len(list) != 0 {
		t.Fatalf("an empty table has %v", list)
	}
	due, err := p.here.Due(t.Context(), key.Table, 1<<50, 10)
	if must(t, err); len(due) != 0 {
		t.Fatalf("an empty table has %v that is due", due)
	}
	must(t, p.here.Apply(t.Context()))
	p.apply(t, storage.PushChange{Op: storage.PushDelete, Key: key})
	p.apply(t, storage.PushChange{Op: storage.PushCheck, Key: key})
	p.wantNone(t, key)
	for _, bad := range []storage.PushKey{{}, {App: "a", Table: "t"}, {App: "a", Table: strings.Repeat("t", 33), Name: "n"}} {
		if _, err := p.here.Get(t.Context(), bad); err == nil {
			t.Errorf("%+v can be read", bad)
		}
	}
}

func pushGet(t *testing.T, p pushes) {
	key := pushKeyOf("")
	key.Name = "x"
	var changes []storage.PushChange
	var keys []storage.PushKey
	for i := range 300 {
		c := putOf(named(key, fmt.Sprint("n", i)), fmt.Sprint(i))
		if i%3 != 0 {
			changes = append(changes, c)
		}
		keys = append(keys, c.Key)
	}
	p.apply(t, changes...)
	slices.Reverse(keys)
	keys = append(keys, keys[7], keys[7])
	read, err := p.there.Get(t.Context(), keys...)
	must(t, err)
	if len(read) != len(keys) {
		t.Fatalf("%d records of %d keys", len(read), len(keys))
	}
	for i, r := range read {
		var n int
		_, _ = fmt.Sscanf(keys[i].Name, "n%d", &n)
		want := fmt.Sprint(n)
		if n%3 == 0 {
			want = ""
		}
		if r.Key != keys[i] || string(r.Value) != want || (r.Version != 0) != (want != "") {
			t.Fatalf("record %d is %+v, want %q", i, r, want)
		}
	}
}

func pushAsTheyAre(t *testing.T, p pushes) {
	key := pushKeyOf("a")
	counts := [storage.PushCounts]int64{1, -2, 3, 0, 1 << 40, -1 << 40, 7, 8, 9, 10, 11, 12}
	for i, value := range []string{"", weird, "\x00", "\xff\xfe\x00\r\n", `{"a":1}`, strings.Repeat("0123456789abcdef", 4<<10)} {
		c := putOf(named(key, fmt.Sprint(i, "\x00", weird, "\xff")), value)
		c.Due, c.Counts = int64(i)*(1<<40), counts
		if i == 1 {
			c.Version = 1<<63 - 1
		}
		p.apply(t, c)
		p.want(t, c)
	}
	c := putOf(named(key, "nil"), "")
	c.Value = nil
	p.apply(t, c)
	p.want(t, c)
}

func pushCopies(t *testing.T, p pushes) {
	c := putOf(pushKeyOf("a"), "value")
	p.apply(t, c)
	c.Value[0] = 'X'
	q := storage.PushQuery{App: c.Key.App, Table: c.Key.Table, Limit: 1}
	for range 2 {
		got, err := p.here.Get(t.Context(), c.Key)
		must(t, err)
		list, err := p.here.List(t.Context(), q)
		must(t, err)
		if len(list) != 1 || string(got[0].Value) != "value" || string(list[0].Value) != "value" {
			t.Fatalf("read %+v and %+v", got, list)
		}
		got[0].Value[0], list[0].Value[1] = 'Y', 'Z'
	}
}

// pushKeys has keys that are one text when their parts are joined, and some that are one
// when letters or bytes are not taken as they are.
func pushKeys(t *testing.T, p pushes) {
	base := pushKeyOf("name")
	keys := []storage.PushKey{
		base, named(base, "Name"), named(base, "name "), named(base, "name\x00"), named(base, "\x00name"), named(base, "n\xe4me"), named(base, "näme"),
		{App: base.App, Table: base.Table, Group: "", Name: "groupname"},
		{App: base.App, Table: base.Table, Group: "groupname", Name: "group"},
		{App: base.App, Table: base.Table, Group: "group:", Name: "name"},
		{App: base.App, Table: base.Table, Group: "group", Name: ":name"},
		{App: base.App, Table: base.Table, Group: "group\x00", Name: "name"},
		{App: base.App, Table: base.Table, Group: "GROUP", Name: "name"},
		{App: base.App, Table: base.Table + "x", Group: "group", Name: "name"},
		{App: base.App, Table: strings.ToLower(base.Table), Group: "group", Name: "name"},
		{App: base.App + " ", Table: base.Table, Group: "group", Name: "name"},
		{App: strings.ToUpper(base.App), Table: base.Table, Group: "group", Name: "name"},
		{App: base.App, Table: base.Table, Group: strings.Repeat("g", 512), Name: strings.Repeat("n", 512)},
		{App: base.App, Table: base.Table, Group: strings.Repeat("\xff", 512), Name: strings.Repeat("\x00", 511)},
		{App: base.App, Table: base.Table, Group: strings.Repeat("\xff", 512), Name: strings.Repeat("\x00", 512)},
		{App: base.App + strings.Repeat("a", 128-len(base.App)), Table: strings.Repeat(base.Table, 2), Group: strings.Repeat("\x00", 512), Name: "n"},
	}
	var changes []storage.PushChange
	for i, k := range keys {
		changes = append(changes, putOf(k, fmt.Sprint(i)))
	}
	p.apply(t, changes...)
	for _, c := range changes {
		p.want(t, c)
	}
	p.apply(t, storage.PushChange{Op: storage.PushDelete, Key: base})
	p.wantNone(t, base)
	for _, c := range changes[1:] {
		p.want(t, c)
	}
}
