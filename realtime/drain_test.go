package realtime_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// departures takes from a tap until so many connections have gone, and returns who and when.
func departures(t *testing.T, tap *realtime.Tap, n int) (ids []string, at []time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(ids) < n {
		all, missed, err := tap.Next(ctx)
		if err != nil || missed > 0 {
			t.Fatalf("%v, missed %d, after %d", err, missed, len(ids))
		}
		for _, h := range all {
			ids, at = append(ids, h.SocketID), append(at, h.At)
		}
	}
	return ids, at
}

// A drain takes sockets in an order of its own, and its time for them.
func TestDrainIsSpread(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.DrainPeriod, s.DrainTimeout = time.Second, time.Minute })
	tap := f.hub.Tap(realtime.TapFilter{Kinds: []realtime.Kind{realtime.Disconnected}}, 1<<20)
	defer tap.Close()
	const n = 100
	var dialled []string
	for range n {
		dialled = append(dialled, f.dial().conn.ID())
	}
	began := time.Now()
	f.hub.Drain(t.Context())
	ids, at := departures(t, tap, n)
	if slices.Equal(ids, dialled) || slices.IsSorted(ids) {
		t.Error("the order is that of the sockets")
	}
	// Nothing may be early; a machine under load may be late.
	for i, when := range at {
		if least := time.Duration(i-1) * time.Second / n; when.Sub(began) < least {
			t.Fatalf("socket %d of %d has gone after %v, which is before %v", i, n, when.Sub(began), least)
		}
	}
}

// What bounds a drain shortens the time that it takes, and few sockets do not take all of it.
func TestDrainFitsItsBound(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.DrainPeriod, s.DrainTimeout = time.Hour, 2*time.Hour })
	for range 200 {
		f.dial()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	f.hub.Drain(ctx)
	if n := f.hub.Sockets(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
	f.hub.Resume()
	f.dial()
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f.hub.Drain(bounded) // an hour for one socket
	if f.hub.Sockets() != 0 || bounded.Err() != nil {
		t.Errorf("%d sockets are left, %v", f.hub.Sockets(), bounded.Err())
	}
}

// Who ends a drain keeps what it has not closed.
func TestResumeSparesSockets(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.DrainPeriod, s.DrainTimeout = time.Hour, 2*time.Hour })
	tap := f.hub.Tap(realtime.TapFilter{Kinds: []realtime.Kind{realtime.Disconnected}}, 1<<20)
	defer tap.Close()
	const n = 300 // half a minute's worth
	for range n {
		f.dial()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.hub.Drain(context.Background())
	}()
	departures(t, tap, 2)
	f.hub.Resume()
	<-done
	if left := f.hub.Sockets(); left < n/2 {
		t.Errorf("%d of %d sockets are left", left, n)
	}
}
