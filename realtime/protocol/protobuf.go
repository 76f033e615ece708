package protocol

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// fieldReader reads the fields of one message in Protobuf. Once something is wrong,
// err stays set and there is no further field.
type fieldReader struct {
	rest []byte
	err  error

	// What next has read: the number of the field, how its value is written, and the
	// value, which is a number, or bytes that are part of the message.
	field int
	wire  byte
	n     uint64
	body  []byte
}

// maxField is the highest number that a field can have.
const maxField = 1<<29 - 1

func (f *fieldReader) fail(err error) {
	if f.err == nil {
		f.err = err
	}
	f.rest = nil
}

func (f *fieldReader) failf(format string, args ...any) { f.fail(fmt.Errorf(format, args...)) }

// next reads a field with its value. It reports false at the end and after an error.
func (f *fieldReader) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	key := f.varint()
	f.wire, f.n, f.body = byte(key&7), 0, nil
	if key>>3 == 0 || key>>3 > maxField {
		f.failf("no field has the number %d", key>>3)
		return false
	}
	f.field = int(key >> 3)
	switch f.wire {
	case wireVarint:
		f.n = f.varint()
	case wireFixed8:
		if b := f.take(8); f.err == nil {
			f.n = binary.LittleEndian.Uint64(b)
		}
	case wireFixed4:
		if b := f.take(4); f.err == nil {
			f.n = uint64(binary.LittleEndian.Uint32(b))
		}
	case wireBytes:
		f.body = f.take(f.varint())
	default:
		f.failf("field %d has the wire type %d", f.field, f.wire)
	}
	return f.err == nil
}

func (f *fieldReader) varint() uint64 {
	n, size := binary.Uvarint(f.rest)
	switch {
	case size == 0:
		f.fail(errEndsEarly)
		return 0
	case size < 0:
		f.failf("a number is above 64 bits")
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fieldReader) take(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.fail(errEndsEarly)
	}
	if f.err != nil {
		return nil
	}
	taken := f.rest[:n:n]
	f.rest = f.rest[n:]
	return taken
}

// bytes is the value of a text, of bytes or of a message.
func (f *fieldReader) bytes(what string) []byte {
	if f.wire != wireBytes {
		f.failf("%s has the wire type %d, not %d", what, f.wire, wireBytes)
	}
	return f.body
}

// text is the value of a text, as part of the message.
func (f *fieldReader) text(what string) []byte {
	text := f.bytes(what)
	if !utf8.Valid(text) {
		f.fail(errNotUTF8)
		return nil
	}
	return text
}

// message is the value of a message, to be read. Its error is to be handed to fail.
func (f *fieldReader) message(what string) fieldReader { return fieldReader{rest: f.bytes(what)} }

// number is the value of an integer or a boolean.
func (f *fieldReader) number(what string) uint64 {
	if f.wire != wireVarint {
		f.failf("%s has the wire type %d, not %d", what, f.wire, wireVarint)
	}
	return f.n
}

// entry reads an entry of a map of texts. What is left out is empty.
func (f *fieldReader) entry(what string) (key, value []byte) {
	e := f.message(what)
	for e.next() {
		switch e.field {
		case fieldKey:
			key = e.text(what)
		case fieldValue:
			value = e.text(what)
		}
	}
	f.end(&e)
	return key, value
}

// end takes over what was wrong in a message within this one.
func (f *fieldReader) end(inner *fieldReader) {
	if inner.err != nil {
		f.fail(inner.err)
	}
}
