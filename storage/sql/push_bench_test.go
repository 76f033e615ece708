package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func pushPut(name string, n int) storage.PushChange {
	return storage.PushChange{
		Op: storage.PushPut, Key: storage.PushKey{App: "app", Table: "t", Group: "g", Name: name}, Version: storage.NewPushVersion(), Value: fmt.Append(nil, n),
	}
}

// BenchmarkPushApply has many callers change records: accept a publish, claim a piece of
// work, and count. It reports how many Applies there are in a second, and how long most of
// them take.
func BenchmarkPushApply(b *testing.B) {
	for _, o := range benchOptions(b) {
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", o.Dialect, callers), func(b *testing.B) {
				s := openPush(b, o, newPushTable(b, o))
				s.SetTimeout(time.Minute)
				var left atomic.Int64
				left.Store(int64(b.N))
				var mu sync.Mutex
				var took []time.Duration
				b.ResetTimer()
				var all sync.WaitGroup
				for c := range callers {
					all.Go(func() {
						var mine []time.Duration
						for left.Add(-1) >= 0 {
							start := time.Now()
							if err := benchApply(s, c, len(mine)); err != nil {
								b.Error(err)
								return
							}
							mine = append(mine, time.Since(start))
						}
						mu.Lock()
						took = append(took, mine...)
						mu.Unlock()
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applies/s")
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

func benchApply(s *PushStore, caller, n int) error {
	own := pushPut(fmt.Sprint(caller, " ", n/3), n)
	own.Value = make([]byte, 500)
	switch n % 3 {
	case 0: // a publish with its first piece of work
		work := pushPut(fmt.Sprint("work ", caller, " ", n), n)
		work.Due, own.If, work.If = int64(n+1), new(uint64), new(uint64)
		return s.Apply(context.Background(), own, work)
	case 1:
		own.Op, own.Counts[0] = storage.PushAdd, 1
		return s.Apply(context.Background(), own)
	}
	read, err := s.Get(context.Background(), own.Key)
	if err != nil {
		return err
	}
	own.If = &read[0].Version
	total := pushPut(fmt.Sprint("total ", caller%8), 0)
	total.Op, total.Counts[1] = storage.PushAdd, 1
	return s.Apply(context.Background(), own, total)
}

// benchRecords is how many records there are that are read in pages.
const benchRecords = 200_000

// BenchmarkPushPages reads pages of a thousand from one large group, and what is due.
func BenchmarkPushPages(b *testing.B) {
	for _, o := range benchOptions(b) {
		s := openPush(b, o, newPushTable(b, o))
		s.SetTimeout(time.Minute)
		for i := 0; i < benchRecords; i += storage.MaxPushChanges {
			var changes []storage.PushChange
			for k := range storage.MaxPushChanges {
				c := pushPut(fmt.Sprintf("%08d", i+k), i)
				c.Value, c.Due = make([]byte, 100), int64(i+k)
				changes = append(changes, c)
			}
			if err := s.Apply(b.Context(), changes...); err != nil {
				b.Fatal(err)
			}
		}
		page := func(n int, err error) {
			if err != nil || n == 0 {
				b.Fatal(n, errors.Join(err))
			}
		}
		for name, read := range map[string]func(at int) ([]storage.PushRecord, error){
			"all groups": func(at int) ([]storage.PushRecord, error) {
				return s.List(b.Context(), storage.PushQuery{App: "app", Table: "t", AfterGroup: "g", AfterName: fmt.Sprintf("%08d", at), Limit: 1000})
			},
			"due": func(at int) ([]storage.PushRecord, error) { return s.Due(b.Context(), "t", int64(at+1), 100) },
		} {
			b.Run(fmt.Sprintf("%s/%s", o.Dialect, name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					records, err := read(i * 7919 % (benchRecords - 1000))
					page(len(records), err)
				}
			})
		}
	}
}
