package webhooks

import (
	"context"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// message is one request on its way.
type message struct {
	app     *storage.App
	to      *endpoint
	id      string // of the job
	body    []byte
	timeout time.Duration
}

// sender is a kind of target. A call is bounded by the context and by itself.
type sender interface {
	send(ctx context.Context, m *message) result
}

// verdict is what a request has led to.
type verdict int

const (
	delivered verdict = iota
	// failed requests may be tried again.
	failed
	// refused ones may not: the receiver has decided.
	refused
	// aborted ones have been cut off from here.
	aborted
)

// result is the end of one request.
type result struct {
	verdict verdict
	// reason says why it was not delivered. It shows nothing of the target.
	reason string
	// class is the reason as a label of metrics.
	class string
	// gone says that the endpoint wants no more requests.
	gone bool
	// after is what the answer asks to wait, zero for nothing.
	after time.Duration
}
