package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// envelopeVersion begins every encoded envelope. Another layout has another one.
const envelopeVersion = 2

// ErrEnvelope says that bytes are no envelope that this version can read.
var ErrEnvelope = errors.New("not an envelope")

// The bits that say which fields follow, in the order in which they do. A field
// that is zero is not written.
const (
	hasApp = 1 << iota
	hasChannel
	hasEvent
	hasExcept
	hasUserID
	hasUser
	hasReason
	hasNode
	hasMessageID
	hasStream
	hasPattern
	hasSeq
	hasSerial
	hasCode
	hasTags
	hasExtras
	hasData // also when it is empty, because it may be nil instead
	isClient
	isEphemeral
	isFull
	isUnstored
	hasVersion // follows the extras
	allBits    = hasVersion<<1 - 1
)

// envelopeTexts is the number of fields of text.
const envelopeTexts = 11

// texts are the fields of text, in the order of their bits.
func (e *Envelope) texts() [envelopeTexts]*string {
	return [...]*string{
		&e.App, &e.Channel, &e.Event, &e.Except, &e.UserID, &e.User, &e.Reason, &e.Node, &e.MessageID, &e.Stream, &e.Pattern,
	}
}

// fields are the bits of the fields that follow.
func (e *Envelope) fields(texts [envelopeTexts]*string) uint32 {
	bits := uint32(0)
	for i, text := range texts {
		if *text != "" {
			bits |= hasApp << i
		}
	}
	for _, f := range [...]struct {
		bit uint32
		set bool
	}{
		{hasSeq, e.Seq != 0},
		{hasSerial, e.Serial != 0},
		{hasCode, e.Code != 0},
		{hasTags, len(e.Tags) > 0},
		{hasExtras, len(e.Extras) > 0},
		{hasVersion, len(e.Version) > 0},
		{hasData, e.Data != nil},
		{isClient, e.Client},
		{isEphemeral, e.Ephemeral},
		{isFull, e.Full},
		{isUnstored, e.Unstored},
	} {
		if f.set {
			bits |= f.bit
		}
	}
	return bits
}

// AppendBinary appends the envelope in the form in which nodes exchange it:
//
//	version  1 byte, 2
//	kind     1 byte
//	fields   4 bytes, big endian: one bit for each field that follows
//	texts    app, channel, event, except, user id, user, reason, node, message id,
//	         stream, pattern: length and bytes
//	seq      unsigned
//	serial   unsigned
//	code     signed
//	tags     their number, then key and value of each: length and bytes
//	extras   length and bytes
//	version  length and bytes, of the message
//	data     length and bytes
//
// Numbers and lengths are varints of encoding/binary in their shortest form.
func (e *Envelope) AppendBinary(b []byte) []byte {
	texts := e.texts()
	fields := e.fields(texts)
	b = append(b, envelopeVersion, byte(e.Kind))
	b = binary.BigEndian.AppendUint32(b, fields)
	for _, text := range texts {
		if *text != "" {
			b = appendText(b, *text)
		}
	}
	if e.Seq != 0 {
		b = binary.AppendUvarint(b, e.Seq)
	}
	if e.Serial != 0 {
		b = binary.AppendUvarint(b, e.Serial)
	}
	if e.Code != 0 {
		b = binary.AppendVarint(b, int64(e.Code))
	}
	if len(e.Tags) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Tags)))
		for _, t := range e.Tags {
			b = appendText(appendText(b, t.Key), t.Value)
		}
	}
	if len(e.Extras) > 0 {
		b = appendText(b, e.Extras)
	}
	if len(e.Version) > 0 {
		b = appendText(b, e.Version)
	}
	if e.Data != nil {
		b = appendText(b, e.Data)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// BinarySize is not less than what AppendBinary appends, and at most some dozen
// bytes more.
func (e *Envelope) BinarySize() int {
	size := 6 + 3*binary.MaxVarintLen64 + 4*binary.MaxVarintLen32 + len(e.Data) + len(e.Extras) + len(e.Version)
	for _, text := range e.texts() {
		size += binary.MaxVarintLen16 + len(*text)
	}
	for _, t := range e.Tags {
		size += 2*binary.MaxVarintLen16 + len(t.Key) + len(t.Value)
	}
	return size
}

// DecodeEnvelope reads what AppendBinary has written, all of it. The envelope keeps
// b, whose end its data is. Anything else is an ErrEnvelope.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	r := reader{rest: b}
	head, ok := r.take(6)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	case head[0] != envelopeVersion:
		return nil, fmt.Errorf("%w of a known version: %d", ErrEnvelope, head[0])
	}
	kind, fields := EnvelopeKind(head[1]), binary.BigEndian.Uint32(head[2:])
	if kind > lastKind || fields&^allBits != 0 {
		return nil, fmt.Errorf("%w of a known kind: %d, fields %#x", ErrEnvelope, kind, fields)
	}
	// The texts become parts of one string. Their places are looked for first.
	var spans [envelopeTexts][2]int
	for i := range spans {
		if fields&(hasApp<<i) != 0 {
			spans[i] = r.text(len(b))
		}
	}
	e := &Envelope{Kind: kind, Client: fields&isClient != 0, Ephemeral: fields&isEphemeral != 0, Full: fields&isFull != 0, Unstored: fields&isUnstored != 0}
	end := len(b) - len(r.rest)
	r.values(e, fields)
	if r.broken || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: its %d bytes are not those of its fields", ErrEnvelope, len(b))
	}
	all := string(b[:end])
	for i, text := range e.texts() {
		*text = all[spans[i][0]:spans[i][1]]
	}
	return e, nil
}

