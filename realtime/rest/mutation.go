package rest

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// maxOpID is the length of the longest op_id, in bytes.
const maxOpID = 64

// mutation is the body of a call that changes a message (section 6.4). It holds no part
// of the body itself.
type mutation struct {
	history.Mutation
	opID, socketID optional

	// terminal says that the extras end a stream, which an empty append may do.
	terminal bool
	clears   []string
}

// mutation reads the body of a call that changes a message in the way that action says.
func (c *call) mutation(action string) (*mutation, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	m := &mutation{}
	if f := m.parse(action, object); f != nil {
		return nil, f
	}
	if f := m.check(c.settings().Extras.Echo); f != nil {
		return nil, f
	}
	return m, nil
}

// parse reads the members. Null means absent, and of a repeated one the last counts.
func (m *mutation) parse(action string, object []byte) *failure {
	m.Action = action
	appends := action == history.MutationAppend
	if appends {
		m.Data = json.RawMessage{} // which is missing until it comes
	}
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		var f *failure
		switch string(name) {
		case "name":
			if action == history.MutationUpdate {
				f = takeOptional("name", &m.Name, value)
			}
		case "data":
			m.Data = valueOf(value)
		case "extras":
			f = m.takeExtras(value)
		case "clear_fields":
			if !appends {
				f = m.takeClears(value)
			}
		case "client_id":
			f = takeOptional("client_id", &m.ClientID, value)
		case "description":
			f = takeOptional("description", &m.Description, value)
		case "metadata":
			m.Metadata = valueOf(value)
		case "socket_id":
			f = m.socketID.take("socket_id", value)
		case "op_id":
			f = m.opID.take("op_id", value)
		}
		if f != nil {
			return f
		}
	}
	if appends && (len(m.Data) == 0 || !isText(m.Data)) {
		return wrongShape.with("data must be a string")
	}
	return nil
}

// takeOptional sets a text that may be absent, which an empty one is not.
func takeOptional(field string, into **string, value []byte) *failure {
	var text optional
	if f := text.take(field, value); f != nil {
		return f
	}
	if *into = nil; text.set {
		*into = &text.text
	}
	return nil
}

// valueOf is a copy of any value without spaces, and nil for null.
func valueOf(value []byte) json.RawMessage {
	if isNull(value) {
		return nil
	}
	if isText(value) {
		return bytes.Clone(value)
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, value) // it has been checked
	return compact.Bytes()
}

// takeExtras keeps the extras, whose form is that of an event's.
func (m *mutation) takeExtras(value []byte) *failure {
	var e event
	if f := e.takeExtras(value); f != nil {
		return f
	}
	m.Extras = nil
	if e.extras != nil {
		m.Extras = bytes.Clone(e.extras)
	}
	return nil
}

// takeClears keeps the names of fields, which are checked later whether they are twice
// there.
func (m *mutation) takeClears(value []byte) *failure {
	const form = "clear_fields must be a list of name, data and extras"
	m.clears = nil
	if isNull(value) {
		return nil
	}
	if !isArray(value) {
		return wrongShape.with(form)
	}
	list := walk(value)
	for entry, ok := list.element(); ok; entry, ok = list.element() {
		field, ok := textOf(entry)
		if !ok || field != "name" && field != "data" && field != "extras" {
			return wrongShape.with(form)
		}
		if len(m.clears) < 4 { // there are three, so one is twice there
			m.clears = append(m.clears, field)
		}
	}
	return nil
}

// check looks at what the fields say together.
func (m *mutation) check(echo bool) *failure {
	if m.Action == history.MutationUpdate && m.empty() {
		return invalidInput.with("update request must include at least one patch field or operation metadata")
	}
	if f := m.checkClears(); f != nil {
		return f
	}
	if m.Extras != nil {
		// A change is kept and counted whatever its extras say.
		extras, err := protocol.ParseExtras(m.Extras, protocol.ExtrasRules{Echo: echo})
		if err != nil {
			return invalidInput.with(err.Error())
		}
		if m.Extras = extras.JSON; m.Extras == nil {
			m.Extras = json.RawMessage(`{}`) // which is something else than absent
		}
		m.terminal = ends(extras.AI)
	}
	switch {
	case m.Action == history.MutationAppend && !m.terminal && len(m.Data) == len(`""`):
		return invalidInput.with("append request data must not be empty")
	case m.opID.set && (m.opID.text == "" || len(m.opID.text) > maxOpID):
		return invalidInput.with("op_id must be 1..=64 bytes")
	}
	return nil
}

// empty reports whether the mutation says nothing. Who it is for and how it is repeated
// says nothing about the message.
func (m *mutation) empty() bool {
	return m.Name == nil && m.Data == nil && m.Extras == nil && len(m.clears) == 0 &&
		m.ClientID == nil && m.Description == nil && m.Metadata == nil
}

func (m *mutation) checkClears() *failure {
	for i, field := range m.clears {
		if slices.Contains(m.clears[:i], field) {
			return invalidInput.with("clear_fields must not contain duplicates")
		}
		given := false
		switch field {
		case "name":
			m.ClearName, given = true, m.Name != nil
		case "data":
			m.ClearData, given = true, m.Data != nil
		case "extras":
			m.ClearExtras, given = true, m.Extras != nil
		}
		if given {
			return invalidInput.with(m.Action + " request cannot both replace and clear the same field")
		}
	}
	return nil
}

// ends reports whether the extras of an AI message say that it is complete.
func ends(ai *protocol.AIExtras) bool {
	if ai == nil {
		return false
	}
	for _, tags := range [...]protocol.Tags{ai.Transport, ai.Codec} {
		if status, _ := tags.Get("status"); status == "complete" || status == "cancelled" {
			return true
		}
	}
	return false
}
