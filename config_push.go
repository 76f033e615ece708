package sockudo

import "encoding/json"

// PushConfig sends notifications to devices that need not be connected.
type PushConfig struct {
	// Enabled sends them; off serves no path below /apps/{app}/push/ and opens nothing.
	// Default: on, in a block that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// StorageRaw selects what keeps devices, subscriptions and publishes, a module in the
	// namespace sockudo.push_stores. Default: sqlite, a file of this node.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=sockudo.push_stores inline_key=driver"`

	// StorageDriver is another way to name a driver without settings of its own. Default: that
	// of storage.
	StorageDriver string `json:"storage_driver,omitempty"`

	// QueueDriver is that of the hub's queue, in which the jobs of push are: any other is an
	// error. Default: that of the queue.
	QueueDriver string `json:"queue_driver,omitempty"`

	// AllowMemoryDrivers admits a storage or a queue in memory in mode production. Default:
	// off.
	AllowMemoryDrivers Switch `json:"allow_memory_drivers,omitempty"`

	// Providers are the push services by name: fcm, apns, webpush, hms and wns, modules in the
	// namespace sockudo.push_providers. In a Caddyfile each is written as provider NAME { … }.
	// Default: none.
	Providers map[string]json.RawMessage `json:"providers,omitempty" caddy:"namespace=sockudo.push_providers"`

	// FCMEnabled is another way to switch a provider on or off. Default: as in its block.
	FCMEnabled Switch `json:"fcm_enabled,omitempty"`

	// APNsEnabled is another way to switch a provider on or off. Default: as in its block.
	APNsEnabled Switch `json:"apns_enabled,omitempty"`

	// WebPushEnabled is another way to switch a provider on or off. Default: as in its block.
	WebPushEnabled Switch `json:"webpush_enabled,omitempty"`

	// HMSEnabled is another way to switch a provider on or off. Default: as in its block.
	HMSEnabled Switch `json:"hms_enabled,omitempty"`

	// WNSEnabled is another way to switch a provider on or off. Default: as in its block.
	WNSEnabled Switch `json:"wns_enabled,omitempty"`

	// AsyncOnly answers a publish as soon as it is accepted; off lets ?mode=sync wait for its
	// end, 10s at most. Default: on.
	AsyncOnly Switch `json:"async_only,omitempty"`

	// DefaultTTL is how long a notification is good for that says nothing itself, at most
	// 28d. Default: 1h.
	DefaultTTL Duration `json:"default_ttl,omitempty" min:"1s"`

	// PublishStatusTTL is how long an ended publish and its id are remembered. It is not less
	// than max_elapsed of retry. Default: 24h.
	PublishStatusTTL Duration `json:"publish_status_ttl,omitempty" min:"1s"`

	// EventRetention is how long dead letters and delivery events are kept. Default: 30d.
	EventRetention Duration `json:"event_retention,omitempty" min:"1s"`

	// StaleDeviceMaxAge removes devices that were not seen for so long; 0 or "none" removes
	// none. Default: 0.
	StaleDeviceMaxAge Duration `json:"stale_device_max_age,omitempty" min:"1s" none:"yes"`

	// InvalidTokenQuarantine is how long a device is kept, and gets nothing, whose provider has
	// called its address invalid. Default: 1h.
	InvalidTokenQuarantine Duration `json:"invalid_token_quarantine,omitempty" min:"1ms"`

	// MaxRecipients is the number of recipients of one publish; 0 or "none" is no bound.
	// Default: 10000.
	MaxRecipients Number `json:"max_recipients_per_publish,omitempty" none:"yes"`

	// PlannerWorkers is the number of publishes that are planned at once. Default: 4.
	PlannerWorkers Number `json:"planner_worker_count,omitempty" min:"1"`

	// DispatchWorkers is the number of workers of one provider, each of which sends up to 64
	// batches at once. Default: 1.
	DispatchWorkers Number `json:"dispatch_worker_count,omitempty" min:"1"`

	// MaxOutboundRequests is the number of requests under way for one batch. Default: 32.
	MaxOutboundRequests Number `json:"dispatch_max_outbound_requests,omitempty" min:"1"`

	// FanoutFastThreshold is the number of recipients from which on a publish is planned in
	// parts. Default: 10000.
	FanoutFastThreshold Number `json:"fanout_fast_threshold,omitempty" min:"1"`

	// FanoutShardSize is the number of recipients of one part. Default: 100000.
	FanoutShardSize Number `json:"fanout_shard_size,omitempty" min:"1"`

	// Backpressure is when publishes are refused because too much waits.
	Backpressure *PushBackpressure `json:"backpressure,omitempty"`

	// Retry says how notifications are tried again.
	Retry *PushRetryConfig `json:"retry,omitempty"`

	// CircuitBreaker says when a provider is left alone.
	CircuitBreaker *PushBreakerConfig `json:"circuit_breaker,omitempty"`

	// Quotas bound what one app may publish.
	Quotas *PushQuotas `json:"default_quotas,omitempty"`

	// SchedulerInterval is the time between two looks for publishes whose time comes.
	// Default: 5s.
	SchedulerInterval Duration `json:"scheduler_interval,omitempty" min:"100ms"`

	// RepairInterval is the time between two looks for work that was lost; 0 or "none" never
	// looks. Default: 30s.
	RepairInterval Duration `json:"repair_interval,omitempty" min:"100ms" none:"yes"`

	// RepairMinAge is how long work has to be left alone to count as lost. Default: 30s.
	RepairMinAge Duration `json:"repair_min_age,omitempty" min:"100ms"`

	// RepairBatchSize is how much of it is looked at together. Default: 100.
	RepairBatchSize Number `json:"repair_batch_size,omitempty" min:"1"`

	// CleanupInterval is the time between two removals of old records; 0 or "none" removes
	// none. Default: 300s.
	CleanupInterval Duration `json:"cleanup_interval,omitempty" min:"100ms" none:"yes"`

	// CleanupBatchSize is how many of them are read together. Default: 1000.
	CleanupBatchSize Number `json:"cleanup_batch_size,omitempty" min:"1"`

	// CleanupMaxDeleted is how many are removed each time. Default: 100000.
	CleanupMaxDeleted Number `json:"cleanup_max_deleted_per_tick,omitempty" min:"1"`

	// CredentialEncryptionKey encrypts credentials that apps upload. Without it they cannot
	// upload any. Default: none.
	CredentialEncryptionKey string `json:"credential_encryption_key,omitempty" secret:"yes"`

	// PreviousEncryptionKeys decrypt what was encrypted with keys before that one. Default:
	// none.
	PreviousEncryptionKeys []string `json:"previous_encryption_keys,omitempty" secret:"yes"`

	// EncryptRecipients encrypts the addresses of devices too. Default: off.
	EncryptRecipients Switch `json:"encrypt_recipients,omitempty"`

	// Endpoints says which endpoints devices may have.
	Endpoints *PushEndpoints `json:"endpoints,omitempty"`

	// Testing is for trying things out without the real services.
	Testing *PushTesting `json:"testing,omitempty"`
}

