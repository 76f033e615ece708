package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// linkLog notes what watchers are told.
func linkLog(a *Adapter) *[]bool {
	var told []bool
	a.WatchLink(func(up bool) { told = append(told, up) })
	return &told
}

// Checklist: configuration 64
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := openOn(t, e, Options{}), openOn(t, e, Options{})
		defer shut(t, a, b)
		var here, there box
		join(t, a, here.deliver)
		join(t, b, there.deliver)
		want(t, b, "c")
		told := linkLog(b)

		publish(t, a, "c", "1")
		synctest.Wait()
		there.want(t, "c1")

		e.set(func() { e.away = true })
		e.cut()
		synctest.Wait()
		for range 100 {
			publish(t, a, "c", "lost")
		}
		want(t, b, "c", "d")
		if n := len(here.all()); n != 101 {
			t.Errorf("%d events were delivered on the node itself, want 101", n)
		}
		s := a.LinkStats()
		if s.Up || s.Dropped != 100 || s.Published != 1 || s.QueueBytes != 0 || s.QueuePackets != 0 {
			t.Errorf("during the outage: %+v", s)
		}
		if err := b.Check(t.Context()); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "fake engine: not connected") {
			t.Errorf("Check: %v", err)
		}
		if !slices.Equal(*told, []bool{false}) {
			t.Errorf("the watcher was told %v", *told)
		}
		e.set(func() { e.away = false })
		pause(20 * time.Second)
		if !slices.Equal(*told, []bool{false, true}) {
			t.Errorf("the watcher was told %v", *told)
		}
		publish(t, a, "c", "2")
		publish(t, a, "d", "3")
		synctest.Wait()
		if got := there.all(); len(got) != 3 || !slices.Contains(got, "c2") || !slices.Contains(got, "d3") {
			t.Errorf("after the outage %q were delivered", got)
		}
		if s := b.LinkStats(); !s.Up || s.Reconnects != 1 || s.Received != 3 {
			t.Errorf("after the outage: %+v", s)
		}
	})
}

// TestUpMeansSubscribed wants every topic to be asked for before a watcher hears
// that the link is back.
func TestUpMeansSubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := openOn(t, e, Options{}), openOn(t, e, Options{})
		defer shut(t, a, b)
		var there box
		join(t, b, there.deliver)
		var channels []string
		for i := range 2500 {
			channels = append(channels, fmt.Sprint(i))
		}
		want(t, b, channels...)
		b.Unwant(protocol.Topic{App: "app", Channel: "7"})
		b.WatchLink(func(up bool) {
			if !up {
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, l := range e.links {
				if l.in.s.a == b {
					there.deliver(&protocol.Envelope{Event: fmt.Sprint(len(l.topics))})
				}
			}
		})
		e.cut()
		pause(10 * time.Second)
		there.want(t, "2501") // all but 7, and the two that are always there
	})
}

func TestSilentLinkIsLost(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine()
			e.silent = silent
			a := openOn(t, e, Options{})
			defer shut(t, a)
			told := linkLog(a)
			pause(time.Minute)
			if len(*told) > 0 || e.dialed() != 1 {
				t.Fatalf("without a reason: told %v, %d dials", *told, e.dialed())
			}
			e.set(func() { e.stalled = true })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := a.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Check while nothing answers: %v", err)
			}
			pause(8 * time.Second)
			if !slices.Equal(*told, []bool{false}) {
				t.Errorf("nothing answers, and the watcher was told %v", *told)
			}
			e.set(func() { e.stalled = false })
			pause(time.Minute)
			if !slices.Equal(*told, []bool{false, true}) {
				t.Errorf("told %v", *told)
			}
		})
	}
}

// Checklist: configuration 64
func TestFullQueueWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{QueueBytes: 64 << 10, ProbeInterval: time.Minute, Tuning: Tuning{AnswerTimeout: time.Minute}})
		defer shut(t, a)
		var here box
		join(t, a, here.deliver)
		e.set(func() { e.stalled = true })
		large := &protocol.Envelope{App: "app", Channel: "c", Data: make([]byte, 20<<10)}
		for range 3 {
			if err := a.Publish(t.Context(), large); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := a.Publish(ctx, large)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Publish without room: %v after %v", err, time.Since(start))
		}
		if s := a.LinkStats(); s.QueueBytes > 64<<10 || s.QueuePackets != 3 || s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		ended := make(chan error)
		go func() { ended <- a.Publish(t.Context(), large) }()
		pause(time.Second)
		select {
		case err := <-ended:
			t.Errorf("Publish did not wait for room: %v", err)
		default:
		}
		e.set(func() { e.stalled = false })
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s := a.LinkStats(); s.Published != 4 || s.QueueBytes != 0 {
			t.Errorf("in the end: %+v", s)
		}
		if n := len(here.all()); n != 5 {
			t.Errorf("%d deliveries here, want 5", n)
		}

		// A link that is lost gives everybody room, too.
		e.set(func() { e.stalled = true })
		for range 3 {
			go func() { ended <- a.Publish(t.Context(), large) }()
			go func() { ended <- a.Publish(t.Context(), large) }()
		}
		pause(time.Second)
		e.set(func() { e.away = true })
		e.cut()
		for range 6 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if s := a.LinkStats(); s.Dropped != 7 || s.QueueBytes != 0 {
			t.Errorf("when the link is lost: %+v", s)
		}
	})
}

func TestBacklogIsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		e.set(func() { e.stalled, e.batches = true, nil })
		for range 1000 {
			publish(t, a, "c", "e")
			synctest.Wait()
		}
		e.set(func() { e.stalled = false })
		synctest.Wait()
		if _, _, _, batches := e.told(); !slices.Equal(batches, []int{1, 999}) {
			t.Errorf("sent in batches of %v", batches)
		}
	})
}

func TestTooLargeReachesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.maxSize = 1000
		a := openOn(t, e, Options{})
		defer shut(t, a)
		var here box
		join(t, a, here.deliver)
		envelope := &protocol.Envelope{App: "app", Channel: "c"}
		envelope.Data = make([]byte, 1000-len(a.id.envelope(envelope))-2) // and its own length
		if err := a.Publish(t.Context(), envelope); err != nil {
			t.Errorf("an envelope of exactly the size: %v", err)
		}
		envelope.Data = append(envelope.Data, 'x')
		err := a.Publish(t.Context(), envelope)
		if !errors.Is(err, storage.ErrTooLarge) || !strings.Contains(err.Error(), "1001 bytes, where at most 1000") {
			t.Errorf("an envelope of a byte more: %v", err)
		}
		here.want(t, "c")
	})
}

func TestLeaveWaitsForTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{ProbeInterval: time.Hour, Tuning: Tuning{AnswerTimeout: time.Hour}})
		defer shut(t, a)
		leave := join(t, a, func(*protocol.Envelope) {})
		e.set(func() { e.stalled = true })
		publish(t, a, "c", "e")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("leave while nothing is sent: %v", err)
		}
		time.AfterFunc(time.Minute, func() { e.set(func() { e.stalled = false }) })
		start := time.Now()
		if err := leave(t.Context()); err != nil || time.Since(start) != time.Minute || e.flushed() == 0 {
			t.Errorf("leave: %v after %v, %d flushes", err, time.Since(start), e.flushed())
		}
		if err := leave(t.Context()); err != nil || e.flushed() > 1 {
			t.Errorf("leave with nothing to wait for: %v, %d flushes", err, e.flushed())
		}

		e.set(func() { e.stalled = true })
		publish(t, a, "c", "e")
		time.AfterFunc(time.Minute, e.cut)
		start = time.Now()
		if err := a.Drain(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("Drain when the link is lost: %v after %v", err, time.Since(start))
		}
	})
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{Tuning: Tuning{MaxReconnects: 3}})
		defer shut(t, a)
		e.set(func() { e.away = true })
		e.cut()
		pause(time.Hour)
		if e.dialed() != 4 {
			t.Errorf("dialed %d times, want 4", e.dialed())
		}
		if err := a.Check(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("Check: %v", err)
		}
		publish(t, a, "c", "e")
		want(t, a, "c")
		if n := a.LinkStats().Events["max_reconnects"]; n != 1 {
			t.Errorf("gave up %d times", n)
		}
		e.set(func() { e.away = false })
		pause(time.Hour)
		a.SetTuning(Tuning{})
		pause(time.Second)
		if err := a.Check(t.Context()); err != nil || e.dialed() != 5 {
			t.Errorf("Check after a reload: %v, dialed %d times", err, e.dialed())
		}
	})
}

// TestNeverGivesUp also wants pauses that grow to ten seconds, and differ.
func TestNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		e.set(func() { e.away = true })
		e.cut()
		pause(time.Minute)
		early := e.dialed()
		pause(time.Hour)
		if late := e.dialed() - early; early < 8 || late < 240 || late > 720 {
			t.Errorf("dialed %d times in the first minute and %d in the hour after that", early, late)
		}
	})
}

func TestOpenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.away = true
		if _, err := Open(t.Context(), e.dial, Options{Driver: "fake", Place: "en%gine"}); !errors.Is(err, errAway) || !strings.HasPrefix(err.Error(), "fake en%gine: ") {
			t.Errorf("without an engine: %v", err)
		}
		// An engine that takes everything and brings nothing is none.
		var closed atomic.Bool
		deaf := func(context.Context, *Inlet) (Link, error) { return deafLink{&closed}, nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Open(ctx, deaf, Options{Driver: "deaf"}); !errors.Is(err, context.DeadlineExceeded) || !closed.Load() {
			t.Errorf("with an engine that brings nothing: %v, link closed: %v", err, closed.Load())
		}
		start := time.Now()
		if _, err := Open(t.Context(), deaf, Options{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Minute {
			t.Errorf("without a bound: %v after %v", err, time.Since(start))
		}
		lost := func(_ context.Context, in *Inlet) (Link, error) {
			in.Lost(errAway)
			return deafLink{&closed}, nil
		}
		if _, err := Open(t.Context(), lost, Options{}); !errors.Is(err, errAway) {
			t.Errorf("with a link that is lost at once: %v", err)
		}
	})
}

// deafLink takes everything.
type deafLink struct{ closed *atomic.Bool }

func (deafLink) Send(context.Context, []Packet) error { return nil }
func (deafLink) Flush(context.Context) error          { return nil }
func (deafLink) MaxSize() int                         { return 1000 }
func (l deafLink) Close() error                       { l.closed.Store(true); return nil }
func (deafLink) Subscribe(ctx context.Context, _ []protocol.Topic) error {
	return ctx.Err()
}
func (deafLink) Unsubscribe(context.Context, []protocol.Topic) error { return nil }
