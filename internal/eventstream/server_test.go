package eventstream_test

import (
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/eventstream"
	"github.com/sockudo/caddy-sockudo/internal/eventstreamtest"
	"github.com/sockudo/caddy-sockudo/internal/meter"
)

const prefix = "rt_"

// metadata reads what a reader gets first.
func metadata(t *testing.T, r *eventstreamtest.Reader, n int) (names []string) {
	t.Helper()
	for range n {
		m := r.Next(t)
		if !m.Metadata {
			t.Fatalf("%v instead of metadata", m)
		}
		names = append(names, m.Name)
	}
	return names
}

// Checklist: configuration 130
func TestStream(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	s.Attach(from, prefix)
	r := dial(t, s)
	for _, want := range []string{
		`metadata rt_events_total 0 "" "Events."`,
		`metadata rt_depth 1 "bytes" "Depth of the queue."`,
		`metadata rt_seconds 2 "seconds" "Time."`,
	} {
		if got := r.Next(t).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	before := time.Now()
	app := meter.Label{Name: "app_id", Value: "näme"}
	for _, c := range []struct {
		name  string
		op    meter.Op
		value float64
		field int
		want  float64
	}{
		{"events_total", meter.Increment, 1, 4, 1},
		{"events_total", meter.Increase, 41, 4, 41},
		{"events_total", meter.Increase, 1.6, 4, 2},
		{"events_total", meter.Set, 1 << 40, 5, 1 << 40},
		{"depth", meter.Increment, 1, 6, 1},
		{"depth", meter.Increase, 2.5, 6, 2.5},
		{"depth", meter.Decrease, 1, 7, 1},
		{"depth", meter.Set, -3.25, 8, -3.25},
		{"seconds", meter.Observe, 0.125, 9, 0.125},
	} {
		if !from.record(c.name, c.op, c.value, app, meter.Label{Name: "kind", Value: ""}) {
			t.Fatal("nobody listens")
		}
		m := r.Next(t)
		if m.Metadata || m.Name != "rt_"+c.name || m.Op != c.field || m.Value != c.want {
			t.Errorf("%s %v %v is %v", c.name, c.op, c.value, m)
		}
		if want := map[string]string{"app_id": "näme", "kind": ""}; !maps.Equal(m.Labels, want) {
			t.Errorf("labels %v, not %v", m.Labels, want)
		}
		if m.At.Before(before) || m.At.After(time.Now()) {
			t.Errorf("an event of %v, not of now", m.At)
		}
	}
}

// What the wire cannot carry is left out, and the stream goes on.
func TestUnspeakable(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	s.Attach(from, "")
	r := dial(t, s)
	metadata(t, r, 3)
	from.record("events_total", meter.Increase, -1)
	from.record("events_total", meter.Increase, math.Inf(1))
	from.record("events_total", meter.Decrease, 1)
	from.record("depth", meter.Set, math.NaN())
	from.record("unknown", meter.Set, 1)
	from.record("depth", meter.Set, 1, meter.Label{Name: "app_id", Value: string(make([]byte, 1<<20))})
	from.record("depth", meter.Set, 2, meter.Label{Name: "app_id", Value: "a\xffb"})
	m := r.Next(t)
	if m.Value != 2 || !maps.Equal(m.Labels, map[string]string{"app_id": "a\uFFFDb"}) {
		t.Errorf("got %v", m)
	}
	if n := s.Stats().DroppedInbound; n != 1 {
		t.Errorf("%d events dropped, not the one that is too long", n)
	}
}

// Nothing is recorded while nobody listens.
func TestNobody(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	f := s.Attach(from, prefix)
	if from.record("depth", meter.Set, 1) {
		t.Error("recorded for nobody")
	}
	r, other := dial(t, s), dial(t, s)
	metadata(t, r, 3)
	metadata(t, other, 3)
	_ = r.Close()
	eventually(t, "a reader that has gone", func() bool { return s.Stats().Clients == 1 })
	if !from.record("depth", meter.Set, 2) {
		t.Fatal("not recorded for the other reader")
	}
	if m := other.Next(t); m.Value != 2 {
		t.Errorf("got %v", m)
	}
	f.Detach()
	if from.record("depth", meter.Set, 3) {
		t.Error("recorded for a feed that has ended")
	}
	s.Attach(from, prefix)
	if !from.record("depth", meter.Set, 4) {
		t.Error("not recorded for the next feed")
	}
	_ = other.Close()
	eventually(t, "nothing to be recorded any more", func() bool { return !from.record("depth", meter.Set, 5) })
}

// A source may have more metrics later.
func TestRefresh(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	f := s.Attach(from, prefix)
	r := dial(t, s)
	metadata(t, r, 3)
	from.infos = append(from.infos, meter.Info{Name: "sockudo_queue_depth", Kind: meter.KindGauge})
	from.record("sockudo_queue_depth", meter.Set, 1)
	f.Refresh()
	from.record("sockudo_queue_depth", meter.Set, 2)
	if names := metadata(t, r, 1); names[0] != "sockudo_queue_depth" {
		t.Errorf("described %s", names[0])
	}
	if m := r.Next(t); m.Name != "sockudo_queue_depth" || m.Value != 2 {
		t.Errorf("got %v", m)
	}
	f.Detach()
	f.Refresh()
	if from.record("depth", meter.Set, 3) {
		t.Error("recorded for a feed that has ended")
	}
}

// Two hubs share a server: each metric is described once, and the label tells apart.
func TestTwoHubs(t *testing.T) {
	s, a, b := serve(t, eventstream.Options{}), newSource(), newSource()
	b.infos = append(b.infos, meter.Info{Name: "more", Kind: meter.KindGauge})
	s.Attach(a, prefix)
	r := dial(t, s)
	metadata(t, r, 3)
	s.Attach(b, prefix)
	if names := metadata(t, r, 1); names[0] != "rt_more" {
		t.Errorf("described %s again", names[0])
	}
	a.record("depth", meter.Set, 1, meter.Label{Name: "hub", Value: "main"})
	b.record("depth", meter.Set, 2, meter.Label{Name: "hub", Value: "other"})
	if m := r.Next(t); m.Value != 1 || m.Labels["hub"] != "main" {
		t.Errorf("got %v", m)
	}
	if m := r.Next(t); m.Value != 2 || m.Labels["hub"] != "other" {
		t.Errorf("got %v", m)
	}
	metadata(t, dial(t, s), 4)
}

// A reader that reads nothing loses the oldest events, and holds up nobody.
//
// Checklist: configuration 131
func TestSlowReader(t *testing.T) {
	s, from := serve(t, eventstream.Options{BufferSize: 64, WriteTimeout: time.Hour}), newSource()
	s.Attach(from, prefix)
	slow, quick := dial(t, s), dial(t, s)
	_ = slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	metadata(t, quick, 3)
	eventually(t, "both readers", func() bool { return s.Stats().Clients == 2 })
	label := meter.Label{Name: "long", Value: string(make([]byte, 900))}
	last := 0.0
	for s.Stats().DroppedClients == 0 {
		last++
		from.record("depth", meter.Set, last, label)
		if m := quick.Next(t); m.Value != last {
			t.Fatalf("the quick reader got %v, not %v", m, last)
		}
		if last > 1e5 {
			t.Fatal("nothing has been dropped")
		}
	}
	for range 200 {
		last++
		from.record("depth", meter.Set, last, label)
		quick.Next(t)
	}
	metadata(t, slow, 3)
	got, gaps := 0.0, 0
	for got < last {
		m := slow.Next(t)
		if m.Value != got+1 {
			gaps++
		}
		if m.Value <= got {
			t.Fatalf("%v after %v", m.Value, got)
		}
		got = m.Value
	}
	if gaps == 0 {
		t.Error("nothing was lost")
	}
}

// What comes faster than it can be handed on is dropped, the newest first, and counted.
// Whoever records does not wait, even while nothing is handed on.
func TestInboundFull(t *testing.T) {
	s, from := serve(t, eventstream.Options{BufferSize: 8}), newSource()
	s.Attach(from, prefix)
	r := dial(t, s)
	metadata(t, r, 3)
	s.Pause(func() {
		for i := range 20 {
			from.record("depth", meter.Set, float64(i))
		}
	})
	for want := range 8 {
		if m := r.Next(t); m.Value != float64(want) {
			t.Errorf("got %v, not %d", m.Value, want)
		}
	}
	if n := s.Stats().DroppedInbound; n != 12 {
		t.Errorf("%d dropped, not 12", n)
	}
	s.SetBufferSize(16)
	s.Pause(func() {
		for i := range 20 {
			from.record("depth", meter.Set, float64(i))
		}
	})
	for want := range 16 {
		if m := r.Next(t); m.Value != float64(want) {
			t.Errorf("got %v, not %d", m.Value, want)
		}
	}
}

// A reader that takes nothing for too long is disconnected, and so is one that sends.
func TestBadReaders(t *testing.T) {
	s, from := serve(t, eventstream.Options{WriteTimeout: 50 * time.Millisecond}), newSource()
	s.Attach(from, prefix)
	stuck := dial(t, s)
	_ = stuck.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	label := meter.Label{Name: "long", Value: string(make([]byte, 900))}
	eventually(t, "the stuck reader to be disconnected", func() bool {
		for range 100 {
			from.record("depth", meter.Set, 1, label)
		}
		return s.Stats().Disconnected == 1
	})
	for i, bytes := range []string{"GET /metrics HTTP/1.1\r\n\r\n", "\x00"} {
		talking := dial(t, s)
		if _, err := io.WriteString(talking, bytes); err != nil {
			t.Fatal(err)
		}
		_ = talking.SetReadDeadline(time.Now().Add(deadline))
		if _, err := io.Copy(io.Discard, talking.Rest()); errors.Is(err, net.ErrClosed) || isTimeout(err) {
			t.Errorf("a reader that sends was not disconnected: %v", err)
		}
		eventually(t, "a reader that sends to be counted", func() bool { return s.Stats().Disconnected == uint64(i)+2 })
	}
	half := dial(t, s)
	metadata(t, half, 3)
	_ = half.Conn.(*net.TCPConn).CloseWrite()
	eventually(t, "a half-closed reader to go", func() bool { return s.Stats().Clients == 0 })
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// There are only so many readers.
func TestTooManyReaders(t *testing.T) {
	s, from := serve(t, eventstream.Options{MaxClients: 2}), newSource()
	s.Attach(from, prefix)
	for range 2 {
		metadata(t, dial(t, s), 3)
	}
	third := dial(t, s)
	_ = third.SetReadDeadline(time.Now().Add(deadline))
	if _, err := third.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a third reader: %v", err)
	}
	if n := s.Stats().Refused; n != 1 {
		t.Errorf("%d refused", n)
	}
}

// A thousand connections, ended in every way there is, leave nothing behind.
func TestReconnects(t *testing.T) {
	s, from := serve(t, eventstream.Options{MaxClients: 4}), newSource()
	s.Attach(from, prefix)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		from.record("events_total", meter.Increment, 1, meter.Label{Name: "i", Value: strconv.Itoa(i)})
		switch i % 4 {
		case 0: // with a reset
			_ = conn.(*net.TCPConn).SetLinger(0)
		case 1:
			_, _ = io.WriteString(conn, "x")
		case 2:
			_, _ = conn.Read(make([]byte, 10))
		}
		_ = conn.Close()
	}
	eventually(t, "all readers to be forgotten", func() bool { return s.Stats().Clients == 0 })
	eventually(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	if from.record("events_total", meter.Increment, 1) {
		t.Error("recorded for nobody")
	}
	r := dial(t, s)
	metadata(t, r, 3)
}

// Close ends everything, and may be called twice.
func TestClose(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	f := s.Attach(from, prefix)
	r := dial(t, s)
	metadata(t, r, 3)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if from.record("depth", meter.Set, 1) {
		t.Error("recorded for a server that is closed")
	}
	if _, err := r.Rest().ReadByte(); err == nil {
		t.Error("the reader was not disconnected")
	}
	f.Detach()
	s.Attach(from, prefix)
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
}
