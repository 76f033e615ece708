package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushKillVariable makes the test binary the process that is killed. Its value is a
// killPlan.
const pushKillVariable = "SOCKUDO_KILL_PUSH"

// killPairs is how many pairs of records each writer changes.
const killPairs = 5

func killKey(writer, pair int, half string) storage.PushKey {
	return storage.PushKey{App: "app", Table: "t", Group: fmt.Sprint(writer), Name: fmt.Sprint(pair, half)}
}

// beKilledWithPush changes pairs of records until the process is killed: both halves of a
// pair get the same number, a receipt of it is made, and a counter of all grows. It prints
// "writer pair number ." when Apply has returned.
func beKilledWithPush(text string) error {
	var plan killPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	s, err := OpenPushStore(context.Background(), plan.Options, PushOptions{TablePrefix: plan.Prefix, Timeout: time.Minute})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	for w := range killWriters {
		go func() {
			for n := 0; ; n++ {
				pair := n % killPairs
				number, err := killStep(s, plan.Round, w, pair)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				_, _ = fmt.Fprintf(os.Stdout, "%d %d %d .\n", w, pair, number)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func killStep(s *PushStore, round, w, pair int) (number int, err error) {
	ctx := context.Background()
	a, b := killKey(w, pair, "a"), killKey(w, pair, "b")
	read, err := s.Get(ctx, a, b)
	if err != nil {
		return 0, err
	}
	if len(read[0].Value) > 0 {
		if _, err := fmt.Sscan(string(read[0].Value), &number); err != nil {
			return 0, err
		}
	}
	number++
	put := func(key storage.PushKey, now storage.PushRecord) storage.PushChange {
		return storage.PushChange{
			Op: storage.PushPut, Key: key, If: &now.Version, Version: storage.NewPushVersion(), Due: int64(number), Value: killPayload(fmt.Sprint(number)),
		}
	}
	receipt := put(killKey(w, pair, fmt.Sprint(" receipt ", number)), storage.PushRecord{})
	total := storage.PushChange{Op: storage.PushAdd, Key: storage.PushKey{App: "app", Table: "total", Name: "total"}, Version: storage.NewPushVersion()}
	total.Counts[0], total.Counts[1] = 1, int64(round)
	return number, s.Apply(ctx, put(a, read[0]), put(b, read[1]), receipt, total)
}

// TestPushStoreOfKilledProcesses kills a process that changes records, again and again, at
// any moment. Whatever Apply has accepted must be there, and nothing by half.
func TestPushStoreOfKilledProcesses(t *testing.T) {
	const rounds = 6
	onPushes(t, func(t *testing.T, o Options, prefix string) {
		accepted := map[[2]int]int{}
		said := 0
		for round := range rounds {
			for _, line := range killPushOnce(t, killPlan{o, prefix, round}) {
				var w, pair, number int
				if _, err := fmt.Sscanf(line, "%d %d %d .", &w, &pair, &number); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				if last := accepted[[2]int{w, pair}]; number <= last {
					t.Fatalf("pair %d of %d got the number %d after %d", pair, w, number, last)
				}
				accepted[[2]int{w, pair}] = number
				said++
			}
		}
		s := openPush(t, o, prefix)
		there := 0
		for w := range killWriters {
			for pair := range killPairs {
				there += checkKilledPair(t, s, w, pair, accepted[[2]int{w, pair}])
			}
		}
		total, err := s.Get(t.Context(), storage.PushKey{App: "app", Table: "total", Name: "total"})
		if err != nil || total[0].Counts[0] != int64(there) || there < said {
			t.Errorf("%d were accepted, %d are there and %d counted, %v", said, there, total[0].Counts[0], err)
		}
		t.Logf("FIGURE kill -9 of a process with the push store in %s: %d rounds, %d changes accepted, %d there", o.Dialect, rounds, said, there)
	})
}

// checkKilledPair reads a pair and its receipts. It returns the number of the pair.
func checkKilledPair(t *testing.T, s *PushStore, w, pair, least int) (number int) {
	t.Helper()
	read, err := s.Get(t.Context(), killKey(w, pair, "a"), killKey(w, pair, "b"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := read[0], read[1]
	number = int(a.Due)
	if number < least || a.Due != b.Due || string(a.Value) != string(b.Value) || number > 0 && string(a.Value) != string(killPayload(fmt.Sprint(number))) {
		t.Errorf("pair %d of %d is at %d and %d, and was accepted at %d", pair, w, a.Due, b.Due, least)
	}
	var keys []storage.PushKey
	for n := range number + 1 {
		keys = append(keys, killKey(w, pair, fmt.Sprint(" receipt ", n+1)))
	}
	receipts, err := s.Get(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	for n, r := range receipts {
		if (r.Version != 0) != (n < number) {
			t.Errorf("pair %d of %d is at %d; that its receipt %d is there is %t", pair, w, number, n+1, r.Version != 0)
		}
	}
	if number == 0 {
		return 0
	}
	again := storage.PushChange{Op: storage.PushPut, Key: a.Key, If: new(uint64), Version: storage.NewPushVersion()}
	if err := s.Apply(t.Context(), again); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("making what is there: %v", err)
	}
	return number
}

// killPushOnce runs a process for a while, kills it, and returns its whole lines.
func killPushOnce(t *testing.T, plan killPlan) (lines []string) {
	t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	return killAfter(t, pushKillVariable+"="+string(text), killLines/2+rand.IntN(killLines/2))
}
