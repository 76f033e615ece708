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
}
