package protocol

import (
	"encoding/binary"
	"math"
)

// Wire types of Protobuf. Groups, which are 3 and 4, are none of proto3.
const (
	wireVarint = 0
	wireFixed8 = 1
	wireBytes  = 2
	wireFixed4 = 5
)

// appendProtobuf appends the message as an Envelope, whose fields have the numbers
// of section 0.3. What is absent is not written, nor is a map that is empty.
func (o *Outbound) appendProtobuf(b []byte) []byte {
	prefix := prefixOf(o.Class, V2)
	b = appendTag(b, slotEvent, wireBytes)
	b = binary.AppendUvarint(b, uint64(len(prefix)+len(o.Event)))
	b = append(append(b, prefix...), o.Event...)
	b = appendOptionalField(b, slotChannel, o.Channel)
	b = o.appendDataField(b)
	b = appendOptionalField(b, slotName, o.Name)
	b = appendOptionalField(b, slotUserID, o.UserID)
	b = appendMapField(b, slotTags, o.Tags)
	b = appendOptionalField(b, slotMessageID, o.MessageID)
	b = appendOptionalField(b, slotStreamID, o.StreamID)
	if o.StreamID != "" {
		b = binary.AppendUvarint(appendTag(b, slotSerial, wireVarint), o.Serial)
	}
	if !o.Extras.inBinary() {
		return b
	}
	b, at := openField(b, slotExtras)
	return closeField(o.Extras.appendFields(b), at)
}

// Fields of Data, and of the values of headers.
const (
	fieldString     = 1
	fieldStructured = 2
	fieldJSON       = 3
	fieldBinary     = 4

	fieldNumber = 2
	fieldBool   = 3
)

// appendDataField appends data as its one field, which says of what kind it is.
func (o *Outbound) appendDataField(b []byte) []byte {
	if len(o.Data) == 0 {
		return b
	}
	b, at := openField(b, slotData)
	if o.Data[0] == '"' {
		b = appendUnquotedField(b, fieldString, o.Data)
	} else {
		b = appendField(b, fieldJSON, o.Data)
	}
	return closeField(b, at)
}

// Fields of Extras, of what is in its maps, and of Ai.
const (
	fieldHeaders     = 1
	fieldEphemeral   = 2
	fieldIdempotency = 3
	fieldEcho        = 4
	fieldAI          = 5

	fieldKey   = 1
	fieldValue = 2

	fieldTransport = 1
	fieldCodec     = 2
)

// appendFields appends what exists of extras in the binary formats.
func (x *Extras) appendFields(b []byte) []byte {
	for _, h := range x.Headers {
		var entry, value int
		b, entry = openField(b, fieldHeaders)
		b = appendField(b, fieldKey, h.Name)
		b, value = openField(b, fieldValue)
		b = closeField(h.appendField(b), value)
		b = closeField(b, entry)
	}
	if x.Ephemeral {
		b = appendBoolField(b, fieldEphemeral, true)
	}
	if x.Echo != nil {
		b = appendBoolField(b, fieldEcho, *x.Echo)
	}
	if !x.AI.inBinary() {
		return b
	}
	b, at := openField(b, fieldAI)
	b = appendMapField(b, fieldTransport, x.AI.Transport)
	return closeField(appendMapField(b, fieldCodec, x.AI.Codec), at)
}

// appendField appends the value of a header as the field of its kind.
func (h Header) appendField(b []byte) []byte {
	switch h.kind() {
	case kindString:
		return appendUnquotedField(b, fieldString, h.Value)
	case kindBool:
		return appendBoolField(b, fieldBool, h.truth())
	default:
		b = appendTag(b, fieldNumber, wireFixed8)
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(h.number()))
	}
}

// appendTag appends what stands in front of every field. No number here is above
// 15, so it is one byte.
func appendTag(b []byte, field, wire byte) []byte { return append(b, field<<3|wire) }

func appendField[T ~string | ~[]byte](b []byte, field byte, text T) []byte {
	return appendText(appendTag(b, field, wireBytes), text)
}

func appendOptionalField(b []byte, field byte, text string) []byte {
	if text == "" {
		return b
	}
	return appendField(b, field, text)
}

func appendUnquotedField(b []byte, field byte, raw []byte) []byte {
	b, at := openField(b, field)
	return closeField(appendUnquoted(b, raw), at)
}

func appendBoolField(b []byte, field byte, on bool) []byte {
	b = appendTag(b, field, wireVarint)
	if on {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendMapField(b []byte, field byte, tags Tags) []byte {
	for _, t := range tags {
		var at int
		b, at = openField(b, field)
		b = appendField(b, fieldKey, t.Key)
		b = closeField(appendField(b, fieldValue, t.Value), at)
	}
	return b
}

// openField begins a field of a length that is not known yet. One byte is kept for
// the length, which most often is enough.
func openField(b []byte, field byte) (opened []byte, at int) {
	b = append(appendTag(b, field, wireBytes), 0)
	return b, len(b)
}

// closeField writes the length of the field whose value begins at at.
func closeField(b []byte, at int) []byte {
	n := len(b) - at
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	if size > 1 {
		b = append(b, length[1:size]...) // for the room alone
		copy(b[at-1+size:], b[at:at+n])
	}
	copy(b[at-1:], length[:size])
	return b
}
