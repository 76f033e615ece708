package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Every setting says what a reload does to live clients. A new one without a
// word fails here.
func TestEverySettingHasAReloadEffect(t *testing.T) {
	named := map[string]bool{}
	walkSettings(reflect.TypeFor[realtime.Settings](), "", func(path string) {
		named[path] = true
		if realtime.ReloadEffects[path] == "" {
			t.Errorf("setting %s does not say what a reload does: add it to ReloadEffects", path)
		}
	})
	for path := range realtime.ReloadEffects {
		if !named[path] {
			t.Errorf("ReloadEffects names %s, which is no setting", path)
		}
	}
}

func walkSettings(t reflect.Type, prefix string, visit func(string)) {
	for field := range t.Fields() {
		group := field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[realtime.Rate]()
		if group {
			walkSettings(field.Type, prefix+field.Name+".", visit)
			continue
		}
		visit(prefix + field.Name)
	}
}

// A snapshot becomes current only with Activate, and leaving gives way to the
// one before.
func TestElection(t *testing.T) {
	f := newFixture(t, nil)
	bad := f.newSettings(func(_ *storage.App, s *realtime.Settings) { s.MaxConnections = 1 })
	f.dial()
	f.hub.Attach(7, &bad)
	f.dial() // attached but not active: the limit does not count
	if err := f.hub.Start(7); err != nil {
		t.Fatal(err)
	}
	f.dial()
	f.hub.Detach(context.Background(), 7) // the load failed
	f.dial()
	f.hub.Attach(8, &bad)
	f.hub.Activate(8)
	if f.hub.Generation() != 8 {
		t.Fatalf("generation %d", f.hub.Generation())
	}
	if _, e := f.tryDial(realtime.Handshake{Key: "app-key"}); e != protocol.ErrNodeOverCapacity {
		t.Errorf("got %v", e)
	}
	f.hub.Detach(context.Background(), 8) // falls back
	if f.hub.Generation() != 1 {
		t.Fatalf("generation %d", f.hub.Generation())
	}
	f.dial()
}

// Checklist: configuration 117
func TestReloadChangesLimitsOfOpenSockets(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("private-room", "")
	f.load(f.newSettings(func(a *storage.App, s *realtime.Settings) {
		a.Features.ClientMessages, s.MaxConnections = false, 1
	}))
	p.send("client-x", "private-room", nil)
	p.expectError(4301, "not enabled")
	if _, e := f.tryDial(realtime.Handshake{Key: "app-key"}); e != protocol.ErrNodeOverCapacity {
		t.Errorf("got %v", e)
	}
	f.publish("private-room", "e", `"still here"`)
	p.expect("still here")
}

// Checklist: configuration 122
func TestReloadRemovesAndDisablesApps(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	f.load(f.newSettings(func(a *storage.App, _ *realtime.Settings) { a.Enabled = false }))
	p.expectClosed(protocol.ErrAppDisabled)
	f.load(f.newSettings(nil))
	q := f.dial()
	f.load(f.newSettings(func(a *storage.App, _ *realtime.Settings) { a.ID = "other" }))
	q.expectClosed(protocol.ErrAppNotFound)
}

func TestReloadRotatesTheSecret(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("private-a", "")
	f.load(f.newSettings(func(a *storage.App, _ *realtime.Settings) { a.Secret = "new-secret" }))
	f.publish("private-a", "e", `"kept"`)
	p.expect("kept")
	p.subscribe("private-b", "")
	p.refused(4009, "private-b")
}

func TestReloadChangesTimeoutsAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	f.load(f.newSettings(func(_ *storage.App, s *realtime.Settings) { s.ActivityTimeout = time.Second }))
	p.expect(`{"event":"pusher:ping"}`)
}

// slowAdapter delivers later, as a broker does.
type slowAdapter struct {
	*memory.Local
	queue chan *protocol.Envelope
	done  sync.WaitGroup
}

func newSlowAdapter() *slowAdapter {
	a := &slowAdapter{Local: memory.NewLocal(), queue: make(chan *protocol.Envelope, 10000)}
	a.done.Go(func() {
		for e := range a.queue {
			time.Sleep(50 * time.Microsecond)
			_ = a.Local.Publish(context.Background(), e)
		}
	})
	return a
}

