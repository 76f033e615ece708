package sockudo

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// variables override one setting each.
var variables = []variable{
	{"ENVIRONMENT", func(c *HubConfig) any { return &c.Mode }, lower},
	{"SOCKUDO_MAX_CONNECTIONS", func(c *HubConfig) any { return &c.MaxConnections }, nil},
	{"ACTIVITY_TIMEOUT", func(c *HubConfig) any { return &c.ActivityTimeout }, unit("s")},
	{"USER_AUTHENTICATION_TIMEOUT", func(c *HubConfig) any { return &c.AuthenticationTimeout }, unit("s")},
	{"HEALTH_CHECK_TIMEOUT_MS", func(c *HubConfig) any { return &c.HealthTimeout }, unit("ms")},
	{"HTTP_API_USAGE_ENABLED", func(c *HubConfig) any { return &c.Usage }, envSwitch},
	{"SOCKUDO_SERVER_ROLE", func(c *HubConfig) any { return &c.Role }, lower},
	{"CLUSTER_HEALTH_ENABLED", func(c *HubConfig) any { return &section(&c.Cluster).Enabled }, envSwitch},
	{"CLUSTER_HEALTH_HEARTBEAT_INTERVAL", func(c *HubConfig) any { return &section(&c.Cluster).Heartbeat }, unit("ms")},
	{"CLUSTER_HEALTH_NODE_TIMEOUT", func(c *HubConfig) any { return &section(&c.Cluster).NodeTimeout }, unit("ms")},
	{"CLUSTER_HEALTH_CLEANUP_INTERVAL", func(c *HubConfig) any { return &section(&c.Cluster).Cleanup }, unit("ms")},
	{"INSTANCE_PROCESS_ID", func(c *HubConfig) any { return &c.NodeID }, nil},
	{"WEBSOCKET_MAX_PAYLOAD_KB", func(c *HubConfig) any { return &section(&c.WebSocket).MaxPayload }, unit("KiB")},
	{"WEBSOCKET_MAX_MESSAGES", func(c *HubConfig) any { return &section(&c.WebSocket).MaxMessages }, zeroIsNone},
	{"WEBSOCKET_MAX_BYTES", func(c *HubConfig) any { return &section(&c.WebSocket).MaxBytes }, zeroIsNone},
	{"WEBSOCKET_DISCONNECT_ON_BUFFER_FULL", func(c *HubConfig) any { return &section(&c.WebSocket).OnBufferFull }, envDisconnects},
	{"CORS_ORIGINS", func(c *HubConfig) any { return &section(&c.CORS).Origins }, nil},
	{"CORS_METHODS", func(c *HubConfig) any { return &section(&c.CORS).Methods }, nil},
	{"CORS_HEADERS", func(c *HubConfig) any { return &section(&c.CORS).Headers }, nil},
	{"CORS_CREDENTIALS", func(c *HubConfig) any { return &section(&c.CORS).Credentials }, envSwitch},
	{"WEBSOCKET_PING_INTERVAL", func(c *HubConfig) any { return &section(&c.WebSocket).PingInterval }, unit("s")},
	{"WEBSOCKET_IDLE_TIMEOUT", func(c *HubConfig) any { return &section(&c.WebSocket).IdleTimeout }, unit("s")},
	{"WEBSOCKET_AUTO_PING", func(c *HubConfig) any { return &section(&c.WebSocket).AutoPing }, envSwitch},
	{"CONNECTION_RECOVERY_ENABLED", func(c *HubConfig) any { return &recoverySection(c).Enabled }, envSwitch},
	{"CONNECTION_RECOVERY_BUFFER_TTL", func(c *HubConfig) any { return &recoverySection(c).TTL }, unit("s")},
	{"CONNECTION_RECOVERY_MAX_BUFFER_SIZE", func(c *HubConfig) any { return &recoverySection(c).BufferSize }, nil},
	{"EPHEMERAL_ENABLED", func(c *HubConfig) any { return &c.Ephemeral }, envSwitch},
	{"ECHO_CONTROL_ENABLED", func(c *HubConfig) any { return &section(&c.Echo).Enabled }, envSwitch},
	{"ECHO_CONTROL_DEFAULT_ECHO_MESSAGES", func(c *HubConfig) any { return &section(&c.Echo).DefaultEchoMessages }, envSwitch},
	{"EVENT_NAME_FILTERING_ENABLED", func(c *HubConfig) any { return &section(&c.EventFilter).Enabled }, envSwitch},
	{"EVENT_NAME_FILTERING_MAX_EVENTS_PER_FILTER", func(c *HubConfig) any { return &section(&c.EventFilter).MaxEventsPerFilter }, nil},
	{"EVENT_NAME_FILTERING_MAX_EVENT_NAME_LENGTH", func(c *HubConfig) any { return &section(&c.EventFilter).MaxEventNameLength }, nil},
	{"TAG_FILTERING_ENABLED", func(c *HubConfig) any { return &section(&c.TagFilter).Enabled }, envSwitch},
	{"PRESENCE_UPDATE_RATE_LIMIT_PER_MEMBER_PER_SECOND", func(c *HubConfig) any { return &section(&c.Presence).UpdateRate }, nil},
	{"PRESENCE_UNGRACEFUL_TIMEOUT_SECONDS", func(c *HubConfig) any { return &section(&c.Presence).Grace }, unit("s")},
	{"PRESENCE_V2_UNGRACEFUL_TIMEOUT_SECONDS", func(c *HubConfig) any { return &section(&c.Presence).V2Grace }, unit("s")},
	{"IDEMPOTENCY_ENABLED", func(c *HubConfig) any { return &section(&c.Idempotency).Enabled }, envSwitch},
	{"IDEMPOTENCY_TTL_SECONDS", func(c *HubConfig) any { return &section(&c.Idempotency).TTL }, unit("s")},
	{"IDEMPOTENCY_MAX_KEY_LENGTH", func(c *HubConfig) any { return &section(&c.Idempotency).MaxKeyLength }, nil},
	{"WEBHOOK_BATCHING_ENABLED", func(c *HubConfig) any { return &section(&c.Webhooks).BatchingEnabled }, envSwitch},
	{"WEBHOOK_BATCHING_DURATION", func(c *HubConfig) any { return &section(&c.Webhooks).FlushInterval }, unit("ms")},
	{"WEBHOOK_BATCHING_SIZE", func(c *HubConfig) any { return &section(&c.Webhooks).MaxBatchSize }, nil},
	{"METRICS_ENABLED", func(c *HubConfig) any { return &section(&c.Metrics).Enabled }, envSwitch},
	{"METRICS_PROMETHEUS_PREFIX", func(c *HubConfig) any { return &section(&c.Metrics).Prefix }, nil},
	{"METRICS_TCP_EXPORTER_ENABLED", func(c *HubConfig) any { return &exporterSection(c).Enabled }, envSwitch},
	{"METRICS_TCP_EXPORTER_HOST", func(c *HubConfig) any { return &exporterSection(c).Host }, nil},
	{"METRICS_TCP_EXPORTER_PORT", func(c *HubConfig) any { return &exporterSection(c).Port }, nil},
	{"METRICS_TCP_EXPORTER_BUFFER_SIZE", func(c *HubConfig) any { return &exporterSection(c).BufferSize }, nil},
	{"RATE_LIMITER_ENABLED", func(c *HubConfig) any { return &section(&c.RateLimiter).Enabled }, envSwitch},
}

