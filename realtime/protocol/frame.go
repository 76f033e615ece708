package protocol

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Frame is one outbound message, framed for the socket: header and text, ready
// to be written. It is shared between connections and never changed.
type Frame []byte

// opcodes of RFC 6455, with the final bit set.
const (
	opText  = 0x81
	opClose = 0x88
)

// maxHeader is the room kept in front of a text for the longest frame header.
const maxHeader = 10

// newFrame starts a frame whose text is expected to have about size bytes.
func newFrame(size int) []byte { return make([]byte, maxHeader, maxHeader+size) }

// finish puts the header in front of the text that follows the first maxHeader bytes.
func finish(b []byte) Frame {
	n := len(b) - maxHeader
	switch {
	case n < 126:
		b = b[maxHeader-2:]
		b[0], b[1] = opText, byte(n)
	case n < 1<<16:
		b = b[maxHeader-4:]
		b[0], b[1], b[2], b[3] = opText, 126, byte(n>>8), byte(n)
	default:
		b[0], b[1] = opText, 127
		for i := range 8 {
			b[2+i] = byte(n >> (8 * (7 - i)))
		}
	}
	return b
}

// Text is the payload of a frame made by this package.
func (f Frame) Text() []byte {
	switch f[1] & 0x7f {
	case 126:
		return f[4:]
	case 127:
		return f[maxHeader:]
	default:
		return f[2:]
	}
}