// PushBackpressure is when publishes are refused because too much waits.
type PushBackpressure struct {
	// Refuse refuses all publishes. Default: off.
	Refuse Switch `json:"refuse,omitempty"`

	// MaxAge is for how long what waits may have waited; 0 or "none" is no bound. Default: 60s.
	MaxAge Duration `json:"max_age,omitempty" min:"1ms" none:"yes"`

	// MaxPublishes is the number of publishes that wait to be planned. Default: 100000.
	MaxPublishes Number `json:"max_publishes,omitempty" min:"1"`

	// MaxDeliveries is the number of batches that wait for one provider. Default: 100000.
	MaxDeliveries Number `json:"max_deliveries,omitempty" min:"1"`

	// RetryAfter is what callers are told. Default: 5s.
	RetryAfter Duration `json:"retry_after,omitempty" min:"1s"`
}

// PushRetryConfig says how notifications are tried again.
type PushRetryConfig struct {
	// MaxAttempts is the number of all attempts, at most 100. Default: 5.
	MaxAttempts Number `json:"max_attempts,omitempty" min:"1"`

	// InitialBackoff is the pause after the first attempt. It doubles with each further one.
	// Default: 1s.
	InitialBackoff Duration `json:"initial_backoff,omitempty" min:"1ms"`

	// MaxBackoff is the longest pause. Default: 60s.
	MaxBackoff Duration `json:"max_backoff,omitempty" min:"1ms"`

	// MaxElapsed is the time for all attempts, at most 30d. Default: 24h.
	MaxElapsed Duration `json:"max_elapsed,omitempty" min:"1ms"`

	// Jitter moves pauses a little, so that not everything comes back at once. Default: on.
	Jitter Switch `json:"jitter,omitempty"`

	// JitterPercent is by how much, in percent of a pause, at most 100. Default: 20.
	JitterPercent Number `json:"jitter_ratio_percent,omitempty" min:"1"`

	// RespectRetryAfter waits as long as providers ask for. Default: on.
	RespectRetryAfter Switch `json:"respect_retry_after,omitempty"`
}

