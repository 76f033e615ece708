package protocol

import (
	"encoding/json"
	"fmt"
)

// parseMessagePack reads an inbound message in MessagePack. It keeps nothing of the
// payload.
func parseMessagePack(payload []byte) (Message, *Error) {
	var d Decoded
	return d.message(d.readMessagePack(payload, false))
}

// readMessagePack reads a message in MessagePack: an array of the members of section
// 0.3, of which older clients leave out some at the end, or a map of some of them, whose other names are skipped. Unless all is set,
// only event, channel and data are read, which are all that clients may set.
func (d *Decoded) readMessagePack(payload []byte, all bool) error {
	p := packedReader{rest: payload}
	switch v := p.next(); {
	case p.err != nil:
	case v.kind == isArray && v.n >= slotData && v.n <= envelopeSlots:
		for i := range int(v.n) {
			p.member(i+1, d, all)
		}
	case v.kind == isArray:
		p.failf("an array of %d, not of %d", v.n, envelopeSlots)
	case v.kind == isMap:
		for i := uint64(0); i < v.n && p.err == nil; i++ {
			p.member(slotOf(p.name("the message")), d, all)
		}
	default:
		p.failf("%s, which is neither an array nor a map", v.kind)
	}
	if p.err == nil && len(p.rest) > 0 {
		p.failf("%d bytes follow the message", len(p.rest))
	}
	if p.err != nil {
		return fmt.Errorf("msgpack: %w", p.err)
	}
	return nil
}

// slotOf is the number of the member with a name, or 0.
func slotOf(name []byte) int {
	for i, known := range slotNames {
		if known == string(name) {
			return i + 1
		}
	}
	return 0
}

// member reads the value of a member.
func (p *packedReader) member(number int, d *Decoded, all bool) {
	switch {
	case number == slotEvent:
		d.Event = p.text("event")
	case number == slotChannel:
		d.Channel = p.text("channel")
	case number == slotData:
		d.DataKind, d.Data = p.data()
	case all:
		p.more(number, d)
	default:
		p.skip()
	}
}

// data reads data of any kind as a JSON value.
func (p *packedReader) data() (kind string, data json.RawMessage) {
	written, ok := p.pair("data")
	if !ok {
		return "", nil
	}
	var err error
	switch kind = string(written); kind {
	case kindString:
		data = AppendString(nil, p.body(isText, "data of the kind string"))
	case kindJSON:
		data, err = jsonText(p.body(isText, "data of the kind json"))
	case kindBinary:
		data = byteArray(p.body(isBytes, "data of the kind binary"))
	case kindStructured:
		data = p.structured()
	default:
		err = fmt.Errorf("data of the unknown kind %s", quoted(written))
	}
	if err != nil {
		p.fail(err)
	}
	if p.err != nil {
		return "", nil
	}
	return kind, data
}

// body reads a text or bytes, as part of the message.
func (p *packedReader) body(kind packedKind, what string) []byte {
	v := p.next()
	if v.kind != kind && p.err == nil {
		p.failf("%s must be a %s, not %s", what, kind, v.kind)
	}
	return v.body
}

// structured reads [channel_data, channel, user_data, {name: JSON text}].
func (p *packedReader) structured() json.RawMessage {
	if v := p.next(); v.kind != isArray || v.n != uint64(len(structuredNames))+1 {
		p.failf("data of the kind structured must be an array of %d", len(structuredNames)+1)
	}
	s := structured{}
	for _, name := range structuredNames {
		switch v := p.next(); v.kind {
		case isNil:
		case isText:
			s.text(name, v.body)
		default:
			p.failf("data.%s must be a str, not %s", name, v.kind)
		}
	}
	switch v := p.next(); v.kind {
	case isNil:
	case isMap:
		for i := uint64(0); i < v.n && p.err == nil; i++ {
			name := p.name("data")
			if err := s.extra(name, p.body(isText, "an extra member of data")); err != nil {
				p.fail(err)
			}
		}
	default:
		p.failf("the extra members of data must be a map, not %s", v.kind)
	}
	return s.json()
}
