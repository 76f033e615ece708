package storagetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// list reads all pages of a query, and checks that each but the last is full.
func (p pushes) list(t *testing.T, q storage.PushQuery) (all []storage.PushRecord) {
	t.Helper()
	for {
		page, err := p.there.List(t.Context(), q)
		must(t, err)
		if len(page) > q.Limit {
			t.Fatalf("a page of %d has %d", q.Limit, len(page))
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		last := page[len(page)-1].Key
		q.AfterGroup, q.AfterName = last.Group, last.Name
	}
}

// wantList compares what a query reads with the changes that have made it.
func (p pushes) wantList(t *testing.T, q storage.PushQuery, want []storage.PushChange) {
	t.Helper()
	got := p.list(t, q)
	if len(got) != len(want) {
		t.Fatalf("%d records are listed, want %d", len(got), len(want))
	}
	for i := range got {
		sameRecord(t, got[i], want[i])
	}
}

func inOrder(a, b storage.PushChange) int {
	return cmp.Or(strings.Compare(a.Key.Group, b.Key.Group), strings.Compare(a.Key.Name, b.Key.Name))
}

// oddTexts are in the order of their bytes, which is not that of any language.
var oddTexts = []string{
	"\x00", "\x00\x00", "\x00\xff", "\n", " ", "%", "*", "0", "10", "9", ":", ":a", "A", "Z", "_", "a", "a\x00", "a\x00b", "a ", "a:", "a:b", "aa", "b", "z", "\u00e4", "\ufffd", "\U0001f511", "\xfe", "\xff", "\xff\x00", "\xff\xff",
}

func pushOrder(t *testing.T, p pushes) {
	key := pushKeyOf("x")
	var changes []storage.PushChange
	for _, group := range append([]string{""}, oddTexts...) {
		for i, name := range oddTexts {
			if group == "" || group == ":" || group == "a\x00" || group == "\xff" || i%9 == len(group) {
				changes = append(changes, putOf(storage.PushKey{App: key.App, Table: key.Table, Group: group, Name: name}, group+name))
			}
		}
	}
	shuffled := slices.Clone(changes)
	slices.SortFunc(shuffled, func(a, b storage.PushChange) int { return cmp.Compare(a.Version, b.Version) })
	p.apply(t, shuffled...)
	slices.SortFunc(changes, inOrder)
	for _, limit := range []int{1000, 7} {
		p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: limit}, changes)
	}
	for _, group := range []string{"", ":", "a\x00", "\xff", "nobody"} {
		var want []storage.PushChange
		for _, c := range changes {
			if c.Key.Group == group {
				want = append(want, c)
			}
		}
		p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Group: &group, Limit: 4}, want)
	}
	// What is left out needs not be there.
	for _, after := range [][2]string{{"a", "a\x00\x00"}, {"", "zz"}, {"\xff", "\xff\xff\xff"}, {"9", "\x00"}} {
		at := slices.IndexFunc(changes, func(c storage.PushChange) bool {
			return cmp.Or(strings.Compare(c.Key.Group, after[0]), strings.Compare(c.Key.Name, after[1])) > 0
		})
		if at < 0 {
			at = len(changes)
		}
		p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, AfterGroup: after[0], AfterName: after[1], Limit: 500}, changes[at:])
	}
	for _, limit := range []int{0, -1} {
		none, err := p.here.List(t.Context(), storage.PushQuery{App: key.App, Table: key.Table, Limit: limit})
		if must(t, err); len(none) != 0 {
			t.Fatalf("limit %d reads %d records", limit, len(none))
		}
	}
}

func pushPages(t *testing.T, p pushes) {
	key := pushKeyOf("x")
	var changes []storage.PushChange
	for i := range 2500 {
		c := putOf(named(key, fmt.Sprintf("%x", i*i)), fmt.Sprint(i))
		c.Key.Group, c.Counts[i%storage.PushCounts] = fmt.Sprint("g", min(i%10, 3)), int64(i)
		changes = append(changes, c)
	}
	p.apply(t, changes...)
	other := putOf(named(key, "other"), "")
	other.Key.App += "2"
	p.apply(t, other)
	slices.SortFunc(changes, inOrder)
	p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: 100}, changes)
	p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: 1000}, changes)
	group := "g3"
	at := slices.IndexFunc(changes, func(c storage.PushChange) bool { return c.Key.Group == group })
	p.wantList(t, storage.PushQuery{App: key.App, Table: key.Table, Group: &group, Limit: 333, AfterGroup: "no matter"}, changes[at:])
	p.wantList(t, storage.PushQuery{App: other.Key.App, Table: key.Table, Limit: 5}, []storage.PushChange{other})
}
