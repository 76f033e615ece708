package sockudo

import (
	"encoding/json"
)

// HubConfig is what one configuration says about a hub. Every word of it is the
// same in JSON and in a Caddyfile.
//
// Wherever a value is text, a number, a duration, a size or a switch, it may be
// or contain the placeholders {env.*}, {file.*} and {system.*}. They are expanded
// when the configuration is loaded; one that expands to nothing is an error.
type HubConfig struct {
	// EnvOverrides lets environment variables such as SOCKUDO_DEFAULT_APP_ID and
	// ADAPTER_DRIVER override what is written here. Default: on.
	EnvOverrides Switch `json:"env_overrides,omitempty"`

	// Mode is "production" or "development". In production mode, credentials that
	// everybody knows from the documentation are warned about. Default: production.
	Mode string `json:"mode,omitempty" words:"production development"`

	// Role is "default", or "api" for a node that publishes and answers the HTTP API
	// and takes no sockets. Default: default.
	Role string `json:"role,omitempty" words:"default api"`

	// NodeID names this process to other nodes and in the admin API. Default: a
	// random name that lasts as long as the process.
	NodeID string `json:"node_id,omitempty"`

	// MaxConnections is the number of open sockets on this node; over it a client
	// is refused with 4100 and comes back later. Default: 0, unlimited.
	MaxConnections Number `json:"max_connections,omitempty"`

	// ActivityTimeout is the silence of a client after which the server pings it.
	// Clients are told it in whole seconds. Default: 120s.
	ActivityTimeout Duration `json:"activity_timeout,omitempty" min:"1s"`

	// AuthenticationTimeout closes sockets with 4009 that have not been authorized
	// by then, of apps with user authentication. Default: 3600s.
	AuthenticationTimeout Duration `json:"authentication_timeout,omitempty" min:"1s"`

	// HealthTimeout bounds each dependency check of /up. Default: 2s.
	HealthTimeout Duration `json:"health_timeout,omitempty" min:"1ms"`

	// DrainPeriod is the time over which sockets are closed when the process ends,
	// so that clients do not all come back at once. Default: 5s.
	DrainPeriod Duration `json:"drain_period,omitempty"`

	// DrainTimeout is when the process goes on to end, whatever is still open. It
	// must not be shorter than the drain period. Default: 10s, or the drain period
	// and 5s if that is more.
	DrainTimeout Duration `json:"drain_timeout,omitempty"`

	// Usage serves /usage and /stats to everybody on this site. The admin API has
	// them in any case. Default: off.
	Usage Switch `json:"usage,omitempty"`

	// Events are names such as sockudo.connected that are emitted into Caddy's events app
	// although its configuration subscribes to none: for modules that subscribe by
	// themselves. Default: none but those of subscriptions.
	Events []string `json:"events,omitempty"`

	// Apps are the apps that are written here. In a Caddyfile each is a block
	// "app ID". Default: none.
	Apps []*AppConfig `json:"apps,omitempty"`

	// AppManagerRaw selects where app records come from, a module in the namespace
	// sockudo.app_managers. Default: memory, which holds the apps of this
	// configuration.
	AppManagerRaw json.RawMessage `json:"app_manager,omitempty" caddy:"namespace=sockudo.app_managers inline_key=driver"`

	// AppCache keeps app records that come from a store.
	AppCache *AppCacheConfig `json:"app_cache,omitempty"`

	// Database are the connection settings of databases, by driver. A driver that is
	// selected without any of its own uses those. Default: none.
	Database Databases `json:"database,omitempty"`

	// AdapterRaw selects what carries events between nodes, a module in the
	// namespace sockudo.adapters. Default: local, for one node.
	AdapterRaw json.RawMessage `json:"adapter,omitempty" caddy:"namespace=sockudo.adapters inline_key=driver"`

	// Cluster says how nodes watch each other that an adapter joins.
	Cluster *ClusterConfig `json:"cluster_health,omitempty"`

	// CacheRaw selects what keeps the last events of cache channels, revocations of tokens and the keys of
	// idempotent publishes, a module in the namespace sockudo.caches. Default: memory.
	CacheRaw json.RawMessage `json:"cache,omitempty" caddy:"namespace=sockudo.caches inline_key=driver"`

	// QueueRaw selects what runs jobs in the background, a module in the namespace
	// sockudo.queues. Without it no queue is opened unless something makes jobs.
	// Default: sqlite, which keeps them over a crash.
	QueueRaw json.RawMessage `json:"queue,omitempty" caddy:"namespace=sockudo.queues inline_key=driver"`

	// History keeps what is published on channels. Other versions of messages, annotations
	// and the history of presence channels are kept there too. Default: off.
	History *HistoryConfig `json:"history,omitempty"`

	// PresenceHistory keeps who joins presence channels, changes and leaves. Default: off.
	PresenceHistory *PresenceHistoryConfig `json:"presence_history,omitempty"`

	// Versions lets messages be changed after they were published. Default: off.
	Versions *VersionsConfig `json:"versioned_messages,omitempty"`

	// Annotations lets apps and namespaces switch annotations of messages on. Default: off.
	Annotations *AnnotationsConfig `json:"annotations,omitempty"`

	// RateLimiter limits handshakes, HTTP calls, sockets and events. Default, when
	// there is no such block: 100 HTTP calls and 20 handshakes per minute and
	// client address, loopback and private addresses excepted.
	RateLimiter *RateLimiterConfig `json:"rate_limiter,omitempty"`

	// WebSocket bounds one connection.
	WebSocket *WebSocketConfig `json:"websocket,omitempty"`

	// CORS answers cross-origin requests to the HTTP API.
	CORS *CORSConfig `json:"cors,omitempty"`

	// HTTP bounds requests to the HTTP API.
	HTTP *HTTPConfig `json:"http,omitempty"`

	// ChannelLimits hold for apps that have no limits of their own.
	ChannelLimits *ChannelLimitsConfig `json:"channel_limits,omitempty"`

	// EventLimits hold for apps that have no limits of their own.
	EventLimits *EventLimitsConfig `json:"event_limits,omitempty"`

	// Presence bounds presence channels of apps that have no limits of their own, and
	// says when a member that was lost is gone.
	Presence *PresenceConfig `json:"presence,omitempty"`

	// Recovery numbers events and keeps the newest of each channel, so that V2 clients
	// which come back get what they have missed. Default: off.
	Recovery *RecoveryConfig `json:"recovery,omitempty"`

	// Ephemeral lets an event say that it is neither numbered nor kept. Default: on.
	Ephemeral Switch `json:"ephemeral,omitempty"`

	// Echo says whether V2 clients get their own client events.
	Echo *EchoConfig `json:"echo_control,omitempty"`

	// EventFilter bounds filters of V2 subscriptions by the names of events. Default: on.
	EventFilter *EventFilterConfig `json:"event_name_filtering,omitempty"`

	// TagFilter lets filters of V2 subscriptions by tags and by expressions act.
	// Default: off.
	TagFilter *TagFilterConfig `json:"tag_filtering,omitempty"`

	// Delta says how V2 clients that ask for it get differences instead of whole events.
	// Default: on.
	Delta *DeltaConfig `json:"delta_compression,omitempty"`

	// Idempotency makes repeated publishes with one key count once.
	Idempotency *IdempotencyConfig `json:"idempotency,omitempty"`

	// Webhooks says how apps' webhooks are sent. Default: as soon as an app of this
	// configuration has any.
	Webhooks *WebhooksConfig `json:"webhooks,omitempty"`

	// Push sends notifications to devices that need not be connected. Default: off.
	Push *PushConfig `json:"push,omitempty"`

	// PushRules make notifications of realtime events. They act while push is on. In a
	// Caddyfile each is written as push_rule PATTERN { … }. Default: none.
	PushRules []*PushRuleConfig `json:"push_rules,omitempty"`

	// Console is the debug console. Default: off.
	Console *ConsoleConfig `json:"console,omitempty"`

	// Metrics are the collectors of this hub.
	Metrics *MetricsConfig `json:"metrics,omitempty"`
}

