package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// TestPushStoreOfKilledServer kills a server that has on disk what it has answered, while
// pairs of records are changed. Whatever Apply has accepted must be there, and nothing by
// half.
func TestPushStoreOfKilledServer(t *testing.T) {
	t.Parallel()
	const rounds, writers = 3, 4
	server := redistest.Start(t, surely...)
	s := openPush(t, at(server), "")
	var accepted [writers]int
	for range rounds {
		begun := make(chan struct{}, writers)
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				for n := accepted[w] + 1; ; n++ {
					total := pushPut(fmt.Sprint("total ", w), "")
					total.Op, total.Counts[0] = storage.PushAdd, 1
					value := fmt.Sprint(n, strings.Repeat(" ", n%3000))
					if err := s.Apply(context.Background(), pushPut(fmt.Sprint("a", w), value), total, pushPut(fmt.Sprint("b", w), value), pushPut(fmt.Sprint("receipt ", w, " ", n), value)); err != nil {
						return
					}
					accepted[w] = n
					if n%20 == 0 {
						select {
						case begun <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		for range writers {
			<-begun
		}
		server.Kill()
		writing.Wait()
		server.Restart()
		until(t, "answer afterwards", func() bool { return s.Check(t.Context()) == nil })
		for w := range writers {
			accepted[w] = killedPair(t, s, w, accepted[w])
		}
	}
	t.Logf("FIGURE kill -9 of a Redis with the push store: %d rounds, %d changes accepted, none lost", rounds, accepted)
}

// killedPair checks the records of one writer, and returns how many of its changes there
// are: those that it was told of, and one that it was not told of, maybe.
func killedPair(t *testing.T, s *PushStore, w, least int) (number int) {
	t.Helper()
	read, err := s.Get(t.Context(), pushKey(fmt.Sprint("a", w)), pushKey(fmt.Sprint("b", w)), pushKey(fmt.Sprint("total ", w)))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Sscan(string(read[0].Value), &number)
	if number < least || number > least+1 || string(read[0].Value) != string(read[1].Value) || read[2].Counts[0] != int64(number) {
		t.Fatalf("writer %d was told of %d; there are %d, the other half %.9q, counted %d", w, least, number, read[1].Value, read[2].Counts[0])
	}
	last, err := s.Get(t.Context(), pushKey(fmt.Sprint("receipt ", w, " ", number)), pushKey(fmt.Sprint("receipt ", w, " ", number+1)))
	if err != nil || last[0].Version == 0 || last[1].Version != 0 {
		t.Fatalf("the receipts of writer %d at %d: %v", w, number, err)
	}
	return number
}

// While the slot of an app is moved to another node, its records are read where they are. A
// change of what is in two places is an error, and not made; it is made afterwards.
func TestPushStoreWhileSlotsMove(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	s := openPush(t, Options{Cluster: true, Addresses: cluster.Addrs()}, "")
	var names, values []string
	for i := range 20 {
		names, values = append(names, fmt.Sprint(i)), append(values, fmt.Sprint("v", i))
		apply(t, s, pushPut(names[i], values[i]))
	}
	slot := cluster.Nodes[0].MustDo("CLUSTER", "KEYSLOT", s.listKey("app", "t"))
	from := slices.IndexFunc(cluster.Nodes, func(n *redistest.Server) bool { return n.MustDo("CLUSTER", "COUNTKEYSINSLOT", slot) == "22" })
	old, next := cluster.Nodes[from], cluster.Nodes[(from+1)%len(cluster.Nodes)]
	next.MustDo("CLUSTER", "SETSLOT", slot, "IMPORTING", old.MustDo("CLUSTER", "MYID"))
	old.MustDo("CLUSTER", "SETSLOT", slot, "MIGRATING", next.MustDo("CLUSTER", "MYID"))
	move := func(key string) {
		old.MustDo("MIGRATE", "127.0.0.1", strconv.Itoa(next.Port), key, "0", "5000")
	}
	for i, name := range names {
		key := pushKey(name)
		if move(s.recordKey(&key)); i%7 == 0 {
			wantPush(t, s, strings.Join(values, " "), names...)
			if err := s.Apply(t.Context(), pushPut("0", "new"), pushPut("19", "new")); err == nil || errors.Is(err, storage.ErrConflict) {
				t.Errorf("with %d records elsewhere: %v", i+1, err)
			}
		}
	}
	wantPush(t, s, strings.Join(values, " "), names...)
	move(s.listKey("app", "t"))
	move(s.pushDueKey(pushBucket("app"), "t"))
	for _, node := range []*redistest.Server{next, old} {
		node.MustDo("CLUSTER", "SETSLOT", slot, "NODE", next.MustDo("CLUSTER", "MYID"))
	}
	apply(t, s, pushPut("0", "new"), pushPut("19", "new"))
	values[0], values[19] = "new", "new"
	wantPush(t, s, strings.Join(values, " "), names...)
	read, err := s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 50})
	due, dueErr := s.Due(t.Context(), "t", 1, 50)
	if err != nil || dueErr != nil || len(read) != 20 || len(due) != 20 {
		t.Errorf("%d records are there, and %d due, %v, %v", len(read), len(due), err, dueErr)
	}
}

// Members of lists are read back as what they name, in the order of groups and names, and
// nothing else is a member.
func FuzzPushMembers(f *testing.F) {
	for _, text := range []string{"", "a\x00\x01b", "a\x00\xff\x00\x01b", "3:app1:gname", "0:0:x", "1:a01:gx", "1:a1:g", "\x00\x01", "9:x", "-1:x"} {
		f.Add(text, "g", "n")
	}
	f.Add("x", "a\x00", "\x00\x01")
	f.Add("x", "a\x00\x01", "\xff")
	f.Fuzz(func(t *testing.T, text, group, name string) {
		if g, n, err := readListMember(text); err == nil && listMember(g, n) != text {
			t.Errorf("%q is read as %q, %q", text, g, n)
		}
		if k, err := readDueMember("t", text); err == nil && dueMember(&k) != text {
			t.Errorf("%q is read as %+v", text, k)
		}
		if name == "" {
			return
		}
		if g, n, err := readListMember(listMember(group, name)); err != nil || g != group || n != name {
			t.Errorf("%q, %q are read as %q, %q, %v", group, name, g, n, err)
		}
		if text != "" {
			if got, want := cmp.Compare(listMember(group, name), listMember(name, text)), cmp.Or(cmp.Compare(group, name), cmp.Compare(name, text)); got != want {
				t.Errorf("%q, %q compares with %q, %q as %d, want %d", group, name, name, text, got, want)
			}
		}
		k := storage.PushKey{App: group, Table: "t", Group: name, Name: name}
		if read, err := readDueMember("t", dueMember(&k)); k.Check() == nil && (err != nil || read != k) {
			t.Errorf("%+v is read as %+v, %v", k, read, err)
		}
	})
}
