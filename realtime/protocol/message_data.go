package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

var (
	errNotUTF8 = errors.New("a text is not valid UTF-8")
	errNotJSON = errors.New("data of the kind json is not valid JSON")
)

// message is what was read as an inbound message, unless it was none. The error is one
// of code 4000, and the connection stays.
func (d *Decoded) message(err error) (Message, *Error) {
	switch {
	case err != nil:
		return Message{}, BadFormat(err.Error())
	case d.Event == "":
		return Message{}, ErrEventRequired
	}
	return Message{Event: d.Event, Channel: d.Channel, Data: d.Data}, nil
}

// jsonText is a copy of the JSON value that a text holds.
func jsonText(text []byte) (json.RawMessage, error) {
	text = bytes.Trim(text, " \t\r\n")
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	return bytes.Clone(text), nil
}

// byteArray is what binary data is in JSON: an array of the values of its bytes.
func byteArray(data []byte) json.RawMessage {
	b := append(make([]byte, 0, 2+4*len(data)), '[')
	for i, c := range data {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(c), 10)
	}
	return append(b, ']')
}

// structuredNames are the members of structured data that are texts, in their order.
var structuredNames = [...]string{"channel_data", "channel", "user_data"}

// structured is data of the kind of that name: members of a JSON object.
type structured map[string]json.RawMessage

func (s structured) text(name string, text []byte) { s[name] = AppendString(nil, text) }

// extra adds a member that is given as a JSON text. Of a repeated name the last one
// counts.
func (s structured) extra(name, text []byte) error {
	if slices.Contains(structuredNames[:], string(name)) {
		return fmt.Errorf("%s is no extra member of data", quoted(name))
	}
	value, err := jsonText(text)
	if err != nil {
		return fmt.Errorf("the extra member %s of data is not valid JSON", quoted(name))
	}
	s[string(name)] = value
	return nil
}

// json is the object, its members sorted by name.
func (s structured) json() json.RawMessage {
	b := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(AppendString(b, name), ':')
		b = append(b, s[name]...)
	}
	return append(b, '}')
}
