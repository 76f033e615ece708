package history

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestReset(t *testing.T) {
	f := newFixture(t)
	annotations := AnnotationKey("app", "orders")
	r, err := f.Reset(t.Context())
	if err != nil || r.Previous != "" || r.Stream == "" || r.Rows != 0 || r.Bytes != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := f.store.Head(t.Context(), annotations); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a log of annotations was begun: %v", err)
	}
	f.publish(3)
	a := &storage.LogAppend{Key: annotations, Fresh: "annotations", Payload: []byte("x")}
	f.store.Append(t.Context(), []*storage.LogAppend{a})
	before := f.page(Query{Limit: 1}).Floor
	if err := f.store.Mark(t.Context(), f.Key, before.Head.Stream, storage.LogState{Name: StateDegraded, Reason: "r", Node: "n", Since: 7}); err != nil {
		t.Fatal(err)
	}
	if p, err := f.Page(t.Context(), Query{Limit: 1}); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("%+v, %v", p, err)
	}
	state, err := f.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(state.Append(nil)); !strings.Contains(text, `"durable_state":"degraded","recovery_allowed":false,"reset_required":false,"reason":"r","node_id":"n","last_transition_at_ms":7,`) {
		t.Error(text)
	}
	second, err := f.Reset(t.Context())
	if err != nil || second.Previous != r.Stream || second.Stream == r.Stream || second.Rows != 3 || second.Bytes != before.Bytes() || before.Bytes() == 0 {
		t.Fatalf("%+v, %v", second, err)
	}
	if p := f.page(Query{Limit: 1}); len(p.Rows) > 0 || p.Truncated || p.Floor.Head.Stream != second.Stream {
		t.Errorf("%+v", p)
	}
	if head, err := f.store.Head(t.Context(), annotations); err != nil || head.Stream == "annotations" || head.Serial != 0 {
		t.Errorf("annotations: %+v, %v", head, err)
	}
}

// broken is a store that does not reset logs of a kind.
type broken struct {
	storage.History
	prefix string
}

var errBroken = errors.New("broken")

func (b broken) Reset(ctx context.Context, key storage.LogKey, fresh string) error {
	if strings.HasPrefix(key.Channel, b.prefix) {
		return errBroken
	}
	return b.History.Reset(ctx, key, fresh)
}

// What was done is told even when the rest has failed.
func TestResetInPart(t *testing.T) {
	f := newFixture(t)
	f.publish(1)
	f.store.Append(t.Context(), []*storage.LogAppend{{Key: AnnotationKey("app", "orders"), Fresh: "a"}})
	f.Store = broken{f.store, annotationPrefix}
	r, err := f.Reset(t.Context())
	if !errors.Is(err, errBroken) || r.Stream == "" || r.Stream != f.page(Query{Limit: 1}).Floor.Head.Stream {
		t.Errorf("%+v, %v", r, err)
	}
	f.Store = broken{f.store, "orders"}
	if r, err := f.Reset(t.Context()); !errors.Is(err, errBroken) || r.Stream != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPurge(t *testing.T) {
	serial := func(n uint64) Purge { return Purge{BeforeSerial: &n} }
	at := func(n int64) Purge { return Purge{BeforeTime: &n} }
	for _, c := range []struct {
		what         Purge
		rows, oldest uint64
	}{
		{Purge{}, 7, 0},
		{serial(0), 0, 4},
		{serial(3), 0, 4},
		{serial(4), 0, 4},
		{serial(5), 1, 5},
		{serial(10), 6, 10},
		{serial(11), 7, 0},
		{serial(1 << 63), 7, 0},
		{at(-1), 0, 4},
		{at(0), 0, 4},
		{at(base + 3), 0, 4},
		{at(base + 4), 1, 5},
		{at(base + 9), 6, 10},
		{at(base + 10), 7, 0},
		{at(1 << 62), 7, 0},
	} {
		f := newFixture(t)
		if r, err := f.Purge(t.Context(), c.what); err != nil || r != (PurgeResult{}) {
			t.Fatalf("%+v, %v", r, err)
		}
		f.publish(10)
		f.Retention.Rows = 7 // the first three are there, and not shown
		before := f.page(Query{Limit: 1}).Floor
		r, err := f.Purge(t.Context(), c.what)
		after := f.page(Query{Limit: 1}).Floor
		if err != nil || r.Rows != c.rows || after.Oldest.Row != c.oldest || r.Bytes != before.Bytes()-after.Bytes() || (r.Bytes > 0) != (r.Rows > 0) {
			t.Errorf("%v %v: %+v, %v, oldest %d", c.what.BeforeSerial, c.what.BeforeTime, r, err, after.Oldest.Row)
		}
		if after.Head.Stream != before.Head.Stream || after.Head.Row != before.Head.Row {
			t.Errorf("%+v became %+v", before.Head, after.Head)
		}
		if again, err := f.Purge(t.Context(), c.what); err != nil || again != (PurgeResult{}) {
			t.Errorf("purged twice: %+v, %v", again, err)
		}
	}
}

// Rows that come, and a log that is reset, while a purge is on its way stay.
func TestPurgeMeanwhile(t *testing.T) {
	for call := range 6 {
		for _, what := range []Purge{{}, {BeforeSerial: new(uint64(3))}, {BeforeTime: new(int64(base + 100))}} {
			f := newFixture(t)
			f.publish(4)
			calls := 0
			f.store.before = func(string) {
				if calls++; calls == call+1 {
					if err := f.store.Reset(t.Context(), f.Key, "fresh"); err != nil {
						t.Fatal(err)
					}
				}
			}
			r, err := f.Purge(t.Context(), what)
			if err != nil || r.Rows > 4 || what.BeforeSerial != nil && r.Rows > 2 {
				t.Errorf("call %d: %+v, %v", call, r, err)
			}
			f.store.before = nil
			f.publish(1)
			if p := f.page(Query{Limit: 9}); len(p.Rows) == 0 {
				t.Errorf("call %d: %+v", call, p)
			}
		}
	}
	f := newFixture(t)
	f.publish(4)
	last, calls := uint64(0), 0
	f.store.before = func(string) {
		if calls++; calls > 1 { // after the head is known
			last = f.publish(1)
		}
	}
	r, err := f.Purge(t.Context(), Purge{})
	f.store.before = nil
	if p := f.page(Query{Limit: 9}); err != nil || r.Rows != 4 || p.Floor.Oldest.Row != 5 || p.Floor.Newest.Serial != last {
		t.Errorf("%+v, %v: %+v", r, err, p.Floor)
	}
}
