package protocol

import (
	"encoding/json"
	"strconv"
	"strings"
)

// EventMessage is an event on a channel. userID is left out when it is empty
// (section 4.4).
func EventMessage(event, channel string, data json.RawMessage, userID string) *Outbound {
	return &Outbound{Event: event, Channel: channel, Data: data, UserID: userID}
}

// Messages without a variable part, which have no message_id either.
var (
	Ping = &Outbound{Class: System, Event: "ping"}
	Pong = &Outbound{Class: System, Event: "pong"}
)

// ConnectionEstablished is the first message of every accepted connection (section
// 2.1).
func ConnectionEstablished(socketID string, activityTimeout int) *Outbound {
	return &Outbound{Class: System, Event: "connection_established", Data: stringData(64, func(b []byte) []byte {
		b = append(b, `{\"socket_id\":\"`...)
		b = append(b, socketID...)
		b = append(b, `\",\"activity_timeout\":`...)
		b = strconv.AppendInt(b, int64(activityTimeout), 10)
		return append(b, '}')
	})}
}

// ErrorMessage tells a client about an error (section 2.3).
func ErrorMessage(e *Error) *Outbound {
	b := append(make([]byte, 0, 32+len(e.Message)), `{"code":`...)
	b = strconv.AppendInt(b, int64(e.Code), 10)
	b = append(b, `,"message":`...)
	b = AppendString(b, e.Message)
	return &Outbound{Class: System, Event: "error", Data: append(b, '}')}
}

// SubscriptionSucceeded answers a subscription that is not one of presence.
func SubscriptionSucceeded(channel string) *Outbound {
	return internal("subscription_succeeded", channel, json.RawMessage(`"{}"`))
}

// PresenceSucceeded answers a presence subscription. ids and hash are the member
// lists as AppendMember makes them: JSON members, already escaped for a string.
func PresenceSucceeded(channel string, ids, hash []byte, count int) *Outbound {
	return internal("subscription_succeeded", channel, stringData(len(ids)+len(hash)+64, func(b []byte) []byte {
		b = append(b, `{\"presence\":{\"ids\":[`...)
		b = append(b, ids...)
		b = append(b, `],\"hash\":{`...)
		b = append(b, hash...)
		b = append(b, `},\"count\":`...)
		b = strconv.AppendInt(b, int64(count), 10)
		return append(b, `}}`...)
	}))
}

// AppendMember appends the escaped list entries of a member to ids and hash.
func AppendMember(ids, hash []byte, m Member) (newIDs, newHash []byte) {
	id := AppendString(nil, m.UserID)
	if len(ids) > 0 {
		ids, hash = append(ids, ','), append(hash, ',')
	}
	ids = appendEscaped(ids, id)
	hash = appendEscaped(hash, id)
	hash = append(hash, ':')
	return ids, appendEscaped(hash, []byte(m.Info))
}

// MemberAdded tells the members of a presence channel about a new one.
func MemberAdded(channel string, m Member) *Outbound {
	return internal("member_added", channel, memberData(m))
}

// PresenceUpdate tells the V2 members of a presence channel about the new user_info
// of one (section 3.11).
func PresenceUpdate(channel string, m Member) *Outbound {
	return internal("presence_update", channel, memberData(m))
}

func memberData(m Member) json.RawMessage {
	data := AppendString([]byte(`{"user_id":`), m.UserID)
	data = append(data, `,"user_info":`...)
	return AppendString(nil, append(append(data, m.Info...), '}'))
}

// MemberRemoved tells the members of a presence channel that one has left.
func MemberRemoved(channel, userID string) *Outbound {
	return internal("member_removed", channel, AppendString(nil, append(AppendString([]byte(`{"user_id":`), userID), '}')))
}

// SubscriptionCount tells the subscribers of a channel how many they are (section 3.10).
func SubscriptionCount(channel string, count int) *Outbound {
	return internal("subscription_count", channel, stringData(48, func(b []byte) []byte {
		b = append(b, `{\"subscription_count\":`...)
		return append(strconv.AppendInt(b, int64(count), 10), '}')
	}))
}

func internal(event, channel string, data json.RawMessage) *Outbound {
	return &Outbound{Class: Internal, Event: event, Channel: channel, Data: data}
}

// stringData is a JSON string; fill appends what stands between its quotes.
func stringData(size int, fill func([]byte) []byte) json.RawMessage {
	return append(fill(append(make([]byte, 0, size+2), '"')), '"')
}

// SubscriptionError tells a channel why its subscription failed (section 3.4).
// Clients route it to the channel, which they cannot do with an error message.
func SubscriptionError(channel string, e *Error) *Outbound {
	kind, status := "ChannelError", 400
	switch e.Code {
	case CodeUnauthorized:
		kind, status = "AuthError", 401
	case CodeOverCapacity:
		kind, status = "LimitReached", CodeOverCapacity
	}
	b := append(make([]byte, 0, 128), `{"type":"`+kind+`","error":`...)
	b = AppendString(b, strings.TrimPrefix(e.Message, "Authentication error: "))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	return &Outbound{Class: System, Event: "subscription_error", Channel: channel, Data: append(b, '}')}
}

// CacheMiss tells a new subscriber that a cache channel holds no event (section 3.7).
func CacheMiss(channel string) *Outbound {
	return &Outbound{Class: System, Event: "cache_miss", Channel: channel, Data: json.RawMessage(`"{}"`)}
}

// SigninSuccess answers a signin with the user_data of the request (section 5.1).
func SigninSuccess(userData string) *Outbound {
	b := append(make([]byte, 0, 32+len(userData)*5/4), `{"user_data":`...)
	return &Outbound{Class: System, Event: "signin_success", Data: append(AppendString(b, userData), '}')}
}

// WatchlistEvents reports watched users that are online and offline (section
// 5.4). An empty list has no entry.
func WatchlistEvents(online, offline []string) *Outbound {
	data := []byte(`{"events":[`)
	for _, entry := range [...]struct {
		name string
		ids  []string
	}{{"online", online}, {"offline", offline}} {
		if len(entry.ids) == 0 {
			continue
		}
		if data[len(data)-1] == '}' {
			data = append(data, ',')
		}
		data = append(data, `{"name":"`+entry.name+`","user_ids":[`...)
		for i, id := range entry.ids {
			if i > 0 {
				data = append(data, ',')
			}
			data = AppendString(data, id)
		}
		data = append(data, `]}`...)
	}
	return internal("watchlist_events", "", AppendString(nil, append(data, `]}`...)))
}

// MetaCount tells the subscribers of a meta channel how many subscriptions the
// channel has (section 3.9).
func MetaCount(event, channel string, count int) *Outbound {
	b := AppendString([]byte(`{"channel":`), channel)
	b = strconv.AppendInt(append(b, `,"subscription_count":`...), int64(count), 10)
	return internal(event, MetaPrefix+channel, append(b, '}'))
}

// MetaMember tells them what has become of a member.
func MetaMember(event, channel, user string) *Outbound {
	b := AppendString([]byte(`{"channel":`), channel)
	b = AppendString(append(b, `,"user_id":`...), user)
	return internal(event, MetaPrefix+channel, append(b, '}'))
}
