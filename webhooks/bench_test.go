//go:build unix

package webhooks

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// BenchmarkDelivery tells events one by one and waits until all have come, by way of
// a queue in SQLite and HTTPS. The receiver is in the same process, so its share is
// in the CPU time.
func BenchmarkDelivery(b *testing.B) {
	for _, receivers := range []string{"one", "one beside a dead one"} {
		b.Run(receivers, func(b *testing.B) { benchmarkDelivery(b, receivers != "one") })
	}
}

func benchmarkDelivery(b *testing.B, dead bool) {
	q, err := sql.OpenQueue(b.Context(), filepath.Join(b.TempDir(), "queue.db"), sql.QueueOptions{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	var came atomic.Int64
	r := newReceiver(b, nil)
	r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		came.Add(int64(countEvents(b, req)))
	})
	a, hooks := new(apps), []storage.Webhook{r.hook("/")}
	if dead {
		hooks = append(hooks, storage.Webhook{URL: "https://127.0.0.1:1/", EventTypes: protocol.WebhookNames()})
	}
	a.set(hooks...)
	d := New(NewBoard(meter.NewRegistry("bench")), Settings{AllowPrivate: true, Roots: r.roots, Apps: a, Queue: q, Log: zap.NewNop()})
	if err := d.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Stop(b.Context()) }()
	b.ResetTimer()
	before := cpu(b)
	var longest time.Duration
	for i := range b.N {
		events := storageEvents(fmt.Sprint("channel-", i))
		start := time.Now()
		d.Tell("demo", events, nil)
		longest = max(longest, time.Since(start))
		for int64(i)-came.Load() > 20000 { // what the bound of the outbox admits, with room
			time.Sleep(time.Millisecond)
		}
	}
	until(b, "the last event", func() bool { return came.Load() >= int64(b.N) })
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "events/CPU-s")
	b.ReportMetric(float64(longest.Microseconds()), "longest-Tell-µs")
}

func countEvents(b *testing.B, req *http.Request) int {
	b.Helper()
	body := make([]byte, req.ContentLength)
	if _, err := io.ReadFull(req.Body, body); err != nil {
		b.Error(err)
	}
	return len((&request{body: body}).envelope(b).Events)
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
