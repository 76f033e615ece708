package realtime_test

import (
	"testing"
)

// Counts add up what an app, and what the hub has counted.
func TestCounts(t *testing.T) {
	f := newFixture(t, nil)
	ada := f.dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	f.publish("presence-x", "greeting", `"hello"`)
	f.hub.RateChecked("api", false)
	whole, app, other := f.hub.Counts(""), f.hub.Counts("app-id"), f.hub.Counts("other")
	if whole.Connections != 1 || whole.Opened != 1 || whole.MessagesIn != 1 || whole.BytesIn == 0 || whole.Limited != 1 {
		t.Errorf("the hub has counted %+v", whole)
	}
	if app.Connections != 1 || app.MessagesIn != 1 || app.Limited != 0 {
		t.Errorf("the app has counted %+v", app)
	}
	if other != f.hub.Counts("nobody") || other.Connections != 0 || other.MessagesIn != 0 {
		t.Errorf("an app that is not there has counted %+v", other)
	}
}

func TestConnectionsOfAChannel(t *testing.T) {
	f := newFixture(t, nil)
	ada, ben := f.dial(), f.dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	ben.join("presence-x", `{"user_id":"ben"}`)
	f.dial()
	first := f.hub.Subscribers("app-id", "presence-x", "", 1)
	if len(first) != 1 {
		t.Fatalf("%+v", first)
	}
	second := f.hub.Subscribers("app-id", "presence-x", first[0].SocketID, 10)
	if len(second) != 1 || second[0].SocketID <= first[0].SocketID {
		t.Errorf("after %+v come %+v", first, second)
	}
	if none := f.hub.Subscribers("app-id", "elsewhere", "", 10); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if none := f.hub.Subscribers("nobody", "presence-x", "", 10); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if c, ok := f.hub.Connection(first[0].SocketID); !ok || c.App != "app-id" || len(c.Channels) != 1 {
		t.Errorf("%+v, %v", c, ok)
	}
	if _, ok := f.hub.Connection("1.1"); ok {
		t.Error("there is a connection that nobody has opened")
	}
}
