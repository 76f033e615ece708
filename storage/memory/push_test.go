package memory

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func pushPut(name string, size int) storage.PushChange {
	return storage.PushChange{
		Op: storage.PushPut, Key: storage.PushKey{App: "a", Table: "t", Name: name}, Version: storage.NewPushVersion(), Value: make([]byte, size), Due: 1,
	}
}

// What would grow a store over its bound is refused as a whole, and what makes it smaller
// or leaves it is not.
func TestPushStoreIsBounded(t *testing.T) {
	s := NewPushStore(100_000)
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = s.Apply(t.Context(), pushPut(fmt.Sprint(n), 1000))
	}
	if !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrTooLarge) || n < 50 || n > 100 {
		t.Fatalf("after %d records: %v", n, err)
	}
	apply := func(want error, changes ...storage.PushChange) {
		t.Helper()
		if err := s.Apply(t.Context(), changes...); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	smaller, add := pushPut("0", 1), pushPut("1", 2000)
	add.Op = storage.PushAdd
	apply(nil, add)
	apply(storage.ErrFull, smaller, pushPut("x", 5000))
	apply(storage.ErrTooLarge, smaller, pushPut("x", 200_000))
	if r, err := s.Get(t.Context(), smaller.Key); err != nil || len(r[0].Value) != 1000 {
		t.Fatalf("a part of what was refused is there: %+v, %v", r, err)
	}
	apply(nil, smaller)
	for i := range n - 1 {
		apply(nil, storage.PushChange{Op: storage.PushDelete, Key: pushPut(fmt.Sprint(i), 0).Key})
	}
	if s.bytes != 0 || len(s.records) != 0 || len(s.tables) != 0 || len(s.due) != 0 {
		t.Fatalf("when all is deleted, %d bytes, %d records, %d tables and %d due are left", s.bytes, len(s.records), len(s.tables), len(s.due))
	}
	if !s.Volatile() {
		t.Error("it says that it is durable")
	}
}

// A reload changes the bound of a store that keeps running.
func TestPushStoreIsTuned(t *testing.T) {
	s, err := (&PushStoreModule{MaxSize: 500}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	tuner, ok := s.(storage.Tuner)
	if !ok {
		t.Fatalf("%T has no bound to change", s)
	}
	for i, c := range []struct {
		bound int64
		want  error
	}{{500, storage.ErrFull}, {5000, nil}, {500, storage.ErrFull}, {0, nil}} {
		if err := tuner.Tune(&PushStoreModule{MaxSize: c.bound}); err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(t.Context(), pushPut(fmt.Sprint(i), 1000)); !errors.Is(err, c.want) {
			t.Errorf("with the bound %d: %v, want %v", c.bound, err, c.want)
		}
	}
	if tuner.Tune(new(CacheModule)) == nil {
		t.Error("it takes the bounds of a cache")
	}
	if (&PushStoreModule{MaxSize: -1}).Validate() == nil {
		t.Error("a bound may be negative")
	}
}

// BenchmarkPushStore claims what is due, among many records.
func BenchmarkPushStore(b *testing.B) {
	s := NewPushStore(4 << 30)
	for i := range 200_000 {
		if err := s.Apply(b.Context(), pushPut(fmt.Sprint(i), 100)); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		c := pushPut(fmt.Sprint(i%200_000), 100)
		c.Due = int64(i)
		if err := s.Apply(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
