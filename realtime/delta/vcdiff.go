package delta

import "math/bits"

// The parts of VCDIFF (RFC 3284) that both directions need.

const (
	// vcdiffHeader is the magic, version 0, and an indicator without any option.
	vcdiffHeader = "\xd6\xc3\xc4\x00\x00"
	// vcdSource marks a window whose source segment is part of the base.
	vcdSource = 1

	nearSlots, sameSlots = 4, 3
	// The modes of addresses: from 0, from here backwards, from a near slot, or the
	// byte that selects one of 256 same places.
	modeSelf, modeHere, modeNear, modeSame = 0, 1, 2, 2 + nearSlots
	modes                                  = modeSame + sameSlots
)

// addressCache is the cache of addresses of the RFC, 5.1 there.
type addressCache struct {
	near [nearSlots]uint32
	same [sameSlots * 256]uint32
	next int
}

func (c *addressCache) add(address uint32) {
	c.near[c.next] = address
	c.next = (c.next + 1) % nearSlots
	c.same[address%(sameSlots*256)] = address
}

// kind is what an instruction does.
type kind uint8

const (
	noop kind = iota
	add
	run
	copying
)

// instruction is one of the one or two of a code. Size 0 means that it follows.
type instruction struct {
	kind kind
	size uint8
	mode uint8
}

// codes is the default code table of the RFC, 5.6 there.
var codes = func() (table [256][2]instruction) {
	i := 0
	put := func(first, second instruction) {
		table[i] = [2]instruction{first, second}
		i++
	}
	put(instruction{kind: run}, instruction{})
	for size := range uint8(18) {
		put(instruction{kind: add, size: size}, instruction{})
	}
	for mode := range uint8(modes) {
		put(instruction{kind: copying, mode: mode}, instruction{})
		for size := uint8(4); size <= 18; size++ {
			put(instruction{copying, size, mode}, instruction{})
		}
	}
	for mode := range uint8(modes) {
		longest := uint8(6)
		if mode >= modeSame {
			longest = 4
		}
		for adding := uint8(1); adding <= 4; adding++ {
			for size := uint8(4); size <= longest; size++ {
				put(instruction{kind: add, size: adding}, instruction{copying, size, mode})
			}
		}
	}
	for mode := range uint8(modes) {
		put(instruction{copying, 4, mode}, instruction{kind: add, size: 1})
	}
	return table
}()

// appendInteger appends n in base 128, most significant first.
func appendInteger(dst []byte, n uint32) []byte {
	for shift := 7 * (integerSize(n) - 1); shift > 0; shift -= 7 {
		dst = append(dst, 0x80|byte(n>>shift))
	}
	return append(dst, byte(n&0x7f))
}

func integerSize(n uint32) int { return max(bits.Len32(n)+6, 7) / 7 }