// WebSocketConfig bounds one connection.
type WebSocketConfig struct {
	// MaxMessages bounds the outbound queue of a socket, in frames; "none" removes
	// the bound. Default: 1000.
	MaxMessages Number `json:"max_messages,omitempty" none:"yes"`

	// MaxBytes bounds the outbound queue of a socket, in bytes; "none" removes the
	// bound. Default: 1MiB.
	MaxBytes Size `json:"max_bytes,omitempty" none:"yes"`

	// OnBufferFull says what happens to a socket whose queue is full: "disconnect"
	// closes it with 4100, "drop" drops what does not fit. Default: disconnect.
	OnBufferFull string `json:"on_buffer_full,omitempty" words:"disconnect drop"`

	// MaxChannels is the number of channels one socket may be subscribed to; over it
	// a subscription is refused with 4100. "none" removes the bound. Default: 10000.
	MaxChannels Number `json:"max_channels,omitempty" none:"yes"`

	// MaxPayload is the largest inbound message, in bytes; over it the socket is
	// closed with 1009. Default: 64KiB.
	MaxPayload Size `json:"max_payload,omitempty" min:"1"`

	// AutoPing lets the server send control pings to V2 clients; off is the same as a
	// ping_interval of off. Default: on.
	AutoPing Switch `json:"auto_ping,omitempty"`

	// PingInterval is the silence of a V2 client after which the server sends a control
	// ping, but not before half of the activity timeout; off or 0 sends none. Default:
	// 30s.
	PingInterval Duration `json:"ping_interval,omitempty" min:"1s" none:"yes"`

	// IdleTimeout closes a V2 socket with 1001 that has sent nothing for so long, not
	// even a pong; off or 0 never does. Default: 120s.
	IdleTimeout Duration `json:"idle_timeout,omitempty" min:"1s" none:"yes"`
}

