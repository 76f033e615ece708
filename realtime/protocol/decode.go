package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Decoded is a message as a client sees it, whatever its format. It is for benchmarks
// and tests that speak over sockets; the server uses its first members alone, to
// read what clients send.
type Decoded struct {
	Event, Channel, Name, UserID, MessageID, StreamID string
	// Data is a JSON value, nil when the member is absent. DataKind says how it was
	// written: "string", "json", "binary" or "structured", in JSON one of the first two.
	Data     json.RawMessage
	DataKind string
	Tags     map[string]string
	// Serial is 0 when it is absent, as HasSerial tells.
	Serial    uint64
	HasSerial bool
	// Headers are strings, numbers as float64, and booleans.
	Headers map[string]any
	// Ephemeral and Echo are nil when they are absent.
	Ephemeral, Echo *bool
	// AITransport and AICodec are the members of the extras' ai member.
	AITransport, AICodec map[string]string
	// Extras is the whole member in JSON; the binary formats have no such text.
	Extras json.RawMessage
	// DeltaSequence is 0 when it is absent, as HasDelta tells (section 6.5).
	DeltaSequence uint64
	HasDelta      bool
	ConflationKey string
	// Leaked names members that no client should ever get.
	Leaked []string
}

// DecodeOutbound reads a message that a server has sent, for benchmarks and tests.
// The payload is that of a frame, without its header. What is decoded keeps nothing
// of it. Unknown members are skipped, and known ones must have their types.
func DecodeOutbound(f Format, payload []byte) (Decoded, error) {
	var d Decoded
	var err error
	switch f {
	case FormatMessagePack:
		err = d.readMessagePack(payload, true)
	case FormatProtobuf:
		err = d.readProtobuf(payload, true)
	default:
		err = d.readJSON(payload)
	}
	if err != nil {
		return Decoded{}, err
	}
	return d, nil
}

// textSlot is where a member that is a text belongs, or nil.
func (d *Decoded) textSlot(number int) *string {
	switch number {
	case slotName:
		return &d.Name
	case slotUserID:
		return &d.UserID
	case slotMessageID:
		return &d.MessageID
	case slotStreamID:
		return &d.StreamID
	case slotDeltaKey:
		return &d.ConflationKey
	}
	return nil
}

// numberSlot is where a member that is a number belongs, or nil.
func (d *Decoded) numberSlot(number int) (value *uint64, has *bool) {
	switch number {
	case slotSerial:
		return &d.Serial, &d.HasSerial
	case slotDeltaSequence:
		return &d.DeltaSequence, &d.HasDelta
	}
	return nil, nil
}

func (d *Decoded) leak(name string) { d.Leaked = append(d.Leaked, name) }

// jsonSlots are the members whose names in JSON are others than in MessagePack.
var jsonSlots = map[string]int{"__delta_seq": slotDeltaSequence, "__conflation_key": slotDeltaKey}

func (d *Decoded) readJSON(payload []byte) error {
	if !utf8.Valid(payload) {
		return errNotUTF8
	}
	members, err := objectOf(payload)
	if err != nil {
		return err
	}
	for name, raw := range members {
		number, ok := jsonSlots[name]
		if !ok {
			number = slotOf([]byte(name))
		}
		if err := d.jsonSlot(number, raw); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

var (
	errNotText   = errors.New("is not a string")
	errNotNumber = errors.New("is not an unsigned integer")
)

func (d *Decoded) jsonSlot(number int, raw json.RawMessage) (err error) {
	if text := d.textSlot(number); text != nil {
		return readText(raw, text)
	}
	if value, has := d.numberSlot(number); value != nil {
		*has = true
		if *value, err = strconv.ParseUint(string(raw), 10, 64); err != nil {
			return errNotNumber
		}
		return nil
	}
	switch number {
	case slotEvent:
		return readText(raw, &d.Event)
	case slotChannel:
		return readText(raw, &d.Channel)
	case slotData:
		d.Data, d.DataKind = raw, kindJSON
		if raw[0] == '"' {
			d.DataKind = kindString
		}
	case slotTags:
		d.Tags, err = textMapOf(raw)
	case slotExtras:
		d.Extras = raw
		err = d.jsonExtras(raw)
	case slotSequence, slotConflationKey, slotIdempotencyKey:
		d.leak(slotNames[number-1])
	}
	return err
}

func readText(raw json.RawMessage, into *string) error {
	text, ok := stringOf(raw)
	if !ok {
		return errNotText
	}
	*into = text
	return nil
}

func textMapOf(raw json.RawMessage) (map[string]string, error) {
	members, err := objectOf(raw)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(members))
	for name, raw := range members {
		var ok bool
		if texts[name], ok = stringOf(raw); !ok {
			return nil, errNotText
		}
	}
	return texts, nil
}

func (d *Decoded) jsonExtras(raw json.RawMessage) error {
	members, err := objectOf(raw)
	if err != nil {
		return err
	}
	for name, raw := range members {
		if err := d.jsonExtra(name, raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (d *Decoded) jsonExtra(name string, raw json.RawMessage) (err error) {
	switch name {
	case "headers":
		return d.jsonHeaders(raw)
	case "ephemeral":
		d.Ephemeral, err = boolPointer(name, raw)
	case "echo":
		d.Echo, err = boolPointer(name, raw)
	case "ai":
		return d.jsonAI(raw)
	case "idempotencyKey", "idempotency_key", "push":
		d.leak("extras." + name)
	}
	return err
}

// jsonHeaders takes those of the server too.
func (d *Decoded) jsonHeaders(raw json.RawMessage) error {
	members, err := objectOf(raw)
	if err != nil {
		return err
	}
	d.Headers = make(map[string]any, len(members))
	for name, value := range members {
		if !isScalar(value) {
			return fmt.Errorf("%q is neither a string nor a number nor a boolean", name)
		}
		d.Headers[name] = Header{name, value}.decode()
	}
	return nil
}

func boolPointer(name string, raw json.RawMessage) (*bool, error) {
	on, err := boolOf(name, raw)
	return &on, err
}

func (h Header) decode() any {
	switch h.kind() {
	case kindString:
		text, _ := stringOf(h.Value)
		return text
	case kindBool:
		return h.truth()
	default:
		return h.number()
	}
}

func (d *Decoded) jsonAI(raw json.RawMessage) error {
	ai, err := parseAI(raw)
	if err != nil {
		return err
	}
	d.AITransport, d.AICodec = ai.Transport.decode(), ai.Codec.decode()
	return nil
}

func (t Tags) decode() map[string]string {
	if len(t) == 0 {
		return nil
	}
	texts := make(map[string]string, len(t))
	for _, tag := range t {
		texts[tag.Key] = tag.Value
	}
	return texts
}