// driverVariables select drivers, by kind.
var driverVariables = map[string]string{
	kindApps: "APP_MANAGER_DRIVER", kindAdapter: "ADAPTER_DRIVER", kindCache: "CACHE_DRIVER",
	kindQueue: "QUEUE_DRIVER", kindRateLimiter: "RATE_LIMITER_DRIVER", kindHistory: "HISTORY_BACKEND",
}

// laterVariables switch on what this version does not have.
var laterVariables = []string{
	"ADAPTER_FALLBACK_TO_LOCAL", "ADAPTER_AGGREGATE_COUNTS",
}

const defaultApp = "SOCKUDO_DEFAULT_APP_"

// appNumbers are limits of the default app, each with its setting. Unlike those
// of a written app they are 100 unless the environment says otherwise.
var appNumbers = []struct {
	name   string
	target func(*AppConfig) *Number
}{
	{"MAX_CONNECTIONS", func(a *AppConfig) *Number { return &a.MaxConnections }},
	{"MAX_BACKEND_EVENTS_PER_SECOND", func(a *AppConfig) *Number { return &a.MaxBackendEventsPerSecond }},
	{"MAX_CLIENT_EVENTS_PER_SECOND", func(a *AppConfig) *Number { return &a.MaxClientEventsPerSecond }},
	{"MAX_READ_REQUESTS_PER_SECOND", func(a *AppConfig) *Number { return &a.MaxReadRequestsPerSecond }},
	{"MAX_PRESENCE_MEMBERS_PER_CHANNEL", func(a *AppConfig) *Number { return &a.MaxPresenceMembersPerChannel }},
	{"MAX_PRESENCE_MEMBER_SIZE_IN_KB", func(a *AppConfig) *Number { return &a.MaxPresenceMemberSizeInKB }},
	{"MAX_CHANNEL_NAME_LENGTH", func(a *AppConfig) *Number { return &a.MaxChannelNameLength }},
	{"MAX_EVENT_CHANNELS_AT_ONCE", func(a *AppConfig) *Number { return &a.MaxEventChannelsAtOnce }},
	{"MAX_EVENT_NAME_LENGTH", func(a *AppConfig) *Number { return &a.MaxEventNameLength }},
	{"MAX_EVENT_PAYLOAD_IN_KB", func(a *AppConfig) *Number { return &a.MaxEventPayloadInKB }},
	{"MAX_EVENT_BATCH_SIZE", func(a *AppConfig) *Number { return &a.MaxEventBatchSize }},
}

