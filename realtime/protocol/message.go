package protocol

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Message is one inbound frame. Members that this server never takes from a
// client, such as extras or user_id, are not kept.
type Message struct {
	Event   string
	Channel string
	// Data is the member as it was sent, nil when it is absent.
	Data json.RawMessage
}

// ParseMessage reads an inbound frame in the format of its connection. A text must be
// valid UTF-8, which the caller has checked.
func ParseMessage(f Format, payload []byte) (Message, *Error) {
	switch f {
	case FormatMessagePack:
		return parseMessagePack(payload)
	case FormatProtobuf:
		return parseProtobuf(payload)
	default:
		return parseJSON(payload)
	}
}

func parseJSON(text []byte) (Message, *Error) {
	members, err := objectOf(text)
	if err != nil {
		return Message{}, BadFormat(err.Error())
	}
	var m Message
	if raw, ok := members["channel"]; ok {
		if m.Channel, ok = stringOf(raw); !ok && !isNull(raw) {
			return m, BadFormat("channel must be a string")
		}
	}
	raw, ok := members["event"]
	if !ok || isNull(raw) {
		return m, ErrEventRequired
	}
	if m.Event, ok = stringOf(raw); !ok {
		return m, BadFormat("event must be a string")
	}
	if m.Event == "" {
		return m, ErrEventRequired
	}
	if raw, ok := members["data"]; ok {
		m.Data = raw
	}
	return m, nil
}

// Subscribe is the data of a subscribe event (section 3.3).
type Subscribe struct {
	Channel string
	Auth    string
	HasAuth bool
	// ChannelData is signed and stored exactly as it was sent.
	ChannelData    string
	HasChannelData bool
	// What follows is for V2 alone. Filter, TagsFilter and Delta are as they were sent,
	// nil when they are absent.
	Filter, TagsFilter, Delta json.RawMessage
	// Rewind is what part of the past is asked for, nil for none.
	Rewind *Rewind
	// Annotations asks for raw annotation events.
	Annotations bool
}

// Rewind asks for the newest events of a channel (section 6.7): either so many, or
// those of so many seconds.
type Rewind struct{ Count, Seconds uint64 }

// ParseSubscribe reads the data of a subscribe event: an object, or a string
// holding one. Members that only V2 acts on must still have their form.
func ParseSubscribe(data json.RawMessage) (Subscribe, *Error) {
	members, err := objectOrText(data)
	if err != nil {
		return Subscribe{}, BadFormat("subscribe data: " + err.Error())
	}
	var s Subscribe
	var present bool
	if s.Channel, present = stringOf(members["channel"]); !present {
		return s, BadFormat("subscribe data: channel must be a string")
	}
	if raw, ok := members["auth"]; ok && !isNull(raw) {
		if s.Auth, ok = stringOf(raw); !ok {
			return s, BadFormat("subscribe data: auth must be a string")
		}
		s.HasAuth = s.Auth != ""
	}
	if raw, ok := members["channel_data"]; ok && !isNull(raw) {
		if s.ChannelData, ok = stringOf(raw); !ok {
			return s, BadFormat("subscribe data: channel_data must be a string")
		}
		s.HasChannelData = s.ChannelData != ""
	}
	return s, s.takeV2(members)
}

// takeV2 reads the members that only V2 acts on.
func (s *Subscribe) takeV2(members map[string]json.RawMessage) (e *Error) {
	for name, into := range map[string]*json.RawMessage{"filter": &s.Filter, "tags_filter": &s.TagsFilter, "delta": &s.Delta} {
		if raw, ok := members[name]; ok && !isNull(raw) {
			*into = raw
		}
	}
	switch {
	case s.Filter != nil && s.Filter[0] != '{':
		return BadFormat("subscribe data: filter must be an object")
	case s.TagsFilter != nil && s.TagsFilter[0] != '{':
		return BadFormat("subscribe data: tags_filter must be an object")
	case s.Delta != nil && !strings.ContainsRune(`"{tf`, rune(s.Delta[0])):
		return BadFormat("subscribe data: delta must be a string, a boolean or an object")
	}
	if raw, ok := members["modes"]; ok && !isNull(raw) {
		var modes []string
		if json.Unmarshal(raw, &modes) != nil {
			return BadFormat("subscribe data: modes must be an array of strings")
		}
		s.Annotations = slices.Contains(modes, "ANNOTATION_SUBSCRIBE")
	}
	if raw, ok := members["rewind"]; ok && !isNull(raw) {
		s.Rewind, e = parseRewind(raw)
	}
	return e
}

// parseRewind reads a number, a string of digits, or an object with one of them.
func parseRewind(raw json.RawMessage) (*Rewind, *Error) {
	bad := BadFormat("subscribe data: rewind must be a count or an object with count or seconds, at least 1")
	if raw[0] != '{' {
		n, ok := wholeNumber(raw)
		if !ok {
			return nil, bad
		}
		return &Rewind{Count: n}, nil
	}
	members, err := objectOf(raw)
	if err != nil || len(members) != 1 {
		return nil, bad
	}
	for name, value := range members {
		n, ok := wholeNumber(value)
		switch {
		case !ok:
		case name == "count":
			return &Rewind{Count: n}, nil
		case name == "seconds" || name == "duration_seconds":
			return &Rewind{Seconds: n}, nil
		}
	}
	return nil, bad
}

