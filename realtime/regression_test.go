package realtime_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Connections of one user sign in and join with their info at the same time,
// and each keeps its own.
func TestSigninInfoBelongsToTheConnection(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.dial(), f.dial()
	a.signin(`{"id":"u1","user_info":{"n":"of-a"}}`)
	a.expect("signin_success")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			b.signin(fmt.Sprintf(`{"id":"u1","user_info":{"n":"of-b-%d"}}`, i))
		}
	})
	wg.Go(func() {
		for i := range 200 {
			a.subscribe(fmt.Sprintf("presence-%d", i), "")
		}
	})
	wg.Wait()
	for range 200 {
		if got := a.expect("subscription_succeeded"); !strings.Contains(got, "of-a") {
			t.Fatalf("joined with the info of another connection: %s", got)
		}
	}
}

// The limit for a member's info holds for info from the signin as well.
func TestSigninInfoIsHeldToTheMemberLimit(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	p.signin(`{"id":"u1","user_info":"` + strings.Repeat("x", 40<<10) + `"}`)
	p.expect("signin_success")
	p.subscribe("presence-x", "")
	p.refused(4300, "presence-x")
}

// stoppedApps holds the first handshake between the lookup of its app and the
// rest.
type stoppedApps struct {
	storage.AppManager
	once          sync.Once
	entered, gate chan struct{}
}

func (s *stoppedApps) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	app, err := s.AppManager.AppByKey(ctx, key)
	s.once.Do(func() {
		close(s.entered)
		<-s.gate
	})
	return app, err
}

// handshake is a Connect in flight.
type handshake struct {
	f       *fixture
	apps    *stoppedApps
	peer    *peer
	refusal *protocol.Error
	done    chan struct{}
}

// beginHandshake returns when the hub has looked up the app of a connection that
// it has not yet admitted.
func beginHandshake(f *fixture) *handshake {
	hs := &handshake{f: f, done: make(chan struct{})}
	s := f.newSettings(nil)
	hs.apps = &stoppedApps{AppManager: s.Drivers.Apps, entered: make(chan struct{}), gate: make(chan struct{})}
	s.Drivers.Apps = hs.apps
	f.load(s)
	go func() {
		defer close(hs.done)
		hs.peer, hs.refusal = f.tryDial(realtime.Handshake{Key: "app-key"})
	}()
	<-hs.apps.entered
	return hs
}

func (hs *handshake) finish() {
	close(hs.apps.gate)
	<-hs.done
}

// expectRefusal finishes the handshake, which must end with want and leave nothing.
func (hs *handshake) expectRefusal(t *testing.T, want *protocol.Error) {
	t.Helper()
	hs.finish()
	if hs.refusal != want {
		t.Errorf("refused with %v, want %v", hs.refusal, want)
	}
	hs.peer.quietAfter(t, func(frames []string) {
		if len(frames) > 0 {
			t.Errorf("got %q", frames)
		}
	})
	if n := hs.f.hub.Sockets(); n != 0 {
		t.Errorf("%d sockets are open", n)
	}
}

// A handshake that was in flight when the hub closed is not admitted after it.
func TestConnectOnAClosedHubIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	hs := beginHandshake(f)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	f.hub.Close(ctx)
	hs.expectRefusal(t, protocol.ErrShutdown)
}

// A drain closes the sockets there are, and a handshake in flight is not
// admitted behind its back.
func TestConnectDuringADrainIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	hs := beginHandshake(f)
	f.hub.Drain(t.Context())
	hs.expectRefusal(t, protocol.ErrShutdown)
}

// A handshake in flight does not outlive a reload that takes its app away.
func TestConnectDuringAppRemovalIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*storage.App)
		want   *protocol.Error
	}{
		"disabled": {func(a *storage.App) { a.Enabled = false }, protocol.ErrAppDisabled},
		"removed":  {func(a *storage.App) { a.ID, a.Key = "other", "other-key" }, protocol.ErrAppNotFound},
		"moved":    {func(a *storage.App) { a.ID = "other" }, protocol.ErrAppNotFound},
		"origins":  {func(a *storage.App) { a.AllowedOrigins = []string{"https://good"} }, protocol.ErrOrigin},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			hs := beginHandshake(f)
			f.activate(f.newSettings(func(a *storage.App, _ *realtime.Settings) { test.change(a) }))
			hs.expectRefusal(t, test.want)
		})
	}
}

