package nats

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// benchNodes are two nodes, and what the second has got.
func benchNodes(b *testing.B) (one *Adapter, got *atomic.Int64, e *protocol.Envelope) {
	b.Helper()
	o := Options{Servers: []string{machine()}, Prefix: unique()}
	got = new(atomic.Int64)
	var nodes [2]*Adapter
	for i := range nodes {
		a, err := OpenAdapter(b.Context(), o, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = a.Close() })
		nodes[i] = a
	}
	if _, err := nodes[1].Subscribe("hub", func(*protocol.Envelope) { got.Add(1) }); err != nil {
		b.Fatal(err)
	}
	e = &protocol.Envelope{App: "app", Channel: "room-1234", Event: "message", Data: json.RawMessage(`"` + strings.Repeat("x", 100) + `"`), Node: strings.Repeat("n", 26), Seq: 1 << 30}
	if err := nodes[1].Want(b.Context(), e.Topic()); err != nil {
		b.Fatal(err)
	}
	return nodes[0], got, e
}

func awaitCount(b *testing.B, got *atomic.Int64, n int64) {
	b.Helper()
	for end := time.Now().Add(30 * time.Second); got.Load() < n; time.Sleep(10 * time.Microsecond) {
		if time.Now().After(end) {
			b.Fatalf("%d of %d came", got.Load(), n)
		}
	}
}

// BenchmarkThroughput publishes as fast as can be, with a window of what is under way.
func BenchmarkThroughput(b *testing.B) {
	one, got, e := benchNodes(b)
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		if err := one.Publish(context.Background(), e); err != nil {
			b.Fatal(err)
		}
		if n++; n%1000 == 0 && n > 10000 {
			awaitCount(b, got, n-10000)
		}
	}
	awaitCount(b, got, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkLatency waits for each event on the other node.
func BenchmarkLatency(b *testing.B) {
	one, got, e := benchNodes(b)
	n := int64(0)
	for b.Loop() {
		if err := one.Publish(context.Background(), e); err != nil {
			b.Fatal(err)
		}
		n++
		for got.Load() < n { //nolint:revive // spins
		}
	}
}
