package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// envelopeVersion begins every encoded envelope. Another layout has another one.
const envelopeVersion = 1

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
	hasSeq
	hasCode
	hasData // also when it is empty, because it may be nil instead
	isClient
	allBits = isClient<<1 - 1
)

// texts are the fields of text, in the order of their bits.
func (e *Envelope) texts() [8]*string {
	return [...]*string{&e.App, &e.Channel, &e.Event, &e.Except, &e.UserID, &e.User, &e.Reason, &e.Node}
}

// AppendBinary appends the envelope in the form in which nodes exchange it:
//
//	version  1 byte, 1
//	kind     1 byte
//	fields   2 bytes, big endian: one bit for each field that follows
//	texts    app, channel, event, except, user id, user, reason, node: length and bytes
//	seq      unsigned
//	code     signed
//	data     length and bytes
//
// Numbers and lengths are varints of encoding/binary in their shortest form.
func (e *Envelope) AppendBinary(b []byte) []byte {
	fields := 0
	texts := e.texts()
	for i, text := range texts {
		if *text != "" {
			fields |= hasApp << i
		}
	}
	if e.Seq != 0 {
		fields |= hasSeq
	}
	if e.Code != 0 {
		fields |= hasCode
	}
	if e.Data != nil {
		fields |= hasData
	}
	if e.Client {
		fields |= isClient
	}
	b = append(b, envelopeVersion, byte(e.Kind), byte(fields>>8), byte(fields))
	for _, text := range texts {
		if *text != "" {
			b = binary.AppendUvarint(b, uint64(len(*text)))
			b = append(b, *text...)
		}
	}
	if e.Seq != 0 {
		b = binary.AppendUvarint(b, e.Seq)
	}
	if e.Code != 0 {
		b = binary.AppendVarint(b, int64(e.Code))
	}
	if e.Data != nil {
		b = binary.AppendUvarint(b, uint64(len(e.Data)))
		b = append(b, e.Data...)
	}
	return b
}

// BinarySize is not less than what AppendBinary appends, and at most some dozen
// bytes more.
func (e *Envelope) BinarySize() int {
	size := 4 + 2*binary.MaxVarintLen64 + binary.MaxVarintLen32 + len(e.Data)
	for _, text := range e.texts() {
		size += binary.MaxVarintLen16 + len(*text)
	}
	return size
}

// DecodeEnvelope reads what AppendBinary has written, all of it. The envelope keeps
// b, whose end its data is. Anything else is an ErrEnvelope.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	r := reader{rest: b}
	head, ok := r.take(4)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	case head[0] != envelopeVersion:
		return nil, fmt.Errorf("%w of a known version: %d", ErrEnvelope, head[0])
	}
	kind, fields := EnvelopeKind(head[1]), int(head[2])<<8|int(head[3])
	if kind > KindControl || fields&^allBits != 0 {
		return nil, fmt.Errorf("%w of a known kind: %d, fields %#x", ErrEnvelope, kind, fields)
	}
	// The texts become parts of one string. Their places are looked for first.
	var spans [8][2]int
	for i := range spans {
		if fields&(hasApp<<i) != 0 {
			spans[i] = r.text(len(b))
		}
	}
	e := &Envelope{Kind: kind, Client: fields&isClient != 0}
	end := len(b) - len(r.rest)
	if fields&hasSeq != 0 {
		e.Seq = r.number()
	}
	if fields&hasCode != 0 {
		e.Code = r.code()
	}
	if fields&hasData != 0 {
		e.Data = r.bytes()
	}
	if r.broken || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: its %d bytes are not those of its fields", ErrEnvelope, len(b))
	}
	all := string(b[:end])
	for i, text := range e.texts() {
		*text = all[spans[i][0]:spans[i][1]]
	}
	return e, nil
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
