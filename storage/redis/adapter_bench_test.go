package redis

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// benchNodes are two nodes, and what the second has got.
func benchNodes(b *testing.B, o Options, options AdapterOptions) (one *Adapter, got *atomic.Int64, e *protocol.Envelope) {
	b.Helper()
	got = new(atomic.Int64)
	var nodes [2]*Adapter
	for i := range nodes {
		a, err := OpenAdapter(b.Context(), o, options, nil)
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

// onEachWay runs a benchmark against one server, and a cluster in both ways.
func onEachWay(b *testing.B, run func(b *testing.B, one *Adapter, got *atomic.Int64, e *protocol.Envelope)) {
	prefix := "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, way := range []struct {
		name    string
		options func() Options
		sharded bool
	}{
		{"single", func() Options { return Options{} }, false},
		{"cluster", func() Options { return Options{Cluster: true, Addresses: clusterOf().Addrs()} }, false},
		{"sharded", func() Options { return Options{Cluster: true, Addresses: clusterOf().Addrs()} }, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			one, got, e := benchNodes(b, way.options(), AdapterOptions{Prefix: prefix, Sharded: way.sharded})
			run(b, one, got, e)
		})
	}
}

// BenchmarkAdapterThroughput publishes as fast as can be, with a window of what is
// under way.
func BenchmarkAdapterThroughput(b *testing.B) {
	onEachWay(b, func(b *testing.B, one *Adapter, got *atomic.Int64, e *protocol.Envelope) {
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
	})
}

// BenchmarkAdapterLatency waits for each event on the other node.
func BenchmarkAdapterLatency(b *testing.B) {
	onEachWay(b, func(b *testing.B, one *Adapter, got *atomic.Int64, e *protocol.Envelope) {
		n := int64(0)
		for b.Loop() {
			if err := one.Publish(context.Background(), e); err != nil {
				b.Fatal(err)
			}
			n++
			for got.Load() < n { //nolint:revive // spins
			}
		}
	})
}
