package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// packedKind is the type of a MessagePack value.
type packedKind uint8

const (
	isNil packedKind = iota
	isBool
	isUint
	isNegative
	isFloat
	isText
	isBytes
	isExtension
	isArray
	isMap
)

func (k packedKind) String() string {
	return [...]string{"nil", "bool", "integer", "negative integer", "float", "str", "bin", "ext", "array", "map"}[k]
}

// packedValue is a value, or the beginning of an array or a map, whose elements
// follow.
type packedValue struct {
	kind packedKind
	// n is the value of an integer or a boolean, the bits of a double, and the number
	// of what follows: elements of an array, or names with values of a map. Neither is
	// more than the rest of the message can hold.
	n uint64
	// body is a text in UTF-8, or bytes. It is part of the message.
	body []byte
}

// packedReader reads values of MessagePack in any of their forms. Once something is
// wrong, err stays set and every value is nil.
type packedReader struct {
	rest []byte
	err  error
}

var errEndsEarly = errors.New("it ends early")

func (p *packedReader) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.rest = nil
}

func (p *packedReader) failf(format string, args ...any) { p.fail(fmt.Errorf(format, args...)) }

// next reads a value that is not an array or a map, or the beginning of one.
func (p *packedReader) next() packedValue {
	c := byte(p.number(1))
	switch {
	case p.err != nil:
		return packedValue{}
	case c < packedMap:
		return packedValue{kind: isUint, n: uint64(c)}
	case c < packedArray:
		return p.group(isMap, uint64(c&0x0f))
	case c < packedText:
		return p.group(isArray, uint64(c&0x0f))
	case c < packedNil:
		return p.block(isText, uint64(c&0x1f))
	case c >= 0xe0:
		return packedValue{kind: isNegative, n: uint64(int8(c))}
	}
	switch c {
	case packedNil:
		return packedValue{}
	case packedFalse, packedTrue:
		return packedValue{kind: isBool, n: uint64(c & 1)}
	case 0xc4, 0xc5, 0xc6:
		return p.block(isBytes, p.number(1<<(c-0xc4)))
	case 0xc7, 0xc8, 0xc9:
		return p.block(isExtension, p.number(1<<(c-0xc7))+1)
	case 0xca:
		single := math.Float32frombits(uint32(p.number(4)))
		return packedValue{kind: isFloat, n: math.Float64bits(float64(single))}
	case packedFloat64:
		return packedValue{kind: isFloat, n: p.number(8)}
	case 0xcc, 0xcd, 0xce, 0xcf:
		return packedValue{kind: isUint, n: p.number(1 << (c - packedUint8))}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return p.signed(1 << (c - 0xd0))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return p.block(isExtension, 1+1<<(c-0xd4))
	case 0xd9, 0xda, 0xdb:
		return p.block(isText, p.number(1<<(c-packedText8)))
	case 0xdc, 0xdd:
		return p.group(isArray, p.number(2<<(c-0xdc)))
	case 0xde, 0xdf:
		return p.group(isMap, p.number(2<<(c-packedMap16)))
	}
	p.failf("%#x begins no value", c)
	return packedValue{}
}

// number reads an unsigned integer of 1, 2, 4 or 8 bytes.
func (p *packedReader) number(size int) uint64 {
	if len(p.rest) < size {
		p.fail(errEndsEarly)
		return 0
	}
	var n [8]byte
	copy(n[8-size:], p.rest)
	p.rest = p.rest[size:]
	return binary.BigEndian.Uint64(n[:])
}

func (p *packedReader) signed(size int) packedValue {
	unused := 64 - 8*size
	n := int64(p.number(size)<<unused) >> unused
	if n < 0 {
		return packedValue{kind: isNegative, n: uint64(n)}
	}
	return packedValue{kind: isUint, n: uint64(n)}
}

// block takes the n bytes of a text, of bytes or of an extension.
func (p *packedReader) block(kind packedKind, n uint64) packedValue {
	if n > uint64(len(p.rest)) {
		p.fail(errEndsEarly)
	}
	if p.err != nil {
		return packedValue{}
	}
	v := packedValue{kind: kind, body: p.rest[:n:n]}
	p.rest = p.rest[n:]
	if kind == isText && !utf8.Valid(v.body) {
		p.fail(errNotUTF8)
		return packedValue{}
	}
	return v
}

// group begins an array or a map. Each element takes one byte at the least.
func (p *packedReader) group(kind packedKind, n uint64) packedValue {
	values := n
	if kind == isMap {
		values = 2 * n
	}
	if values > uint64(len(p.rest)) {
		p.fail(errEndsEarly)
	}
	if p.err != nil {
		return packedValue{}
	}
	return packedValue{kind: kind, n: n}
}

// skip reads a value with all that is in it, however deep.
func (p *packedReader) skip() {
	for left := uint64(1); left > 0 && p.err == nil; left-- {
		switch v := p.next(); v.kind {
		case isArray:
			left += v.n
		case isMap:
			left += 2 * v.n
		default:
		}
	}
}

// text reads a text. A nil is an empty one.
func (p *packedReader) text(what string) string {
	switch v := p.next(); v.kind {
	case isNil:
	case isText:
		return string(v.body)
	default:
		p.failf("%s must be a str, not %s", what, v.kind)
	}
	return ""
}

// name reads a name of a map, as part of the message.
func (p *packedReader) name(what string) []byte {
	v := p.next()
	if v.kind != isText && p.err == nil {
		p.failf("a name in %s must be a str, not %s", what, v.kind)
	}
	return v.body
}

// pair begins a value with its kind, of data or of a header. ok is false for nil
// and after an error.
func (p *packedReader) pair(what string) (kind []byte, ok bool) {
	v := p.next()
	if v.kind == isNil {
		return nil, false
	}
	if v.kind != isArray || v.n != 2 {
		p.failf("%s must be a kind and a value", what)
		return nil, false
	}
	kind = p.name(what)
	return kind, p.err == nil
}
