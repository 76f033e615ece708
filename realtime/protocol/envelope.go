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
	// KindRevoke closes all sockets whose capability token has the id Event or is of
	// the client User, on every node, whatever the node wants. An empty one is nobody's.
	KindRevoke
	// KindReset says that the history of a channel has begun anew.
	KindReset
	// KindAnnotation tells V2 subscribers of Channel what the annotations of a message
	// come to, which is Data, and those who want all of them the one in Extras.
	KindAnnotation

	lastKind = KindAnnotation
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
	// Tags, Extras and MessageID are for V2 clients. Extras is the JSON that
	// ParseExtras leaves.
	Tags      Tags            `json:"tags,omitempty"`
	Extras    json.RawMessage `json:"extras,omitempty"`
	MessageID string          `json:"message_id,omitempty"`
	// Stream and Serial are the position in the stream that nodes share. Without a
	// Stream each node counts for itself.
	Stream string `json:"stream,omitempty"`
	Serial uint64 `json:"serial,omitempty"`
	// Version is the Revision of a message that can be changed, in JSON, empty for others.
	Version json.RawMessage `json:"version,omitempty"`
	// Unstored marks an event that history should have kept and could not: who was not
	// there has missed it for good.
	Unstored bool `json:"unstored,omitempty"`
	// Pattern is the name of a pattern that matches Channel, if the envelope is for the
	// nodes with subscribers of the pattern.
	Pattern string `json:"pattern,omitempty"`
	// Ephemeral marks an event that is neither counted nor kept, and Full one that is
	// never sent as a delta.
	Ephemeral bool `json:"ephemeral,omitempty"`
	Full      bool `json:"full,omitempty"`
	// User is the signed-in user that KindUserEvent and KindCloseUser address, and the
	// client of KindRevoke.
	User   string `json:"user,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Once is the publisher's key of the event, empty for none: history takes it once.
	// It is for the publishing node, and not sent to others.
	Once string `json:"-"`
	// Publisher is the client that publishes, if it is known, for what history keeps.
	Publisher string `json:"-"`
	// Node is the hub that has published the envelope, by an id that no other hub
	// ever has, and Seq counts what that hub has published. Both are zero where
	// nobody asks for them.
	Node string `json:"node,omitempty"`
	Seq  uint64 `json:"seq,omitempty"`
}

// Topic is what a node may ask an adapter for: a channel of an app, or a user of
// one by the name of its channel. The zero Topic, that of KindControl and
// KindRevoke, comes to every node.
type Topic struct{ App, Channel string }

// UserTopic is where the envelopes of a signed-in user are.
func UserTopic(app, user string) Topic { return Topic{app, ServerToUser + user} }

// Topic is where the envelope belongs.
func (e *Envelope) Topic() Topic {
	switch e.Kind {
	case KindEvent:
		if e.Pattern != "" {
			return Topic{e.App, e.Pattern}
		}
		return Topic{e.App, e.Channel}
	case KindControl, KindRevoke:
		return Topic{}
	case KindUserEvent, KindCloseUser:
		return UserTopic(e.App, e.User)
	default:
		return Topic{e.App, e.Channel}
	}
}
