package sockudo

// AppConfig is one app: its credentials and its policy. The policy is written
// either here, flat, or in a policy object as in Sockudo's own records; never both.
type AppConfig struct {
	// ID appears in the paths of the HTTP API. Required.
	ID string `json:"id,omitempty"`

	// Key appears in the path of sockets and in signatures. It is public. Required.
	Key string `json:"key,omitempty"`

	// Secret signs, and is never shown. It had best be a placeholder such as
	// {env.APP_SECRET} or {file./run/secrets/app}. Required.
	Secret string `json:"secret,omitempty"`

	// Enabled admits sockets and HTTP calls; a disabled app answers 4003 and 403.
	// Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	AppLimits
	AppFeatures
	AppChannels

	// Idempotency overrides the hub's setting. Default: as the hub.
	Idempotency *AppIdempotency `json:"idempotency,omitempty"`

	// Recovery overrides the hub's setting. Default: as the hub.
	Recovery *AppRecovery `json:"recovery,omitempty"`

	// History overrides the hub's setting. Default: as the hub.
	History *AppHistory `json:"history,omitempty"`

	// PresenceHistory overrides the hub's setting. Default: as the hub.
	PresenceHistory *AppPresenceHistory `json:"presence_history,omitempty"`

	// Webhooks are told what happens in the app. In a Caddyfile each is a block
	// "webhook URL". Default: none.
	Webhooks []*WebhookConfig `json:"webhooks,omitempty"`

	// Limits is another place for the limits, with the same names.
	Limits *AppLimits `json:"limits,omitempty"`

	// Policy is another place for everything but the credentials.
	Policy *AppPolicy `json:"policy,omitempty"`
}

// AppPolicy is the nested spelling of an app's policy.
type AppPolicy struct {
	// Limits are the numeric limits of the app.
	Limits *AppLimits `json:"limits,omitempty"`

	// Features are the switches of the app.
	Features *AppFeatures `json:"features,omitempty"`

	// Channels are the rules for origins and channel names.
	Channels *AppChannels `json:"channels,omitempty"`

	// Idempotency overrides the hub's setting. Default: as the hub.
	Idempotency *AppIdempotency `json:"idempotency,omitempty"`

	// Recovery overrides the hub's setting. Default: as the hub.
	Recovery *AppRecovery `json:"recovery,omitempty"`

	// History overrides the hub's setting. Default: as the hub.
	History *AppHistory `json:"history,omitempty"`

	// PresenceHistory overrides the hub's setting. Default: as the hub.
	PresenceHistory *AppPresenceHistory `json:"presence_history,omitempty"`

	// Webhooks are told what happens in the app. In a Caddyfile each is a block
	// "webhook URL". Default: none.
	Webhooks []*WebhookConfig `json:"webhooks,omitempty"`
}

// AppLimits are the numeric limits of an app.
type AppLimits struct {
	// MaxConnections is the number of open sockets; over it a client is refused
	// with 4004. Default: 0, unlimited.
	MaxConnections Number `json:"max_connections,omitempty"`

	// MaxClientEventsPerSecond counts client events of one socket in decay_seconds.
	// Default: 0, which means events_per_second of the hub's rate limiter, if any.
	MaxClientEventsPerSecond Number `json:"max_client_events_per_second,omitempty"`

	// MaxBackendEventsPerSecond counts events published over HTTP. Default: 0,
	// which means events_per_second of the hub's rate limiter, if any.
	MaxBackendEventsPerSecond Number `json:"max_backend_events_per_second,omitempty"`

	// MaxReadRequestsPerSecond counts reading HTTP calls. Default: 0, unlimited.
	MaxReadRequestsPerSecond Number `json:"max_read_requests_per_second,omitempty"`

	// MaxPresenceMembersPerChannel counts distinct users of one presence channel.
	// Default: 0, as the hub.
	MaxPresenceMembersPerChannel Number `json:"max_presence_members_per_channel,omitempty"`

	// MaxPresenceMemberSizeInKB bounds user_info, in KiB. Default: 0, as the hub.
	MaxPresenceMemberSizeInKB Number `json:"max_presence_member_size_in_kb,omitempty"`

	// MaxChannelNameLength is the longest channel name, in bytes. Default: 0, as
	// the hub.
	MaxChannelNameLength Number `json:"max_channel_name_length,omitempty"`

	// MaxEventChannelsAtOnce is the number of channels of one event. Default: 0, as
	// the hub.
	MaxEventChannelsAtOnce Number `json:"max_event_channels_at_once,omitempty"`

	// MaxEventNameLength is the longest event name, in bytes. Default: 0, as the hub.
	MaxEventNameLength Number `json:"max_event_name_length,omitempty"`

	// MaxEventPayloadInKB bounds the data of one event, in KiB. Default: 0, as the
	// hub.
	MaxEventPayloadInKB Number `json:"max_event_payload_in_kb,omitempty"`

	// MaxEventBatchSize is the number of events in one batch. Default: 0, as the hub.
	MaxEventBatchSize Number `json:"max_event_batch_size,omitempty"`

	// DecaySeconds is the window of the client-event limit, in seconds. Default: 1.
	DecaySeconds Number `json:"decay_seconds,omitempty"`

	// TerminateOnLimit closes a socket that exceeds its client-event limit.
	// Default: off.
	TerminateOnLimit Switch `json:"terminate_on_limit,omitempty"`

	// MessageRateLimit limits all inbound messages of a socket. Default: no limit.
	MessageRateLimit *MessageRateConfig `json:"message_rate_limit,omitempty"`
}