func (a *slowAdapter) Publish(_ context.Context, e *protocol.Envelope) error {
	a.queue <- e
	return nil
}

func (a *slowAdapter) Subscribe(name string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	leave, err := a.Local.Subscribe(name, deliver)
	return func(ctx context.Context) error {
		for len(a.queue) > 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
		return leave(ctx)
	}, err
}

// Adapters that deliver late are swapped forty times under a publisher: no gap,
// no repetition. Order between two brokers is not kept across a swap.
func TestAdapterSwapLosesNothing(t *testing.T) {
	var brokers []*slowAdapter
	next := func(_ *storage.App, s *realtime.Settings) {
		b := newSlowAdapter()
		brokers = append(brokers, b)
		s.Drivers.Adapter = b
	}
	f := newFixture(t, next)
	p := f.dial()
	p.join("orders", "")
	stop, published := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				published <- n
				return
			default:
				f.publishFrom("orders", fmt.Sprintf(`"%d"`, n))
				n++
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for range 40 {
		f.load(f.newSettings(next))
	}
	close(stop)
	total := <-published
	p.quietAfter(t, func(frames []string) {
		counts := map[string]int{}
		for _, frame := range frames {
			counts[frame]++
		}
		for n := range total {
			frame := fmt.Sprintf(`{"event":"e","channel":"orders","data":"%d"}`, n)
			if counts[frame] != 1 {
				t.Errorf("message %d came %d times", n, counts[frame])
			}
		}
	})
	for _, b := range brokers {
		close(b.queue)
		b.done.Wait()
	}
}

// publishFrom publishes from another goroutine, with whatever settings are current.
func (f *fixture) publishFrom(channel, data string) {
	live, err := f.hub.Live()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer live.Release()
	app, err := live.Settings.Drivers.Apps.AppByID(context.Background(), "app-id")
	if err != nil {
		f.t.Error(err)
		return
	}
	if _, err := live.Publish(context.Background(), app, realtime.Event{Channel: channel, Name: "e", Data: []byte(data)}); err != nil {
		f.t.Error(err)
	}
}

type failingAdapter struct{ storage.Adapter }

func (failingAdapter) Subscribe(string, func(*protocol.Envelope)) (func(context.Context) error, error) {
	return nil, errors.New("broker is down")
}

// An adapter that cannot be subscribed to fails the start, and nothing changes.
func TestFailedStartChangesNothing(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.join("orders", "")
	bad := f.newSettings(func(_ *storage.App, s *realtime.Settings) {
		s.Drivers.Adapter = failingAdapter{}
		s.MaxConnections = 1
	})
	f.hub.Attach(9, &bad)
	if err := f.hub.Start(9); err == nil {
		t.Fatal("start succeeded")
	}
	f.hub.Detach(context.Background(), 9)
	f.dial()
	f.publish("orders", "e", `"x"`)
	p.expect(`"x"`)
}

// Detach waits for operations that still use the settings.
func TestDetachWaitsForUsers(t *testing.T) {
	f := newFixture(t, nil)
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	s := f.newSettings(nil)
	f.hub.Attach(2, &s)
	f.hub.Activate(2)
	done := make(chan struct{})
	go func() {
		f.hub.Detach(context.Background(), 1)
		close(done)
	}()
	select {
	case <-done:
		t.Fatal("detached while in use")
	case <-time.After(50 * time.Millisecond):
	}
	live.Release()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Fatal("still attached")
	}
}

func TestDrain(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.DrainPeriod = 200 * time.Millisecond })
	var peers []*peer
	for range 30 {
		peers = append(peers, f.dial())
	}
	f.hub.Drain(context.Background())
	if n := f.hub.Sockets(); n != 0 || !f.hub.Draining() {
		t.Errorf("%d sockets left, draining %v", n, f.hub.Draining())
	}
	for _, p := range peers {
		p.expectClosed(protocol.ErrShutdown)
	}
	f.hub.Resume()
	f.dial()
}
