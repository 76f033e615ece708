package scylladb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// count is how many rows a table has, whoever may see them.
func count(t *testing.T, h *History, table string) (n int) {
	t.Helper()
	rows := h.session.Query("SELECT log FROM " + table).Iter()
	for log := []byte(nil); rows.Scan(&log); {
		n++
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// broken lets all deletions fail, as where a process is stopped before them.
func broken(r cqltest.Request, _ func() error) error {
	if strings.Contains(r.Text, "DELETE FROM") {
		return cqltest.Broken()
	}
	return nil
}

// Whoever is stopped in the middle of a Trim leaves nothing that is seen, and the
// next one removes it.
func TestStoppedTrims(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	for i := range 6 {
		appended(t, h, &storage.LogAppend{Key: key, Subject: "s", Once: fmt.Sprint(i), Payload: fmt.Append(nil, i)})
	}
	s.Let(broken)
	if err := h.Trim(t.Context(), key, "id", 6); err == nil || !strings.Contains(err.Error(), o.place()) {
		t.Errorf("the stopped Trim: %v", err)
	}
	if n := count(t, h, h.table); n != 1+3*6 {
		t.Errorf("%d rows are left of the stopped Trim", n)
	}
	if got := payloads(t, h, key); got != "5 " {
		t.Errorf("after the stopped Trim the log has %q", got)
	}
	latest, err := h.Latest(t.Context(), key, "id", []string{"s"})
	if err != nil || latest["s"].Serial != 6 {
		t.Errorf("the latest is %v, %v", latest, err)
	}
	of, err := h.Read(t.Context(), key, "id", storage.LogQuery{Subject: "s", Limit: 10})
	if err != nil || len(of) != 1 {
		t.Errorf("of the subject there are %v, %v", of, err)
	}
	appended(t, h, &storage.LogAppend{Key: key, Once: "0", Payload: []byte("again")}) // the first one is gone
	if err := h.Trim(t.Context(), key, "id", 7); err == nil {
		t.Error("the second Trim is not stopped")
	}
	s.Let(nil)
	trimmed(t, h, key, 2)
	if got := payloads(t, h, key); got != "again " {
		t.Errorf("after the last Trim the log has %q", got)
	}
	if n := count(t, h, h.table); n != 1+2 {
		t.Errorf("%d rows are left of the last Trim", n)
	}
}

// Likewise with Reset: entries of an earlier stream are never seen in a later one.
func TestStoppedResets(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	for i := range 3 {
		appended(t, h, &storage.LogAppend{Key: key, Fresh: "old", Subject: "s", Once: fmt.Sprint(i), Row: true, Payload: []byte("old")})
	}
	s.Let(broken)
	if err := h.Reset(t.Context(), key, "id"); err == nil {
		t.Error("the first Reset is not stopped")
	}
	if got := payloads(t, h, key); got != "" {
		t.Errorf("after the stopped Reset the log has %q", got)
	}
	after := uint64(0)
	if e := appended(t, h, &storage.LogAppend{Key: key, Subject: "s", Once: "0", After: &after, Payload: []byte("new")}); e.Serial != 1 || e.Row != 0 || e.Total != 0 {
		t.Errorf("the first entry is %+v", e)
	}
	if err := h.Reset(t.Context(), key, "newest"); err == nil {
		t.Error("the second Reset is not stopped")
	}
	if got := payloads(t, h, key); got != "new " { // since it was not forgotten what is left
		t.Errorf("after the second Reset the log has %q", got)
	}
	s.Let(nil)
	trimmed(t, h, key, 0)
	if n := count(t, h, h.table); n != 1+3 {
		t.Errorf("%d rows are left after a Trim", n)
	}
	reset(t, h, key, "newest")
	if n := count(t, h, h.table); n != 1 {
		t.Errorf("%d rows are left after the last Reset", n)
	}
	head, err := h.Head(t.Context(), key)
	if err != nil || head != (storage.LogHead{Stream: "newest", First: 1}) {
		t.Errorf("the head is %+v, %v", head, err)
	}
}

// notes are those of what is due, and how many hours are listed.
func notes(t *testing.T, h *History) (n, hours int) {
	t.Helper()
	rows := h.session.Query("SELECT bucket FROM " + h.due).Iter()
	for bucket := int64(0); rows.Scan(&bucket); {
		if n++; bucket == bucketList {
			n--
			hours++
		}
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return n, hours
}

// older makes all notes as old as if they had been made long ago.
func older(t *testing.T, h *History, by time.Duration) {
	t.Helper()
	rows := h.session.Query("SELECT bucket, due, log, note, noted FROM " + h.due).Iter()
	var list []note
	for n := (note{}); rows.Scan(&n.bucket, &n.due, &n.log, &n.id, &n.noted); n = (note{}) {
		list = append(list, n)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	insert := "INSERT INTO " + h.due + " (bucket, due, log, note, noted) VALUES (?, ?, ?, ?, ?)"
	for _, n := range list {
		if err := h.session.Query("DELETE FROM "+h.due+" WHERE bucket = ? AND due = ? AND log = ? AND note = ?", n.bucket, n.due, n.log, n.id).Exec(); err != nil {
			t.Fatal(err)
		}
		hours := int64(by / bucketSize)
		if n.bucket == bucketList {
			n.due -= hours
		} else {
			n.bucket -= hours
		}
		if err := h.session.Query(insert, n.bucket, n.due, n.log, n.id, n.noted-by.Milliseconds()).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	h.buckets.mu.Lock()
	defer h.buckets.mu.Unlock()
	h.buckets.listed = nil // the list has changed
}

// Notes of what is not due any more are put in their place or removed, and so are the
// partitions that they leave empty. What a stopped Trim has left goes with them.
func TestNotesOfWhatIsDue(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	now := time.Now()
	old := now.Add(-time.Hour).UnixMilli()
	emptied, later, due := logKey(), logKey(), logKey()
	for _, key := range []storage.LogKey{emptied, later, due} {
		appended(t, h, &storage.LogAppend{Key: key, At: old, Keep: time.Minute, Once: "o"})
	}
	appended(t, h, &storage.LogAppend{Key: later, At: now.UnixMilli(), Keep: time.Minute})
	if n, hours := notes(t, h); n != 3 || hours > 2 { // an hour may have begun meanwhile
		t.Fatalf("there are %d notes in %d hours", n, hours)
	}
	lists := func(want ...storage.LogKey) {
		t.Helper()
		got, err := h.Due(t.Context(), now, 10)
		if err != nil || len(got) != len(want) {
			t.Errorf("due are %v, want %v, %v", got, want, err)
		}
		for _, key := range want {
			if !slices.Contains(got, key) {
				t.Errorf("due are %v, not %v", got, key)
			}
		}
	}
	lists(emptied, later, due)
	s.Let(broken)
	for _, key := range []storage.LogKey{emptied, later} {
		if err := h.Trim(t.Context(), key, "id", 2); err == nil {
			t.Error("the Trim is not stopped")
		}
	}
	s.Let(nil)
	lists(due)
	if n, _ := notes(t, h); n != 3 {
		t.Errorf("notes that have not settled have gone: %d are left", n)
	}
	older(t, h, 5*time.Hour)
	left := count(t, h, h.table)
	lists(due)
	if n, _ := notes(t, h); n != 2 {
		t.Errorf("%d notes are left", n)
	}
	if now := count(t, h, h.table); now != left-2*2 {
		t.Errorf("of %d rows %d are left", left, now)
	}
	got, err := h.Due(t.Context(), now.Add(2*time.Minute), 10)
	if err != nil || len(got) != 2 {
		t.Errorf("in two minutes due are %v, %v", got, err)
	}
	trimmed(t, h, due, 2)
	lists() // removes the note
	lists() // and sees that the partition is empty
	if n, hours := notes(t, h); n != 1 || hours > 2 {
		t.Errorf("%d notes are left in %d hours", n, hours)
	}
}

// A note comes before what it is about, and only if it is needed.
func TestNotesComeFirst(t *testing.T) {
	s, o := server(t, cqltest.Options{})
	h := openHistory(t, o, "")
	key := logKey()
	want := func(n int, keep time.Duration) {
		t.Helper()
		appended(t, h, &storage.LogAppend{Key: key, At: 1000, Keep: keep})
		if got, _ := notes(t, h); got != n {
			t.Errorf("with %v there are %d notes, want %d", keep, got, n)
		}
	}
	want(0, 0)
	want(1, time.Hour)
	want(1, time.Hour)
	want(1, 2*time.Hour)
	want(2, time.Minute)
	want(2, 0)
	trimmed(t, h, key, 100)
	want(3, time.Hour)
	s.Let(func(r cqltest.Request, _ func() error) error {
		if strings.Contains(r.Text, "_due\"") {
			return cqltest.Broken()
		}
		return nil
	})
	a := &storage.LogAppend{Key: key, Fresh: "id", Keep: time.Second}
	if h.Append(t.Context(), []*storage.LogAppend{a}); a.Err == nil {
		t.Error("what nobody would remove was added")
	}
	s.Let(nil)
	if head, err := h.Head(t.Context(), key); err != nil || head.Serial != 7 {
		t.Errorf("the head is %+v, %v", head, err)
	}
}
