package redis

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openPush(t *testing.T, o Options, prefix string) *PushStore {
	t.Helper()
	s, err := OpenPushStore(t.Context(), o, PushOptions{Prefix: prefix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestPushStoreSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		storagetest.TestPushStore(t, func(t *testing.T) (here, there storage.PushStore) {
			return openPush(t, o, prefix), openPush(t, o, prefix)
		})
	})
}

func TestPushStoreReopens(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		prefix := ownPrefix(t, o)
		storagetest.TestPushStoreReopens(t, func(t *testing.T) storage.PushStore { return openPush(t, o, prefix) })
	})
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

// wantPush checks the values of records, where none is "-", with the first counter if there
// is one.
func wantPush(t *testing.T, s *PushStore, want string, names ...string) {
	t.Helper()
	var got []string
	for _, name := range names {
		read, err := s.Get(t.Context(), pushKey(name))
		if err != nil {
			t.Fatal(err)
		}
		text := cmp.Or(string(read[0].Value), "-")
		if n := read[0].Counts[0]; n != 0 {
			text += fmt.Sprint("+", n)
		}
		got = append(got, text)
	}
	if strings.Join(got, " ") != want {
		t.Fatalf("records are %q, want %q", got, want)
	}
}

// A counter that cannot grow is found out in the middle, and nothing is left of the rest.
func TestPushStoreOverflow(t *testing.T) {
	t.Parallel()
	o := standing(t)
	s := openPush(t, o, ownPrefix(t, o))
	full, half := pushPut("full", "a"), pushPut("half", "b")
	full.Counts[0], half.Counts[0] = math.MaxInt64, 5
	apply(t, s, full, half)
	more := func(name string) storage.PushChange {
		c := pushPut(name, "changed")
		c.Counts[0] = 1
		return c
	}
	for range 2 {
		err := s.Apply(t.Context(), more("half"), more("new"), storage.PushChange{Op: storage.PushDelete, Key: pushKey("gone")}, more("full"))
		if err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrFull) {
			t.Fatalf("a counter goes over its bound: %v", err)
		}
		wantPush(t, s, fmt.Sprint("a+", int64(math.MaxInt64), " b+5 -"), "full", "half", "new")
	}
	fresh := pushKey("new")
	if n, err := s.client.Exists(t.Context(), s.recordKey(&fresh)).Result(); n != 0 || err != nil {
		t.Errorf("something of a new record is left: %v", err)
	}
	apply(t, s, more("half"), more("new"))
	wantPush(t, s, "changed+6 changed+1", "half", "new")
}

// Nothing is left in the server of what has been removed.
func TestPushStoreLeavesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPush(t, at(server), "")
	for i := range 50 {
		c := pushPut(fmt.Sprint(i), "x")
		c.Counts[3] = 1
		apply(t, s, c)
	}
	for i := range 50 {
		apply(t, s, storage.PushChange{Op: storage.PushDelete, Key: pushKey(fmt.Sprint(i))}, storage.PushChange{Op: storage.PushCheck, Key: pushKey("none"), If: new(uint64)})
	}
	if size := server.MustDo("DBSIZE"); size != "0" {
		t.Errorf("%s keys are left: %s", size, server.MustDo("KEYS", "*"))
	}
}

// A server without memory takes nothing, gives what it has, and lets go of it.
func TestPushStoreOnFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPush(t, at(server), "")
	apply(t, s, pushPut("a", "1"), pushPut("b", "2"))
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	counted, add := pushPut("a", "3"), pushPut("b", "")
	counted.Counts[0], add.Counts[0], add.Op = 1, 1, storage.PushAdd
	gone := storage.PushChange{Op: storage.PushDelete, Key: pushKey("b")}
	for i, changes := range [][]storage.PushChange{{pushPut("a", "3")}, {counted}, {add}, {gone, pushPut("c", "3")}} {
		if err := s.Apply(t.Context(), changes...); !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("changes %d: %v", i, err)
		}
	}
	wantPush(t, s, "1 2 -", "a", "b", "c")
	apply(t, s, gone)
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	apply(t, s, counted)
	wantPush(t, s, "3+1 -", "a", "b")
}

// What somebody else has written there is an error, and never a record.
func TestPushStoreOfSomebodyElse(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPush(t, at(server), "")
	apply(t, s, pushPut("a", "1"))
	key := pushKey("a")
	record, list, due := s.recordKey(&key), s.listKey("app", "t"), s.pushDueKey(pushBucket("app"), "t")
	for _, field := range [][2]string{{"v", "0"}, {"v", "-1"}, {"d", "x"}, {"d", "-1"}, {"12", "1"}, {"01", "1"}, {"3", "x"}, {"z", "1"}} {
		server.MustDo("COPY", record, "saved", "REPLACE")
		server.MustDo("HSET", record, field[0], field[1])
		if read, err := s.Get(t.Context(), key); !says(err, "somebody else") {
			t.Errorf("%q: %v, %v", field, read, err)
		}
		server.MustDo("COPY", "saved", record, "REPLACE")
	}
	server.MustDo("ZADD", list, "0", "x")
	if read, err := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 9}); !says(err, "somebody else") {
		t.Errorf("List: %v, %v", read, err)
	}
	server.MustDo("ZADD", due, "0", "x")
	if read, err := s.Due(t.Context(), "t", 9, 9); !says(err, "somebody else") {
		t.Errorf("Due: %v, %v", read, err)
	}
	server.MustDo("DEL", due)
	server.MustDo("SET", due, "x")
	if err := s.Apply(t.Context(), pushPut("b", "1")); !says(err, "WRONGTYPE") {
		t.Errorf("another key: %v", err)
	}
	wantPush(t, s, "1 -", "a", "b")
}

