package redis

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// benchStreams are those of the server of this machine, with entries of 300 bytes.
func benchStreams(b *testing.B, n int) (c *Cache, keys []string, bounds storage.StreamBounds) {
	b.Helper()
	bounds = ampleBounds
	c, err := OpenCache(b.Context(), Options{}, CacheOptions{Prefix: "bench"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		keys = append(keys, strconv.Itoa(i))
		for range bounds.Entries {
			if _, err := c.Append(b.Context(), keys[i], "id", make([]byte, 300), bounds); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Cleanup(func() {
		for _, key := range keys {
			_ = c.Reset(context.Background(), key, "id")
		}
		_ = c.Close()
	})
	return c, keys, bounds
}

// onEachLoad runs a benchmark with one caller and one stream, and with 16 of each.
func onEachLoad(b *testing.B, run func(c *Cache, key string, bounds storage.StreamBounds) error) {
	b.Run("one caller", func(b *testing.B) {
		c, keys, bounds := benchStreams(b, 1)
		b.ReportAllocs()
		for b.Loop() {
			if err := run(c, keys[0], bounds); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	})
	b.Run("many callers", func(b *testing.B) {
		const callers = 16
		c, keys, bounds := benchStreams(b, callers)
		var next atomic.Int64
		b.SetParallelism(callers)
		b.ResetTimer()
		b.RunParallel(func(p *testing.PB) {
			key := keys[next.Add(1)%callers]
			for p.Next() {
				if err := run(c, key, bounds); err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	})
}

// BenchmarkStreamAppend adds to streams that are full.
func BenchmarkStreamAppend(b *testing.B) {
	entry := make([]byte, 300)
	onEachLoad(b, func(c *Cache, key string, bounds storage.StreamBounds) error {
		_, err := c.Append(context.Background(), key, "id", entry, bounds)
		return err
	})
}

// BenchmarkStreamHead asks where a stream stands.
func BenchmarkStreamHead(b *testing.B) {
	onEachLoad(b, func(c *Cache, key string, bounds storage.StreamBounds) error {
		_, err := c.Head(context.Background(), key, "id", bounds)
		return err
	})
}

// BenchmarkStreamAfter reads 100 entries.
func BenchmarkStreamAfter(b *testing.B) {
	onEachLoad(b, func(c *Cache, key string, _ storage.StreamBounds) error {
		_, err := c.After(context.Background(), key, 0, 100)
		return err
	})
}
