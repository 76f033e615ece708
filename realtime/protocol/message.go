package protocol

import (
	"bytes"
	"encoding/json"
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

// ParseMessage reads an inbound frame. The text must be valid UTF-8, which the
// caller has checked.
func ParseMessage(text []byte) (Message, *Error) {
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
	// Rewind is set when the V2 member of that name is present and not null.
	Rewind bool
}

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
	if raw, ok := members["rewind"]; ok && !isNull(raw) {
		s.Rewind = true
	}
	return s, checkV2Members(members)
}

func checkV2Members(members map[string]json.RawMessage) *Error {
	for _, name := range [...]string{"filter", "tags_filter"} {
		if raw, ok := members[name]; ok && !isNull(raw) && raw[0] != '{' {
			return BadFormat("subscribe data: " + name + " must be an object")
		}
	}
	if raw, ok := members["modes"]; ok && !isNull(raw) {
		var modes []string
		if json.Unmarshal(raw, &modes) != nil {
			return BadFormat("subscribe data: modes must be an array of strings")
		}
	}
	if raw, ok := members["delta"]; ok && !isNull(raw) && !strings.ContainsRune(`"{tf`, rune(raw[0])) {
		return BadFormat("subscribe data: delta must be a string, a boolean or an object")
	}
	return nil
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
