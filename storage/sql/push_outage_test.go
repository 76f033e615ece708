package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// onPushProxies runs a test on each server, with a proxy between.
func onPushProxies(t *testing.T, f func(t *testing.T, proxy *outage.Proxy, s *PushStore)) {
	for dialect, o := range servers(t) {
		if dialect == SQLite { // which has no server
			continue
		}
		t.Run(string(dialect), func(t *testing.T) {
			storagetest.Engine(t, engineOf(t, o))
			target, prefix := addressOf(t, o), newPushTable(t, o)
			proxy := outage.NewProxy(t, target)
			openPush(t, o, prefix) // makes the tables
			o.DSN = strings.Replace(o.DSN, target, proxy.Addr(), 1)
			s := openPush(t, o, prefix)
			s.SetTimeout(shortTimeout)
			t.Cleanup(proxy.Mend)
			f(t, proxy, s)
		})
	}
}

// Calls fail in time while the server cannot be reached or does not answer, though their
// contexts have no end, and nobody claims that a condition does not hold. Afterwards they
// work without opening anything anew.
func TestPushStoreOutage(t *testing.T) {
	onPushProxies(t, func(t *testing.T, proxy *outage.Proxy, s *PushStore) {
		ctx := context.Background()
		there := pushPut("there", 0)
		if err := s.Apply(ctx, there); err != nil {
			t.Fatal(err)
		}
		check := storage.PushChange{Op: storage.PushCheck, Key: there.Key, If: &there.Version}
		calls := map[string]func() error{
			"Get":         func() error { _, err := s.Get(ctx, there.Key); return err },
			"List":        func() error { _, err := s.List(ctx, storage.PushQuery{App: "app", Table: "t", Limit: 1}); return err },
			"Due":         func() error { _, err := s.Due(ctx, "t", 1, 1); return err },
			"Apply":       func() error { return s.Apply(ctx, pushPut("x", 0)) },
			"large Apply": func() error { return s.Apply(ctx, check, pushPut("y", 0), pushPut("z", 0)) },
			"Check":       func() error { return s.Check(ctx) },
		}
		for what, begin := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
			begin()
			for name, call := range calls {
				start := time.Now()
				err := call()
				if err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrClosed) || !strings.Contains(err.Error(), s.place) {
					t.Errorf("%s while the connection is %s: %v", name, what, err)
				}
				if took := time.Since(start); took > lateAt {
					t.Errorf("%s while the connection is %s took %v, with a limit of %v", name, what, took, shortTimeout)
				}
			}
			proxy.Mend()
			for name, call := range calls {
				until(t, name+" after the outage", func() bool { return call() == nil })
			}
		}
	})
}

// When a connection ends in the middle of an Apply, nobody knows what has become of it.
// Whoever looks before trying again has each change once, and never half of it.
func TestPushStoreRetriesOverOutages(t *testing.T) {
	onPushProxies(t, func(t *testing.T, proxy *outage.Proxy, s *PushStore) {
		const writers, turns = 4, 8
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		progress := make(chan struct{}, writers*turns)
		var mu sync.Mutex
		failed := 0
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range turns {
					for done := false; !done && ctx.Err() == nil; {
						done = pushOnce(s, w, n, func() {
							mu.Lock()
							defer mu.Unlock()
							failed++
						})
					}
					progress <- struct{}{}
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				select { // a slow machine must come to an end too
				case <-progress:
				case <-ctx.Done():
					return
				}
				wait.For(ctx, time.Duration(rand.IntN(20000))*time.Microsecond)
				if n%8 == 7 {
					proxy.Stall()
				}
				proxy.Cut()
				proxy.Mend()
			}
		}()
		all.Wait()
		if ctx.Err() != nil {
			t.Fatal("the writers do not come to their end")
		}
		cancel()
		<-ended
		var list, total []storage.PushRecord
		until(t, "answer", func() bool {
			var one, other error
			list, one = s.List(t.Context(), storage.PushQuery{App: "app", Table: "t", Limit: 1000})
			total, other = s.Get(t.Context(), storage.PushKey{App: "app", Table: "total", Name: "total"})
			return one == nil && other == nil
		})
		if len(list) != writers*turns || total[0].Counts[0] != writers*turns {
			t.Errorf("%d records, and %d counted; want %d", len(list), total[0].Counts[0], writers*turns)
		}
		t.Logf("FIGURE %s: %d changes failed because of cut connections", s.dialect, failed)
	})
}

// pushOnce makes a record and counts it, and reports whether that is done.
func pushOnce(s *PushStore, w, n int, failed func()) bool {
	total := storage.PushChange{Op: storage.PushAdd, Key: storage.PushKey{App: "app", Table: "total", Name: "total"}, Version: storage.NewPushVersion()}
	total.Counts[0] = 1
	c := pushPut(fmt.Sprint(w, " ", n), n)
	c.If = new(uint64)
	err := s.Apply(context.Background(), c, total)
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		failed()
	}
	return err == nil || errors.Is(err, storage.ErrConflict)
}
