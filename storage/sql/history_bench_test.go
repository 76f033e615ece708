package sql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// benchOptions are the databases of servers, in an order.
func benchOptions(b *testing.B) []Options {
	b.Helper()
	return []Options{{Dialect: SQLite, Path: filepath.Join(b.TempDir(), "bench.db")}, postgresServer(), mysqlServer()}
}

// BenchmarkHistoryAppend has many callers append at once, to logs that some of them
// share. An operation is one entry.
func BenchmarkHistoryAppend(b *testing.B) {
	for _, o := range benchOptions(b) {
		for _, batch := range []int{1, 64} {
			for _, callers := range []int{1, 16, 256} {
				b.Run(fmt.Sprintf("%s/batch=%d/callers=%d", o.Dialect, batch, callers), func(b *testing.B) {
					h := openHistory(b, o, newPrefix(b, o))
					h.SetTimeout(time.Minute)
					var left atomic.Int64
					left.Store(int64(b.N))
					payload := make([]byte, 200)
					b.ResetTimer()
					var all sync.WaitGroup
					for c := range callers {
						all.Go(func() {
							for left.Add(-int64(batch)) > -int64(batch) {
								if err := benchAppend(h, channel(c%64), batch, payload); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
				})
			}
		}
	}
}

func benchAppend(h *History, key storage.LogKey, n int, payload []byte) error {
	appends := make([]*storage.LogAppend, n)
	for i := range appends {
		appends[i] = &storage.LogAppend{Key: key, Fresh: "id", At: time.Now().UnixMilli(), Row: true, Payload: payload, Keep: time.Hour}
	}
	h.Append(context.Background(), appends)
	for _, a := range appends {
		if a.Err != nil {
			return a.Err
		}
	}
	return nil
}

// benchEntries is how long the log is whose pages are read.
const benchEntries = 1_000_000

// BenchmarkHistoryPages reads pages of a hundred entries from a log of a million.
func BenchmarkHistoryPages(b *testing.B) {
	for _, o := range benchOptions(b) {
		b.Run(string(o.Dialect), func(b *testing.B) {
			h := benchLog(b, o)
			for name, query := range map[string]func(at uint64) storage.LogQuery{
				"from a serial":      func(at uint64) storage.LogQuery { return storage.LogQuery{From: at} },
				"back from a serial": func(at uint64) storage.LogQuery { return storage.LogQuery{To: at, Reverse: true} },
				"from a row":         func(at uint64) storage.LogQuery { return storage.LogQuery{FromRow: at / 2, Rows: true} },
				"from a time":        func(at uint64) storage.LogQuery { return storage.LogQuery{FromAt: int64(at * 10)} },
				"back from a time":   func(at uint64) storage.LogQuery { return storage.LogQuery{ToAt: int64(at * 10), Reverse: true} },
				"from a total":       func(at uint64) storage.LogQuery { return storage.LogQuery{FromTotal: at * 50} },
				"newest rows":        func(uint64) storage.LogQuery { return storage.LogQuery{Rows: true, Reverse: true} },
				"of a subject, back": func(at uint64) storage.LogQuery {
					return storage.LogQuery{Subject: "7", To: at + 1000, Reverse: true}
				},
			} {
				b.Run(name, func(b *testing.B) { benchPages(b, h, query) })
			}
		})
	}
}

// benchLog makes the log. Every other entry is a row.
func benchLog(b *testing.B, o Options) *History {
	b.Helper()
	h := openHistory(b, o, newPrefix(b, o))
	h.SetTimeout(time.Minute)
	const batch = 2000
	for i := 0; i < benchEntries; i += batch {
		appends := make([]*storage.LogAppend, batch)
		for k := range appends {
			n := i + k
			appends[k] = &storage.LogAppend{Key: channel(0), Fresh: "id", At: int64(n * 10), Row: n%2 == 0, Subject: fmt.Sprint(n % 1000), Payload: make([]byte, 100)}
		}
		if h.Append(b.Context(), appends); appends[batch-1].Err != nil {
			b.Fatal(appends[batch-1].Err)
		}
	}
	return h
}

func benchPages(b *testing.B, h *History, query func(at uint64) storage.LogQuery) {
	b.Helper()
	var took []time.Duration
	for range b.N {
		q := query(rand.Uint64N(benchEntries-1000) + 500)
		q.Limit = 100
		start := time.Now()
		page, err := h.Read(b.Context(), channel(0), "id", q)
		took = append(took, time.Since(start))
		if err != nil || len(page) == 0 {
			b.Fatalf("%+v: %d entries, %v", q, len(page), err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
