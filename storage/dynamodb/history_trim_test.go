package dynamodb

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// refusing refuses an operation after it was let through some times.
func refusing(operation string, after int) func(string, http.ResponseWriter, *http.Request, func() *answer) bool {
	var times atomic.Int64 // calls are answered side by side
	return func(asked string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if asked != operation || times.Add(1) <= int64(after) {
			return false
		}
		refuse(w, "AccessDeniedException", "not now")
		return true
	}
}

// A trim that ends anywhere shows no gap, and leaves nothing to the next one.
func TestHistoryTrimEndsInBetween(t *testing.T) {
	for operation, times := range map[string][]int{
		"UpdateItem": {0}, "Query": {0}, "DeleteItem": {0, 10}, "BatchWriteItem": {0, 1, 3},
	} {
		for _, after := range times {
			t.Run(fmt.Sprint(operation, " ", after), func(t *testing.T) {
				g, through, direct := behindGate(t)
				fill(t, direct, 40)
				g.let(refusing(operation, after))
				if err := through.Trim(t.Context(), room, "id", 31); err == nil {
					t.Fatal("a trim that is refused succeeds")
				}
				if operation == "UpdateItem" {
					shows(t, direct, 1, 40)
					return
				}
				shows(t, direct, 31, 40)
				// What is gone may be added again, and stays when the rest is removed.
				again := &storage.LogAppend{Once: "o3", Subject: "s0"}
				add(t, direct, again)
				if err := direct.Trim(t.Context(), room, "id", 32); err != nil {
					t.Fatal(err)
				}
				shows(t, direct, 32, 41)
				// The head, 10 entries with pointers and guards of their own, and the guards of
				// 3 subjects.
				if n := stored(t, direct); n != 1+10*3+3 {
					t.Errorf("%d items are stored", n)
				}
				twice := &storage.LogAppend{Key: room, Fresh: "id", Once: "o3"}
				direct.Append(t.Context(), []*storage.LogAppend{twice})
				if !errors.Is(twice.Err, storage.ErrExists) || twice.Entry.Serial != 41 {
					t.Errorf("once more: %v, %+v", twice.Err, twice.Entry)
				}
			})
		}
	}
}

// A reset that ends anywhere shows nothing of the old log, and leaves nothing to the
// next one.
func TestHistoryResetEndsInBetween(t *testing.T) {
	for operation, times := range map[string][]int{"UpdateItem": {0, 1}, "Query": {0}, "BatchWriteItem": {0, 3}} {
		for _, after := range times {
			t.Run(fmt.Sprint(operation, " ", after), func(t *testing.T) {
				g, through, direct := behindGate(t)
				fill(t, direct, 30)
				g.let(refusing(operation, after))
				if err := through.Reset(t.Context(), room, "new"); err == nil {
					t.Fatal("a reset that is refused succeeds")
				}
				if operation == "UpdateItem" && after == 0 {
					shows(t, direct, 1, 30)
					return
				}
				shows(t, direct, 1, 0)
				add(t, direct, row(1), row(2))
				shows(t, direct, 1, 2)
				if err := direct.Trim(t.Context(), room, "new", 2); err != nil {
					t.Fatal(err)
				}
				shows(t, direct, 2, 2)
				if n := stored(t, direct); n != 5 {
					t.Errorf("%d items are stored", n)
				}
				head, err := direct.head(t.Context(), room)
				if err != nil || len(head.gone) != 0 || head.Stream != "new" {
					t.Errorf("head %+v, %v", head, err)
				}
			})
		}
	}
}

// The index lags behind, so a log that it names may not be due any more.
func TestHistoryIndexLagsBehind(t *testing.T) {
	g, through, direct := behindGate(t)
	add(t, direct, &storage.LogAppend{At: 1000, Keep: time.Second}, &storage.LogAppend{At: 3000, Keep: time.Second})
	now := time.UnixMilli(2001)
	due := func() []storage.LogKey {
		keys, err := through.Due(t.Context(), now, 10)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	if keys := due(); len(keys) != 1 || keys[0] != room {
		t.Fatalf("due are %v", keys)
	}
	if now = time.UnixMilli(2000); len(due()) != 0 {
		t.Errorf("due a millisecond too early")
	}
	now = time.UnixMilli(2001)
	g.let(once("BatchGetItem", func(http.ResponseWriter, func() *answer) bool {
		if err := direct.Trim(t.Context(), room, "id", 2); err != nil {
			t.Error(err)
		}
		return false
	}))
	if keys := due(); len(keys) != 0 {
		t.Errorf("due are %v after a trim", keys)
	}
	// The newest append says how long the oldest entry stays.
	now = time.UnixMilli(4001)
	if len(due()) != 1 {
		t.Errorf("the second entry is never due")
	}
	add(t, direct, &storage.LogAppend{At: 3000})
	if len(due()) != 0 {
		t.Errorf("due although it is kept for ever")
	}
	add(t, direct, &storage.LogAppend{At: 3000, Keep: time.Millisecond})
	if len(due()) != 1 {
		t.Errorf("not due although it is kept no longer")
	}
}
