package storage

import (
	"context"
	"time"
)

// AppManager finds app records. Implementations return ErrNotFound for an app
// that does not exist and any other error when they cannot tell.
//
// Returned apps are shared and must not be changed.
type AppManager interface {
	// AppByKey finds an app by its public key, the one in the socket path.
	AppByKey(ctx context.Context, key string) (*App, error)
	// AppByID finds an app by its id, the one in the HTTP path.
	AppByID(ctx context.Context, id string) (*App, error)
	// Apps lists all apps, ordered by id.
	Apps(ctx context.Context) ([]*App, error)
	Close() error
}

// AppEditor is an AppManager whose records can be changed.
type AppEditor interface {
	// PutApp stores an app under its id. It is ErrConflict if the record that is
	// there is not of the given version, see AppVersion; NoVersion demands that there
	// is none, AnyVersion overwrites. A key that another app has is ErrKeyTaken. An
	// app that CheckApp refuses is an error and changes nothing.
	PutApp(ctx context.Context, app *App, version string) error
	// DeleteApp removes an app. It is ErrNotFound if there is none, and ErrConflict
	// if it is not of the given version.
	DeleteApp(ctx context.Context, id, version string) error
}

// Versions that are not those of a record.
const (
	// NoVersion is the version of a record that does not exist.
	NoVersion = ""
	// AnyVersion matches every record, and none.
	AnyVersion = "*"
)

// AppWatcher is an AppManager that hears of changes, also those that other nodes
// make.
type AppWatcher interface {
	// WatchApps calls changed with the id of an app that has changed or is gone, and
	// with an empty id when any of them may have, until stop is called. It returns at
	// once. changed must not block.
	WatchApps(changed func(id string)) (stop func())
}

// AppFollowed is an AppManager that keeps records and finds out by itself when
// they change.
type AppFollowed interface {
	// FollowApps registers somebody who uses records beyond a lookup: inUse tells
	// which, so that they are kept up to date, and changed is called with the id of
	// one that has changed or is gone, until stop is called. Neither must block.
	FollowApps(inUse func(id string) bool, changed func(id string)) (stop func())
}

// App is one tenant: credentials and policy. A zero limit means that the hub's
// own default counts, unless the field says otherwise.
type App struct {
	// ID appears in HTTP paths.
	ID string
	// Key appears in socket paths and signatures. It is public.
	Key string
	// Secret signs. It never leaves the server.
	Secret string
	// PreviousSecrets are secrets that were replaced and are still good for a while.
	PreviousSecrets []PreviousSecret
	// Enabled admits sockets and HTTP calls. A disabled app answers 4003 and 403.
	Enabled bool

	Limits   AppLimits
	Features AppFeatures

	// AllowedOrigins are the patterns an Origin header must match. Empty means no check.
	AllowedOrigins []string
	// Namespaces are the channel namespaces, by name.
	Namespaces map[string]*Namespace
	// Idempotency overrides the hub's setting of idempotent publishes.
	Idempotency AppIdempotency
	// Recovery overrides the hub's setting of recovery.
	Recovery AppRecovery
	// History and PresenceHistory override the hub's settings.
	History         AppHistory
	PresenceHistory AppHistory
	// Annotations switches annotations on in all channels, if the hub has them. Nil
	// means off.
	Annotations *bool
	// Delta says how channels are delta compressed, by channel name or pattern with
	// one '*'. What is not named here follows the hub.
	Delta map[string]ChannelDelta
	// Webhooks are told what happens in the app.
	Webhooks []Webhook

	// Stored is the policy as the store keeps it, in JSON, or nil. What this version
	// has no use for is taken from there when the record is written again.
	Stored []byte
}

// PreviousSecret is a secret that was replaced.
type PreviousSecret struct {
	Secret string
	// Until is when it stops being good, in whole seconds.
	Until time.Time
}

// Secrets are the secrets that verify a signature at a moment, the newest first.
func (a *App) Secrets(now time.Time) []string {
	secrets := []string{a.Secret}
	for _, p := range a.PreviousSecrets {
		if now.Before(p.Until) {
			secrets = append(secrets, p.Secret)
		}
	}
	return secrets
}

