package delta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// digits are those of Fossil's numbers, most significant first, in base 64.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"

// values are the digits by their byte, -1 for every other byte.
var values = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i := range len(digits) {
		table[digits[i]] = int8(i)
	}
	return table
}()

// fossilCosts: "length@from,", and the "length:" of the insert after it.
var fossilCosts = costs{window: 8, copying: func(from, length int) int {
	return digitsOf(length) + digitsOf(from) + 4
}}

func digitsOf(n int) (count int) {
	for count = 1; n >= 64; n >>= 6 {
		count++
	}
	return count
}

func appendDigits(dst []byte, n uint32) []byte {
	shift := 6 * (digitsOf(int(n)) - 1)
	for ; shift >= 0; shift -= 6 {
		dst = append(dst, digits[n>>shift&63])
	}
	return dst
}

func (m *matcher) appendFossil(dst, target []byte) []byte {
	if dst == nil {
		size := 20 + m.tail + 20*len(m.pieces)
		for _, p := range m.pieces {
			size += p.insert
		}
		dst = make([]byte, 0, size)
	}
	dst = append(appendDigits(dst, uint32(len(target))), '\n')
	done := 0
	for _, p := range m.pieces {
		dst = appendInsert(dst, target[done:done+p.insert])
		dst = append(appendDigits(dst, uint32(p.length)), '@')
		dst = append(appendDigits(dst, uint32(p.from)), ',')
		done += p.insert + p.length
	}
	dst = appendInsert(dst, target[done:])
	return append(appendDigits(dst, checksum(target)), ';')
}

func appendInsert(dst, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	dst = append(appendDigits(dst, uint32(len(text))), ':')
	return append(dst, text...)
}

// checksum is the sum of a text's big-endian 32-bit words, the last one padded
// with zeros.
func checksum(text []byte) (sum uint32) {
	for ; len(text) >= 4; text = text[4:] {
		sum += binary.BigEndian.Uint32(text)
	}
	var last [4]byte
	copy(last[:], text)
	return sum + binary.BigEndian.Uint32(last[:])
}

// fossilReader reads a delta of Fossil.
type fossilReader struct{ rest []byte }

// number reads a number and the byte after it.
func (r *fossilReader) number() (n uint32, after byte, err error) {
	for i, c := range r.rest {
		v := values[c]
		if v < 0 {
			if i == 0 {
				return 0, 0, fmt.Errorf("%w: a number is missing before %q", ErrCorrupt, c)
			}
			r.rest = r.rest[i+1:]
			return n, c, nil
		}
		if n > math.MaxUint32>>6 {
			return 0, 0, fmt.Errorf("%w: a number has more than 32 bits", ErrCorrupt)
		}
		n = n<<6 | uint32(v)
	}
	return 0, 0, fmt.Errorf("%w: it ends too early", ErrCorrupt)
}

func decodeFossil(base, delta []byte, maxSize int) ([]byte, error) {
	r := fossilReader{delta}
	size, after, err := r.number()
	switch {
	case err != nil:
		return nil, err
	case after != '\n':
		return nil, fmt.Errorf("%w: no newline after the size of the target", ErrCorrupt)
	case int64(size) > int64(maxSize):
		return nil, fmt.Errorf("%w: %d of at most %d bytes", ErrTooLarge, size, maxSize)
	}
	out := make([]byte, 0, size)
	for {
		n, command, err := r.number()
		if err != nil {
			return nil, err
		}
		if command == ';' {
			return finishFossil(out, n, int(size), r.rest)
		}
		part, err := r.part(base, n, command)
		if err != nil {
			return nil, err
		}
		if len(part) > int(size)-len(out) {
			return nil, fmt.Errorf("%w: the target is longer than %d bytes", ErrCorrupt, size)
		}
		out = append(out, part...)
	}
}

// part is what one command adds to the target.
func (r *fossilReader) part(base []byte, n uint32, command byte) ([]byte, error) {
	switch command {
	case ':':
		if int64(n) > int64(len(r.rest)) {
			return nil, fmt.Errorf("%w: an insert of %d bytes has %d", ErrCorrupt, n, len(r.rest))
		}
		part := r.rest[:n]
		r.rest = r.rest[n:]
		return part, nil
	case '@':
		from, after, err := r.number()
		switch {
		case err != nil:
			return nil, err
		case after != ',':
			return nil, fmt.Errorf("%w: no comma after a copy", ErrCorrupt)
		case int64(from)+int64(n) > int64(len(base)):
			return nil, fmt.Errorf("%w: a copy of %d bytes from %d leaves a base of %d", ErrCorrupt, n, from, len(base))
		}
		return base[from : int(from)+int(n)], nil
	default:
		return nil, fmt.Errorf("%w: unknown command %q", ErrCorrupt, command)
	}
}

func finishFossil(out []byte, sum uint32, size int, rest []byte) ([]byte, error) {
	switch {
	case len(rest) > 0:
		return nil, fmt.Errorf("%w: %d bytes after its end", ErrCorrupt, len(rest))
	case len(out) != size:
		return nil, fmt.Errorf("%w: the target has %d of %d bytes", ErrCorrupt, len(out), size)
	case sum != checksum(out):
		return nil, fmt.Errorf("%w: the checksum is wrong", ErrCorrupt)
	}
	return out, nil
}
