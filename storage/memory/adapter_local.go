package memory

import (
	"context"
	"fmt"

	"github.com/sockudo/caddy-sockudo/internal/rounds"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Local is the adapter of a node that is alone. Publish calls the subscribers
// itself and returns when they have, so the order of one publisher is kept
// without a queue.
//
// A subscriber must not wait for a leave from inside its deliver: the leave waits
// for that very delivery.
type Local struct {
	subscribers *rounds.Subscribers[*protocol.Envelope]
}

// NewLocal makes an adapter without subscribers.
func NewLocal() *Local { return &Local{rounds.New[*protocol.Envelope]()} }

// Publish delivers e to every subscriber and returns when they have it.
func (a *Local) Publish(ctx context.Context, e *protocol.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !a.subscribers.Deliver(e) {
		return fmt.Errorf("local adapter: %w", storage.ErrClosed)
	}
	return nil
}

// Subscribe registers deliver under the name of a subscriber. Of several
// registrations with one name the newest that has not been left is called: when
// a hub is replaced by another of its name, the new one gets the events at once.
// Leaving twice counts once.
func (a *Local) Subscribe(subscriber string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	leave, ok := a.subscribers.Add(subscriber, deliver)
	if !ok {
		return nil, fmt.Errorf("local adapter: %w", storage.ErrClosed)
	}
	return leave, nil
}

// Close refuses further calls. It does not wait for deliveries; a leave does.
func (a *Local) Close() error {
	a.subscribers.Close()
	return nil
}
