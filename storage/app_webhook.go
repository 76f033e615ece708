package storage

import (
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Webhook is an endpoint that is told what happens in an app (HTTP API section
// 9.3).
type Webhook struct {
	// URL is where requests are posted. Empty means that Lambda is invoked.
	URL string
	// Lambda is an AWS function, or nil.
	Lambda *Lambda
	// EventTypes are the names of the events that are told.
	EventTypes []string
	// Filter says of which channels. The zero value is any.
	Filter WebhookFilter
	// Headers are sent beside those of every request.
	Headers map[string]string
	// Timeout bounds one attempt. Zero means the hub's.
	Timeout time.Duration
	// Retry overrides the hub's, or is nil.
	Retry *WebhookRetry
}

// Lambda is a function of AWS.
type Lambda struct{ FunctionName, Region string }

// WebhookFilter says of which channels a webhook is told. All fields that are set
// have to agree.
type WebhookFilter struct {
	Prefix, Suffix string
	// Pattern is a regular expression for the whole name.
	Pattern string
	// Namespaces stand before the first colon, after the prefix of the type.
	Namespaces []string
}

// WebhookRetry says how often and how long a request that fails is tried again.
type WebhookRetry struct {
	// Off makes one attempt the only one.
	Off bool
	// MaxAttempts counts all attempts. Zero means the hub's.
	MaxAttempts int
	// MaxElapsed ends the attempts, counted from the first. Zero means the hub's.
	MaxElapsed time.Duration
	// InitialBackoff is the pause before the second attempt, which doubles up to
	// MaxBackoff. Zero means the hub's.
	InitialBackoff, MaxBackoff time.Duration
}

// WebhookEvents are the events that any webhook of the app asks for.
func (a *App) WebhookEvents() (s protocol.WebhookSet) {
	for i := range a.Webhooks {
		s |= protocol.WebhookSetOf(a.Webhooks[i].EventTypes...)
	}
	return s
}
