package surrealdb

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestPushTableIsMadeOnce(t *testing.T) {
	t.Parallel()
	o := standing(t)
	var group sync.WaitGroup
	for range writers { // many nodes at once
		group.Go(func() {
			s, err := OpenPushStore(t.Context(), o, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	group.Wait()
	describe := func() (info map[string]any) {
		run(t, o, "INFO FOR TABLE sockudo_push", nil, &info)
		return info
	}
	made := describe()
	want := "map[sockudo_push_due_idx:DEFINE INDEX sockudo_push_due_idx ON sockudo_push FIELDS tbl, due sockudo_push_place_idx:DEFINE INDEX sockudo_push_place_idx ON sockudo_push FIELDS app, tbl, grp, name]"
	if index := fmt.Sprint(made["indexes"]); index != want {
		t.Errorf("the indexes are %s", index)
	}
	_ = openPush(t, o)
	if now := describe(); !reflect.DeepEqual(now, made) {
		t.Errorf("a second start has made\n%v of\n%v", now, made)
	}
	for i, index := range []string{"place_idx ON TABLE other0 FIELDS app", "due_idx ON TABLE other1 FIELDS due"} {
		o.Table = fmt.Sprint("other", i)
		run(t, o, "DEFINE INDEX "+o.Table+"_"+index, nil, nil)
		if _, err := OpenPushStore(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), o.place()+": the table is another one") {
			t.Errorf("another index: %v", err)
		}
	}
}

// Names, and what is due, are found without going through all records.
func TestPushRecordsAreFoundByIndexes(t *testing.T) {
	t.Parallel()
	s := openPush(t, standing(t))
	vars := map[string]any{"app": "a", "tbl": "t", "grp": "g", "name": "n", "now": 5, "n": 1}
	for text, want := range map[string]string{
		s.whereDue():              "['t'] LessThanEqual 5 direction:Forward index:sockudo_push_due_idx limit:$n",
		s.wherePlace(""):          "['a', 't'] direction:Forward index:sockudo_push_place_idx limit:$n",
		s.wherePlace(ofGroup):     "['a', 't', 'g'] MoreThan 'n' direction:Forward index:sockudo_push_place_idx limit:$n",
		s.wherePlace(behindGroup): "['a', 't'] MoreThan 'g' direction:Forward index:sockudo_push_place_idx limit:$n",
	} {
		var plan any
		if err := s.link.query(t.Context(), true, text+" EXPLAIN FULL", vars, &plan); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(fmt.Sprint(plan), want) {
			t.Errorf("the server's plan for %s is\n%v", text, plan)
		}
	}
}

// A user who may only read is told so when the store is opened.
func TestPushStoreForReaders(t *testing.T) {
	t.Parallel()
	o := standing(t)
	s := openPush(t, o)
	apply(t, s, pushPut("a", "1"))
	reader := withUser(t, o, levelDatabase, "VIEWER")
	_, err := OpenPushStore(t.Context(), reader, nil)
	if !errors.Is(err, errNoRight) && !says(err, func(m string) bool { return strings.Contains(m, "permissions") }) {
		t.Errorf("for one who may only read: %v", err)
	}
	l := linkTo(t, reader)
	poor := &PushStore{link: l, place: s.place, table: s.table, latches: newLatches()} // who was an editor when it was opened
	for what, c := range map[string]storage.PushChange{"new": pushPut("b", "1"), "there": pushPut("a", "2")} {
		if err := poor.Apply(t.Context(), c); !errors.Is(err, errNoRight) && !says(err, func(m string) bool { return strings.Contains(m, "permissions") }) {
			t.Errorf("putting what is %s: %v", what, err)
		}
	}
	if read, err := poor.Get(t.Context(), pushKey("a")); err != nil || string(read[0].Value) != "1" {
		t.Errorf("one who may only read reads %v, %v", read, err)
	}
}

// What nobody of ours has written is an error, and no record.
func TestPushRecordsOfSomebodyElse(t *testing.T) {
	t.Parallel()
	o := standing(t)
	s := openPush(t, o)
	for _, set := range []string{"version = NONE", "version = 'x'", "due = 0", "due = -5", "size = 7", "value = NONE", "value = 'x'", "name = 'other'", "name = '\u0100'", "c3 = 'x'", "grp = NONE"} {
		apply(t, s, pushPut("a", "1"))
		run(t, o, "UPDATE "+s.table+" SET "+set, nil, nil)
		if read, err := s.Get(t.Context(), pushKey("a")); err == nil || !strings.Contains(err.Error(), s.place+": ") {
			t.Errorf("%s: %v, %v", set, read, err)
		}
		run(t, o, "DELETE "+s.table, nil, nil)
	}
	apply(t, s, pushPut("a", "1"))
	run(t, o, "UPDATE "+s.table+" SET name = '\u0100'", nil, nil)
	if read, err := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 9}); !errors.Is(err, errForeign) {
		t.Errorf("List: %v, %v", read, err)
	}
	if read, err := s.Due(t.Context(), "t", 9, 9); !errors.Is(err, errForeign) {
		t.Errorf("Due: %v, %v", read, err)
	}
}

// FuzzPushAnswer reads what a server may answer. None of it makes a record that no driver
// could have written.
func FuzzPushAnswer(f *testing.F) {
	c := pushPut("a", "1")
	row := pushRowOf(&c)
	row["counts"] = make([]int64, storage.PushCounts)
	f.Add(encoded(f, ok([]any{row})))
	f.Add(encoded(f, ok([]any{map[string]any{"app": "a", "tbl": "\x01\x01", "name": "n", "value": nil}})))
	f.Fuzz(func(t *testing.T, data []byte) {
		var rows []pushRow
		if sound(data) != nil || answerOf(data, &rows) != nil {
			return
		}
		for i := range rows {
			r, err := rows[i].record()
			if err == nil && (r.Version == 0 || r.Due < 0 || r.Key.Check() != nil || len(r.Value) != rows[i].Size) {
				t.Errorf("%+v is a record", r)
			}
		}
	})
}
