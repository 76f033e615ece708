package realtime_test

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// rules is a notifier that wants one event of one channel, and cannot take it.
type rules struct{ realtime.Notifier }

func (rules) Wants(app, channel, event string) bool {
	if event == "fault" {
		panic("a rule fails")
	}
	return app == "app-id" && channel == "orders" && event == "packed"
}

func (rules) Published(*storage.App, protocol.PushEvent) { panic("the event cannot be taken") }

func TestWantsPush(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Push = rules{} })
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	for _, c := range []struct {
		app, channel, event string
		want                bool
	}{{"app-id", "orders", "packed", true}, {"app-id", "orders", "other", false}, {"other", "orders", "packed", false}, {"app-id", "orders", "fault", false}} {
		if got := live.WantsPush(c.app, c.channel, c.event); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	live.TellPush(f.app(), protocol.PushEvent{Channel: "orders", Name: "packed"}) // it must not panic
	if n := testing.AllocsPerRun(1000, func() { live.WantsPush("app-id", "orders", "other") }); n != 0 {
		t.Errorf("a question takes %v allocations", n)
	}
}

// What a server without push notifications asks is nothing.
func TestWantsPushOfNobody(t *testing.T) {
	f := newFixture(t, nil)
	live, err := f.hub.Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	if live.WantsPush("app-id", "orders", "packed") {
		t.Error("it is wanted")
	}
}
