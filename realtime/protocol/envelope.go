package protocol

import "encoding/json"

// EnvelopeKind says what an Envelope carries.
type EnvelopeKind uint8

const (
	// KindEvent is an event on a channel, for its subscribers.
	KindEvent EnvelopeKind = iota
	// KindUserEvent is an event for all sockets of User.
	KindUserEvent
	// KindCloseUser closes all sockets of User with Code and Reason.
	KindCloseUser
	// KindControl is a word of one node's hub to the hubs of the others, in Data. It
	// is of no app.
	KindControl
)

// Envelope is what an adapter carries between nodes. It is immutable once
// published.
type Envelope struct {
	Kind    EnvelopeKind    `json:"kind,omitempty"`
	App     string          `json:"app"`
	Channel string          `json:"channel,omitempty"`
	Event   string          `json:"event,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	// Except is the socket that must not get the event.
	Except string `json:"except,omitempty"`
	// Client marks an event that a client sent to the others of its channel.
	Client bool `json:"client,omitempty"`
	// UserID is the presence member that sent a client event.
	UserID string `json:"user_id,omitempty"`
	// User is the signed-in user that KindUserEvent and KindCloseUser address.
	User   string `json:"user,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Node is the hub that has published the envelope, by an id that no other hub
	// ever has, and Seq counts what that hub has published. Both are zero where
	// nobody asks for them.
	Node string `json:"node,omitempty"`
	Seq  uint64 `json:"seq,omitempty"`
}

// Topic is what a node may ask an adapter for: a channel of an app, or a user of
// one by the name of its channel. The zero Topic is that of KindControl.
type Topic struct{ App, Channel string }

// UserTopic is where the envelopes of a signed-in user are.
func UserTopic(app, user string) Topic { return Topic{app, ServerToUser + user} }

// Topic is where the envelope belongs.
func (e *Envelope) Topic() Topic {
	switch e.Kind {
	case KindControl:
		return Topic{}
	case KindUserEvent, KindCloseUser:
		return UserTopic(e.App, e.User)
	default:
		return Topic{e.App, e.Channel}
	}
}
