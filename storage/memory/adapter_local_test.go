package memory

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// shared is one of several nodes on one Local. It makes a cluster of sorts, on
// which the cluster suite tests itself.
type shared struct {
	storage.Adapter
	closed bool
}

func (s *shared) Close() error { s.closed = true; return nil }

func TestClusterSuite(t *testing.T) {
	storagetest.Engine(t, "local")
	storagetest.TestAdapterCluster(t, func(t *testing.T, n int) []storage.Adapter {
		a := NewLocal()
		t.Cleanup(func() { _ = a.Close() })
		nodes := make([]storage.Adapter, n)
		for i := range nodes {
			nodes[i] = &shared{Adapter: a}
		}
		return nodes
	})
}

func TestLocalIsSynchronous(t *testing.T) {
	a := NewLocal()
	var order []string
	for _, name := range []string{"first", "second"} {
		if _, err := a.Subscribe(name, func(e *protocol.Envelope) { order = append(order, name+" "+e.Event) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, event := range []string{"a", "b"} {
		if err := a.Publish(t.Context(), &protocol.Envelope{Event: event}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"first a", "second a", "first b", "second b"}
	for i := range want {
		if len(order) != len(want) || order[i] != want[i] {
			t.Fatalf("delivered %q, want %q", order, want)
		}
	}
}

func TestLocalNewestRegistrationDelivers(t *testing.T) {
	a := NewLocal()
	var got string
	register := func(name string) func(context.Context) error {
		leave, err := a.Subscribe("hub", func(*protocol.Envelope) { got += name })
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	publish := func(want string) {
		t.Helper()
		got = ""
		if err := a.Publish(t.Context(), &protocol.Envelope{}); err != nil || got != want {
			t.Errorf("delivered to %q, %v; want %q", got, err, want)
		}
	}
	leaveOld := register("old")
	publish("old")
	leaveNew := register("new")
	publish("new")
	if err := leaveNew(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish("old") // the new one was rolled back
	leaveNewest := register("newest")
	if err := leaveOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish("newest")
	if err := leaveNewest(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish("")
}

func TestLocalPanicHoldsUpNothing(t *testing.T) {
	a := NewLocal()
	leave, _ := a.Subscribe("hub", func(*protocol.Envelope) { panic("subscriber") })
	func() {
		defer func() { _ = recover() }()
		_ = a.Publish(t.Context(), &protocol.Envelope{})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := leave(ctx); err != nil {
		t.Errorf("leave: %v", err)
	}
}

func TestLocalCloseDuringDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewLocal()
		leave, _ := a.Subscribe("hub", func(*protocol.Envelope) { time.Sleep(time.Minute) })
		go func() { _ = a.Publish(context.Background(), &protocol.Envelope{}) }()
		synctest.Wait()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.Publish(t.Context(), &protocol.Envelope{}); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("Publish after Close: %v", err)
		}
		start := time.Now()
		if err := leave(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("leave returned %v after %v, want the end of the delivery", err, time.Since(start))
		}
	})
}

func BenchmarkLocalPublish(b *testing.B) {
	a := NewLocal()
	_, _ = a.Subscribe("hub", func(*protocol.Envelope) {})
	e := &protocol.Envelope{}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = a.Publish(context.Background(), e)
		}
	})
}
