//go:build linux

package loadgen

import "slices"

// arrival is what the ledger says about one received message.
type arrival int

const (
	// arrivedNext is a message not seen before, in its lane's order, with or
	// without others missing in front of it.
	arrivedNext arrival = iota
	// arrivedLate is a message not seen before that a later one overtook.
	arrivedLate
	// arrivedAgain is a message that this subscriber already has.
	arrivedAgain
)

// ledger is one subscriber's exact account of its channel: the next sequence
// number of every lane, and the numbers that were skipped.
type ledger struct {
	next []uint32
	gaps []gap
	// order is a hash over all messages in the order of their arrival. Equal
	// hashes mean that two subscribers saw the lanes interleaved alike.
	order uint64
}

// gap is a range of skipped numbers of one lane, to exclusive.
type gap struct {
	lane     int
	from, to uint32
}

func newLedger(lanes int) ledger {
	return ledger{next: make([]uint32, lanes), order: 14695981039346656037}
}

// note books one message and says how it arrived.
func (l *ledger) note(lane int, seq uint32) arrival {
	want := l.next[lane]
	if seq < want && !l.fill(lane, seq) {
		return arrivedAgain
	}
	l.order = (l.order ^ (uint64(lane)<<32 | uint64(seq))) * 1099511628211
	if seq < want {
		return arrivedLate
	}
	if seq > want {
		l.gaps = append(l.gaps, gap{lane, want, seq})
	}
	l.next[lane] = seq + 1
	return arrivedNext
}

// fill takes seq out of the gap that holds it, and reports whether one did.
func (l *ledger) fill(lane int, seq uint32) bool {
	for i := range l.gaps {
		g := &l.gaps[i]
		if g.lane != lane || seq < g.from || seq >= g.to {
			continue
		}
		switch {
		case seq == g.from:
			g.from++
		case seq == g.to-1:
			g.to--
		default:
			l.gaps = append(l.gaps, gap{lane, seq + 1, g.to})
			l.gaps[i].to = seq
		}
		l.gaps = slices.DeleteFunc(l.gaps, func(g gap) bool { return g.from == g.to })
		return true
	}
	return false
}

// lost counts the messages that never came, given how many each lane published
// to this subscriber's channel.
func (l *ledger) lost(published []uint32) int64 {
	var n int64
	for _, g := range l.gaps {
		n += int64(min(g.to, published[g.lane])) - int64(min(g.from, published[g.lane]))
	}
	for lane, count := range published {
		n += int64(count - min(count, l.next[lane]))
	}
	return n
}