// CORSConfig answers cross-origin requests to the HTTP API.
type CORSConfig struct {
	// Origins are patterns as for an app's allowed_origins. Default: any origin.
	Origins []string `json:"origins,omitempty"`

	// Methods are the methods that a cross-origin request may use. Default: GET,
	// POST, PUT, PATCH, DELETE and OPTIONS.
	Methods []string `json:"methods,omitempty"`

	// Headers are the headers that a cross-origin request may carry. Default:
	// Authorization, Content-Type, X-Requested-With, Accept and X-Idempotency-Key.
	Headers []string `json:"headers,omitempty"`

	// Credentials admits cookies. It needs origins that are not any. Default: off.
	Credentials Switch `json:"credentials,omitempty"`
}

// HTTPConfig bounds requests to the HTTP API.
type HTTPConfig struct {
	// MaxBody is the largest request body, in bytes. Default: 10MiB.
	MaxBody Size `json:"max_body,omitempty" min:"1"`
}

// ChannelLimitsConfig hold for apps that have no limits of their own.
type ChannelLimitsConfig struct {
	// MaxNameLength is the longest channel name, in bytes. Default: 200.
	MaxNameLength Number `json:"max_name_length,omitempty" min:"1"`

	// CacheTTL is how long a cache channel keeps its last event. Default: 3600s.
	CacheTTL Duration `json:"cache_ttl,omitempty" min:"1ms"`
}

// EventLimitsConfig hold for apps that have no limits of their own.
type EventLimitsConfig struct {
	// MaxChannelsAtOnce is the number of channels of one event. Default: 100.
	MaxChannelsAtOnce Number `json:"max_channels_at_once,omitempty" min:"1"`

	// MaxNameLength is the longest event name, in bytes. Default: 200.
	MaxNameLength Number `json:"max_name_length,omitempty" min:"1"`

	// MaxPayload bounds the data of one event, in bytes. Default: 100KiB.
	MaxPayload Size `json:"max_payload,omitempty" min:"1"`

	// MaxBatchSize is the number of events in one batch. Default: 10.
	MaxBatchSize Number `json:"max_batch_size,omitempty" min:"1"`
}

// PresenceConfig bounds presence channels, and says when a member that was lost is
// gone.
type PresenceConfig struct {
	// MaxMembers is the number of users in one presence channel. Default: 100.
	MaxMembers Number `json:"max_members,omitempty" min:"1"`

	// MaxMemberSize bounds user_info of one member, in bytes. Default: 2KiB.
	MaxMemberSize Size `json:"max_member_size,omitempty" min:"1"`

	// UpdateRate is the number of updates of one member in a second, by V2 clients.
	// Default: 10.
	UpdateRate Number `json:"update_rate,omitempty" min:"1"`

	// Grace is how long a member stays whose V1 connection was lost without a closing
	// handshake, so that one who is back by then was never gone. Default: 0, not at all.
	Grace Duration `json:"grace,omitempty"`

	// V2Grace is the same for members with V2 connections. Default: 15s.
	V2Grace Duration `json:"v2_grace,omitempty"`
}

// IdempotencyConfig makes repeated publishes with one key count once.
type IdempotencyConfig struct {
	// Enabled makes keys count. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// TTL is how long a key is remembered. Default: 120s.
	TTL Duration `json:"ttl,omitempty" min:"1ms"`

	// MaxKeyLength is the longest key, in bytes. Default: 128.
	MaxKeyLength Number `json:"max_key_length,omitempty" min:"1"`
}

// MetricsConfig are the collectors of a hub. They appear wherever Caddy serves
// metrics: the metrics directive, and /metrics of the admin API.
type MetricsConfig struct {
	// Enabled registers the collectors. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// Prefix begins the name of each metric. Default: "sockudo_".
	Prefix string `json:"prefix,omitempty"`

	// ChannelLabels names channels in the metrics of deltas and annotations, with the
	// label channel_name: the first 1,000, and all others as one. Default: off.
	ChannelLabels Switch `json:"channel_labels,omitempty"`

	// TCPExporter sends what happens to the metrics to the readers of a TCP address.
	TCPExporter *TCPExporterConfig `json:"tcp_exporter,omitempty"`
}
