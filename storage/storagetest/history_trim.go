package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func logTrim(t *testing.T, h histories) {
	key := logKey()
	fill(t, h.here, key, "a", "bb", "ccc", "dd")
	must(t, h.here.Trim(t.Context(), key, "other", 4))
	must(t, h.here.Trim(t.Context(), key, "id", 0))
	must(t, h.here.Trim(t.Context(), key, "id", 1))
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 4, Row: 4, At: 4000, Total: 8, First: 1})
	must(t, h.here.Trim(t.Context(), key, "id", 3))
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 4, Row: 4, At: 4000, Total: 8, First: 3})
	h.wantSerials(t, key, storage.LogQuery{}, 3, 4)
	h.wantSerials(t, key, storage.LogQuery{From: 1, To: 2})
	h.wantSerials(t, key, storage.LogQuery{FromTotal: 4, FromRow: 1}, 3, 4)
	must(t, h.here.Trim(t.Context(), key, "id", 2))
	h.wantSerials(t, key, storage.LogQuery{}, 3, 4)
	must(t, h.here.Trim(t.Context(), key, "id", 1<<40))
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 4, Row: 4, At: 4000, Total: 8, First: 5})
	h.wantSerials(t, key, storage.LogQuery{})
	addTo(t, h.there, &storage.LogAppend{Key: key, Fresh: "new", At: 1, Row: true, Payload: []byte("e")})
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 5, Row: 5, At: 4000, Total: 9, First: 5})
	h.wantSerials(t, key, storage.LogQuery{}, 5)
}

func logTrimMany(t *testing.T, h histories) {
	key := logKey()
	const many = 700
	for i := 0; i < many; i += 100 {
		var appends []*storage.LogAppend
		for j := range 100 {
			appends = append(appends, &storage.LogAppend{Key: key, Fresh: "id", Row: true, Subject: fmt.Sprint((i + j) % 7), Once: fmt.Sprint(i + j)})
		}
		h.here.Append(t.Context(), appends)
		for _, a := range appends {
			must(t, a.Err)
		}
	}
	must(t, h.there.Trim(t.Context(), key, "id", many-4))
	h.wantSerials(t, key, storage.LogQuery{}, many-4, many-3, many-2, many-1, many)
	addTo(t, h.here, &storage.LogAppend{Key: key, Once: "0"})
	a := &storage.LogAppend{Key: key, Fresh: "id", Once: fmt.Sprint(many - 1)}
	h.here.Append(t.Context(), []*storage.LogAppend{a})
	if !errors.Is(a.Err, storage.ErrExists) || a.Entry.Serial != many {
		t.Fatalf("once more: %v, %+v", a.Err, a.Entry)
	}
}

func logReset(t *testing.T, h histories) {
	key := logKey()
	must(t, h.here.Reset(t.Context(), key, "first"))
	h.wantHead(t, key, storage.LogHead{Stream: "first", First: 1})
	addTo(t, h.here, &storage.LogAppend{Key: key, Row: true, Subject: "s", Once: "o", Payload: []byte("x"), At: 50, Keep: time.Hour})
	must(t, h.here.Mark(t.Context(), key, "first", storage.LogState{Name: "degraded", Since: 9}))
	must(t, h.there.Reset(t.Context(), key, "id"))
	h.wantHead(t, key, storage.LogHead{Stream: "id", First: 1})
	h.wantSerials(t, key, storage.LogQuery{})
	old, err := h.here.Read(t.Context(), key, "first", storage.LogQuery{Limit: 10})
	if must(t, err); len(old) != 0 {
		t.Fatalf("after a reset the old log has %v", old)
	}
	e := addTo(t, h.here, &storage.LogAppend{Key: key, Row: true, Subject: "s", Once: "o", After: new(uint64), At: 3})
	if e.Serial != 1 || e.Row != 1 || e.At != 3 || e.Total != 0 {
		t.Fatalf("the first entry after a reset: %+v", e)
	}
}

func logStates(t *testing.T, h histories) {
	key := logKey()
	fill(t, h.here, key, "a")
	mark := func(stream string, s, want storage.LogState) {
		t.Helper()
		must(t, h.here.Mark(t.Context(), key, stream, s))
		if got := h.head(t, key).State; got != want {
			t.Fatalf("after %+v the state is %+v, want %+v", s, got, want)
		}
	}
	bad := storage.LogState{Name: "degraded", Reason: weird, Node: "n", Since: 1700000000123}
	mark("id", bad, bad)
	mark("id", storage.LogState{Name: "reset_required", Since: bad.Since}, bad)
	mark("id", storage.LogState{Name: "reset_required", Since: bad.Since - 1}, bad)
	mark("other", storage.LogState{Name: "reset_required", Since: bad.Since + 9}, bad)
	mark("id", storage.LogState{Since: bad.Since + 1}, storage.LogState{Since: bad.Since + 1})
	addTo(t, h.here, &storage.LogAppend{Key: key})
	if got := h.head(t, key).State; got.Since != bad.Since+1 {
		t.Fatalf("after an append the state is %+v", got)
	}
}

// logDue only demands that what is listed is due, and that it is listed in the end by
// drivers that list anything: a store may remove entries by itself.
func logDue(t *testing.T, h histories) {
	now := time.Now()
	due, ever, fresh, trimmed := logKey(), logKey(), logKey(), logKey()
	old := now.Add(-time.Hour).UnixMilli()
	addTo(t, h.here, &storage.LogAppend{Key: due, At: old, Keep: time.Minute})
	addTo(t, h.here, &storage.LogAppend{Key: ever, At: old})
	addTo(t, h.here, &storage.LogAppend{Key: fresh, At: now.UnixMilli(), Keep: time.Minute})
	addTo(t, h.here, &storage.LogAppend{Key: trimmed, At: old, Keep: time.Minute})
	addTo(t, h.here, &storage.LogAppend{Key: trimmed, At: now.UnixMilli(), Keep: time.Minute})
	listed := func() []storage.LogKey {
		keys, err := h.there.Due(t.Context(), now, 10000)
		must(t, err)
		return keys
	}
	eventually(t, "log that is due", func() bool {
		keys := listed()
		return slices.Contains(keys, due) && slices.Contains(keys, trimmed)
	})
	must(t, h.here.Trim(t.Context(), trimmed, "id", 2))
	must(t, h.here.Trim(t.Context(), due, "id", 2))
	eventually(t, "end of what is not due any more", func() bool {
		keys := listed()
		return !slices.Contains(keys, due) && !slices.Contains(keys, trimmed)
	})
	if keys := listed(); slices.Contains(keys, ever) || slices.Contains(keys, fresh) {
		t.Fatalf("listed as due: %v", keys)
	}
	keys, err := h.there.Due(t.Context(), now.Add(time.Hour), 1)
	if must(t, err); len(keys) > 1 {
		t.Fatalf("with limit 1: %v", keys)
	}
}
