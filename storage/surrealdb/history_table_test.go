package surrealdb

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestHistoryTablesAreMadeOnce(t *testing.T) {
	t.Parallel()
	o := standing(t)
	h := openHistory(t, o)
	describe := func() (info [2]map[string]any) {
		run(t, o, "INFO FOR DB", nil, &info[0])
		run(t, o, "INFO FOR TABLE "+h.names.logs(), nil, &info[1])
		return info
	}
	made := describe()
	for _, table := range []string{"_log", "_entry", "_once", "_subject"} {
		if said := fmt.Sprint(made[0]["tables"]); !strings.Contains(said, "DEFINE TABLE sockudo_history"+table+" TYPE ANY SCHEMALESS") {
			t.Errorf("the tables are %s", said)
		}
	}
	if index := fmt.Sprint(made[1]["indexes"]); index != "map[sockudo_history_log_due_idx:DEFINE INDEX sockudo_history_log_due_idx ON sockudo_history_log FIELDS due]" {
		t.Errorf("the index is %s", index)
	}
	add(t, h, rowsOf("c", 1, 1)...)
	if again := everything(t, openHistory(t, o), "c"); len(again) != 1 {
		t.Errorf("a second start reads %v", again)
	}
	if now := describe(); !reflect.DeepEqual(now, made) {
		t.Errorf("a second start has made\n%v of\n%v", now, made)
	}
	run(t, o, "DEFINE INDEX other_log_due_idx ON TABLE other_log FIELDS at", nil, nil)
	if _, err := OpenHistory(t.Context(), HistoryOptions{Options: o, TablePrefix: "other"}, nil); err == nil || !strings.Contains(err.Error(), o.place()+": the table is another one") {
		t.Errorf("another index: %v", err)
	}
	if _, err := OpenHistory(t.Context(), HistoryOptions{Options: o, TablePrefix: "a b"}, nil); err == nil || !strings.Contains(err.Error(), `table_prefix "a b"`) {
		t.Errorf("an odd name: %v", err)
	}
}

func TestManyNodesMakeTheHistoryTables(t *testing.T) {
	t.Parallel()
	o := standing(t)
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			h, err := OpenHistory(t.Context(), HistoryOptions{Options: o, TablePrefix: "select"}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			add(t, h, rowsOf("c", 1, 1)...)
			_ = h.Close()
		})
	}
	group.Wait()
}

// What is due is found without going through all logs.
func TestDueIsFoundByTheIndex(t *testing.T) {
	t.Parallel()
	h := openHistory(t, standing(t))
	var plan any
	if err := h.link.query(t.Context(), true, "EXPLAIN "+h.whereDue(), map[string]any{"now": 5, "limit": 1}, &plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(plan), h.names.index()) {
		t.Errorf("the server's plan is\n%v", plan)
	}
	for _, c := range []struct {
		s    headState
		want int64
	}{
		{headState{LogHead: storage.LogHead{Serial: 1, First: 1}, firstAt: 5, keep: 7}, 12},
		{headState{LogHead: storage.LogHead{Serial: 1, First: 1}, firstAt: 5}, never},
		{headState{LogHead: storage.LogHead{Serial: 1, First: 2}, firstAt: 5, keep: 7}, never},
		{headState{LogHead: storage.LogHead{Serial: 1, First: 1}, firstAt: 5, keep: never}, never},
	} {
		if got := c.s.due(); got != c.want {
			t.Errorf("%+v is due at %d, want %d", c.s, got, c.want)
		}
	}
	if ms := inMilliseconds(time.Millisecond + 1); ms != 2 {
		t.Errorf("a bit more than a millisecond is %d", ms)
	}
}

