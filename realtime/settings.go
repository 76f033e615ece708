package realtime

import (
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Settings is one configuration of a hub: resolved, checked and immutable. Every
// field is named in ReloadEffects, which a test enforces.
type Settings struct {
	// NodeID names this process in the admin API and to other nodes.
	NodeID string
	// PublishOnly makes a node without sockets: it answers the HTTP API, and asks
	// other nodes for no channel. Default: off.
	PublishOnly bool
	// MaxConnections is the number of sockets on this node; over it a client gets
	// 4100. Zero means unlimited.
	MaxConnections int
	// ActivityTimeout is the silence after which the server pings a client, and is
	// announced to clients in whole seconds. Default: 120s.
	ActivityTimeout time.Duration
	// PongTimeout is the time a pinged client has to answer. Default: 30s.
	PongTimeout time.Duration
	// AuthenticationTimeout closes sockets of apps with user authentication that
	// have neither signed in nor joined a signed channel. Default: 3600s.
	AuthenticationTimeout time.Duration
	// HealthTimeout bounds each dependency check of /up. Default: 2s.
	HealthTimeout time.Duration
	// DrainPeriod spreads the closing of sockets at exit. Default: 5s.
	DrainPeriod time.Duration
	// DrainTimeout ends the drain, whatever is left. Default: 10s.
	DrainTimeout time.Duration

	Cluster     ClusterSettings
	Socket      SocketSettings
	Limits      LimitSettings
	Idempotency IdempotencySettings
	Rate        RateSettings
	HTTP        HTTPSettings
	Webhooks    WebhookSettings
	Drivers     Drivers

	// Log is the logger of this configuration.
	Log *zap.Logger
}

// ClusterSettings are those of a hub with an adapter between nodes.
type ClusterSettings struct {
	// Off keeps presence, counts and users to each node: nodes exchange events only.
	Off bool
	// Heartbeat is the time between two signs of life. Default: 3s.
	Heartbeat time.Duration
	// NodeTimeout is the silence after which another node is gone, with its members
	// and counts. It is at least three times the heartbeat. Default: 10s.
	NodeTimeout time.Duration
	// Cleanup is how often a node looks for others that are gone. Default: 1s.
	Cleanup time.Duration
}

// SocketSettings bound one connection.
type SocketSettings struct {
	// MaxPayload is the largest inbound message, in bytes; over it the socket is
	// closed with 1009. Default: 64 KiB.
	MaxPayload int64
	// MaxMessages bounds the outbound queue of a socket, in frames. Zero means no
	// bound of this kind. Default: 1000.
	MaxMessages int
	// MaxBytes bounds the outbound queue of a socket, in bytes. Zero means no bound
	// of this kind. Default: 1 MiB.
	MaxBytes int
	// MaxChannels bounds the subscriptions of a socket; over it one is refused with
	// 4100. Zero means no bound. Default: 10000.
	MaxChannels int
	// DropWhenFull drops what does not fit instead of closing the socket with 4100.
	DropWhenFull bool
	// WriteTimeout closes a socket that takes nothing for so long while frames
	// wait for it. Default: 10s.
	WriteTimeout time.Duration
}

// LimitSettings are the hub's limits, for apps that have none of their own.
type LimitSettings struct {
	// ChannelNameLength is in bytes. Default: 200.
	ChannelNameLength int
	// EventNameLength is in bytes. Default: 200.
	EventNameLength int
	// EventPayload bounds the data of one event, in bytes. Default: 100 KiB.
	EventPayload int
	// EventChannels is the number of channels of one event. Default: 100.
	EventChannels int
	// EventBatch is the number of events in one batch. Default: 10.
	EventBatch int
	// PresenceMembers is the number of users in one presence channel. Default: 100.
	PresenceMembers int
	// PresenceMemberSize bounds user_info, in bytes. Default: 2 KiB.
	PresenceMemberSize int
	// Watchlist is the number of watched users of one user. Default: 100.
	Watchlist int
	// CacheTTL is how long a cache channel keeps its last event. Default: 3600s.
	CacheTTL time.Duration
}

// IdempotencySettings are those of idempotent publishes.
type IdempotencySettings struct {
	// Enabled makes keys count. Default: on.
	Enabled bool
	// TTL is how long a key is remembered. Default: 120s.
	TTL time.Duration
	// MaxKeyLength is in bytes. Default: 128.
	MaxKeyLength int
}

// RateSettings are the limits per client address and the default event rates.
// A zero limit is off.
type RateSettings struct {
	// API limits HTTP calls under /apps/ per client address.
	API Rate
	// Upgrades limits socket handshakes per client address.
	Upgrades Rate
	// ConnectionsPerIP is the number of open sockets of one client address.
	ConnectionsPerIP int
	// EventsPerSecond limits client events of one socket, and events published
	// over HTTP for one app, where the app sets no limit of its own.
	EventsPerSecond int
	// SkipPrivate leaves loopback and private client addresses alone. It is set
	// when no limiter was configured: such an address is most likely a proxy that
	// is missing from trusted_proxies, and limiting it would put all its users
	// into one bucket.
	SkipPrivate bool
	// FailOpen admits everything while the rate limiter's store is down.
	FailOpen bool
}

// On reports whether anything is limited.
func (r RateSettings) On() bool {
	return r.API.On() || r.Upgrades.On() || r.ConnectionsPerIP > 0 || r.EventsPerSecond > 0
}

// Rate is a number of events in a window.
type Rate struct {
	Max    int
	Window time.Duration
}

// On reports whether the rate limits anything.
func (r Rate) On() bool { return r.Max > 0 && r.Window > 0 }

// HTTPSettings are those of the signed HTTP API.
type HTTPSettings struct {
	// MaxBody is the largest request body, in bytes. Default: 10 MiB.
	MaxBody int64
	// Usage serves /usage and /stats on the site. Default: off; the admin API
	// always has them.
	Usage bool
	// CORS answers cross-origin requests.
	CORS CORSSettings
}

// CORSSettings answer cross-origin requests to the HTTP API.
type CORSSettings struct {
	// Origins are patterns as for an app's allowed origins. Default: any.
	Origins []string
	// Methods default to GET, POST, PUT, PATCH, DELETE and OPTIONS.
	Methods []string
	// Headers that a cross-origin request may carry.
	Headers []string
	// Credentials are never allowed together with a wildcard origin.
	Credentials bool
}

// WebhookSettings are those of what is told outside.
type WebhookSettings struct {
	// Sink takes the events. Nil means that nobody is told anything.
	Sink WebhookSink
	// Debounce is how long a channel has to be empty, or a member gone, before
	// channel_vacated and member_removed say so. Zero says so at once. Default: 3s.
	Debounce time.Duration
}

// WebhookSink takes what webhooks tell.
type WebhookSink interface {
	// Tell takes events of an app in their order, without waiting for anything.
	// settled, unless nil, is called once, from any goroutine and also from Tell
	// itself: with true when all events are kept safely or no webhook asks for them,
	// and with false when they are lost, so that the caller may tell again.
	Tell(app string, events []protocol.WebhookEvent, settled func(kept bool))
}

// Drivers are the running resources of a configuration. They are opened and
// closed by the caller.
type Drivers struct {
	Apps        storage.AppManager
	Adapter     storage.Adapter
	Cache       storage.Cache
	Queue       storage.Queue
	RateLimiter storage.RateLimiter
}

// DefaultSettings are the settings of a hub that says nothing, without drivers.
func DefaultSettings() Settings {
	return Settings{
		ActivityTimeout:       120 * time.Second,
		PongTimeout:           30 * time.Second,
		AuthenticationTimeout: 3600 * time.Second,
		HealthTimeout:         2 * time.Second,
		DrainPeriod:           5 * time.Second,
		DrainTimeout:          10 * time.Second,
		Cluster:               ClusterSettings{Heartbeat: 3 * time.Second, NodeTimeout: 10 * time.Second, Cleanup: time.Second},
		Socket: SocketSettings{
			MaxPayload:   64 << 10,
			MaxMessages:  1000,
			MaxBytes:     1 << 20,
			MaxChannels:  10000,
			WriteTimeout: 10 * time.Second,
		},
		Limits: LimitSettings{
			ChannelNameLength:  200,
			EventNameLength:    200,
			EventPayload:       100 << 10,
			EventChannels:      100,
			EventBatch:         10,
			PresenceMembers:    100,
			PresenceMemberSize: 2 << 10,
			Watchlist:          100,
			CacheTTL:           3600 * time.Second,
		},
		Idempotency: IdempotencySettings{Enabled: true, TTL: 120 * time.Second, MaxKeyLength: 128},
		Rate: RateSettings{
			API:         Rate{100, 60 * time.Second},
			Upgrades:    Rate{20, 60 * time.Second},
			SkipPrivate: true,
		},
		HTTP: HTTPSettings{
			MaxBody: 10 << 20,
			CORS: CORSSettings{
				Origins: []string{"*"},
				Methods: []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
				Headers: []string{"Authorization", "Content-Type", "X-Requested-With", "Accept", "X-Idempotency-Key"},
			},
		},
		Webhooks: WebhookSettings{Debounce: 3 * time.Second},
		Log:      zap.NewNop(),
	}
}