// MessageRateConfig limits all inbound messages of a socket.
type MessageRateConfig struct {
	// Enabled makes the limit count. Default: on, in a block that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// MaxAttempts is the number of messages in one window. Default: 60.
	MaxAttempts Number `json:"max_attempts,omitempty" min:"1"`

	// Decay is the length of the window. Default: 60s.
	Decay Duration `json:"decay,omitempty" min:"1ms"`

	// Terminate closes the socket instead of answering with an error. Default: off.
	Terminate Switch `json:"terminate,omitempty"`
}

// AppFeatures are the switches of an app.
type AppFeatures struct {
	// EnableClientMessages admits client events. Default: off.
	EnableClientMessages Switch `json:"enable_client_messages,omitempty"`

	// EnableUserAuthentication admits signin, and closes sockets with 4009 that are
	// not authorized within the authentication timeout. Default: off.
	EnableUserAuthentication Switch `json:"enable_user_authentication,omitempty"`

	// EnableWatchlistEvents tells watchers when users come online or go offline.
	// Default: off.
	EnableWatchlistEvents Switch `json:"enable_watchlist_events,omitempty"`

	// SubscriptionCount sends pusher_internal:subscription_count on channels
	// without presence. Default: off.
	SubscriptionCount Switch `json:"subscription_count,omitempty"`
}

// AppChannels are rules for origins and channel names.
type AppChannels struct {
	// AllowedOrigins are patterns that the Origin header of a socket must match.
	// Default: none, which means no check.
	AllowedOrigins []string `json:"allowed_origins,omitempty"`

	// ChannelNamespaces are the namespaces that channel names may begin with. In a
	// Caddyfile each is a block "namespace NAME". Default: none.
	ChannelNamespaces []*NamespaceConfig `json:"channel_namespaces,omitempty"`

	// ChannelDelta is how channels are compressed for V2 clients that ask for it, by
	// channel name or pattern with one '*'. In a Caddyfile each is written as
	// "delta CHANNEL MODE". Default: as the hub.
	ChannelDelta map[string]*ChannelDeltaConfig `json:"channel_delta_compression,omitempty"`

	// Annotations admits annotations of messages, where the hub does. Default: off.
	Annotations Switch `json:"annotations,omitempty"`
}

// NamespaceConfig is the policy of channels whose name starts with it and a colon.
type NamespaceConfig struct {
	// Name stands before the first colon of the channel name. Required.
	Name string `json:"name,omitempty"`

	// Pattern is a regular expression for the channel name without its type and
	// without a list of users. Default: any name.
	Pattern string `json:"pattern,omitempty"`

	// MaxChannelNameLength is the longest channel name, in bytes. Default: 0, as
	// the app.
	MaxChannelNameLength Number `json:"max_channel_name_length,omitempty"`

	// AllowUserLimitedChannels admits names such as "chat:room#ann,bob". Default: off.
	AllowUserLimitedChannels Switch `json:"allow_user_limited_channels,omitempty"`

	// AllowSubscribeForClient admits subscriptions of V2 clients. Default: on.
	AllowSubscribeForClient Switch `json:"allow_subscribe_for_client,omitempty"`

	// AllowPublishForClient admits client events of V2 clients. Default: on.
	AllowPublishForClient Switch `json:"allow_publish_for_client,omitempty"`

	// AllowPresenceForClient admits presence subscriptions of V2 clients. Default: on.
	AllowPresenceForClient Switch `json:"allow_presence_for_client,omitempty"`

	// History overrides the app's setting. Default: as the app.
	History *NamespaceHistory `json:"history,omitempty"`

	// PresenceHistory overrides the app's setting. Default: as the app.
	PresenceHistory *AppPresenceHistory `json:"presence_history,omitempty"`

	// Annotations admits annotations of messages, where the hub does. Default: as the app.
	Annotations Switch `json:"annotations,omitempty"`
}

// AppIdempotency overrides the hub's setting of idempotent publishes.
type AppIdempotency struct {
	// Enabled makes keys count. Default: as the hub.
	Enabled Switch `json:"enabled,omitempty"`

	// TTL is how long a key is remembered. Default: as the hub.
	TTL Duration `json:"ttl,omitempty" min:"1ms"`
}
