package realtime_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// A history that takes the place of another has a past of its own, which nobody gets as
// if it were new, whether something is published or somebody comes first.
func TestHistoryTakesThePlaceOfAnother(t *testing.T) {
	for _, comes := range []bool{false, true} {
		stores := [2]storage.History{memory.NewHistory(0), memory.NewHistory(0)}
		f := withHistory(t, func(_ *storage.App, s *realtime.Settings) { s.Drivers.History = stores[0] })
		in := func(i int) {
			f.load(f.newSettings(func(_ *storage.App, s *realtime.Settings) {
				s.Drivers.History, s.History.Enabled, s.Recovery.Enabled = stores[i], true, true
			}))
		}
		f.sayMany("room", 1, 3)
		in(1)
		f.sayMany("room", 4, 5)
		p, old := f.dialV2(""), f.dial()
		p.subscribe("room", "")
		stream := p.next("sockudo_internal:subscription_succeeded", "room").StreamID
		old.subscribe("room", "")
		old.expect("subscription_succeeded")
		for i, serial := range []uint64{4, 3, 5, 4} { // by turns in the one and the other
			in(i % 2)
			if comes {
				other := f.dialV2("")
				other.subscribe("room", "")
				if at := other.next("sockudo_internal:subscription_succeeded", "room"); *at.Serial != serial-1 || at.StreamID == stream {
					t.Fatalf("turn %d: a new client is told %+v", i, at)
				}
			}
			f.sayMany("room", 10+i, 10+i)
			if told := p.next("sockudo:resume_failed", "room"); !strings.Contains(told.text(), "stream_reset") || !strings.Contains(told.text(), stream) {
				t.Fatalf("turn %d: the client is told %s", i, told.Data)
			}
			e := p.next("e", "room")
			if e.text() != fmt.Sprint(10+i) || *e.Serial != serial || e.StreamID == stream {
				t.Fatalf("turn %d: %+v %s", i, e, e.Data)
			}
			stream = e.StreamID
			old.expect(fmt.Sprintf(`"data":"%d"`, 10+i))
		}
	}
}
