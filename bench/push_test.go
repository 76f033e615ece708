//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/fcm"
	"github.com/sockudo/caddy-sockudo/push/webpush"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// pushRig is a push pipeline with an embedded store and queue, which sends to a stand-in
// of FCM on this machine.
type pushRig struct {
	*push.Pipeline
	b        testing.TB
	registry *push.Registry
	store    storage.PushStore
	fcm      *pushtest.FCM
}

// newPushRig makes one on the named store: memory or sqlite.
func newPushRig(b testing.TB, kind string, latency time.Duration) *pushRig {
	g := &pushRig{b: b, fcm: pushtest.NewFCM(b)}
	g.fcm.SetLatency(latency)
	var queue storage.Queue
	if kind == "memory" {
		g.store, queue = memory.NewPushStore(1<<30), memory.NewQueue(memory.QueueOptions{})
	} else {
		dir := b.TempDir()
		store, err := sql.OpenPushStore(b.Context(), sql.Options{Dialect: sql.SQLite, Path: filepath.Join(dir, "push.db")}, sql.PushOptions{})
		if err != nil {
			b.Fatal(err)
		}
		g.store = store
		if queue, err = sql.OpenQueue(b.Context(), filepath.Join(dir, "queue.db"), sql.QueueOptions{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	codecs := map[push.Kind]push.Provider{push.FCM: fcm.Provider{}, push.WebPush: webpush.Provider{}}
	g.registry = push.NewRegistry(push.RegistryOptions{Store: g.store, Providers: codecs})
	g.Pipeline = push.New(push.NewBoard(meter.NewRegistry("bench")), push.Settings{
		Store: g.store, Queue: queue, Limiter: memory.NewRateLimiter(memory.RateLimiterOptions{}), Registry: g.registry, Codecs: codecs,
		Setups: map[push.Kind]push.Setup{push.FCM: {Material: g.fcm.Material(b), Options: push.ConnectOptions{Endpoint: g.fcm.URL, Roots: g.fcm.Roots, AllowPrivate: true}}},
		Quotas: push.Quotas{AcceptanceRPS: -1},
	})
	if err := g.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = g.Stop(ctx)
		_ = queue.Close()
		_ = g.store.Close()
	})
	return g
}

// devices registers some and subscribes them to a channel.
func (g *pushRig) devices(app, channel string, n int) {
	var all sync.WaitGroup
	some := make(chan struct{}, 64)
	for i := range n {
		some <- struct{}{}
		all.Go(func() {
			defer func() { <-some }()
			id := fmt.Sprintf("%s-%06d", channel, i)
			r := new(push.Registration)
			text := fmt.Sprintf(`{"id":%q,"formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","push":{"recipient":{"transportType":"gcm","registrationToken":%q}}}`, id, app+id)
			if err := json.Unmarshal([]byte(text), r); err != nil {
				g.b.Error(err)
			}
			if _, err := g.registry.Register(g.b.Context(), app, r, false); err != nil {
				g.b.Error(err)
			}
			if _, err := g.registry.Subscribe(g.b.Context(), app, push.Subscription{Channel: channel, DeviceID: id}); err != nil {
				g.b.Error(err)
			}
		})
	}
	all.Wait()
}

// publish accepts a publish to a channel, and reports how long that took.
func (g *pushRig) publish(app, channel, id string) time.Duration {
	r := &push.Request{PublishID: id, Targets: []push.Target{{Type: push.ToChannel, Channel: channel}}, Payload: &push.Payload{Title: "T", Body: "B"}}
	began := time.Now()
	if _, err := g.Accept(g.b.Context(), app, r, push.AcceptOptions{}); err != nil {
		g.b.Fatal(err)
	}
	return time.Since(began)
}

// ended waits for the end of a publish.
func (g *pushRig) ended(app, id string) *push.Status {
	for {
		s, err := g.Status(g.b.Context(), app, id)
		if err != nil {
			g.b.Fatal(err)
		}
		switch s.State {
		case push.Queued, push.Planning, push.Dispatching:
			time.Sleep(5 * time.Millisecond)
			continue
		}
		return s
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func percentile(all []time.Duration, p int) float64 {
	slices.Sort(all)
	return float64(all[(len(all)-1)*p/100].Microseconds()) / 1000
}

// BenchmarkPushAccept accepts publishes to a channel of one device, eight at once.
func BenchmarkPushAccept(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		b.Run(kind, func(b *testing.B) {
			g := newPushRig(b, kind, 0)
			g.devices("a", "one", 1)
			var mu sync.Mutex
			var took []time.Duration
			var n atomic.Int64
			b.ResetTimer()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for {
						i := n.Add(1)
						if i > int64(b.N) {
							return
						}
						d := g.publish("a", "one", fmt.Sprint("p", i))
						mu.Lock()
						took = append(took, d)
						mu.Unlock()
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(percentile(took, 50), "p50-ms")
			b.ReportMetric(percentile(took, 99), "p99-ms")
			g.ended("a", fmt.Sprint("p", b.N))
		})
	}
}

// BenchmarkPushLatency is the time from the call to the request at the service, for one
// device while nothing else happens.
func BenchmarkPushLatency(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		b.Run(kind, func(b *testing.B) {
			g := newPushRig(b, kind, 0)
			g.devices("a", "one", 1)
			g.publish("a", "one", "warm")
			g.ended("a", "warm")
			var took []time.Duration
			for i := range b.N {
				before := g.fcm.Requests()
				began := time.Now()
				g.publish("a", "one", fmt.Sprint("p", i))
				for g.fcm.Requests() == before {
					time.Sleep(100 * time.Microsecond)
				}
				took = append(took, time.Since(began))
				g.ended("a", fmt.Sprint("p", i))
			}
			b.ReportMetric(percentile(took, 50), "p50-ms")
			b.ReportMetric(percentile(took, 99), "p99-ms")
		})
	}
}

// BenchmarkPushFanout notifies the devices of one channel, at a service that answers after
// 50 ms.
func BenchmarkPushFanout(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		for _, devices := range []int{5000, 100000} {
			b.Run(fmt.Sprintf("%s/%d", kind, devices), func(b *testing.B) {
				g := newPushRig(b, kind, 50*time.Millisecond)
				g.devices("a", "all", devices)
				b.ResetTimer()
				used := cpu()
				for i := range b.N {
					id := fmt.Sprint("p", i)
					g.publish("a", "all", id)
					if s := g.ended("a", id); s.Counters.Succeeded != int64(devices) {
						b.Fatalf("it ended as %+v", s)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "deliveries/s")
				b.ReportMetric(float64(devices*b.N)/(cpu()-used).Seconds(), "deliveries/CPU-s")
			})
		}
	}
}

// BenchmarkPushIsolation is the time until one device of an app is notified, alone and while
// another app has much to send at a service that is slow.
func BenchmarkPushIsolation(b *testing.B) {
	for _, noisy := range []bool{false, true} {
		b.Run(fmt.Sprintf("noisy=%v", noisy), func(b *testing.B) {
			g := newPushRig(b, "sqlite", 20*time.Millisecond)
			g.devices("quiet", "one", 1)
			if noisy {
				g.devices("loud", "all", 20000)
				for i := range 4 {
					g.publish("loud", "all", fmt.Sprint("l", i))
				}
				time.Sleep(500 * time.Millisecond)
			}
			var took []time.Duration
			for i := range b.N {
				began, id := time.Now(), fmt.Sprint("p", i)
				g.publish("quiet", "one", id)
				g.ended("quiet", id)
				took = append(took, time.Since(began))
			}
			b.ReportMetric(percentile(took, 50), "p50-ms")
			b.ReportMetric(percentile(took, 99), "p99-ms")
		})
	}
}
