package push

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"time"

	"go.uber.org/zap"
)

// Provider is what the pipeline has to know of one push service. It has no state.
type Provider interface {
	Kind() Kind
	// CheckRecipient refuses an address that the service cannot have given, and names its
	// member. It may put it into the form in which it is kept.
	CheckRecipient(r *Recipient, p Policy) error
	// Render makes the payload of a notification, without what belongs to one device or to
	// the moment of sending.
	Render(c *Content) (json.RawMessage, error)
	// CheckPayload refuses a payload, rendered or written by the caller in place of that,
	// which the service would not take, and names the member.
	CheckPayload(payload json.RawMessage, override bool) error
	// CheckMaterial refuses credentials that cannot be used, and names the member but never
	// its content.
	CheckMaterial(material json.RawMessage) error
	// Connect makes a sender with credentials. It calls nobody.
	Connect(material json.RawMessage, o ConnectOptions) (Sender, error)
}

// Sender sends with one set of credentials. It is used by many goroutines at once.
type Sender interface {
	// Send makes one attempt: one request, not counting one for an access token. It is
	// bounded by ctx and by the timeout of its options.
	Send(ctx context.Context, n *Notification) Result
	// Close lets go of connections. Notifications under way are finished.
	Close()
}

// ConnectOptions are where and how a sender reaches its service.
type ConnectOptions struct {
	// Endpoint, unless it is empty, takes the place of the service's own address: scheme
	// and host, without a slash at the end.
	Endpoint string
	// TokenEndpoint, unless it is empty, takes the place of the URL at which access tokens
	// are fetched.
	TokenEndpoint string
	// Roots are the authorities of the service's certificate. Nil means the system's.
	Roots *x509.CertPool
	// AllowPrivate admits addresses that are not of the public network.
	AllowPrivate bool
	// Timeout bounds one request. Default: 10s.
	Timeout time.Duration
	// Connections bounds those to one host. Default: 64.
	Connections int
	Log         *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Policy is what recipients may be.
type Policy struct {
	// AllowLocal admits endpoints on this machine and in private networks.
	AllowLocal bool
	// AllowedHosts, unless it is empty, are the only hosts of endpoints. One that begins
	// with a dot is every host below it.
	AllowedHosts []string
	// DeniedHosts are hosts of no endpoint, written in the same way.
	DeniedHosts []string
}

// Module is a provider of a configuration.
type Module interface {
	Provider() Provider
	// Enabled reports whether the provider is switched on.
	Enabled() bool
	// Material are the credentials of the configuration, for apps that have none of their
	// own, or nil.
	Material() (json.RawMessage, error)
	// Options are where the service is, if that is elsewhere than usual.
	Options() (ConnectOptions, error)
}

// Content is a notification before it has the form of a provider. Placeholders have
// been replaced.
type Content struct {
	Title       string
	Body        string
	Icon        string // an https URL, or empty
	Sound       string
	CollapseKey string
	// Data is a JSON object, or nil.
	Data json.RawMessage
}

// Notification is one notification for one recipient.
type Notification struct {
	App       string
	PublishID string
	// Key names the notification to the recipient, the same in every attempt: 64 hexadecimal
	// digits.
	Key       string
	Recipient Recipient
	// Payload is what Render made, or what the caller wrote instead if Override is set.
	Payload  json.RawMessage
	Override bool
	// CollapseKey is the content's, after placeholders.
	CollapseKey string
	// Expires is when the service is to give up. It is never zero, and TTL is the time until
	// then, at least one second.
	Expires time.Time
	TTL     time.Duration
}

// Outcome is what has come of an attempt.
type Outcome string

// The outcomes (section 2).
const (
	Accepted  Outcome = "accepted"
	Rejected  Outcome = "rejected"
	Retryable Outcome = "retryable"
	Expired   Outcome = "expired"
	Cancelled Outcome = "cancelled"
)

// Class is why an attempt has failed.
type Class string

// The classes of failures (section 2).
const (
	DeviceTerminal    Class = "device_terminal"
	DeviceTransient   Class = "device_transient"
	ProviderTransient Class = "provider_transient"
	ProviderQuota     Class = "provider_quota"
	CredentialAuth    Class = "credential_auth" //nolint:gosec // a word for a failure
	CallerPayload     Class = "caller_payload"
	NetworkTransport  Class = "network_transport"
	UnknownFailure    Class = "unknown"
)

// Result is the answer to one attempt.
type Result struct {
	Outcome Outcome
	// Class is empty for an accepted one.
	Class Class
	// Reason is the service's word for what has happened, such as UNREGISTERED, or a short
	// text of our own. It never has anything of the request in it.
	Reason string
	// MessageID is the service's name of the message.
	MessageID string
	// RetryAfter is how long the service wants nobody to try again, or zero. If DeviceOnly is
	// set that is about the recipient alone, and otherwise about the credentials.
	RetryAfter time.Duration
	DeviceOnly bool
	// InvalidSince is when the recipient has become invalid, if the service tells.
	InvalidSince time.Time
	// Suspect says that a terminal failure may have another cause, such as an address of the
	// service's other environment: the device is set aside and not removed.
	Suspect bool
}
