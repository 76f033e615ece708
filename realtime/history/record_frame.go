package history

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// The event names and operation kinds of messages that can be changed begin so.
const messageAction = "message."

// Frame is the event as V2 clients got it in JSON, at its place in the log: row is
// its history serial.
func (r *Record) Frame(stream string, serial, row uint64) []byte {
	o := protocol.Outbound{
		Event: r.Event, Channel: r.Channel, Data: r.Data, UserID: r.UserID, Name: r.Name, Tags: r.Tags,
		MessageID: r.MessageID, StreamID: stream, Serial: serial,
	}
	if r.action() != "create" {
		o.Class, o.Event = protocol.System, messageAction+r.action()
	}
	if extras := r.extras(row); len(extras) > 0 {
		o.Extras = &protocol.Extras{JSON: extras}
	}
	return o.Frame(protocol.FormatJSON).Text()
}

// Version is the message as readers of its versions see it (HTTP API, section 6.7):
// row is the history serial of the message, and serial the delivery serial of this
// version. stream is left out if it is empty.
func (r *Record) Version(stream string, serial, row uint64) []byte {
	o := object(make([]byte, 0, 512+len(r.Data)+len(r.Extras)+len(r.Metadata)))
	o.text("event", protocol.PrefixSystemV2+messageAction+r.action())
	o.text("channel", r.Channel)
	o.raw("data", r.Data)
	o.textIf("name", r.name())
	o.tags(r.Tags)
	o.textIf("stream_id", stream)
	o.uint("serial", serial)
	o.raw("extras", r.extras(row))
	o.text("action", r.action())
	o.text("message_serial", r.MessageSerial)
	o.uint("history_serial", row)
	o.uint("delivery_serial", serial)
	o.key("version")
	v := object(o.b)
	v.text("serial", r.VersionSerial)
	v.textIf("client_id", r.VersionClient)
	v.number("timestamp_ms", r.VersionAt)
	v.textIf("description", r.Description)
	v.raw("metadata", r.Metadata)
	o.b = v.end()
	return o.end()
}

// extras are those of the record, with the headers of its version if it has one.
func (r *Record) extras(row uint64) json.RawMessage {
	if r.MessageSerial == "" {
		return r.Extras
	}
	return AppendHeaders(nil, r.Extras, VersionHeaders{
		Action: messageAction + r.action(), MessageSerial: r.MessageSerial, VersionSerial: r.VersionSerial, VersionAt: r.VersionAt, HistorySerial: row,
	})
}

// VersionHeaders are the headers that the server adds to the extras of a message
// which can be changed (HTTP API, section 6.6).
type VersionHeaders struct {
	// Action is "message." and a word.
	Action, MessageSerial, VersionSerial string
	// VersionAt is in Unix milliseconds.
	VersionAt     int64
	HistorySerial uint64
}

// AppendHeaders appends extras with those headers instead of the server's headers that
// they have. Everything else stays as it was written, the other headers last.
func AppendHeaders(b []byte, extras json.RawMessage, h VersionHeaders) []byte {
	b = append(b, '{')
	var headers json.RawMessage
	eachMember(extras, func(name string, value json.RawMessage) {
		if name == "headers" {
			headers = value
			return
		}
		b = protocol.AppendString(b, name)
		b = append(b, ':')
		b = append(b, value...)
		b = append(b, ',')
	})
	b = append(b, `"headers":`...)
	o := object(b)
	eachMember(headers, func(name string, value json.RawMessage) {
		if strings.HasPrefix(name, protocol.ReservedHeader) {
			return
		}
		if o.later {
			o.b = append(o.b, ',')
		}
		o.later = true
		o.b = protocol.AppendString(o.b, name)
		o.b = append(o.b, ':')
		o.b = append(o.b, value...)
	})
	o.text(protocol.ReservedHeader+"action", h.Action)
	o.text(protocol.ReservedHeader+"message_serial", h.MessageSerial)
	o.text(protocol.ReservedHeader+"version_serial", h.VersionSerial)
	o.number(protocol.ReservedHeader+"version_timestamp_ms", h.VersionAt)
	o.uint(protocol.ReservedHeader+"history_serial", h.HistorySerial)
	return append(o.end(), '}')
}

// eachMember goes through a JSON object in its order. Anything else has no members.
func eachMember(text json.RawMessage, f func(name string, value json.RawMessage)) {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return
		}
		f(name.(string), value) // a name is always a string
	}
}
