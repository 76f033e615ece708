package protocol

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// Class says which prefix the name of an event gets (section 0.5).
type Class uint8

// The classes of events.
const (
	// Application events have the name that their publisher gave them.
	Application Class = iota
	// System events are named "pusher:…" or "sockudo:…".
	System
	// Internal events are named "pusher_internal:…" or "sockudo_internal:…".
	Internal
)

// Outbound is one message for clients, before it is written in the format of a
// connection (section 0.3). It is not changed once it is on its way.
type Outbound struct {
	Class Class
	// Event is the name without a prefix.
	Event   string
	Channel string
	// Data is a JSON value, written as it is. Nil leaves the member out.
	Data json.RawMessage
	// UserID is the presence member that sent a client event.
	UserID string

	// What follows is for V2 alone.

	// Name is the event name that an application gave a mutable message.
	Name string
	Tags Tags
	// MessageID identifies the message. Empty leaves the member out.
	MessageID string
	// StreamID and Serial are the position in the channel's stream. Serial is written
	// when there is a StreamID.
	StreamID string
	Serial   uint64
	Extras   *Extras
}

// Tag is one tag of an event.
type Tag struct{ Key, Value string }

// Tags are those of one event, sorted by key, each key once.
type Tags []Tag

// Get is the value of a tag.
func (t Tags) Get(key string) (value string, ok bool) {
	for _, tag := range t {
		if tag.Key == key {
			return tag.Value, true
		}
	}
	return "", false
}

// Frame is the message in a format.
func (o *Outbound) Frame(f Format) Frame {
	b := newFrame(o.size())
	switch f {
	case FormatMessagePack:
		return finishBinary(o.appendMessagePack(b))
	case FormatProtobuf:
		return finishBinary(o.appendProtobuf(b))
	case FormatV1:
		return finish(append(o.appendCommon(b, f), '}'))
	default:
		return finish(o.appendJSON(b))
	}
}

// size is about what the message takes in any format, in bytes.
func (o *Outbound) size() int {
	n := 96 + len(o.Event) + len(o.Channel) + len(o.Data) + len(o.UserID) + len(o.Name) + len(o.MessageID) + len(o.StreamID)
	if o.MessageID != "" {
		n += 64
	}
	for _, t := range o.Tags {
		n += len(t.Key) + len(t.Value) + 8
	}
	if o.Extras != nil {
		n += len(o.Extras.JSON) + 16*len(o.Extras.Headers) + 16
	}
	return n
}

// EventName is the name of the event as clients of a version see it.
func (o *Outbound) EventName(v Version) string {
	return prefixOf(o.Class, v) + o.Event
}

func prefixOf(c Class, v Version) string {
	switch {
	case c == System && v == V1:
		return PrefixSystem
	case c == System:
		return PrefixSystemV2
	case c == Internal && v == V1:
		return PrefixInternal
	case c == Internal:
		return PrefixInternalV2
	default:
		return ""
	}
}

// appendCommon appends what both versions have, without the closing brace.
func (o *Outbound) appendCommon(b []byte, f Format) []byte {
	b = append(b, `{"event":"`...)
	b = append(b, prefixOf(o.Class, f.Version())...)
	b = appendEscaped(b, o.Event)
	b = append(b, '"')
	if o.Channel != "" {
		b = append(b, `,"channel":`...)
		b = AppendString(b, o.Channel)
	}
	if o.Data != nil {
		b = append(b, `,"data":`...)
		b = append(b, o.Data...)
	}
	if o.Name != "" && f != FormatV1 {
		b = append(b, `,"name":`...)
		b = AppendString(b, o.Name)
	}
	if o.UserID != "" {
		b = append(b, `,"user_id":`...)
		b = AppendString(b, o.UserID)
	}
	return b
}

// appendJSON appends the message as V2 clients get it in JSON.
func (o *Outbound) appendJSON(b []byte) []byte {
	b = o.appendCommon(b, FormatJSON)
	for i, t := range o.Tags {
		if i == 0 {
			b = append(b, `,"tags":{`...)
		} else {
			b = append(b, ',')
		}
		b = AppendString(b, t.Key)
		b = append(b, ':')
		b = AppendString(b, t.Value)
	}
	if len(o.Tags) > 0 {
		b = append(b, '}')
	}
	if o.MessageID != "" {
		b = append(b, `,"message_id":`...)
		b = AppendString(b, o.MessageID)
	}
	if o.StreamID != "" {
		b = append(b, `,"stream_id":`...)
		b = AppendString(b, o.StreamID)
		b = append(b, `,"serial":`...)
		b = strconv.AppendUint(b, o.Serial, 10)
	}
	if o.Extras != nil && len(o.Extras.JSON) > 0 {
		b = append(b, `,"extras":`...)
		b = append(b, o.Extras.JSON...)
	}
	return append(b, '}')
}

// NewMessageID draws a random UUID, version 4.
func NewMessageID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	return UUID(u)
}

// UUID writes 16 bytes as a UUID of version 4, whose few bits they lose.
func UUID(u [16]byte) string {
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	var b [36]byte
	hex.Encode(b[:8], u[:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:], u[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
