package storagetest

import (
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// calm is how long a log has not moved when nobody appends to it any more.
const calm = 500 * time.Millisecond

// AwaitCalm waits until a log moves no more. A server goes on with what a killed process had
// sent to it: two looks at the log right after the kill may differ.
func AwaitCalm(t testing.TB, h storage.History, key storage.LogKey) {
	t.Helper()
	var before storage.LogHead
	for range 60 {
		head, err := h.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if head == before {
			return
		}
		before = head
		time.Sleep(calm)
	}
	t.Fatalf("log %v still moves: %+v", key, before)
}
