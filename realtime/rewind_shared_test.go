package realtime_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// Those who rewind to the same past at one time have it read once, and those who ask for another one do not get it.
func TestRewindsShareAPast(t *testing.T) {
	store := &slowHistory{History: memory.NewHistory(0)}
	f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.Drivers.History = store })
	other := f.dialV2("")
	other.subscribe("room", "")
	other.next("sockudo_internal:subscription_succeeded", "room")
	f.sayMany("room", 1, 5)
	var reads atomic.Int64
	storm := func(asked, wanted []string) {
		t.Helper()
		reads.Store(0)
		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		store.whileReading(func() { reads.Add(1); <-held })
		var peers []*peer
		var sent sync.WaitGroup
		defer sent.Wait()
		defer release()
		for i := range 8 {
			p := f.dialV2("")
			sent.Go(func() { p.subscribeWith("room", asked[i%len(asked)]) })
			peers = append(peers, p)
		}
		until(t, "rewind of all", func() bool { return realtime.Rewinding(f.hub, f.app().ID, "room") == len(peers) })
		release()
		sent.Wait()
		for i, p := range peers {
			p.next("sockudo_internal:subscription_succeeded", "room")
			frames, done := p.rewound("room")
			if texts(frames) != wanted[i%len(wanted)] || done != (protocol.RewindComplete{Historical: len(frames), ByLimit: true}) {
				t.Fatalf("rewind %s: %q, %+v", asked[i%len(asked)], texts(frames), done)
			}
		}
	}
	store.whileReading(func() { reads.Add(1) })
	p := f.dialV2("")
	p.subscribeWith("room", `"rewind":2`)
	p.next("sockudo_internal:subscription_succeeded", "room")
	p.rewound("room")
	alone := reads.Load()
	for range 2 {
		if storm([]string{`"rewind":2`}, []string{"4 5"}); reads.Load() != alone {
			t.Fatalf("%d reads for eight, %d for one", reads.Load(), alone)
		}
	}
	storm([]string{`"rewind":2`, `"rewind":3`, `"rewind":2,"filter":{"events":["e"]}`, `"rewind":{"count":4}`}, []string{"4 5", "3 4 5", "4 5", "2 3 4 5"})
}
