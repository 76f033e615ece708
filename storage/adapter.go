package storage

import (
	"context"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Adapter carries envelopes to every node of a cluster, this one included. It
// keeps the order in which one node published on one channel.
type Adapter interface {
	// Publish hands an envelope to every subscriber of every node. It returns
	// when the envelope is accepted. The adapter does not change it, and neither
	// may a subscriber.
	Publish(ctx context.Context, e *protocol.Envelope) error
	// Subscribe registers deliver for every envelope published from now on.
	// Registrations are counted by the adapter per subscriber name: a second
	// Subscribe with an equal name adds no second delivery, and only the last
	// leave ends it. leave waits, bounded by its context, until what was
	// published through this adapter before has been delivered.
	Subscribe(subscriber string, deliver func(*protocol.Envelope)) (leave func(context.Context) error, err error)
	Close() error
}
