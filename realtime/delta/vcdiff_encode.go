package delta

// vcdiffCosts: a code with its size, the address, and the code of the insert after it.
var vcdiffCosts = costs{window: 6, copying: func(from, length int) int {
	return 2 + codeSize(length, 18) + integerSize(uint32(from))
}}

// codeSize is what the size of an instruction takes besides its code.
func codeSize(size, inCode int) int {
	if size <= inCode {
		return 0
	}
	return integerSize(uint32(size))
}

// appendVCDIFF appends the header and one window.
func (m *matcher) appendVCDIFF(dst, base, target []byte) []byte {
	inserted := m.instruct(len(base), len(target))
	fields := integerSize(uint32(len(target))) + 1 + integerSize(uint32(inserted)) +
		integerSize(uint32(len(m.instructions))) + integerSize(uint32(len(m.addresses)))
	length := fields + inserted + len(m.instructions) + len(m.addresses)
	if dst == nil {
		dst = make([]byte, 0, len(vcdiffHeader)+12+length)
	}
	dst = append(dst, vcdiffHeader...)
	if len(base) == 0 {
		dst = append(dst, 0)
	} else {
		dst = append(dst, vcdSource)
		dst = appendInteger(dst, uint32(len(base)))
		dst = append(dst, 0) // where the segment begins in the base
	}
	dst = appendInteger(dst, uint32(length))
	dst = appendInteger(dst, uint32(len(target)))
	dst = append(dst, 0) // nothing is compressed a second time
	dst = appendInteger(dst, uint32(inserted))
	dst = appendInteger(dst, uint32(len(m.instructions)))
	dst = appendInteger(dst, uint32(len(m.addresses)))
	done := 0
	for _, p := range m.pieces {
		dst = append(dst, target[done:done+p.insert]...)
		done += p.insert + p.length
	}
	dst = append(dst, target[done:]...)
	dst = append(dst, m.instructions...)
	return append(dst, m.addresses...)
}

// instruct fills instructions and addresses, and returns how many bytes are inserted.
func (m *matcher) instruct(base, target int) (inserted int) {
	m.instructions, m.addresses = m.instructions[:0], m.addresses[:0]
	m.cache = addressCache{}
	done := 0
	for _, p := range m.pieces {
		m.insert(p.insert)
		inserted += p.insert
		done += p.insert
		m.copy(p, uint32(base+done))
		done += p.length
	}
	rest := target - done
	m.insert(rest)
	return inserted + rest
}

func (m *matcher) insert(size int) {
	switch {
	case size == 0:
	case size <= 17:
		m.instructions = append(m.instructions, byte(1+size))
	default:
		m.instructions = appendInteger(append(m.instructions, 1), uint32(size))
	}
}

// copy appends a copy in the mode whose address is shortest.
func (m *matcher) copy(p piece, here uint32) {
	address := uint32(p.from)
	mode, value := modeSelf, address
	if here-address < value {
		mode, value = modeHere, here-address
	}
	for slot, near := range m.cache.near {
		if address >= near && address-near < value {
			mode, value = modeNear+slot, address-near
		}
	}
	place := address % (sameSlots * 256)
	if m.cache.same[place] == address && integerSize(value) > 1 {
		mode = modeSame + int(place/256)
		m.addresses = append(m.addresses, byte(place))
	} else {
		m.addresses = appendInteger(m.addresses, value)
	}
	m.cache.add(address)

	code := byte(19 + 16*mode)
	if p.length >= 4 && p.length <= 18 {
		m.instructions = append(m.instructions, code+byte(p.length-3))
		return
	}
	m.instructions = appendInteger(append(m.instructions, code), uint32(p.length))
}