// Records that have gone since a list was made leave no gap in a page.
func TestPushStorePagesOfWhatIsGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openPush(t, at(server), "")
	for i := range 3 * pushReads {
		c := pushPut(fmt.Sprintf("%03d", i), "x")
		apply(t, s, c)
		if i%3 != 0 { // as if it were removed after the list was read
			server.MustDo("DEL", s.recordKey(&c.Key))
		}
	}
	q := storage.PushQuery{App: "app", Table: "t", Limit: pushReads - 5}
	read, err := s.List(t.Context(), q)
	if err != nil || len(read) != q.Limit || read[q.Limit-1].Key.Name != fmt.Sprintf("%03d", 3*(q.Limit-1)) {
		t.Fatalf("%d records, %v", len(read), err)
	}
	q.Limit = 3 * pushReads
	if read, err = s.List(t.Context(), q); err != nil || len(read) != pushReads {
		t.Errorf("%d records, %v", len(read), err)
	}
	if read, err = s.Due(t.Context(), "t", 1, 3*pushReads); err != nil || len(read) != pushReads {
		t.Errorf("%d records are due, %v", len(read), err)
	}
}

// A login needs the rights that are documented, and no others.
func TestPushStoreRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rights := []string{"ACL", "SETUSER", "node", "reset", "on", ">hush", "~sockudo_push:*"}
	for right := range strings.FieldsSeq("evalsha eval get hget hgetall hset hdel hincrby unlink zadd zrem zcard zrangebyscore zrangebylex") {
		rights = append(rights, "+"+right)
	}
	server.MustDo(rights...)
	o := at(server)
	o.Username, o.Password = "node", "hush"
	s := openPush(t, o, "")
	counted, never := pushPut("a", "1"), pushPut("a", "2")
	counted.Counts[0], never.Due = 1, 0
	apply(t, s, counted, pushPut("b", "1"))
	apply(t, s, never, storage.PushChange{Op: storage.PushDelete, Key: pushKey("b")})
	wantPush(t, s, "2+1 -", "a", "b")
	_, listErr := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 1})
	_, dueErr := s.Due(t.Context(), "t", 1, 1)
	if err := errors.Join(listErr, dueErr, s.Check(t.Context())); err != nil {
		t.Error(err)
	}
	server.MustDo("ACL", "SETUSER", "node", "-zrangebyscore")
	if _, err := OpenPushStore(t.Context(), o, PushOptions{}, nil); !says(err, "trying the push store") || !says(err, "NOPERM") {
		t.Errorf("without a right: %v", err)
	}
}

// A server that is cut off or stalls is an error within the bound, and is used again.
func TestPushStoreOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := outage.NewProxy(t, server.Addr())
	s := openPush(t, Options{Addresses: []string{proxy.Addr()}, ReplyTimeout: 300 * time.Millisecond}, "")
	apply(t, s, pushPut("a", "1"))
	for name, breaks := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
		breaks()
		begun := time.Now()
		_, getErr := s.Get(t.Context(), pushKey("a"))
		_, listErr := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 1})
		_, dueErr := s.Due(t.Context(), "t", 1, 1)
		for i, err := range []error{getErr, listErr, dueErr, s.Apply(t.Context(), pushPut("a", "2")), s.Check(t.Context())} {
			if err == nil || errors.Is(err, storage.ErrConflict) || !says(err, proxy.Addr()) {
				t.Errorf("%s, call %d: %v", name, i, err)
			}
		}
		if took := time.Since(begun); took > 5*callTimeout {
			t.Errorf("%s: that took %v", name, took)
		}
		proxy.Mend()
		until(t, "answer afterwards", func() bool { return s.Check(t.Context()) == nil })
	}
	apply(t, s, pushPut("a", "3"))
	wantPush(t, s, "3", "a")
}

// An Apply whose answer is lost is an error, and is not done twice.
func TestPushStoreAppliesOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	between := newSwallower(t, redistest.FreePort(t), server.Addr(), applyPush.hash)
	s := openPush(t, Options{Addresses: []string{between.Addr().String()}}, "")
	add := pushPut("a", "1")
	add.Op, add.Counts[0] = storage.PushAdd, 1
	apply(t, s, add)
	between.on.Store(true)
	if err := s.Apply(t.Context(), add); err == nil || errors.Is(err, storage.ErrConflict) {
		t.Errorf("an answer that was lost: %v", err)
	}
	between.on.Store(false)
	apply(t, s, add)
	if wantPush(t, s, "1+3", "a"); between.swallowed.Load() != 1 {
		t.Errorf("%d answers were lost", between.swallowed.Load())
	}
}