// What began before a reload and ends after it does not put a rotated secret
// back.
func TestOldRecordDoesNotComeBack(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *fixture, realtime.Live, *storage.App){
		"call": func(_ *testing.T, f *fixture, _ realtime.Live, record *storage.App) { f.hub.HTTPCall(record, 1, 1) },
		"rate": func(t *testing.T, _ *fixture, old realtime.Live, record *storage.App) {
			if _, err := old.AllowApp(t.Context(), record, "read_requests", 1, 100); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			p := f.dial()
			old, err := f.hub.Live()
			if err != nil {
				t.Fatal(err)
			}
			record := f.app()
			f.activate(f.newSettings(rotate))
			end(t, f, old, record)
			old.Release()
			p.subscribe("private-x", "") // signed with the old secret
			p.refused(4009, "private-x")
		})
	}
}

func rotate(a *storage.App, _ *realtime.Settings) { a.Secret = "new-secret" }

// A handshake that looked up its app before a reload does not put a rotated
// secret back, not even until it looks once more.
func TestOldHandshakeKeepsTheRotatedSecret(t *testing.T) {
	f := newFixture(t, nil)
	p := f.dial()
	hs := beginHandshake(f)
	s := f.newSettings(rotate)
	again := &stoppedApps{AppManager: s.Drivers.Apps, entered: make(chan struct{}), gate: make(chan struct{})}
	s.Drivers.Apps = again
	f.activate(s)
	finished := make(chan struct{})
	go func() {
		hs.finish()
		close(finished)
	}()
	<-again.entered
	p.subscribe("private-x", "") // signed with the old secret
	p.refused(4009, "private-x")
	close(again.gate)
	<-finished
	if hs.refusal != nil {
		t.Error(hs.refusal)
	}
}

// stuckAdapter hangs when it is subscribed to, as a client of a broker that
// does not answer.
type stuckAdapter struct {
	*memory.Local
	entered, gate chan struct{}
}

func (b *stuckAdapter) Subscribe(name string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	close(b.entered)
	<-b.gate
	return b.Local.Subscribe(name, deliver)
}

// A configuration whose adapter hangs while it starts does not hold up the next.
func TestStuckStartHoldsNothingUp(t *testing.T) {
	f := newFixture(t, nil)
	stuck := &stuckAdapter{memory.NewLocal(), make(chan struct{}), make(chan struct{})}
	bad := f.newSettings(func(_ *storage.App, s *realtime.Settings) { s.Drivers.Adapter = stuck })
	f.hub.Attach(2, &bad)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stuck.gate)
	wg.Go(func() {
		if err := f.hub.Start(2); err == nil {
			t.Error("a configuration has started that was detached meanwhile")
		}
	})
	<-stuck.entered
	done := make(chan struct{})
	go func() {
		defer close(done)
		good := f.newSettings(nil)
		f.hub.Attach(3, &good)
		if err := f.hub.Start(3); err != nil {
			t.Error(err)
		}
		f.hub.Activate(3)
		f.hub.Detach(context.Background(), 2)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Fatal("the next configuration waits for the adapter of the one before")
	}
	if f.hub.Generation() != 3 {
		t.Errorf("generation %d", f.hub.Generation())
	}
}

// Parameters of the handshake that nobody asks for may look as they like.
func TestUnknownQueryParametersNeverFail(t *testing.T) {
	for _, query := range []string{
		"x", "=", "&&", "%zz", "%zz=1", "x=a;b", "x=%zz", "client=100%", "version=%", "flash=%GG", "a;b=c",
	} {
		for _, raw := range []string{query, "protocol=7&" + query, query + "&protocol=7"} {
			if terms, err := protocol.Negotiate(raw); err != nil || terms.Format != protocol.FormatV1 || terms.Token != "" {
				t.Errorf("%s: %+v, %v", raw, terms, err)
			}
		}
	}
}
