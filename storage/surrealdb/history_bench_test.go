package surrealdb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/surrealtest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func benchHistory(b *testing.B) *History {
	b.Helper()
	o := Options{URL: os.Getenv("TEST_SURREALDB_URL"), Username: os.Getenv("TEST_SURREALDB_USERNAME"), Password: os.Getenv("TEST_SURREALDB_PASSWORD")}
	if o.URL == "" {
		server, err := surrealtest.Start(b.TempDir())
		b.Cleanup(server.Kill)
		if err != nil {
			b.Fatal(err)
		}
		o = optionsOf(server)
	}
	h, err := OpenHistory(context.Background(), HistoryOptions{Options: o, TablePrefix: "bench"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, logs int }{{1, 1}, {16, 1}, {16, 16}} {
		b.Run(fmt.Sprintf("%d callers, %d logs", c.callers, c.logs), func(b *testing.B) {
			h := benchHistory(b)
			payload := []byte(strings.Repeat("x", 200))
			b.ResetTimer()
			var all sync.WaitGroup
			for caller := range c.callers {
				all.Go(func() {
					for n := caller; n < b.N; n += c.callers {
						a := &storage.LogAppend{Key: logOf(fmt.Sprint("c", caller%c.logs)), Fresh: "id", Row: true, Once: fmt.Sprint(n), Payload: payload}
						if h.Append(context.Background(), []*storage.LogAppend{a}); a.Err != nil {
							b.Error(a.Err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	h := benchHistory(b)
	for range 20 {
		appends := rowsOf("c", 500, 200)
		for i, a := range appends {
			a.Subject = fmt.Sprint("s", i%50)
		}
		add(b, h, appends...)
	}
	for name, q := range map[string]storage.LogQuery{
		"newest 100":               {Limit: 100, Reverse: true},
		"newest 100 rows":          {Limit: 100, Rows: true, Reverse: true},
		"100 in the middle":        {Limit: 100, From: 5000},
		"100 rows from a row on":   {Limit: 100, FromRow: 5000, Rows: true},
		"100 from a total on":      {Limit: 100, FromTotal: 1_000_000},
		"first row of the newest":  {Limit: 2, Rows: true, Bare: true, FromTotal: 1_500_000, To: 10000},
		"100 of a subject of 200":  {Limit: 100, Subject: "s7", Reverse: true},
		"all 10000, without bytes": {Limit: 10000, Bare: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if found, err := h.Read(context.Background(), logOf("c"), "id", q); err != nil || len(found) == 0 {
					b.Fatal(len(found), err)
				}
			}
		})
	}
}
