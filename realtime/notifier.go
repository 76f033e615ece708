package realtime

import (
	"context"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Notifier makes push notifications of what backends publish. Events of clients and
// what the server says by itself never come here.
type Notifier interface {
	// Wants reports whether a rule asks for events of a name on a channel. Every event
	// of a backend waits for the answer: it is given without waiting and allocating.
	Wants(app, channel, event string) bool
	// Published takes an event that a rule asks for, after it was published. It waits for
	// nothing, and what becomes of the notification is its own affair.
	Published(app *storage.App, e protocol.PushEvent)
	// Push accepts what extras.push asks for on a channel, before the event is published.
	// It is bounded by ctx. An error refuses the event; one that has a PushRefusal in it
	// says how, and any other is a fault of the server.
	Push(ctx context.Context, app *storage.App, e protocol.PushEvent) error
}

// PushRefusal is an error of a Notifier that may be shown to whoever publishes.
type PushRefusal interface {
	error
	// Refusal is the status of the answer, from 400 to 599, the word for programs in its
	// envelope, and when to try again, zero for no such hint. The text of a 500 is not
	// shown.
	Refusal() (status int, code string, retryAfter time.Duration)
}

// WantsPush reports whether a rule of the notifier asks for an event of a backend. A
// notifier that fails asks for nothing.
func (l Live) WantsPush(app, channel, event string) (wanted bool) {
	if l.Settings.Push == nil {
		return false
	}
	defer l.Hub.Recovered("the rules of push notifications")
	return l.Settings.Push.Wants(app, channel, event)
}

// TellPush tells the notifier about an event that was published, whatever comes of it.
func (l Live) TellPush(app *storage.App, e protocol.PushEvent) {
	defer l.Hub.Recovered("push notifications of an event")
	l.Settings.Push.Published(app, e)
}

// PushIgnored counts an event with extras.push that notifies nobody, because there is
// no notifier.
func (h *Hub) PushIgnored(app string) { h.metrics.pushIgnored.WithLabelValues(app).Inc() }