// PushBreakerConfig says when a provider is left alone.
type PushBreakerConfig struct {
	// FailureThreshold is the number of failures in a row that it takes. Default: 5.
	FailureThreshold Number `json:"failure_threshold,omitempty" min:"1"`

	// Cooldown is how long nothing is sent then. Default: 60s.
	Cooldown Duration `json:"cooldown,omitempty" min:"1ms"`

	// HalfOpenMaxInFlight is the number of requests at once after that, until one succeeds.
	// Default: 10.
	HalfOpenMaxInFlight Number `json:"half_open_max_inflight,omitempty" min:"1"`
}

// PushQuotas bound what one app may publish.
type PushQuotas struct {
	// AcceptanceRPS is the number of publishes in a second; 0 or "none" is no bound. Default:
	// 100.
	AcceptanceRPS Number `json:"acceptance_rps,omitempty" none:"yes"`

	// DeliveryQuotaDaily is the number of recipients in a day; 0 or "none" is no bound.
	// Default: 0.
	DeliveryQuotaDaily Number `json:"delivery_quota_daily,omitempty" none:"yes"`

	// FanoutMax is another way to write max_recipients_per_publish. Default: that.
	FanoutMax Number `json:"fanout_max,omitempty" none:"yes"`

	// InFlightMax is the number of requests under way at one provider. Default: 1000.
	InFlightMax Number `json:"inflight_max,omitempty" min:"1"`
}

// PushEndpoints says which endpoints devices may have, of web push and of wns.
type PushEndpoints struct {
	// AllowLocal admits endpoints on this machine and in private networks. Default: off.
	AllowLocal Switch `json:"allow_local,omitempty"`

	// AllowedHosts are the only hosts; one that begins with a dot is every host below it.
	// Default: any.
	AllowedHosts []string `json:"allowed_hosts,omitempty"`

	// DeniedHosts are hosts of no endpoint, written in the same way. Default: none.
	DeniedHosts []string `json:"denied_hosts,omitempty"`
}

// PushTesting is for trying things out without the real services.
type PushTesting struct {
	// AllowPrivateEndpoints lets services be on this machine and in private networks.
	// Default: off.
	AllowPrivateEndpoints Switch `json:"allow_private_endpoints,omitempty"`
}

// PushRuleConfig makes notifications of realtime events.
type PushRuleConfig struct {
	// Enabled makes the rule act. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// ChannelPattern is the name of a channel, the beginning of one with an asterisk after
	// it, or an asterisk. In a Caddyfile it stands behind push_rule. Required.
	ChannelPattern string `json:"channel_pattern,omitempty"`

	// EventFilter are the names of the events, at most 32. Required.
	EventFilter []string `json:"event_filter,omitempty"`

	// RateLimitPerSecond is the number of events of one app that notify, in a second. Default:
	// 100.
	RateLimitPerSecond Number `json:"rate_limit_per_second,omitempty" min:"1"`

	// PayloadMapping says which members of an event's data are what.
	PayloadMapping *PushMapping `json:"payload_mapping,omitempty"`

	// SuppressIfPresent leaves out devices whose user is in a presence channel.
	SuppressIfPresent *PushSuppress `json:"suppress_if_present,omitempty"`
}

// PushMapping says which members of an event's data are what of a notification.
type PushMapping struct {
	// TitleField is the title. Default: title.
	TitleField string `json:"title_field,omitempty"`

	// BodyField is the body. Default: body.
	BodyField string `json:"body_field,omitempty"`

	// TemplateDataField is where the other members are in the notification's data. Default:
	// data.
	TemplateDataField string `json:"template_data_field,omitempty"`

	// IncludeRemainingFields lets them be there. Default: on.
	IncludeRemainingFields Switch `json:"include_remaining_fields,omitempty"`
}

// PushSuppress leaves out devices whose user is in a presence channel, on any node.
type PushSuppress struct {
	// Channel is the presence channel. An asterisk at its end stands for what that of the
	// pattern is in the event's channel. Default: the channel of the event, if all of the
	// pattern are presence channels.
	Channel string `json:"channel,omitempty"`

	// Delay is how long it waits before it looks, at most 1h. Default: 0.
	Delay Duration `json:"delay,omitempty"`
}
