package realtime_test

import (
	"fmt"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// One socket cannot fill the server with channels.
func TestChannelsPerConnection(t *testing.T) {
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) { s.Socket.MaxChannels = 40 })
	p := f.dial()
	for i := range 40 {
		p.join(fmt.Sprintf("c-%d", i), "")
	}
	p.subscribe("one-more", "")
	p.refused(4100, "one-more", "too many channels")
	p.join("c-7", "") // once more is no further one
	p.send("pusher:unsubscribe", "", "c-7")
	p.join("one-more", "")
}
