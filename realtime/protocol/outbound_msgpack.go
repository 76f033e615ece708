package protocol

import (
	"encoding/binary"
	"math"
)

// First bytes of MessagePack values. Short ones hold the length in their low bits.
const (
	packedMap     = 0x80
	packedArray   = 0x90
	packedText    = 0xa0
	packedNil     = 0xc0
	packedFalse   = 0xc2
	packedTrue    = 0xc3
	packedFloat64 = 0xcb
	packedUint8   = 0xcc
	packedText8   = 0xd9
	packedMap16   = 0xde
)

// appendMessagePack appends the message as an array of the members of section 0.3
// in their order. What is absent is nil. The members of deltas always are, because
// there are none on binary connections.
func (o *Outbound) appendMessagePack(b []byte) []byte {
	b = append(b, packedArray|envelopeSlots)
	prefix := prefixOf(o.Class, V2)
	b = appendPackedLength(b, len(prefix)+len(o.Event))
	b = append(append(b, prefix...), o.Event...)
	b = appendPackedOptional(b, o.Channel)
	b = o.appendPackedData(b)
	b = appendPackedOptional(b, o.Name)
	b = appendPackedOptional(b, o.UserID)
	b = appendPackedTags(b, o.Tags)
	b = append(b, packedNil, packedNil) // sequence and conflation_key
	b = appendPackedOptional(b, o.MessageID)
	b = appendPackedOptional(b, o.StreamID)
	if o.StreamID != "" {
		b = appendPackedUint(b, o.Serial)
	} else {
		b = append(b, packedNil)
	}
	b = append(b, packedNil) // idempotency_key
	b = o.Extras.appendPacked(b)
	return append(b, packedNil, packedNil)
}

// appendPackedData appends data as a kind and a text.
func (o *Outbound) appendPackedData(b []byte) []byte {
	switch {
	case len(o.Data) == 0:
		return append(b, packedNil)
	case o.Data[0] == '"':
		b = appendPackedText(append(b, packedArray|2), kindString)
		return appendPackedUnquoted(b, o.Data)
	default:
		b = appendPackedText(append(b, packedArray|2), kindJSON)
		return appendPackedText(b, o.Data)
	}
}

// appendPacked appends the array of what exists of extras in the binary formats.
func (x *Extras) appendPacked(b []byte) []byte {
	if !x.inBinary() {
		return append(b, packedNil)
	}
	b = append(b, packedArray|extrasSlots)
	if len(x.Headers) == 0 {
		b = append(b, packedNil)
	} else {
		b = appendPackedMap(b, len(x.Headers))
	}
	for _, h := range x.Headers {
		b = h.appendPacked(appendPackedText(b, h.Name))
	}
	if x.Ephemeral {
		b = append(b, packedTrue)
	} else {
		b = append(b, packedNil)
	}
	b = append(b, packedNil) // idempotency_key
	if x.Echo == nil {
		b = append(b, packedNil)
	} else {
		b = appendPackedBool(b, *x.Echo)
	}
	if !x.AI.inBinary() {
		return append(b, packedNil)
	}
	b = append(b, packedArray|2)
	return appendPackedTags(appendPackedTags(b, x.AI.Transport), x.AI.Codec)
}

// appendPacked appends the value of a header with its kind.
func (h Header) appendPacked(b []byte) []byte {
	b = append(b, packedArray|2)
	switch h.kind() {
	case kindString:
		return appendPackedUnquoted(appendPackedText(b, kindString), h.Value)
	case kindBool:
		return appendPackedBool(appendPackedText(b, kindBool), h.truth())
	default:
		b = append(appendPackedText(b, kindNumber), packedFloat64)
		return binary.BigEndian.AppendUint64(b, math.Float64bits(h.number()))
	}
}

func appendPackedTags(b []byte, tags Tags) []byte {
	if len(tags) == 0 {
		return append(b, packedNil)
	}
	b = appendPackedMap(b, len(tags))
	for _, t := range tags {
		b = appendPackedText(appendPackedText(b, t.Key), t.Value)
	}
	return b
}

func appendPackedOptional(b []byte, text string) []byte {
	if text == "" {
		return append(b, packedNil)
	}
	return appendPackedText(b, text)
}

func appendPackedText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(appendPackedLength(b, len(text)), text...)
}

// appendPackedUnquoted appends the value of a JSON string. Its length is known when
// it stands there; most often the first byte that is kept for it is enough.
func appendPackedUnquoted(b []byte, raw []byte) []byte {
	at := len(b)
	b = appendUnquoted(append(b, 0), raw)
	n := len(b) - at - 1
	if size := packedLengthSize(n); size > 1 {
		b = append(b, "1234"[:size-1]...) // for the room alone
		copy(b[at+size:], b[at+1:at+1+n])
	}
	appendPackedLength(b[:at], n)
	return b
}

func packedLengthSize(n int) int {
	switch {
	case n < 32:
		return 1
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	default:
		return 5
	}
}

// appendPackedLength appends what stands in front of a text of n bytes.
func appendPackedLength(b []byte, n int) []byte {
	switch packedLengthSize(n) {
	case 1:
		return append(b, packedText|byte(n))
	case 2:
		return append(b, packedText8, byte(n))
	case 3:
		return append(b, packedText8+1, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, packedText8+2), uint32(n))
	}
}

// appendPackedMap appends what stands in front of n names with values.
func appendPackedMap(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, packedMap|byte(n))
	case n <= math.MaxUint16:
		return append(b, packedMap16, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, packedMap16+1), uint32(n))
	}
}

func appendPackedUint(b []byte, n uint64) []byte {
	switch {
	case n < 128:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, packedUint8, byte(n))
	case n <= math.MaxUint16:
		return append(b, packedUint8+1, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, packedUint8+2), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, packedUint8+3), n)
	}
}

func appendPackedBool(b []byte, on bool) []byte {
	if on {
		return append(b, packedTrue)
	}
	return append(b, packedFalse)
}
