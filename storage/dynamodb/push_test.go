package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func openPush(t *testing.T, o Options) *PushStore {
	t.Helper()
	s, err := OpenPushStore(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// pushBehindGate are a store whose requests pass a gate, and one that goes straight to the
// same table.
func pushBehindGate(t *testing.T) (g *gate, through, direct *PushStore) {
	t.Helper()
	g = newGate(t)
	o := newTable(t)
	direct = openPush(t, o)
	o.Endpoint = g.url
	return g, openPush(t, o), direct
}

// device is a key of these tests.
func device(name string) storage.PushKey {
	return storage.PushKey{App: "app", Table: "devices", Group: "g", Name: name}
}

func pushPut(key storage.PushKey, value string) storage.PushChange {
	return storage.PushChange{Op: storage.PushPut, Key: key, Version: storage.NewPushVersion(), Value: []byte(value)}
}

func pushOne(key storage.PushKey) storage.PushChange {
	return storage.PushChange{Op: storage.PushAdd, Key: key, Version: storage.NewPushVersion(), Value: []byte("made"), Counts: [storage.PushCounts]int64{1}}
}

func onlyIf(c storage.PushChange, version uint64) storage.PushChange {
	c.If = &version
	return c
}

func apply(t *testing.T, s *PushStore, changes ...storage.PushChange) {
	t.Helper()
	if err := s.Apply(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func pushGet(t *testing.T, s *PushStore, key storage.PushKey) storage.PushRecord {
	t.Helper()
	read, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return read[0]
}

// A transaction whose answer is lost is sent again, and not made twice: its counters are
// right, and its conditions do not fail because of itself.
func TestPushStoreAnswerIsLost(t *testing.T) {
	g, through, direct := pushBehindGate(t)
	for _, changes := range [][]storage.PushChange{
		{pushOne(device("a"))},
		{onlyIf(pushPut(device("c"), "1"), 0), pushOne(device("a"))},
	} {
		g.let(once("TransactWriteItems", func(w http.ResponseWriter, pass func() *answer) bool {
			if a := pass(); a.status != http.StatusOK {
				t.Errorf("the transaction was answered with %d %s", a.status, a.body)
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}))
		apply(t, through, changes...)
		if asked := len(g.asked); asked != 2 {
			t.Errorf("%d requests", asked)
		}
	}
	if r := pushGet(t, direct, device("a")); r.Counts[0] != 2 {
		t.Errorf("two changes are counted %d times", r.Counts[0])
	}
}

// What others do at the same time is waited for, and is no conflict. A condition that does
// not hold is one.
func TestPushStoreOthersAreInTheWay(t *testing.T) {
	g, through, _ := pushBehindGate(t)
	const canceled = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"canceled","CancellationReasons":[%s]}`
	cancel := func(times int, reasons string) {
		g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
			if times--; operation != "TransactWriteItems" || times < 0 {
				return false
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, canceled, reasons)
			return true
		})
	}
	const none, conflict, failed = `{"Code":"None"}`, `{"Code":"TransactionConflict","Message":"m"}`, `{"Code":"ConditionalCheckFailed","Message":"m"}`
	changes := []storage.PushChange{pushOne(device("a")), onlyIf(pushPut(device("b"), ""), 0)}
	for _, c := range []struct {
		reasons string
		times   int
		want    string
	}{
		{none + "," + failed, 1, "a condition does not hold"},
		{conflict + "," + failed, 1, "a condition does not hold"},
		{none + `,{"Code":"ValidationError","Message":"the item is bad"}`, 1, "ValidationError: the item is bad"},
		{conflict + "," + none, 5, ""},
	} {
		cancel(c.times, c.reasons)
		err := through.Apply(t.Context(), changes...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || errors.Is(err, storage.ErrConflict) != strings.Contains(c.reasons, failed) {
			t.Errorf("%s: %v, want %q", c.reasons, err, c.want)
		}
	}
	cancel(0, "")
	if r := pushGet(t, through, device("a")); r.Counts[0] != 1 {
		t.Errorf("it was counted %d times", r.Counts[0])
	}
}

// Adding with a time guesses whether there is a record, and guesses again if that was
// wrong, also when it changes in between.
func TestPushStoreAddsWithTime(t *testing.T) {
	g, through, direct := pushBehindGate(t)
	c := pushOne(device("a"))
	c.Due = 7
	transactions := 0
	g.let(func(operation string, _ http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation != "TransactWriteItems" {
			return false
		}
		switch transactions++; transactions {
		case 2:
			apply(t, direct, pushPut(c.Key, "other")) // which is never due
		case 3:
			apply(t, direct, storage.PushChange{Op: storage.PushDelete, Key: c.Key})
		}
		return false
	})
	apply(t, through, c)
	if r := pushGet(t, direct, c.Key); r.Due != 7 || r.Counts[0] != 1 || string(r.Value) != "made" || transactions != 4 {
		t.Errorf("after %d transactions: %+v", transactions, r)
	}
	apply(t, direct, pushPut(c.Key, "never due"))
	apply(t, through, c)
	if r := pushGet(t, direct, c.Key); r.Due != 0 || r.Counts[0] != 2 || string(r.Value) != "never due" || transactions != 5 {
		t.Errorf("after %d transactions: %+v", transactions, r)
	}
	idle := c
	idle.Counts = [storage.PushCounts]int64{}
	apply(t, through, idle)
	if r := pushGet(t, direct, c.Key); r.Due != 0 || r.Counts[0] != 2 {
		t.Errorf("adding nothing makes it %+v", r)
	}
}

// What has too long a name for the key of an item is where it belongs all the same.
func TestPushStoreLongNames(t *testing.T) {
	s := openPush(t, newTable(t))
	long := func(begin string, n int) string { return begin + strings.Repeat("\x00", n-len(begin)) }
	groups := []string{"", "a", long("a", 300), long("a", 511), long("a", 512), "b", long("b", 497), long("b", 498), long("b", 499), long("b", 500), "c"}
	names := []string{"a", long("x", 400), long("x", 401), long("x", 512), long("x", 511) + "y", long("y", 512), "z"}
	var all []storage.PushChange
	for _, group := range groups {
		for _, name := range names {
			c := pushPut(storage.PushKey{App: strings.Repeat("\xff", 128), Table: strings.Repeat("\x00", 32), Group: group, Name: name}, group+name)
			c.Due = 1
			all = append(all, c)
		}
	}
	apply(t, s, all...)
	list := func(q storage.PushQuery) (found []storage.PushRecord) {
		q.App, q.Table = all[0].Key.App, all[0].Key.Table
		found, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	same := func(what string, found []storage.PushRecord, want []storage.PushChange) {
		t.Helper()
		if len(found) != len(want) {
			t.Fatalf("%s: %d records, want %d", what, len(found), len(want))
		}
		for i, r := range found {
			if r.Key != want[i].Key || r.Version != want[i].Version {
				t.Fatalf("%s: record %d is %.60q, want %.60q", what, i, r.Key.Group+"|"+r.Key.Name, want[i].Key.Group+"|"+want[i].Key.Name)
			}
		}
	}
	same("all", list(storage.PushQuery{Limit: 1000}), all)
	for i, c := range all {
		if i%3 == 1 {
			continue
		}
		same("from one on", list(storage.PushQuery{AfterGroup: c.Key.Group, AfterName: c.Key.Name, Limit: 3}), all[i+1:min(i+4, len(all))])
	}
	for i, group := range groups {
		of := all[i*len(names):][:len(names)]
		same("a group", list(storage.PushQuery{Group: &group, Limit: 100}), of)
		same("from the middle of a group", list(storage.PushQuery{Group: &group, AfterName: names[3], Limit: 2}), of[4:6])
		same("behind what is too long", list(storage.PushQuery{Group: &group, AfterName: long("x", 512) + "y", Limit: 9}), of[4:])
	}
	due, err := s.Due(t.Context(), all[0].Key.Table, 1, 1000)
	if err != nil || len(due) != len(all) {
		t.Errorf("%d are due, %v", len(due), err)
	}
	for _, c := range slices.Backward(all) {
		if r := pushGet(t, s, c.Key); string(r.Value) != string(c.Value) {
			t.Errorf("%.60q has the version %d", c.Key.Name, r.Version)
		}
	}
	var gone []storage.PushChange
	for _, c := range all {
		gone = append(gone, storage.PushChange{Op: storage.PushDelete, Key: c.Key, If: &c.Version})
	}
	apply(t, s, gone...)
	same("when all are gone", list(storage.PushQuery{Limit: 10}), nil)
}

// The largest record has room in an item, with its key and counters.
func TestPushStoreLargestRecord(t *testing.T) {
	s := openPush(t, newTable(t))
	c := pushPut(storage.PushKey{App: strings.Repeat("a", 128), Table: strings.Repeat("t", 32), Group: strings.Repeat("\x00", 512), Name: strings.Repeat("n", 512)}, strings.Repeat("v", maxPayload))
	c.Version, c.Due = 1<<63-1, 1<<62
	for i := range c.Counts {
		c.Counts[i] = -1 << 62
	}
	apply(t, s, c)
	if r := pushGet(t, s, c.Key); string(r.Value) != string(c.Value) || r.Counts != c.Counts {
		t.Errorf("it is read as one of %d bytes with %v", len(r.Value), r.Counts)
	}
}
