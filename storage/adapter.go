package storage

import (
	"context"
	"time"

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

// Clustered is an Adapter that reaches other nodes.
//
// What this node publishes reaches its own subscribers from Publish itself, in the
// order of the calls, whether the others can be reached or not. While they cannot,
// an envelope that this node could not send is dropped and counted, and Publish
// is no error: what waits is bounded. An envelope that the engine would refuse for
// its size is ErrTooLarge and reaches nobody.
type Clustered interface {
	Adapter
	// Want asks for what other nodes publish on topics, besides the zero Topic, which
	// comes in any case. It returns when all that is published from then on arrives;
	// while the engine is away it returns at once, and the topics are asked for when
	// the engine is back. Asking again changes nothing. An error is that of the
	// context, or ErrClosed.
	Want(ctx context.Context, topics ...protocol.Topic) error
	// Unwant ends that, at once or some time later. It does not wait for anything.
	Unwant(topics ...protocol.Topic)
	// WatchLink calls changed when the connection to the engine is lost, and when it
	// is back and every wanted topic has been asked for: what others published in
	// between is lost. stop ends it. changed must not block.
	WatchLink(changed func(up bool)) (stop func())
	// Echo sends a probe through the engine to this node, and tells how long it took.
	Echo(ctx context.Context) (time.Duration, error)
}