// readDefaultApp reads the app that the environment names, which takes the place
// of those that are written.
func (e *environment) readDefaultApp() {
	if skip, _ := e.bool("SOCKUDO_SKIP_INLINE_APPS"); skip {
		e.dropApps = true
	}
	if register, ok := e.bool("APP_MANAGER_REGISTER_INLINE_APPS"); ok && !register {
		e.dropApps = true
	}
	app := new(AppConfig)
	var set, missing []string
	for _, credential := range []struct {
		name string
		to   *string
	}{{"ID", &app.ID}, {"KEY", &app.Key}, {"SECRET", &app.Secret}} {
		name := defaultApp + credential.name
		if value, ok := e.use(name); ok {
			*credential.to, set = value, append(set, name)
		} else {
			missing = append(missing, name)
		}
	}
	enabled, known := e.bool(defaultApp + "ENABLED")
	if known && !enabled {
		e.dropApps = true // also without credentials
		return
	}
	if len(set) == 0 {
		return
	}
	if len(missing) > 0 {
		e.fail(set[0], fmt.Errorf("is set without %s", strings.Join(missing, " and ")))
		return
	}
	e.dropApps, e.app = true, app
	e.readDefaultPolicy(app)
}

func (e *environment) readDefaultPolicy(app *AppConfig) {
	for _, n := range appNumbers {
		*n.target(app) = "100"
		if text, ok := e.use(defaultApp + n.name); ok {
			e.fail(defaultApp+n.name, rule{}.check(text, numberType))
			*n.target(app) = Number(text)
		}
	}
	client := defaultApp + "ENABLE_CLIENT_MESSAGES"
	if _, ok := e.get(client); !ok {
		client = "SOCKUDO_ENABLE_CLIENT_MESSAGES"
	}
	for _, s := range []struct {
		name string
		to   *Switch
	}{
		{client, &app.EnableClientMessages},
		{defaultApp + "ENABLE_USER_AUTHENTICATION", &app.EnableUserAuthentication},
		{defaultApp + "ENABLE_WATCHLIST_EVENTS", &app.EnableWatchlistEvents},
		{defaultApp + "ANNOTATIONS_ENABLED", &app.Annotations},
	} {
		if on, ok := e.bool(s.name); ok && on {
			*s.to = "on"
		}
	}
	if text, ok := e.use(defaultApp + "ALLOWED_ORIGINS"); ok {
		write(&app.AllowedOrigins, text)
	}
}

