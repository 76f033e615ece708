//go:build linux

package loadgen

import "bytes"

var (
	deltaFrame = []byte(`{"event":"sockudo:delta",`)
	deltaSeq   = []byte(`"seq":`)
	fullSeq    = []byte(`"__delta_seq":`)
)

// findDelta finds what stands for the stamp in an event of a compressed subscription:
// its number in the sequence, from 0, which a subscriber of one channel counts from
// its first event on (section 6.5). Nobody sees the stamp of a delta, so all lanes
// are one here, and the slots of a window, of which any will do, are taken in turn.
func (s *swarm) findDelta(message []byte) (stamp, bool) {
	at, mark := bytes.LastIndex(message, fullSeq), fullSeq
	if bytes.HasPrefix(message, deltaFrame) {
		at, mark = bytes.Index(message, deltaSeq), deltaSeq
	}
	if at < 0 {
		return stamp{}, false
	}
	number := message[at+len(mark):]
	end := 0
	for end < min(len(number), 10) && number[end] >= '0' && number[end] <= '9' {
		end++
	}
	seq, _ := digits(number[:end])
	if end == 0 || seq > 1<<32-1 {
		return stamp{}, false
	}
	found := stamp{seq: uint32(seq), slot: noSlot}
	if s.window != nil {
		found.slot = int(seq) % len(s.window.outstanding)
	}
	return found, true
}