// values reads the fields that are not texts.
func (r *reader) values(e *Envelope, fields uint32) {
	if fields&hasSeq != 0 {
		e.Seq = r.number()
	}
	if fields&hasSerial != 0 {
		e.Serial = r.number()
	}
	if fields&hasCode != 0 {
		e.Code = r.code()
	}
	if fields&hasTags != 0 {
		e.Tags = r.tags()
	}
	if fields&hasExtras != 0 {
		e.Extras = r.bytes()
		r.broken = r.broken || len(e.Extras) == 0
	}
	if fields&hasVersion != 0 {
		e.Version = r.bytes()
		r.broken = r.broken || len(e.Version) == 0
	}
	if fields&hasData != 0 {
		e.Data = r.bytes()
	}
}

// tags reads a list of tags. Each takes two bytes at the least, which bounds it.
func (r *reader) tags() Tags {
	n := r.number()
	if n > uint64(len(r.rest)/2) {
		r.rest, r.broken = nil, true
		return nil
	}
	tags := make(Tags, n)
	for i := range tags {
		tags[i] = Tag{string(r.bytes()), string(r.bytes())}
	}
	return tags
}

// reader takes fields from the beginning of bytes. Once something is wrong, broken
// stays set.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) take(n int) ([]byte, bool) {
	if n > len(r.rest) {
		r.rest, r.broken = nil, true
		return nil, false
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken, true
}

// number refuses zero, which is never written, and longer forms than needed.
func (r *reader) number() uint64 {
	n, ok := r.uvarint()
	r.broken = r.broken || !ok || n == 0
	return n
}

func (r *reader) uvarint() (uint64, bool) {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || size > 1 && r.rest[size-1] == 0 {
		r.rest, r.broken = nil, true
		return 0, false
	}
	r.rest = r.rest[size:]
	return n, true
}

func (r *reader) code() int {
	zigzag := r.number()
	n := int64(zigzag>>1) ^ -int64(zigzag&1)
	if int64(int(n)) != n {
		r.broken = true
	}
	return int(n)
}

// text is the place of a text in all, of which r reads the end.
func (r *reader) text(all int) [2]int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.broken = nil, true
		return [2]int{}
	}
	from := all - len(r.rest)
	r.rest = r.rest[n:]
	return [2]int{from, from + int(n)}
}

func (r *reader) bytes() []byte {
	n, _ := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.rest, r.broken = nil, true
		return nil
	}
	taken, _ := r.take(int(n))
	return taken
}
