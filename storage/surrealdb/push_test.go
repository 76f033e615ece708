package surrealdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openPush(t *testing.T, o Options) *PushStore {
	t.Helper()
	s, err := OpenPushStore(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestPushStoreSuite(t *testing.T) {
	engine(t)
	o := standing(t)
	storagetest.TestPushStore(t, func(t *testing.T) (here, there storage.PushStore) {
		return openPush(t, o), openPush(t, o)
	})
}

func TestPushStoreReopens(t *testing.T) {
	engine(t)
	o := standing(t)
	storagetest.TestPushStoreReopens(t, func(t *testing.T) storage.PushStore { return openPush(t, o) })
}

func pushKey(name string) storage.PushKey {
	return storage.PushKey{App: "app", Table: "t", Group: "g", Name: name}
}

func pushPut(name, value string) storage.PushChange {
	return storage.PushChange{Op: storage.PushPut, Key: pushKey(name), Version: storage.NewPushVersion(), Due: 1, Value: []byte(value)}
}

func apply(t *testing.T, s *PushStore, changes ...storage.PushChange) {
	t.Helper()
	if err := s.Apply(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

// Values that are too large for one message are refused, and many large ones come in
// several answers.
func TestPushStoreOfLargeValues(t *testing.T) {
	t.Parallel()
	s := openPush(t, standing(t))
	var all []storage.PushChange
	for i := range maxPushBytes/storage.MaxPushValue + 1 {
		all = append(all, pushPut(fmt.Sprint("large ", i), strings.Repeat("x", storage.MaxPushValue)), pushPut(fmt.Sprint("small ", i), fmt.Sprint(i)))
	}
	if err := s.Apply(t.Context(), all...); !errors.Is(err, storage.ErrTooLarge) {
		t.Fatalf("%d changes: %v", len(all), err)
	}
	apply(t, s, all[:8]...)
	apply(t, s, all[8:]...)
	read, err := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 50})
	if err != nil || len(read) != len(all) {
		t.Fatalf("%d records are read, %v", len(read), err)
	}
	for _, r := range read {
		large, n := strings.HasPrefix(r.Key.Name, "large"), r.Key.Name[len("large "):]
		if want := fmt.Sprint(n); large && len(r.Value) != storage.MaxPushValue || !large && string(r.Value) != want {
			t.Errorf("%q has %d bytes", r.Key.Name, len(r.Value))
		}
	}
}

// What is only looked at, and not there, leaves nothing.
func TestPushStoreLeavesNothing(t *testing.T) {
	t.Parallel()
	o := standing(t)
	s := openPush(t, o)
	check := storage.PushChange{Op: storage.PushCheck, Key: pushKey("none"), If: new(uint64)}
	apply(t, s, pushPut("a", "1"), check)
	apply(t, s, storage.PushChange{Op: storage.PushDelete, Key: pushKey("a")}, check)
	never := storage.PushChange{Op: storage.PushCheck, Key: pushKey("none"), If: new(uint64(1 << 63))}
	if err := s.Apply(t.Context(), never); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a version that no record has: %v", err)
	}
	var left []map[string]any
	if run(t, o, "SELECT * FROM "+s.table, nil, &left); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// One who does not wait any more leaves at once, also where others change the same record.
func TestPushStoreApplyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := openPush(t, standing(t))
	c := pushPut("a", "1")
	letGo, err := s.hold(t.Context(), []storage.PushChange{c, c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := s.Apply(ctx, c, pushPut("b", "1")); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Errorf("a change that waits: %v, after %v", err, time.Since(begun))
	}
	letGo()
	apply(t, s, c, pushPut("b", "1"))
	for i := range s.gates {
		if len(s.gates[i]) != 0 {
			t.Errorf("latch %d is not let go", i)
		}
	}
}

// pushBook notes what writers of pairs were told.
type pushBook struct {
	mu       sync.Mutex
	accepted map[string]int
}

func (b *pushBook) at(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted[name]
}

// keepWriting gives the halves of a pair the same number, and counts, until the context
// ends. The error of a lost connection leaves it open whether that was done.
func (b *pushBook) keepWriting(ctx context.Context, t *testing.T, s *PushStore, name string) {
	for n := 1; ctx.Err() == nil; n++ {
		total := pushPut("total "+name, "")
		total.Op, total.Counts[0] = storage.PushAdd, 1
		err := s.Apply(t.Context(), pushPut("a "+name, fmt.Sprint(n)), pushPut("b "+name, fmt.Sprint(n)), total, pushPut(fmt.Sprint("receipt ", name, n), ""))
		switch {
		case err == nil:
			b.mu.Lock()
			b.accepted[name] = n
			b.mu.Unlock()
		case errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrClosed), errors.Is(err, storage.ErrFull), !strings.Contains(err.Error(), s.place+": "):
			t.Errorf("Apply says %v", err)
		default:
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// check demands that what was accepted is there, and nothing by half.
func (b *pushBook) check(t *testing.T, s *PushStore) {
	t.Helper()
	for name, least := range b.accepted {
		read, err := s.Get(t.Context(), pushKey("a "+name), pushKey("b "+name), pushKey("total "+name), pushKey(fmt.Sprint("receipt ", name, least)))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		_, _ = fmt.Sscan(string(read[0].Value), &n)
		if n < least || string(read[0].Value) != string(read[1].Value) || read[3].Version == 0 {
			t.Errorf("%s is at %d and %q, and was accepted at %d", name, n, read[1].Value, least)
		}
		receipts := 0
		list, err := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 100_000})
		for _, r := range list {
			if strings.HasPrefix(r.Key.Name, "receipt "+name) {
				receipts++
			}
		}
		if err != nil || int64(receipts) != read[2].Counts[0] {
			t.Errorf("%s has %d receipts, and counts %d, %v", name, receipts, read[2].Counts[0], err)
		}
	}
}

// The server is killed and comes back while pairs are written on two nodes. What was
// accepted is there afterwards, and nothing by half.
func TestPushStoreOverRestarts(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t)
	nodes := [2]*PushStore{openPush(t, o), openPush(t, o)}
	book := &pushBook{accepted: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { book.keepWriting(ctx, t, nodes[i%2], fmt.Sprint("writer", i, ":")) })
	}
	goesOn := func() {
		for i := range 4 {
			name := fmt.Sprint("writer", i, ":")
			told := book.at(name)
			until(t, "changes", func() bool { return book.at(name) > told+10 })
		}
	}
	for range 2 {
		goesOn()
		server.Kill()
		until(t, "failed check", func() bool { return nodes[0].Check(t.Context()) != nil })
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	goesOn()
	cancel()
	writers.Wait()
	book.check(t, openPush(t, o))
	t.Logf("FIGURE kill -9 of a SurrealDB with the push store: 2 rounds, %v changes accepted, none lost", book.accepted)
}

// A server that says nothing is an error within the bound, and Close ends what waits.
func TestPushStoreOutage(t *testing.T) {
	t.Parallel()
	o := standing(t)
	proxy := outage.NewProxy(t, hostOf(t, o))
	o.URL = "ws://" + proxy.Addr()
	s := openPush(t, o)
	apply(t, s, pushPut("a", "1"))
	proxy.Stall()
	ended := make(chan error, 3)
	go func() { ended <- s.Apply(context.Background(), pushPut("a", "2")) }()
	go func() { _, err := s.Get(context.Background(), pushKey("a")); ended <- err }()
	go func() { _, err := s.Due(context.Background(), "t", 1, 1); ended <- err }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.List(ctx, storage.PushQuery{App: "app", Table: "t", Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, storage.ErrClosed) {
			t.Errorf("a call that is under way: %v", err)
		}
	}
}

// Texts are in the order of the bytes that they mean, and nothing else is one.
func FuzzSpelled(f *testing.F) {
	f.Add("a", "a\x00")
	f.Add("\x01\x01", "\x01\xff")
	f.Add("\x01\x03", "ä\u0100")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := spelled(a), spelled(b)
		if got, want := cmp.Compare(x, y), cmp.Compare(a, b); got != want {
			t.Errorf("%q and %q compare as %d, want %d", x, y, got, want)
		}
		if a > b && afterSpelled(y) >= x || a <= b && afterSpelled(y) <= x {
			t.Errorf("%q is on the wrong side of what comes after %q", a, b)
		}
		if back, err := unspelled(x); err != nil || back != a || strings.ContainsRune(x, 0) {
			t.Errorf("%q is spelled %q, and read as %q, %v", a, x, back, err)
		}
		if meant, err := unspelled(a); err == nil && spelled(meant) != a {
			t.Errorf("%q is read as %q", a, meant)
		}
	})
}