// AppLimits are the numeric limits of one app.
type AppLimits struct {
	// MaxConnections is the number of open sockets. Zero means unlimited.
	MaxConnections int
	// MaxClientEventsPerSecond counts client events of one socket in DecaySeconds.
	// Zero means the hub's events_per_second, if any.
	MaxClientEventsPerSecond int
	// MaxBackendEventsPerSecond counts events published over HTTP. Zero means the
	// hub's events_per_second, if any.
	MaxBackendEventsPerSecond int
	// MaxReadRequestsPerSecond counts HTTP GET calls. Zero means unlimited.
	MaxReadRequestsPerSecond int
	// MaxPresenceMembersPerChannel counts distinct users. Zero means the hub's default.
	MaxPresenceMembersPerChannel int
	// MaxPresenceMemberSizeInKB bounds user_info, in KiB. Zero means the hub's default.
	MaxPresenceMemberSizeInKB int
	// MaxChannelNameLength is in bytes. Zero means the hub's default.
	MaxChannelNameLength int
	// MaxEventChannelsAtOnce is the number of channels of one event. Zero means the hub's default.
	MaxEventChannelsAtOnce int
	// MaxEventNameLength is in bytes. Zero means the hub's default.
	MaxEventNameLength int
	// MaxEventPayloadInKB bounds the data of one event, in KiB. Zero means the hub's default.
	MaxEventPayloadInKB int
	// MaxEventBatchSize is the number of events in one batch. Zero means the hub's default.
	MaxEventBatchSize int
	// DecaySeconds is the window of the client-event limit. Zero means one second.
	DecaySeconds int
	// TerminateOnLimit closes a socket that exceeds its client-event limit.
	TerminateOnLimit bool
	// MessageRate limits all inbound messages of a socket. Nil means no limit.
	MessageRate *MessageRate
}

// MessageRate is a fixed-window limit on the inbound messages of one socket.
type MessageRate struct {
	// MaxAttempts is the number of messages admitted in one window.
	MaxAttempts int
	// Decay is the length of the window.
	Decay time.Duration
	// Terminate closes the socket instead of answering with an error.
	Terminate bool
}

// AppFeatures are the switches of one app. All are off by default.
type AppFeatures struct {
	// ClientMessages admits client events.
	ClientMessages bool
	// UserAuthentication admits signin and starts the authorization timer.
	UserAuthentication bool
	// WatchlistEvents tells watchers when users come online or go offline.
	WatchlistEvents bool
	// SubscriptionCount sends subscription_count events on non-presence channels.
	SubscriptionCount bool
}

// AppIdempotency overrides the hub's setting. Nil and zero mean the hub's own.
type AppIdempotency struct {
	Enabled *bool
	TTL     time.Duration
}

// AppRecovery overrides the hub's setting. Nil and zero mean the hub's own.
type AppRecovery struct {
	Enabled    *bool
	TTL        time.Duration
	BufferSize int
}

// AppHistory overrides the hub's setting of one kind of history, for an app or a
// namespace. Nil and zero mean what counts without it.
type AppHistory struct {
	// Enabled is not for the history of events in a namespace.
	Enabled *bool
	// Rewind is for the history of events alone.
	Rewind *bool
	// Retention is in whole seconds.
	Retention time.Duration
	MaxItems  int
	MaxBytes  int64
}

// ChannelDelta is how one channel, or the channels of a pattern, are delta
// compressed.
type ChannelDelta struct {
	// Disabled sends full frames only.
	Disabled bool
	// Algorithm is "fossil" or "xdelta3"; empty means the hub's.
	Algorithm string
	// ConflationKey is where the conflation key of an event is found, a dotted path;
	// empty means the hub's.
	ConflationKey string
	// MaxConflationKeys is the number of conflation keys of one socket. Zero means the
	// hub's.
	MaxConflationKeys int
	// DropTags leaves tags out of the frames of V2 clients.
	DropTags bool
}

// Namespace is the policy of the channels whose logical name starts with
// "<name>:".
type Namespace struct {
	// Name stands before the first colon of the logical channel name.
	Name string
	// Pattern is a regular expression for the logical name without a user list.
	// Empty means any.
	Pattern string
	// MaxChannelNameLength is in bytes. Zero means the app's limit.
	MaxChannelNameLength int
	// AllowUserLimitedChannels admits names such as "ns:room#u1,u2".
	AllowUserLimitedChannels bool
	// NoSubscribe, NoPublish and NoPresence refuse V2 clients what they are named
	// after: subscriptions, client events, and presence subscriptions.
	NoSubscribe, NoPublish, NoPresence bool
	// History and PresenceHistory override the app's, and Annotations, unless it is nil,
	// what the app says.
	History, PresenceHistory AppHistory
	Annotations              *bool

	// Match is Pattern compiled, set by Compile.
	Match func(string) bool
}
