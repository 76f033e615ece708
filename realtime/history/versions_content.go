package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Content is what a message that can be changed says. Nil is absent: an empty name is
// a name.
type Content struct {
	Name *string
	// Data is any JSON value, and Extras an object.
	Data, Extras json.RawMessage
}

// What a mutation does.
const (
	MutationUpdate = "update"
	MutationDelete = "delete"
	MutationAppend = "append"
)

// Mutation is a change of a message (HTTP API, section 6.4).
type Mutation struct {
	// Action is one of the above.
	Action string
	// Content replaces what it has. That of an append has no name, and its data is the
	// fragment, a JSON string.
	Content
	// What is cleared, which is nothing that Content has.
	ClearName, ClearData, ClearExtras bool
	// ClientID and Description are of the version. Nil is absent.
	ClientID, Description *string
	Metadata              json.RawMessage
}

// ErrAppendData says that there is nothing that text could be appended to.
var ErrAppendData = errors.New("append requires string message data")

// Apply is the content after the mutation.
func (m *Mutation) Apply(before Content) (after Content, err error) {
	after = Content{Name: before.Name, Data: before.Data, Extras: userExtras(before.Extras)}
	switch {
	case m.ClearName:
		after.Name = nil
	case m.Name != nil:
		after.Name = m.Name
	}
	switch {
	case m.Action == MutationAppend:
		if after.Data, err = appended(before.Data, m.Data); err != nil {
			return before, err
		}
	case m.ClearData:
		after.Data = nil
	case m.Data != nil:
		after.Data = m.Data
	}
	switch {
	case m.ClearExtras:
		after.Extras = nil
	case m.Extras != nil:
		after.Extras = userExtras(m.Extras)
	}
	return after, nil
}

// appended joins two JSON strings. Nothing is as good as an empty one.
func appended(data, fragment json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(data) == 0:
		return fragment, nil
	case data[0] != '"' || len(fragment) < 2 || fragment[0] != '"':
		return nil, ErrAppendData
	}
	joined := make(json.RawMessage, 0, len(data)+len(fragment)-2)
	return append(append(joined, data[:len(data)-1]...), fragment[1:]...), nil
}

// userExtras are extras without the headers that are the server's, which tell of
// another version, and nil if nothing is left.
func userExtras(extras json.RawMessage) json.RawMessage {
	return without(extras, func(name string, value json.RawMessage) json.RawMessage {
		if name != "headers" {
			return value
		}
		return without(value, func(name string, value json.RawMessage) json.RawMessage {
			if strings.HasPrefix(name, protocol.ReservedHeader) {
				return nil
			}
			return value
		})
	})
}

// without is an object with what keep leaves of its members, in their order, and nil if
// that is nothing.
func without(object json.RawMessage, keep func(name string, value json.RawMessage) json.RawMessage) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(object))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil
	}
	kept := append(make(json.RawMessage, 0, len(object)), '{')
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		name := token.(string) // a name is always a string
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		if value = keep(name, value); value == nil {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(append(protocol.AppendString(kept, name), ':'), value...)
	}
	if len(kept) == 1 {
		return nil
	}
	return append(kept, '}')
}
