package realtime_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// A channel that is left while its being occupied is looked at is not said to be vacated
// before the wait for those who might come back is over.
func TestWebhooksWaitWhateverIsLookedAt(t *testing.T) {
	s := new(sink)
	f := newFixture(t, webhooks(s, time.Hour, protocol.WebhookChannelOccupied, protocol.WebhookChannelVacated))
	stay := f.dial()
	stay.join("room", "")
	s.expectLast(t, "", occupied("room"))
	stay.conn.Disconnect(true)
	for range 2000 {
		a := f.dial()
		a.join("room", "")
		a.conn.Disconnect(true)
	}
	time.Sleep(50 * time.Millisecond)
	if slices.Contains(s.lines(""), vacated("room")) {
		t.Error("it is said to be vacated at once")
	}
}