// wholeNumber is a whole number of at least 1, which may be written as a string.
func wholeNumber(raw json.RawMessage) (uint64, bool) {
	text, ok := stringOf(raw)
	if !ok {
		text = string(raw)
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return n, err == nil && n > 0
}

// ParseUnsubscribe reads the data of an unsubscribe event: an object with a
// channel, a string holding one, or the bare channel name.
func ParseUnsubscribe(data json.RawMessage) (channel string, e *Error) {
	if text, ok := stringOf(data); ok && !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return text, nil
	}
	members, err := objectOrText(data)
	if err != nil {
		return "", BadFormat("unsubscribe data: " + err.Error())
	}
	channel, ok := stringOf(members["channel"])
	if !ok {
		return "", BadFormat("unsubscribe data: channel must be a string")
	}
	return channel, nil
}

// Signin is the data of a signin event (section 5.1).
type Signin struct {
	Auth     string
	UserData string
}

// ParseSignin reads the data of a signin event: an object, or a string holding one.
func ParseSignin(data json.RawMessage) (Signin, *Error) {
	members, err := objectOrText(data)
	if err != nil {
		return Signin{}, BadFormat("signin data: " + err.Error())
	}
	auth, ok1 := stringOf(members["auth"])
	userData, ok2 := stringOf(members["user_data"])
	if !ok1 || !ok2 {
		return Signin{}, BadFormat("signin data: auth and user_data must be strings")
	}
	return Signin{auth, userData}, nil
}

// User is the user_data of a signin.
type User struct {
	ID string
	// Info is user_info as it was sent, nil when it is absent.
	Info      json.RawMessage
	Watchlist []string
	// Capabilities limit a V2 connection, nil for none.
	Capabilities *Capabilities
}

// ParseUser reads user_data. Watchlist entries that are not strings are skipped.
func ParseUser(text string) (User, *Error) {
	members, err := objectOf([]byte(text))
	if err != nil {
		return User{}, BadSignin("user_data: " + err.Error())
	}
	var u User
	var ok bool
	if u.ID, ok = stringOf(members["id"]); !ok || u.ID == "" {
		return u, BadSignin("user_data: id must be a non-empty string")
	}
	if raw, ok := members["user_info"]; ok && !isNull(raw) {
		u.Info = raw
	}
	if raw, ok := members["capabilities"]; ok && !isNull(raw) {
		var e *Error
		if u.Capabilities, e = ParseSigninCapabilities(raw); e != nil {
			return u, e
		}
	}
	if raw, ok := members["watchlist"]; ok && !isNull(raw) {
		var entries []json.RawMessage
		if json.Unmarshal(raw, &entries) != nil {
			return u, BadSignin("user_data: watchlist must be an array")
		}
		for _, entry := range entries {
			if id, ok := stringOf(entry); ok {
				u.Watchlist = append(u.Watchlist, id)
			}
		}
	}
	return u, nil
}

// Member is the channel_data of a presence subscription (section 3.11).
type Member struct {
	UserID string
	// Info is user_info as compact JSON: "{}" if none was given.
	Info json.RawMessage
	// Revision counts the updates of Info: of two, the one with more is newer.
	Revision uint64 `json:",omitempty"`
}

// PresenceUpdateRequest is the data of a presence_update event.
type PresenceUpdateRequest struct {
	Channel string
	// Info is the new user_info, as compact JSON.
	Info json.RawMessage
}

// ParsePresenceUpdate reads a presence_update in one of the four shapes that clients
// send (section 3.11): data with channel and data, also as a string, or the channel
// beside the data, which is user_info itself or an object with nothing else.
func ParsePresenceUpdate(m Message) (PresenceUpdateRequest, *Error) {
	r := PresenceUpdateRequest{Channel: m.Channel, Info: m.Data}
	members, err := objectOrText(m.Data)
	switch info, alone := members["user_info"]; {
	case m.Channel == "" && err != nil:
		return r, BadFormat("presence_update data: " + err.Error())
	case m.Channel == "":
		var ok bool
		if r.Channel, ok = stringOf(members["channel"]); !ok {
			return r, BadFormat("presence_update data: channel must be a string")
		}
		r.Info = members["data"]
	case err == nil && alone && len(members) == 1:
		r.Info = info
	}
	if len(r.Info) == 0 {
		return r, BadFormat("presence_update: data is missing")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, r.Info); err != nil {
		return r, BadFormat("presence_update data: " + err.Error())
	}
	r.Info = compact.Bytes()
	return r, nil
}

// ParseMember reads channel_data. A numeric user_id counts as its decimal text.
func ParseMember(text string) (Member, *Error) {
	members, err := objectOf([]byte(text))
	if err != nil {
		return Member{}, BadFormat("channel_data: " + err.Error())
	}
	raw, ok := members["user_id"]
	if !ok || isNull(raw) {
		return Member{}, BadChannel("Missing user_id in channel_data")
	}
	var m Member
	if m.UserID, ok = stringOf(raw); !ok {
		if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
			return m, BadChannel("user_id in channel_data must be a string")
		}
		m.UserID = string(raw)
	}
	if m.UserID == "" {
		return m, BadChannel("Missing user_id in channel_data")
	}
	m.Info = json.RawMessage("{}")
	if raw, ok := members["user_info"]; ok {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err == nil {
			m.Info = compact.Bytes()
		}
	}
	return m, nil
}
