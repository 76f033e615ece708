package delta

import "bytes"

// Text is the text of a message as sockets get it in full, without the two members
// of delta compression. It is immutable, and shared by all sockets that hold it as
// their base; two sockets have the same base when their pointers are equal.
type Text struct {
	bytes  []byte
	opaque bool
}

// NewText takes a JSON object without whitespace. The bytes must not change any more.
func NewText(object []byte) *Text {
	return &Text{object, !extensible(object) || bytes.Contains(object, memberSeq) || bytes.Contains(object, memberKey)}
}

// Bytes is the text. It must not be changed.
func (t *Text) Bytes() []byte { return t.bytes }

// Clients recover the base from a full frame with regular expressions that look for
// these in the whole text. A text that has one of them already, in the extras of a
// publisher, would lose it too: it cannot be a base, and Sequence never makes it one.
// In the JSON text inside a string the quotes are escaped, so data is safe.
var (
	memberSeq = []byte(`"__delta_seq":`)
	memberKey = []byte(`"__conflation_key":`)
)

// extensible reports whether members can be put at the end of an object.
func extensible(object []byte) bool {
	return len(object) > 2 && object[0] == '{' && object[len(object)-1] == '}'
}
