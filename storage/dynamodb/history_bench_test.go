package dynamodb

import (
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sockudo/caddy-sockudo/storage"
)

func benchHistory(b *testing.B) *History {
	b.Helper()
	h, err := OpenHistory(b.Context(), Options{Table: "bench-" + strings.ToLower(rand.Text()[:10]), Endpoint: endpoint(), AccessKeyID: "test", SecretAccessKey: "hush"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if _, err := h.client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &h.table}); err != nil {
			b.Error(err)
		}
		_ = h.Close()
	})
	return h
}

// appendRows appends rows of 300 bytes with a subject.
func appendRows(ctx context.Context, h *History, channel string, n int) error {
	appends := make([]*storage.LogAppend, n)
	for i := range appends {
		appends[i] = &storage.LogAppend{Key: storage.LogKey{App: "app", Channel: channel}, Fresh: "id", Row: true, Subject: rand.Text(), Payload: make([]byte, 300)}
	}
	h.Append(ctx, appends)
	for _, a := range appends {
		if a.Err != nil {
			return a.Err
		}
	}
	return nil
}

func BenchmarkHistoryAppend(b *testing.B) {
	for name, c := range map[string]struct {
		callers, logs, entries int
	}{"1 caller": {1, 1, 1}, "16 callers of one log": {16, 1, 1}, "16 callers of 16 logs": {16, 16, 1}, "1 caller of 30 entries": {1, 1, 30}} {
		b.Run(name, func(b *testing.B) {
			h := benchHistory(b)
			var next atomic.Int64
			b.ReportAllocs()
			if c.callers > 1 {
				b.SetParallelism(c.callers / 2) // of two processors
			}
			b.ResetTimer()
			run := func(more func() bool) {
				channel := string(rune('a' + next.Add(1)%int64(c.logs)))
				for more() {
					if err := appendRows(b.Context(), h, channel, c.entries); err != nil {
						b.Error(err)
						return
					}
				}
			}
			if c.callers == 1 {
				run(b.Loop)
			} else {
				b.RunParallel(func(p *testing.PB) { run(p.Next) })
			}
			b.ReportMetric(float64(b.N*c.entries)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkHistoryRead reads pages of a log with 10,000 rows.
func BenchmarkHistoryRead(b *testing.B) {
	h := benchHistory(b)
	const rows = 10000
	for n := 0; n < rows; n += 1000 {
		if err := appendRows(b.Context(), h, "room", 1000); err != nil {
			b.Fatal(err)
		}
	}
	key := storage.LogKey{App: "app", Channel: "room"}
	for name, q := range map[string]storage.LogQuery{
		"newest 100":      {Rows: true, Reverse: true, Limit: 100},
		"100 by serial":   {Rows: true, From: 5000, Limit: 100},
		"100 by row":      {Rows: true, FromRow: 5000, Limit: 100},
		"newest, bare":    {Rows: true, Reverse: true, Limit: 1, Bare: true},
		"1000 from begin": {Rows: true, Limit: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				entries, err := h.Read(b.Context(), key, "id", q)
				if err != nil || len(entries) != q.Limit {
					b.Fatal(len(entries), err)
				}
			}
		})
	}
}
