package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// slots are the members of a MessagePack message, in their order (section 1.4).
var slots = []string{
	"event", "channel", "data", "name", "user_id", "tags", "sequence", "conflation_key", "message_id", "stream_id",
	"serial", "idempotency_key", "extras", "delta_sequence", "delta_conflation_key",
}

// headers are the extras of a request that has nothing else in them.
type headers map[string]string

// structured is data of the kind that old clients send in binary encodings.
type structured struct {
	ChannelData, Channel, UserData string
	Extra                          map[string]string // JSON texts
}

// encodeMessagePack writes a message as an array of 15.
func encodeMessagePack(r request) ([]byte, error) {
	members := packedMembers(r)
	list := make([]any, len(slots))
	for i, name := range slots {
		list[i] = members[name]
	}
	return msgpack.Marshal(list)
}

// encodeMessagePackMap writes it as a map of the members that it has.
func encodeMessagePackMap(r request) ([]byte, error) { return msgpack.Marshal(packedMembers(r)) }

func packedMembers(r request) map[string]any {
	members := map[string]any{"event": r.Event}
	if r.Channel != "" {
		members["channel"] = r.Channel
	}
	if r.Data != nil {
		members["data"] = packedData(r.Data)
	}
	for name, value := range r.More {
		if texts, ok := value.(headers); ok {
			packed := map[string]any{}
			for name, text := range texts {
				packed[name] = []any{"string", text}
			}
			value = map[string]any{"headers": packed}
		}
		members[name] = value
	}
	return members
}

func packedData(data any) []any {
	switch data := data.(type) {
	case string:
		return []any{"string", data}
	case []byte:
		return []any{"binary", data}
	case structured:
		optional := func(s string) any {
			if s == "" {
				return nil
			}
			return s
		}
		return []any{"structured", []any{optional(data.ChannelData), optional(data.Channel), optional(data.UserData), data.Extra}}
	default:
		return []any{"json", compact(data)}
	}
}

// decodeMessagePack reads an array of 15 and nothing else.
func decodeMessagePack(payload []byte) (e envelope, err error) {
	r := bytes.NewReader(payload)
	d := msgpack.NewDecoder(r)
	d.UseLooseInterfaceDecoding(true)
	value, err := d.DecodeInterfaceLoose()
	if err != nil {
		return e, err
	}
	list, ok := value.([]any)
	if !ok || len(list) != len(slots) || r.Len() > 0 {
		return e, fmt.Errorf("%T of %d, and %d bytes follow", value, len(list), r.Len())
	}
	for i, value := range list {
		if value == nil {
			continue
		}
		if err := e.unpack(slots[i], value); err != nil {
			return e, fmt.Errorf("%s is %#v: %w", slots[i], value, err)
		}
	}
	if e.Event == "" {
		return e, errors.New("no event")
	}
	e.text, e.raw = e.asJSON(), payload
	return e, nil
}

var errPacked = errors.New("not of its type")

func (e *envelope) unpack(name string, value any) (err error) {
	switch into := map[string]any{
		"event": &e.Event, "channel": &e.Channel, "name": &e.Name, "user_id": &e.UserID,
		"message_id": &e.MessageID, "stream_id": &e.StreamID,
		"serial": &e.Serial, "delta_sequence": &e.DeltaSeq,
		"tags": &e.Tags, "delta_conflation_key": &e.DeltaKey, "data": &e.Data, "extras": &e.Extras,
	}[name].(type) {
	case *string:
		*into, err = packedText(value)
	case **string:
		key, err := packedText(value)
		*into = &key
		return err
	case **uint64:
		n, err := packedNumber(value)
		*into = &n
		return err
	case *map[string]string:
		*into, err = packedTexts(value)
	case *json.RawMessage:
		if name == "extras" {
			*into, err = packedExtras(value)
			return err
		}
		e.Kind, *into, err = unpackData(value)
	default:
		return errors.New("no message has it")
	}
	return err
}

func packedText(value any) (string, error) {
	s, ok := value.(string)
	if !ok {
		return "", errPacked
	}
	return s, nil
}

func packedNumber(value any) (uint64, error) {
	switch n := value.(type) {
	case uint64:
		return n, nil
	case int64:
		if n >= 0 {
			return uint64(n), nil
		}
	}
	return 0, errPacked
}

func packedTexts(value any) (map[string]string, error) {
	members, ok := value.(map[string]any)
	if !ok {
		return nil, errPacked
	}
	texts := make(map[string]string, len(members))
	for name, value := range members {
		if texts[name], ok = value.(string); !ok {
			return nil, errPacked
		}
	}
	return texts, nil
}

// packedPair is what [kind, value] holds.
func packedPair(value any) (kind string, inner any, err error) {
	pair, ok := value.([]any)
	if !ok || len(pair) != 2 {
		return "", nil, errPacked
	}
	kind, err = packedText(pair[0])
	return kind, pair[1], err
}

func unpackData(value any) (kind string, data json.RawMessage, err error) {
	kind, value, err = packedPair(value)
	if err != nil {
		return "", nil, err
	}
	body, isText := value.(string)
	switch {
	case kind == "string" && isText:
		return kind, json.RawMessage(compact(body)), nil
	case kind == "json" && isText && json.Valid([]byte(body)):
		return kind, json.RawMessage(body), nil
	}
	return "", nil, errPacked
}

func packedExtras(value any) (json.RawMessage, error) {
	list, ok := value.([]any)
	if !ok || len(list) != 5 {
		return nil, errPacked
	}
	var x extras
	if list[0] != nil {
		headers, ok := list[0].(map[string]any)
		if !ok {
			return nil, errPacked
		}
		x.Headers = map[string]any{}
		for name, value := range headers {
			header, err := packedHeader(value)
			if err != nil {
				return nil, err
			}
			x.Headers[name] = header
		}
	}
	for i, into := range map[int]**bool{1: &x.Ephemeral, 3: &x.Echo} {
		if list[i] != nil {
			on, ok := list[i].(bool)
			if !ok {
				return nil, errPacked
			}
			*into = &on
		}
	}
	if list[2] != nil {
		return nil, errors.New("an idempotency key")
	}
	if list[4] != nil {
		ai, err := packedAI(list[4])
		if err != nil {
			return nil, err
		}
		x.AI = ai
	}
	return json.RawMessage(compact(x)), nil
}

func packedHeader(value any) (any, error) {
	kind, value, err := packedPair(value)
	if err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case string:
		if kind == "string" {
			return value, nil
		}
	case float64:
		if kind == "number" {
			return value, nil
		}
	case bool:
		if kind == "bool" {
			return value, nil
		}
	}
	return nil, errPacked
}

func packedAI(value any) (*aiExtras, error) {
	list, ok := value.([]any)
	if !ok || len(list) != 2 {
		return nil, errPacked
	}
	var ai aiExtras
	for i, into := range []*map[string]string{&ai.Transport, &ai.Codec} {
		if list[i] == nil {
			continue
		}
		texts, err := packedTexts(list[i])
		if err != nil {
			return nil, err
		}
		*into = texts
	}
	return &ai, nil
}
