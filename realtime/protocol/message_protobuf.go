package protocol

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// parseProtobuf reads an inbound message in Protobuf. It keeps nothing of the payload.
func parseProtobuf(payload []byte) (Message, *Error) {
	var d Decoded
	return d.message(d.readProtobuf(payload, false))
}

// readProtobuf reads a message in Protobuf. Unless all is set, only event, channel
// and data are read, which are all that clients may set.
func (d *Decoded) readProtobuf(payload []byte, all bool) error {
	f := fieldReader{rest: payload}
	var data protoData
	for f.next() {
		switch {
		case f.field == slotEvent:
			d.Event = string(f.text("event"))
		case f.field == slotChannel:
			d.Channel = string(f.text("channel"))
		case f.field == slotData:
			data.read(&f)
		case all:
			f.more(d)
		case f.wire == wireBytes && isTextSlot(f.field) && !utf8.Valid(f.body):
			f.fail(errNotUTF8)
		}
	}
	if f.err == nil {
		d.DataKind = data.kind
		d.Data, f.err = data.json()
	}
	if f.err != nil {
		return fmt.Errorf("protobuf: %w", f.err)
	}
	return nil
}

func isTextSlot(number int) bool {
	switch number {
	case slotName, slotUserID, slotConflationKey, slotMessageID, slotStreamID, slotIdempotencyKey, slotDeltaKey:
		return true
	}
	return false
}

// protoData is the data of a message, of which a later occurrence overrides what an
// earlier one has set.
type protoData struct {
	kind    string // empty when there is no data
	body    []byte
	members structured
}

// read reads an occurrence of data. Data of no kind is null.
func (v *protoData) read(f *fieldReader) {
	if v.kind == "" {
		v.kind, v.body = kindJSON, []byte("null")
	}
	data := f.message("data")
	for data.next() {
		switch data.field {
		case fieldString:
			v.kind, v.body, v.members = kindString, data.text("data.string"), nil
		case fieldJSON:
			v.kind, v.body, v.members = kindJSON, data.text("data.json"), nil
		case fieldBinary:
			v.kind, v.body, v.members = kindBinary, data.bytes("data.binary"), nil
		case fieldStructured:
			v.kind, v.body = kindStructured, nil
			v.structured(&data)
		}
	}
	f.end(&data)
}

func (v *protoData) structured(data *fieldReader) {
	if v.members == nil {
		v.members = structured{}
	}
	s := data.message("data.structured")
	for s.next() {
		switch {
		case s.field <= len(structuredNames):
			name := structuredNames[s.field-1]
			v.members.text(name, s.text("data."+name))
		case s.field == len(structuredNames)+1:
			name, text := s.entry("an extra member of data")
			if err := v.members.extra(name, text); err != nil {
				s.fail(err)
			}
		}
	}
	data.end(&s)
}

func (v *protoData) json() (json.RawMessage, error) {
	switch v.kind {
	case kindString:
		return AppendString(nil, v.body), nil
	case kindJSON:
		return jsonText(v.body)
	case kindBinary:
		return byteArray(v.body), nil
	case kindStructured:
		return v.members.json(), nil
	default:
		return nil, nil
	}
}