// readLater refuses variables that switch on what this version does not have.
func (e *environment) readLater() {
	for _, name := range laterVariables {
		text, ok := e.get(name)
		if !ok {
			continue
		}
		on, err := parseEnvBool(text)
		if on {
			err = errLater
		}
		e.fail(name, err)
	}
	if text, ok := e.get("WEBSOCKET_COMPRESSION"); ok && !strings.EqualFold(text, "disabled") {
		e.fail("WEBSOCKET_COMPRESSION", errLater)
	}
}

// readDriver selects a driver. Settings of another one do not apply to it.
func (e *environment) readDriver(kind, name string) {
	word, ok := e.use(name)
	if !ok {
		return
	}
	if _, err := findDriver(namespaces[kind], word); err != nil {
		e.fail(name, err)
		return
	}
	e.set = append(e.set, func(c *HubConfig) {
		switch kind {
		case kindRateLimiter:
			selectDriver(section(&c.RateLimiter), word)
			return
		case kindHistory:
			selectDriver(historySection(c), word)
			return
		}
		raw := map[string]*json.RawMessage{
			kindApps: &c.AppManagerRaw, kindAdapter: &c.AdapterRaw, kindCache: &c.CacheRaw, kindQueue: &c.QueueRaw,
		}[kind]
		if choice, err := chooseDriver(kind, *raw, nil); err != nil || choice.driver != driverName(word) {
			*raw, _ = json.Marshal(map[string]string{"driver": word})
		}
	})
}

// readRates overrides one half of a rate. A limiter that names no limits has the
// defaults, of which the other halves and rates stay.
func (e *environment) readRates() {
	defaults := realtime.DefaultSettings().Rate
	for _, v := range []struct {
		name, field string
		rate        func(*RateLimiterConfig) **RateConfig
	}{
		{"RATE_LIMITER_API_MAX_REQUESTS", "max", func(r *RateLimiterConfig) **RateConfig { return &r.API }},
		{"RATE_LIMITER_API_WINDOW_SECONDS", "window", func(r *RateLimiterConfig) **RateConfig { return &r.API }},
		{"RATE_LIMITER_WS_MAX_REQUESTS", "max", func(r *RateLimiterConfig) **RateConfig { return &r.Upgrades }},
		{"RATE_LIMITER_WS_WINDOW_SECONDS", "window", func(r *RateLimiterConfig) **RateConfig { return &r.Upgrades }},
	} {
		text, ok := e.use(v.name)
		if !ok {
			continue
		}
		f := fieldsOf(rateType)[v.field]
		if v.field == "window" {
			text += "s"
		}
		e.fail(v.name, f.rule.check(text, f.kind))
		e.set = append(e.set, func(c *HubConfig) {
			r := section(&c.RateLimiter)
			if !r.namesLimits() {
				r.API, r.Upgrades = writeRate(defaults.API), writeRate(defaults.Upgrades)
			}
			if rate := section(v.rate(r)); v.field == "max" {
				rate.Max = Number(text)
			} else {
				rate.Window = Duration(text)
			}
		})
	}
}

func writeRate(r realtime.Rate) *RateConfig {
	return &RateConfig{Max: Number(fmt.Sprint(r.Max)), Window: Duration(r.Window.String())}
}

func lower(text string) (string, error) { return strings.ToLower(text), nil }

// recoverySection is the section of recovery. Unlike a block that is written, one that
// variables make switches nothing on by itself.
func recoverySection(c *HubConfig) *RecoveryConfig {
	if c.Recovery == nil {
		c.Recovery = &RecoveryConfig{Enabled: "off"}
	}
	return c.Recovery
}

// zeroIsNone makes "0" unlimited, as in Sockudo.
func zeroIsNone(text string) (string, error) {
	if text == "0" || strings.EqualFold(text, none) {
		return none, nil
	}
	return text, nil
}

func envDisconnects(text string) (string, error) {
	on, err := parseEnvBool(text)
	return map[bool]string{true: "disconnect", false: "drop"}[on], err
}
