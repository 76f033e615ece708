package protocol

import (
	"encoding/json"
	"slices"
	"strconv"
)

// The actions of messages that can be changed (section 6.9).
const (
	ActionCreate = "create"
	ActionUpdate = "update"
	ActionAppend = "append"
	ActionDelete = "delete"
)

// Revision is one version of a message that can be changed (section 6.9).
type Revision struct {
	// Action is what has made the version.
	Action string `json:"action"`
	// Message is the serial of the message, which is that of its first version, and
	// Serial that of this version. Later versions have greater ones.
	Message string `json:"message_serial"`
	Serial  string `json:"version_serial"`
	// History is the serial of the message in the history of its channel.
	History uint64 `json:"history_serial,omitempty"`
	// At is when the version was made, in Unix milliseconds.
	At int64 `json:"timestamp_ms"`
	// Fragment is what an append has added, a JSON string. Data is then the whole.
	Fragment json.RawMessage `json:"fragment,omitempty"`
}

// Changes reports whether the version is a change of a message that is there already.
func (v *Revision) Changes() bool { return v.Action != ActionCreate }

// AppendJSON appends the version as envelopes carry it.
func (v *Revision) AppendJSON() json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return text
}

// ParseRevision reads what AppendJSON has written, and is nil for anything else.
func ParseRevision(raw json.RawMessage) *Revision {
	var v Revision
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return &v
}

// Event is the message as V2 clients get it: a create under the name that its
// publisher gave it, a change under a name of the server's. whole says that an append
// has all data rather than what it has added.
func (v *Revision) Event(o Outbound, whole bool) Outbound {
	o.Extras = v.extras(o.Extras)
	if !v.Changes() {
		return o
	}
	o.Class, o.Name, o.Event = System, o.Event, "message."+v.Action
	if v.Action == ActionAppend && !whole && v.Fragment != nil {
		o.Data = v.Fragment
	}
	return o
}

// extras are those of the publisher with the headers of the version.
func (v *Revision) extras(x *Extras) *Extras {
	versioned := Extras{}
	if x != nil {
		versioned = *x
	}
	versioned.Headers = append(slices.Clip(versioned.Headers),
		Header{"sockudo_action", AppendString(nil, "message."+v.Action)},
		Header{"sockudo_message_serial", AppendString(nil, v.Message)},
		Header{"sockudo_version_serial", AppendString(nil, v.Serial)},
		Header{"sockudo_version_timestamp_ms", strconv.AppendInt(nil, v.At, 10)},
		Header{"sockudo_history_serial", strconv.AppendUint(nil, v.History, 10)},
	)
	text := append(make([]byte, 0, len(versioned.JSON)+320), `{"headers":{`...)
	for i, h := range versioned.Headers {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(AppendString(text, h.Name), ':')
		text = append(text, h.Value...)
	}
	text = append(text, '}')
	members, _ := orderedMembers(versioned.JSON) // ParseExtras has read them
	for _, m := range members {
		if m.name != "headers" {
			text = append(AppendString(append(text, ','), m.name), ':')
			text = append(text, m.value...)
		}
	}
	versioned.JSON = append(text, '}')
	return &versioned
}
