package protocol

import (
	"encoding/json"
	"strconv"
)

// ChannelHistory is the data of a channel_history event (section 6.8). Nil is what was
// not given.
type ChannelHistory struct {
	Channel                string
	Limit                  *uint64
	Direction, Cursor      string
	StartSerial, EndSerial *uint64
	// StartTime and EndTime are in Unix milliseconds.
	StartTime, EndTime *int64
	UntilAttach        bool
}

// ParseChannelHistory reads the data of a channel_history event: an object, or a string
// holding one, whose members may be below params.
func ParseChannelHistory(data json.RawMessage) (h ChannelHistory, e *Error) {
	members, err := objectOrText(data)
	if err == nil {
		if params, ok := members["params"]; ok && !isNull(params) {
			channel := members["channel"]
			if members, err = objectOf(params); err == nil && members["channel"] == nil {
				members["channel"] = channel
			}
		}
	}
	if err != nil {
		return h, BadFormat("channel_history data: " + err.Error())
	}
	var ok bool
	if h.Channel, ok = stringOf(members["channel"]); !ok {
		return h, BadFormat("channel_history data: channel must be a string")
	}
	for _, f := range [...]struct {
		name string
		read func(json.RawMessage) bool
		what string
	}{
		{"limit", unsignedInto(&h.Limit), "a number"},
		{"direction", textInto(&h.Direction), "a string"},
		{"cursor", textInto(&h.Cursor), "a string"},
		{"start", unsignedInto(&h.StartSerial), "a number"},
		{"start_serial", unsignedInto(&h.StartSerial), "a number"},
		{"end", unsignedInto(&h.EndSerial), "a number"},
		{"end_serial", unsignedInto(&h.EndSerial), "a number"},
		{"start_time_ms", signedInto(&h.StartTime), "a number"},
		{"end_time_ms", signedInto(&h.EndTime), "a number"},
		{"untilAttach", truthInto(&h.UntilAttach), "a boolean"},
		{"until_attach", truthInto(&h.UntilAttach), "a boolean"},
	} {
		if raw, given := members[f.name]; given && !isNull(raw) && !f.read(raw) {
			return h, BadFormat("channel_history data: " + f.name + " must be " + f.what)
		}
	}
	return h, nil
}

func textInto(into *string) func(json.RawMessage) bool {
	return func(raw json.RawMessage) (ok bool) {
		*into, ok = stringOf(raw)
		return ok
	}
}

func truthInto(into *bool) func(json.RawMessage) bool {
	return func(raw json.RawMessage) bool {
		*into = string(raw) == "true"
		return *into || string(raw) == "false"
	}
}

// unsignedInto reads a number, and the string that clients make of a large one.
func unsignedInto(into **uint64) func(json.RawMessage) bool {
	return func(raw json.RawMessage) bool {
		n, err := strconv.ParseUint(digitsOf(raw), 10, 64)
		*into = &n
		return err == nil
	}
}

func signedInto(into **int64) func(json.RawMessage) bool {
	return func(raw json.RawMessage) bool {
		n, err := strconv.ParseInt(digitsOf(raw), 10, 64)
		*into = &n
		return err == nil
	}
}

func digitsOf(raw json.RawMessage) string {
	if inner, ok := stringOf(raw); ok {
		return inner
	}
	return string(raw)
}

// HistoryPage answers a channel_history event with a page, which is a JSON object.
func HistoryPage(channel string, page json.RawMessage) *Outbound {
	return &Outbound{Class: System, Event: "channel_history", Channel: channel, Data: page}
}

// RewindComplete is what a rewind ends with (section 6.7).
type RewindComplete struct {
	Historical  int  `json:"historical_count"`
	Live        int  `json:"live_count"`
	Complete    bool `json:"complete"`
	ByRetention bool `json:"truncated_by_retention"`
	ByLimit     bool `json:"truncated_by_limit"`
}

// Message tells a client that everything which comes now is live.
func (r RewindComplete) Message(channel string) *Outbound {
	r.Complete = !r.ByRetention && !r.ByLimit
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers and booleans only
	}
	return &Outbound{Class: System, Event: "rewind_complete", Channel: channel, Data: data}
}

// Attached adds the newest history serial to the answer to a subscription, after which
// everything comes live.
func (o *Outbound) Attached(serial uint64) {
	data := o.Data[: len(o.Data)-2 : len(o.Data)-2] // without the brace and the quote
	if len(data) > 2 {
		data = append(data, ',')
	}
	data = append(data, `\"attach_serial\":`...)
	o.Data = append(strconv.AppendUint(data, serial, 10), `}"`...)
}
