package delta

import (
	"encoding/binary"
	"sync"
)

const (
	// load is what is read of a text at once, in bytes.
	load = 8
	// maxSlots bounds the index of a base: longer ones are indexed at every second,
	// third… position.
	maxSlots = 1 << 15
	// maxTries bounds the places of a base that one place of the target is compared to.
	maxTries = 16
	// goodMatch is a length that no other place needs to be tried after, in bytes.
	goodMatch = 256
	// nearby is how far from where the last copy would go on the next one is looked
	// for before anything else: a number may have got more or fewer digits.
	nearby = 6
	// patience is the number of unmatched bytes before the base is indexed. The id of
	// a message differs each time, has 36 bytes, and is not worth an index.
	patience = 64
	// keepPieces bounds what a released matcher keeps, in pieces.
	keepPieces = 1 << 10
)

// piece is a part of a target: so many bytes as they are, then a copy from the base.
type piece struct{ insert, from, length int }

// costs are what a format takes for a copy.
type costs struct {
	// window is the shortest match that is looked for, in bytes; load at most.
	window int
	// copying is the size of a copy and of the insert that it splits off, at most.
	copying func(from, length int) int
}

// matcher finds what a target has in common with a base. Its memory is reused.
type matcher struct {
	pieces []piece
	// tail is the number of bytes of the target after the last copy.
	tail int

	base    []byte
	costs   costs
	indexed bool
	step    int
	shift   uint
	heads   []uint16 // by hash: the last slot with it, counted from 1
	chain   []uint16 // by slot: the one before with the same hash

	instructions, addresses []byte
	cache                   addressCache
}

var matchers = sync.Pool{New: func() any { return new(matcher) }}

// release hands the matcher back, without the texts and without memory that only
// an unusual pair of texts needs.
func (m *matcher) release() {
	m.base = nil
	if cap(m.pieces) > keepPieces {
		m.pieces, m.instructions, m.addresses = nil, nil, nil
	}
	matchers.Put(m)
}

// match fills pieces and tail. It expects what is usual, a text in which a few
// values have changed, and indexes the base only when that does not hold.
func (m *matcher) match(base, target []byte, c costs) {
	m.base, m.costs, m.indexed = base, c, false
	m.pieces = m.pieces[:0]

	start := commonPrefix(base, target)
	if start <= c.copying(0, start) {
		start = 0
	}
	end := commonSuffix(base[start:], target[start:])
	if from := len(base) - end; end <= c.copying(from, end) {
		end = 0
	}
	if start > 0 {
		m.pieces = append(m.pieces, piece{0, 0, start})
	}
	done := m.middle(target, start, len(target)-end)
	if rest := len(target) - max(done, len(target)-end); rest > c.copying(len(base)-rest, rest) {
		m.pieces = append(m.pieces, piece{len(target) - rest - done, len(base) - rest, rest})
		done = len(target)
	}
	m.tail = len(target) - done
}

// middle matches the target from start to end, or beyond where a copy goes on. It
// returns where its last copy ends.
func (m *matcher) middle(target []byte, start, end int) int {
	done, at, next := start, start, start // next is where the last copy ended in the base
	for at < end && at+load <= len(target) {
		if !m.indexed && at-done > patience {
			m.index()
			at = done
		}
		var from, length int
		if at-done <= patience {
			from, length = m.near(target, at, next+at-done)
		}
		if length < goodMatch && m.indexed {
			from, length = m.far(target, at, from, length)
		}
		if length > 0 {
			back := m.before(target, at, from, at-done)
			from, length = from-back, length+back
			if length > m.costs.copying(from, length) {
				m.pieces = append(m.pieces, piece{at - back - done, from, length})
				done = at - back + length
				at, next = done, from+length
				continue
			}
		}
		at++
		if m.indexed {
			at += (at - done) >> 7 // the longer nothing was found, the less is looked for
		}
	}
	return done
}

// near looks for target[at:] around one place of the base.
func (m *matcher) near(target []byte, at, expected int) (from, length int) {
	want, shift := m.window(target, at), 8*(load-m.costs.window)
	for place := max(expected-nearby, 0); place <= min(expected+nearby, len(m.base)-load); place++ {
		if binary.LittleEndian.Uint64(m.base[place:])<<shift != want {
			continue
		}
		if n := commonPrefix(m.base[place:], target[at:]); n > length {
			from, length = place, n
		}
	}
	return from, length
}

// far looks for target[at:] in the index, for something longer than what is known.
func (m *matcher) far(target []byte, at, from, length int) (int, int) {
	want := m.window(target, at)
	slot := m.heads[m.hash(want)]
	for try := 0; slot > 0 && try < maxTries && length < goodMatch; try++ {
		place := int(slot-1) * m.step
		if m.window(m.base, place) == want {
			if n := commonPrefix(m.base[place:], target[at:]); n > length {
				from, length = place, n
			}
		}
		slot = m.chain[slot-1]
	}
	return from, length
}

// before is how far a match goes on backwards, up to limit bytes.
func (m *matcher) before(target []byte, at, from, limit int) (n int) {
	for n < limit && n < from && m.base[from-n-1] == target[at-n-1] {
		n++
	}
	return n
}

// index makes the places of the base known.
func (m *matcher) index() {
	m.indexed = true
	places := len(m.base) - load + 1
	m.step = max(places-1, 0)/maxSlots + 1
	slots := max(places+m.step-1, 0) / m.step
	bits := uint(8)
	for 1<<bits < slots {
		bits++
	}
	m.shift = 64 - bits
	m.heads, m.chain = sized(m.heads, 1<<bits), sized(m.chain, slots)
	clear(m.heads)
	for slot := range slots {
		h := m.hash(m.window(m.base, slot*m.step))
		m.chain[slot] = m.heads[h]
		m.heads[h] = uint16(slot + 1)
	}
}

// window is what identifies a place of a text that has at least load bytes left.
func (m *matcher) window(text []byte, at int) uint64 {
	return binary.LittleEndian.Uint64(text[at:]) << (8 * (load - m.costs.window))
}

func (m *matcher) hash(window uint64) uint64 {
	return window * 0x9e3779b97f4a7c15 >> m.shift
}

func sized(table []uint16, n int) []uint16 {
	if cap(table) < n {
		return make([]uint16, n)
	}
	return table[:n]
}

func commonPrefix(a, b []byte) (n int) {
	limit := min(len(a), len(b))
	for n+load <= limit && binary.LittleEndian.Uint64(a[n:]) == binary.LittleEndian.Uint64(b[n:]) {
		n += load
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) (n int) {
	limit := min(len(a), len(b))
	for n+load <= limit && binary.LittleEndian.Uint64(a[len(a)-n-load:]) == binary.LittleEndian.Uint64(b[len(b)-n-load:]) {
		n += load
	}
	for n < limit && a[len(a)-n-1] == b[len(b)-n-1] {
		n++
	}
	return n
}