// A user who may only read is told so, in place of being told that it was done.
func TestHistoryForReaders(t *testing.T) {
	t.Parallel()
	o := standing(t)
	add(t, openHistory(t, o), rowsOf("c", 3, 1)...)
	h := openHistory(t, withUser(t, o, levelDatabase, "VIEWER"))
	if found := everything(t, h, "c"); len(found) != 3 || h.Check(t.Context()) != nil {
		t.Errorf("one who may read reads %v", found)
	}
	there, missing := rowsOf("c", 1, 1)[0], rowsOf("d", 1, 1)[0]
	h.Append(t.Context(), []*storage.LogAppend{there, missing})
	for what, err := range map[string]error{
		"Append": there.Err, "the first Append": missing.Err, "Trim": h.Trim(t.Context(), logOf("c"), "id", 2), "Reset": h.Reset(t.Context(), logOf("c"), "fresh"),
		"the first Reset": h.Reset(t.Context(), logOf("e"), "fresh"), "Mark": h.Mark(t.Context(), logOf("c"), "id", storage.LogState{Name: "degraded", Since: 1}),
	} {
		if !errors.Is(err, errNoRight) && !says(err, func(m string) bool { return strings.Contains(m, "permissions") }) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if found := everything(t, h, "c"); len(found) != 3 {
		t.Errorf("one who may only read has left %v", found)
	}
}

// What nobody of ours has written is an error that names the log, and no log.
func TestBrokenHead(t *testing.T) {
	t.Parallel()
	o := standing(t)
	h := openHistory(t, o)
	for _, set := range []string{"serial = 'x'", "stream = NONE", "first = 9", "first = 0", "version = NONE", "row = 5"} {
		run(t, o, "DELETE "+h.names.logs(), nil, nil)
		run(t, o, "DELETE "+h.names.entries(), nil, nil)
		h.heads = map[string]headState{}
		add(t, h, rowsOf("c", 2, 1)...)
		h.heads = map[string]headState{}
		run(t, o, "UPDATE "+h.names.logs()+" SET "+set, nil, nil)
		a := rowsOf("c", 1, 1)[0]
		h.Append(t.Context(), []*storage.LogAppend{a})
		_, err := h.Head(t.Context(), logOf("c"))
		for _, err := range []error{err, a.Err} {
			if err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), h.place+": ") {
				t.Errorf("%s: %v", set, err)
			}
		}
	}
	run(t, o, "UPDATE "+h.names.logs()+" SET row = 2", nil, nil)
	run(t, o, "DELETE "+h.names.entries(), nil, nil)
	if _, err := h.Read(t.Context(), logOf("c"), "id", storage.LogQuery{Limit: 5}); !errors.Is(err, errMoved) {
		t.Errorf("a log without its entries: %v", err)
	}
}

// FuzzHistoryAnswer reads what a server may answer. None of it makes a log whose
// numbers others cannot count with.
func FuzzHistoryAnswer(f *testing.F) {
	head := map[string]any{
		"stream": "id", "serial": 3, "row": 2, "at": 5, "total": 7, "first": 1, "first_at": 2, "keep": 0, "largest": 4, "version": 6,
		"state": storedState(storage.LogState{Name: "x", Reason: "\xff"}), "old": []any{map[string]any{"stream": []byte{0}, "first": 1, "serial": 2}},
	}
	entry := written(branch{tables: "t", id: "l", stream: "id"}, &storage.LogEntry{Serial: 1, Subject: "s", Once: "\x00", Payload: []byte("p")})
	f.Add(encoded(f, ok([]any{head})))
	f.Add(encoded(f, ok([]any{entry, map[string]any{"serial": nil}})))
	f.Add(encoded(f, ok([]any{map[string]any{"key": "s", "serial": 4}, map[string]any{"key": 1, "serial": -4}})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sound(data) != nil {
			return
		}
		var heads []headRecord
		if answerOf(data, &heads) == nil {
			for i := range heads {
				s, err := heads[i].head()
				if err == nil && (s.Stream == "" || s.First < 1 || s.First > s.Serial+1 || s.Serial >= math.MaxInt64 || s.Row > s.Serial || s.version == 0) {
					t.Errorf("%+v is a head", s)
				}
			}
		}
		var records []entryRecord
		if answerOf(data, &records) == nil {
			for _, e := range entries(records) {
				if e.Serial == 0 {
					t.Error("an entry without a serial is one")
				}
			}
		}
		var known []serialRecord
		if answerOf(data, &known) == nil {
			for key, serial := range serials(known) {
				if serial == 0 {
					t.Errorf("%q is that of an entry without a serial", key)
				}
			}
		}
	})
}
