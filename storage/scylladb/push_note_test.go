package scylladb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushNotes are the notes of what is due, and the partitions that are listed.
func pushNotes(t *testing.T, s *PushStore) (list []pushNote, listed int) {
	t.Helper()
	rows := s.session.Query("SELECT tbl, bucket, due, app, grp, name, note, noted FROM " + s.due).Iter()
	for n := (pushNote{}); rows.Scan(&n.key.Table, &n.bucket, &n.due, &n.key.App, &n.key.Group, &n.key.Name, &n.id, &n.noted); n = (pushNote{}) {
		if n.bucket == bucketList {
			listed++
			continue
		}
		list = append(list, n)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return list, listed
}

// dueNames are what is due now, in order.
func dueNames(t *testing.T, s *PushStore, now int64, limit int) string {
	t.Helper()
	due, err := s.Due(t.Context(), "devices", now, limit)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range due {
		names = append(names, r.Key.Name)
	}
	return strings.Join(names, " ")
}

func dueAtTime(name string, due int64) storage.PushChange {
	c := pushPut(device(name), "")
	c.Due = due
	return c
}

// Nothing is left of what is due no more: not when it is put off or deleted, and not when
// an Apply is not possible.
func TestNotesAreRemoved(t *testing.T) {
	_, o := server(t, cqltest.Options{})
	s, other := openPush(t, o, ""), openPush(t, o, "")
	apply(t, s, dueAtTime("a", 10), dueAtTime("b", 20), dueAtTime("c", 30))
	apply(t, other, dueAtTime("a", time.Now().Add(48*time.Hour).UnixMilli()), pushDelete(device("b")), pushPut(device("c"), ""))
	if list, _ := pushNotes(t, s); len(list) != 1 || list[0].key.Name != "a" {
		t.Errorf("the notes are %+v", list)
	}
	if err := s.Apply(t.Context(), dueAtTime("x", 5), onlyIf(pushOne(device("a")), 1)); !errors.Is(err, storage.ErrConflict) {
		t.Error(err)
	}
	apply(t, s, pushDelete(device("a")))
	if list, _ := pushNotes(t, s); len(list) != 0 {
		t.Errorf("the notes are %+v", list)
	}
}

// What others have left who were stopped is not listed. It is removed when it has settled,
// and so are old partitions when they are empty.
func TestObsoleteNotes(t *testing.T) {
	server, o := server(t, cqltest.Options{})
	s := openPush(t, o, "")
	apply(t, s, dueAtTime("kept", 3))
	server.Let(func(r cqltest.Request, _ func() error) error {
		if isBatch(r) {
			return cqltest.Overloaded()
		}
		return nil
	})
	if err := s.Apply(t.Context(), dueAtTime("stopped", 1), dueAtTime("kept", 2)); err == nil || errors.Is(err, storage.ErrConflict) {
		t.Errorf("%v, want that the server is overloaded", err)
	}
	server.Let(nil)
	for range 2 {
		if got := dueNames(t, s, 100, 1); got != "kept" {
			t.Errorf("due are %s", got)
		}
	}
	list, listed := pushNotes(t, s)
	if len(list) != 3 || listed != 1 {
		t.Fatalf("the notes are %+v in %d partitions", list, listed)
	}
	// All of it a while ago.
	const hours = 5
	for _, n := range list {
		if err := s.remove(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		n.bucket -= hours
		n.noted -= hours * bucketSize.Milliseconds()
		if err := s.add(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
	}
	if got := dueNames(t, s, time.Now().UnixMilli(), 10); got != "kept" {
		t.Errorf("due are %s", got)
	}
	if list, listed = pushNotes(t, s); len(list) != 1 || listed != 2 {
		t.Errorf("the notes are %+v in %d partitions", list, listed)
	}
	if err := s.session.Query("UPDATE "+s.table+" SET bucket = ?"+pushKeyIs, append([]any{list[0].bucket}, pushKeyValues(&list[0].key)...)...).Exec(); err != nil {
		t.Fatal(err)
	}
	apply(t, s, pushDelete(device("kept")))
	if got := dueNames(t, s, time.Now().UnixMilli(), 10); got != "" {
		t.Errorf("due are %s", got)
	}
	if list, listed = pushNotes(t, s); len(list) != 0 || listed != 1 {
		t.Errorf("the notes are %+v in %d partitions, want the partition of this hour", list, listed)
	}
}

// What is due comes in order, though it is noted in several partitions, and each once.
func TestDueOfSeveralPartitions(t *testing.T) {
	_, o := server(t, cqltest.Options{})
	s := openPush(t, o, "")
	start := time.Now().Add(10 * bucketSize).UnixMilli()
	var want []string
	for i := range 250 {
		c := dueAtTime(fmt.Sprintf("%03d", i), start+int64(i)*bucketSize.Milliseconds()/60)
		want = append(want, c.Key.Name)
		apply(t, s, c)
	}
	if list, listed := pushNotes(t, s); len(list) != len(want) || listed < 5 {
		t.Errorf("%d notes in %d partitions", len(list), listed)
	}
	// A second note of one, as an Apply makes which begins in one hour and ends in the next.
	list, _ := pushNotes(t, s)
	list[0].bucket++
	if err := s.add(t.Context(), &list[0]); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 100, 1000} {
		if got := dueNames(t, s, start+100*bucketSize.Milliseconds(), limit); got != strings.Join(want[:min(limit, len(want))], " ") {
			t.Errorf("of %d are due %s", limit, got)
		}
	}
}
