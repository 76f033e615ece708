package protocol

import "encoding/json"

// PushEvent is an event that a backend publishes, as push notifications are made of
// it.
type PushEvent struct {
	Channel, Name string
	// ID names what the event asks for on the channel: the same when a publish with an
	// idempotency key is repeated, so that it notifies nobody twice. It is empty for an
	// event without a key. Rules and Payload have ids of their own; who makes several
	// notifications of one event must tell them apart.
	ID string
	// Data is what subscribers get: a JSON string, see EventData. It is never changed.
	Data json.RawMessage
	// Payload is extras.push, a JSON object that has not been looked into, nil where an
	// event is told for the sake of rules. It is never changed.
	Payload json.RawMessage
}