// CloseFrame is the control frame that ends a connection. The reason is cut to
// the 123 bytes a control frame can hold.
func CloseFrame(code int, reason string) Frame {
	if len(reason) > 123 {
		reason = reason[:123]
	}
	b := make([]byte, 0, 4+len(reason))
	b = append(b, opClose, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(b, reason...)
}

// EventFrame is an event on a channel. data is written as it is; userID is left
// out when it is empty (section 4.4).
func EventFrame(event, channel string, data json.RawMessage, userID string) Frame {
	b := newFrame(len(event) + len(channel) + len(data) + len(userID) + 48)
	b = append(b, `{"event":`...)
	b = AppendString(b, event)
	b = append(b, `,"channel":`...)
	b = AppendString(b, channel)
	b = append(b, `,"data":`...)
	b = append(b, data...)
	if userID != "" {
		b = append(b, `,"user_id":`...)
		b = AppendString(b, userID)
	}
	return finish(append(b, '}'))
}

// ConnectionEstablished is the first frame of every accepted connection (section 2.1).
func ConnectionEstablished(socketID string, activityTimeout int) Frame {
	b := newFrame(128)
	b = append(b, `{"event":"pusher:connection_established","data":"{\"socket_id\":\"`...)
	b = append(b, socketID...)
	b = append(b, `\",\"activity_timeout\":`...)
	b = strconv.AppendInt(b, int64(activityTimeout), 10)
	return finish(append(b, `}"}`...))
}

// ErrorFrame tells a client about an error (section 2.3).
func ErrorFrame(e *Error) Frame {
	b := newFrame(64 + len(e.Message))
	b = append(b, `{"event":"pusher:error","data":{"code":`...)
	b = strconv.AppendInt(b, int64(e.Code), 10)
	b = append(b, `,"message":`...)
	b = AppendString(b, e.Message)
	return finish(append(b, `}}`...))
}

// Frames without a variable part.
var (
	PingFrame = literal(`{"event":"pusher:ping"}`)
	PongFrame = literal(`{"event":"pusher:pong"}`)
)

func literal(text string) Frame { return TextFrame([]byte(text)) }

// TextFrame frames a message that is already encoded.
func TextFrame(text []byte) Frame { return finish(append(newFrame(len(text)), text...)) }

// SubscriptionSucceeded answers a subscription that is not one of presence.
func SubscriptionSucceeded(channel string) Frame {
	return internalFrame("subscription_succeeded", channel, func(b []byte) []byte { return append(b, "{}"...) })
}

// PresenceSucceeded answers a presence subscription. ids and hash are the member
// lists as MemberList keeps them: JSON members, already escaped for a string.
func PresenceSucceeded(channel string, ids, hash []byte, count int) Frame {
	return internalFrame("subscription_succeeded", channel, func(b []byte) []byte {
		b = append(b, `{\"presence\":{\"ids\":[`...)
		b = append(b, ids...)
		b = append(b, `],\"hash\":{`...)
		b = append(b, hash...)
		b = append(b, `},\"count\":`...)
		b = strconv.AppendInt(b, int64(count), 10)
		return append(b, `}}`...)
	})
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
func MemberAdded(channel string, m Member) Frame {
	data := AppendString([]byte(`{"user_id":`), m.UserID)
	data = append(data, `,"user_info":`...)
	data = append(append(data, m.Info...), '}')
	return internalFrame("member_added", channel, func(b []byte) []byte { return appendEscaped(b, data) })
}

// MemberRemoved tells the members of a presence channel that one has left.
func MemberRemoved(channel, userID string) Frame {
	data := append(AppendString([]byte(`{"user_id":`), userID), '}')
	return internalFrame("member_removed", channel, func(b []byte) []byte { return appendEscaped(b, data) })
}

// SubscriptionCount tells the subscribers of a channel how many they are (section 3.10).
func SubscriptionCount(channel string, count int) Frame {
	return internalFrame("subscription_count", channel, func(b []byte) []byte {
		b = append(b, `{\"subscription_count\":`...)
		return append(strconv.AppendInt(b, int64(count), 10), '}')
	})
}

// internalFrame is an internal event whose data is a string; fill appends what
// stands between its quotes.
func internalFrame(event, channel string, fill func([]byte) []byte) Frame {
	b := newFrame(128 + len(channel))
	b = append(b, `{"event":"pusher_internal:`...)
	b = append(b, event...)
	b = append(b, `","channel":`...)
	b = AppendString(b, channel)
	b = append(b, `,"data":"`...)
	b = fill(b)
	return finish(append(b, `"}`...))
}

// SubscriptionError tells a channel why its subscription failed (section 3.4).
// Clients route it to the channel, which they cannot do with an error frame.
func SubscriptionError(channel string, e *Error) Frame {
	kind, status := "ChannelError", 400
	switch e.Code {
	case CodeUnauthorized:
		kind, status = "AuthError", 401
	case CodeOverCapacity:
		kind, status = "LimitReached", CodeOverCapacity
	}
	b := newFrame(192 + len(channel))
	b = append(b, `{"event":"pusher:subscription_error","channel":`...)
	b = AppendString(b, channel)
	b = append(b, `,"data":{"type":"`+kind+`","error":`...)
	b = AppendString(b, strings.TrimPrefix(e.Message, "Authentication error: "))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	return finish(append(b, `}}`...))
}

// CacheMiss tells a new subscriber that a cache channel holds no event (section 3.7).
func CacheMiss(channel string) Frame {
	b := newFrame(64 + len(channel))
	b = append(b, `{"event":"pusher:cache_miss","channel":`...)
	b = AppendString(b, channel)
	return finish(append(b, `,"data":"{}"}`...))
}

// SigninSuccess answers a signin with the user_data of the request (section 5.1).
func SigninSuccess(userData string) Frame {
	b := newFrame(64 + len(userData)*5/4)
	b = append(b, `{"event":"pusher:signin_success","data":{"user_data":`...)
	b = AppendString(b, userData)
	return finish(append(b, `}}`...))
}

// WatchlistEvents reports watched users that are online and offline (section
// 5.4). An empty list has no entry.
func WatchlistEvents(online, offline []string) Frame {
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
	data = append(data, `]}`...)
	b := newFrame(64 + len(data)*5/4)
	b = append(b, `{"event":"pusher_internal:watchlist_events","data":"`...)
	b = appendEscaped(b, data)
	return finish(append(b, `"}`...))
}
