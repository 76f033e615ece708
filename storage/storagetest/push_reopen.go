package storagetest

import (
	"fmt"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// TestPushStoreReopens checks that what a push store has accepted is there when it is
// opened again. open opens the same store each time.
func TestPushStoreReopens(t *testing.T, open func(t *testing.T) storage.PushStore) {
	key := pushKeyOf("x")
	key.Name = "kept"
	kept, changed, deleted := putOf(key, weird), putOf(named(key, "changed"), "1"), putOf(named(key, "deleted"), "1")
	kept.Due, kept.Counts = 1000, [storage.PushCounts]int64{1, -2, 3}
	first := open(t)
	must(t, first.Apply(t.Context(), kept, changed, deleted))
	must(t, first.Apply(t.Context(), on(putOf(changed.Key, "2"), changed.Version), addOf(kept.Key, 9), deleteOf(deleted.Key)))
	must(t, first.Close())
	kept.Counts[0] = 10
	for round := range 3 {
		s := open(t)
		p := pushes{s, s}
		p.want(t, kept)
		p.wantNone(t, deleted.Key)
		r := p.get(t, changed.Key)
		if want := fmt.Sprint(2 + round); string(r.Value) != want {
			t.Fatalf("round %d: the value is %q, want %q", round, r.Value, want)
		}
		p.eventuallyDue(t, key.Table, 1000, 5, "kept")
		if list := p.list(t, storage.PushQuery{App: key.App, Table: key.Table, Limit: 10}); len(list) != 2 {
			t.Fatalf("round %d: %d records are there", round, len(list))
		}
		p.conflict(t, "the old version", checkOf(changed.Key, changed.Version))
		p.apply(t, on(putOf(changed.Key, fmt.Sprint(3+round)), r.Version))
		must(t, s.Close())
	}
}
