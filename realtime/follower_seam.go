package realtime

import (
	"cmp"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// seam is where a stream begins for subscribers who were there before it: events before
// that may be on their way to them still. Nobody is told of them twice.
type seam struct {
	at    uint64 // the serial up to which that counts
	until int64  // by clock
	told  map[uint64]struct{}
}

// passes reports whether an event is one of those, and notes that it has come.
func (s *seam) passes(serial uint64) bool {
	if serial > s.at || clock() > s.until {
		return false
	}
	if _, before := s.told[serial]; before {
		return false
	}
	if s.told == nil {
		s.told = map[uint64]struct{}{}
	}
	s.told[serial] = struct{}{}
	return true
}

// beginStream takes a position in a shared stream as that of the channel. If it is one
// of another history than before, V2 subscribers are told; what that has from earlier
// times is nothing that they have missed. The caller holds mu.
func (ch *channel) beginStream(at position, n numbering) {
	ch.stream = &stream{
		id: at.stream, head: at.serial, row: at.row, broken: at.reason, counter: n.counter, store: n.store, follower: &follower{},
	}
	if ch.count > 0 || len(ch.matching) > 0 {
		ch.stream.follower.seam = seam{at: at.serial, until: clock() + storeTimeout.Milliseconds()}
	}
	if ch.former == at.stream {
		ch.former = "" // a copy of that history, perhaps
	}
	if ch.former != "" {
		ch.loseStream(ch.former, protocol.ResumeStreamReset, "stream_id_mismatch", at)
	}
}

// tellHeld delivers what waits for its turn in a stream that ends: what is missing comes
// later, if it comes. The caller holds mu.
func (ch *channel) tellHeld() {
	f := ch.stream.follower
	if f == nil {
		return
	}
	slices.SortStableFunc(f.held, func(a, b held) int { return cmp.Compare(a.envelope.Serial, b.envelope.Serial) })
	for _, h := range f.held {
		ch.tell(h.message, h.envelope)
	}
	f.held, f.bytes = nil, 0
}
