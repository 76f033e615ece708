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

	Cluster  ClusterSettings
	Socket   SocketSettings
	Limits   LimitSettings
	Presence PresenceSettings
	Recovery RecoverySettings
	History  HistorySettings
	Members  PresenceHistorySettings
	Versions VersionSettings
	// Annotations lets apps and namespaces switch annotations on (section 6.10). It
	// needs Versions. Default: off.
	Annotations bool
	Extras      ExtrasSettings
	Filters     FilterSettings
	Delta       DeltaSettings
	Idempotency IdempotencySettings
	Rate        RateSettings
	HTTP        HTTPSettings
	Webhooks    WebhookSettings
	// Push makes push notifications of events, as extras.push and rules ask for. Nil
	// takes extras.push out and ignores it. Default: none.
	Push Notifier
	// PushAPI serves what is below push/ of an app in the HTTP API. Nil means that there
	// is no such thing. Default: none.
	PushAPI SignedAPI
	Drivers Drivers

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
	// PingInterval is the silence of a V2 client after which the server sends a
	// control ping, at least half of ActivityTimeout (section 2.2). Zero sends none.
	// Default: 30s.
	PingInterval time.Duration
	// IdleTimeout closes a V2 socket with 1001 that has sent nothing for so long, not
	// even a pong. Zero never does. Default: 120s.
	IdleTimeout time.Duration
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

// PresenceSettings are those of members of presence channels.
type PresenceSettings struct {
	// Grace is how long a member of a V1 connection stays that was lost without a
	// closing handshake. Default: 0.
	Grace time.Duration
	// GraceV2 is the same for V2 connections. Default: 15s.
	GraceV2 time.Duration
	// UpdateRate is the number of presence updates of one member in a second. Default: 10.
	UpdateRate int
}

// RecoverySettings are those of the hot buffers from which clients resume (section
// 6.6). An app may have others.
type RecoverySettings struct {
	// Enabled numbers events and keeps the newest. Default: off.
	Enabled bool
	// BufferSize is the number of events kept of each channel, and the most that a
	// client may have missed. Default: 100.
	BufferSize int
	// TTL is how long an event is kept. Default: 120s.
	TTL time.Duration
	// MaxBytes bounds what is kept of one channel, in bytes. Default: 1 MiB.
	MaxBytes int
}

// HistorySettings are those of durable history. An app or a namespace may have others.
type HistorySettings struct {
	// Enabled keeps what is published. Default: off.
	Enabled bool
	// Rewind lets subscribers ask for the newest events (section 6.7). Default: on.
	Rewind bool
	// Retention is how long an event is kept. Default: 24h.
	Retention time.Duration
	// MaxItems is the number of events kept of one channel, and MaxBytes their size in
	// bytes. Zero means no bound. Default: 0.
	MaxItems int
	MaxBytes int64
	// PageSize is the most that one page or one rewind has. Default: 100.
	PageSize int
	// Deliver sends events to their subscribers although the store does not take them,
	// and marks the channel as degraded. Otherwise they are refused. Default: off.
	Deliver bool
	// Purge is the time between two looks for what is to go. Default: 300s.
	Purge time.Duration
}

// PresenceHistorySettings are those of the history of presence channels. An app or a
// namespace may have others.
type PresenceHistorySettings struct {
	// Enabled keeps who joins, changes and leaves. Default: off.
	Enabled bool
	// Retention is how long it is kept. Default: 24h.
	Retention time.Duration
	// MaxItems is the number of events kept of one channel, and MaxBytes their size in
	// bytes. Zero means no bound. Default: 0.
	MaxItems int
	MaxBytes int64
	// PageSize is the most that one page has. Default: 100.
	PageSize int
}

// VersionSettings are those of messages that can be changed (section 6.9).
type VersionSettings struct {
	// Enabled lets every event of a channel with history be changed. Default: off.
	Enabled bool
	// Retention is how long versions are kept. Zero means for ever. Default: 0.
	Retention time.Duration
	// PageSize is the most that one page of versions or annotations has. Default: 100.
	PageSize int
}

// ExtrasSettings say which of the extras of an event count (section 6.1).
type ExtrasSettings struct {
	// Ephemeral lets events pass that are neither numbered nor kept. Default: on.
	Ephemeral bool
	// Echo lets V2 clients say whether they get their own client events. While it is
	// off, all of them do. Default: on.
	Echo bool
	// EchoDefault is what counts for V2 clients that do not say. Default: on.
	EchoDefault bool
}

// FilterSettings are those of filters of V2 subscriptions (section 6.4).
type FilterSettings struct {
	// Events lets filters by event name act; while it is off they are ignored.
	// Default: on.
	Events bool
	// MaxEvents is the number of event names in one filter, 64 at most. Default: 50.
	MaxEvents int
	// MaxEventLength is the longest event name in a filter, in bytes, 256 at most.
	// Default: 200.
	MaxEventLength int
	// Tags lets filters by tags and by expressions act; while it is off they are
	// checked and ignored. Default: off.
	Tags bool
	// KeepTags leaves tags in the frames of V2 clients. Default: on.
	KeepTags bool
}

// DeltaSettings are those of delta compression (section 6.5).
type DeltaSettings struct {
	// Enabled lets V2 clients ask for deltas. Default: on.
	Enabled bool
	// Algorithm is "fossil" or "xdelta3". Default: fossil.
	Algorithm string
	// FullInterval is the number of deltas after which a full frame follows. Default: 10.
	FullInterval int
	// MinSize is the size of a frame's text, in bytes, below which it is sent in full.
	// Default: 100.
	MinSize int
	// MaxStateAge ends a sequence that was not used for so long. Default: 300s.
	MaxStateAge time.Duration
	// MaxChannels is the number of channels of one socket with sequences. Default: 100.
	MaxChannels int
	// MaxKeys is the number of conflation keys of one channel of a socket. Default: 100.
	MaxKeys int
	// KeyPath is where the conflation key of an event is found, a dotted path; empty
	// for none. Default: none.
	KeyPath string
	// OmitAlgorithm leaves the algorithm out of delta frames. Default: off.
	OmitAlgorithm bool
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
	Apps    storage.AppManager
	Adapter storage.Adapter
	Cache   storage.Cache
	// Streams is the cache again if nodes share it and it can number events for all of
	// them, else nil: each node then counts for itself.
	Streams     storage.Streams
	Queue       storage.Queue
	RateLimiter storage.RateLimiter
	// History keeps logs, nil while nothing is to be kept.
	History storage.History
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
			PingInterval: 30 * time.Second,
			IdleTimeout:  120 * time.Second,
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
		Presence: PresenceSettings{GraceV2: 15 * time.Second, UpdateRate: 10},
		Recovery: RecoverySettings{BufferSize: 100, TTL: 120 * time.Second, MaxBytes: 1 << 20},
		History:  HistorySettings{Rewind: true, Retention: 24 * time.Hour, PageSize: 100, Purge: 300 * time.Second},
		Members:  PresenceHistorySettings{Retention: 24 * time.Hour, PageSize: 100},
		Versions: VersionSettings{PageSize: 100},
		Extras:   ExtrasSettings{Ephemeral: true, Echo: true, EchoDefault: true},
		Filters:  FilterSettings{Events: true, MaxEvents: 50, MaxEventLength: 200, KeepTags: true},
		Delta: DeltaSettings{
			Enabled: true, Algorithm: "fossil", FullInterval: 10, MinSize: 100, MaxStateAge: 300 * time.Second, MaxChannels: 100, MaxKeys: 100,
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
