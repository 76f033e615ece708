package sockudo

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// credentials name the default app.
func credentials(more map[string]string) map[string]string {
	all := map[string]string{"SOCKUDO_DEFAULT_APP_ID": "env", "SOCKUDO_DEFAULT_APP_KEY": "env-key", "SOCKUDO_DEFAULT_APP_SECRET": "env{secret}"}
	maps.Copy(all, more)
	return all
}

// resolveEnv resolves a block with an app under an environment.
func resolveEnv(t *testing.T, block string, env map[string]string) (*definition, error) {
	t.Helper()
	return resolve(&mustParse(t, block+"\n"+appBlock).HubConfig, env)
}

// Checklist: configuration 19, 22, 23
func TestDefaultApp(t *testing.T) {
	d, err := resolveEnv(t, "", credentials(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := storage.App{
		ID: "env", Key: "env-key", Secret: "env{secret}", Enabled: true,
		Limits: storage.AppLimits{
			MaxConnections: 100, MaxClientEventsPerSecond: 100, MaxBackendEventsPerSecond: 100, MaxReadRequestsPerSecond: 100,
			MaxPresenceMembersPerChannel: 100, MaxPresenceMemberSizeInKB: 100, MaxChannelNameLength: 100,
			MaxEventChannelsAtOnce: 100, MaxEventNameLength: 100, MaxEventPayloadInKB: 100, MaxEventBatchSize: 100,
		},
	}
	if len(d.apps) != 1 || !reflect.DeepEqual(*d.apps[0], want) {
		t.Errorf("%d apps, the first %+v", len(d.apps), *d.apps[0])
	}

	more := map[string]string{
		"SOCKUDO_ENABLE_CLIENT_MESSAGES": "YES", "SOCKUDO_DEFAULT_APP_ENABLE_USER_AUTHENTICATION": "1",
		"SOCKUDO_DEFAULT_APP_ENABLE_WATCHLIST_EVENTS": "on", "SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS": "https://a.example, *.b.example,",
		"SOCKUDO_DEFAULT_APP_ANNOTATIONS_ENABLED": "true",
	}
	for i, n := range appNumbers {
		more[defaultApp+n.name] = []string{"7", "8", "9"}[i%3]
	}
	d, err = resolveEnv(t, "", credentials(more))
	if err != nil {
		t.Fatal(err)
	}
	want.Limits = storage.AppLimits{
		MaxConnections: 7, MaxBackendEventsPerSecond: 8, MaxClientEventsPerSecond: 9, MaxReadRequestsPerSecond: 7,
		MaxPresenceMembersPerChannel: 8, MaxPresenceMemberSizeInKB: 9, MaxChannelNameLength: 7,
		MaxEventChannelsAtOnce: 8, MaxEventNameLength: 9, MaxEventPayloadInKB: 7, MaxEventBatchSize: 8,
	}
	want.Features = storage.AppFeatures{ClientMessages: true, UserAuthentication: true, WatchlistEvents: true}
	want.AllowedOrigins = []string{"https://a.example", "*.b.example"}
	on := true
	want.Annotations = &on
	if !reflect.DeepEqual(*d.apps[0], want) {
		t.Errorf("got  %+v\nwant %+v", *d.apps[0], want)
	}
	// The variable of the app wins over the general one.
	more[defaultApp+"ENABLE_CLIENT_MESSAGES"] = "no"
	if d, err = resolveEnv(t, "", credentials(more)); err != nil || d.apps[0].Features.ClientMessages {
		t.Errorf("%v %+v", err, d)
	}
}

// Checklist: configuration 21, 24
func TestEnvironmentRemovesApps(t *testing.T) {
	for _, env := range []map[string]string{
		credentials(map[string]string{"SOCKUDO_DEFAULT_APP_ENABLED": "false"}),
		{"SOCKUDO_DEFAULT_APP_ENABLED": "off"},
		{"SOCKUDO_SKIP_INLINE_APPS": "true"},
		{"APP_MANAGER_REGISTER_INLINE_APPS": "0"},
	} {
		d, err := resolveEnv(t, "", env)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.apps) != 0 || len(d.warnings) != 1 {
			t.Errorf("%v: %d apps, warnings %q", env, len(d.apps), d.warnings)
		}
	}
	// What is removed need not be complete.
	h := mustParse(t, "app demo {\n\tsecret {env.SOCKUDO_TEST_UNSET}\n}")
	d, err := resolve(&h.HubConfig, credentials(nil))
	if err != nil || len(d.apps) != 1 || d.apps[0].ID != "env" {
		t.Errorf("%v %+v", err, d)
	}
}

// Checklist: configuration 17, 20
func TestEnvironmentRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"only the id":      {map[string]string{"SOCKUDO_DEFAULT_APP_ID": "x"}, "environment variable SOCKUDO_DEFAULT_APP_ID: is set without SOCKUDO_DEFAULT_APP_KEY and SOCKUDO_DEFAULT_APP_SECRET"},
		"no secret":        {map[string]string{"SOCKUDO_DEFAULT_APP_ID": "x", "SOCKUDO_DEFAULT_APP_KEY": "y"}, "environment variable SOCKUDO_DEFAULT_APP_ID: is set without SOCKUDO_DEFAULT_APP_SECRET"},
		"only the secret":  {map[string]string{"SOCKUDO_DEFAULT_APP_SECRET": "canary"}, "environment variable SOCKUDO_DEFAULT_APP_SECRET: is set without SOCKUDO_DEFAULT_APP_ID and SOCKUDO_DEFAULT_APP_KEY"},
		"an empty one":     {map[string]string{"SOCKUDO_DEFAULT_APP_ID": "x", "SOCKUDO_DEFAULT_APP_KEY": " ", "SOCKUDO_DEFAULT_APP_SECRET": "z"}, "environment variable SOCKUDO_DEFAULT_APP_ID: is set without SOCKUDO_DEFAULT_APP_KEY"},
		"no boolean":       {map[string]string{"METRICS_ENABLED": "maybe"}, `environment variable METRICS_ENABLED: "maybe" is no boolean; write true, 1, yes, on, false, 0, no or off`},
		"no boolean here":  {map[string]string{"SOCKUDO_DEFAULT_APP_ENABLED": "2"}, `environment variable SOCKUDO_DEFAULT_APP_ENABLED: "2" is no boolean; write true, 1, yes, on, false, 0, no or off`},
		"no number":        {map[string]string{"SOCKUDO_MAX_CONNECTIONS": "many"}, `environment variable SOCKUDO_MAX_CONNECTIONS: max_connections: "many" is not a whole number`},
		"no seconds":       {map[string]string{"ACTIVITY_TIMEOUT": "2m"}, `environment variable ACTIVITY_TIMEOUT: "2m" is not a whole number`},
		"too short":        {map[string]string{"ACTIVITY_TIMEOUT": "0"}, "environment variable ACTIVITY_TIMEOUT: activity_timeout: must be at least 1s"},
		"no number of app": {credentials(map[string]string{"SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS": "x"}), `environment variable SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS: "x" is not a whole number`},
		"no mode":          {map[string]string{"ENVIRONMENT": "staging"}, `environment variable ENVIRONMENT: mode: "staging" is not one of production, development`},
		"no rate":          {map[string]string{"RATE_LIMITER_API_MAX_REQUESTS": "x"}, `environment variable RATE_LIMITER_API_MAX_REQUESTS: "x" is not a whole number`},
		"no window":        {map[string]string{"RATE_LIMITER_WS_WINDOW_SECONDS": "x"}, `environment variable RATE_LIMITER_WS_WINDOW_SECONDS: "xs" is not a duration such as 500ms, 90s, 2m or 1d`},
		"no driver":        {map[string]string{"ADAPTER_DRIVER": "rabbitmq"}, `environment variable ADAPTER_DRIVER: driver "rabbitmq" is not compiled in: there is no module sockudo.adapters.rabbitmq; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/rabbitmq`},
		"later":            {map[string]string{"ADAPTER_AGGREGATE_COUNTS": "true"}, "environment variable ADAPTER_AGGREGATE_COUNTS: is not supported yet by this version"},
		"no history":       {map[string]string{"HISTORY_MAX_PAGE_SIZE": "0"}, "environment variable HISTORY_MAX_PAGE_SIZE: history.max_page_size: must be at least 1"},
		"no retention":     {map[string]string{"HISTORY_RETENTION_WINDOW_SECONDS": "0"}, "environment variable HISTORY_RETENTION_WINDOW_SECONDS: history.retention: must be at least 1s"},
		"no backend":       {map[string]string{"HISTORY_BACKEND": "kafka"}, `environment variable HISTORY_BACKEND: driver "kafka" is not compiled in: there is no module sockudo.histories.kafka; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/kafka`},
		"no bound":         {map[string]string{"HISTORY_MAX_MESSAGES_PER_CHANNEL": "some"}, `environment variable HISTORY_MAX_MESSAGES_PER_CHANNEL: history.max_items_per_channel: "some" is not a whole number`},
		"no bytes":         {map[string]string{"HISTORY_MAX_BYTES_PER_CHANNEL": "some"}, `environment variable HISTORY_MAX_BYTES_PER_CHANNEL: history.max_bytes_per_channel: "some" is not a size such as 65536, 64KiB or 10MB`},
		"too many purges":  {map[string]string{"HISTORY_PURGE_INTERVAL_SECONDS": "9"}, "environment variable HISTORY_PURGE_INTERVAL_SECONDS: history.purge_interval: must be at least 10s"},
		"no write timeout": {map[string]string{"HISTORY_POSTGRES_WRITE_TIMEOUT_MS": "0"}, "environment variable HISTORY_POSTGRES_WRITE_TIMEOUT_MS: must be at least 1ms"},
		"no members":       {map[string]string{"PRESENCE_HISTORY_MAX_EVENTS_PER_CHANNEL": "x"}, `environment variable PRESENCE_HISTORY_MAX_EVENTS_PER_CHANNEL: presence_history.max_events_per_channel: "x" is not a whole number`},
		"no versions":      {map[string]string{"VERSIONED_MESSAGES_ENABLED": "yes"}, "versioned_messages: they need history, which is off; write history { enabled on }, here or in an app"},
		"no messages":      {map[string]string{"ANNOTATIONS_ENABLED": "yes"}, "annotations: they need versioned messages; write versioned_messages on"},
		"no annotations":   {credentials(map[string]string{"SOCKUDO_DEFAULT_APP_ANNOTATIONS_ENABLED": "maybe"}), `environment variable SOCKUDO_DEFAULT_APP_ANNOTATIONS_ENABLED: "maybe" is no boolean; write true, 1, yes, on, false, 0, no or off`},
		"no recovery":      {map[string]string{"CONNECTION_RECOVERY_MAX_BUFFER_SIZE": "0"}, "environment variable CONNECTION_RECOVERY_MAX_BUFFER_SIZE: recovery.buffer_size: must be at least 1"},
		"no recovery time": {map[string]string{"CONNECTION_RECOVERY_BUFFER_TTL": "0"}, "environment variable CONNECTION_RECOVERY_BUFFER_TTL: recovery.ttl: must be at least 1ms"},
		"too many names":   {map[string]string{"EVENT_NAME_FILTERING_MAX_EVENTS_PER_FILTER": "65"}, "environment variable EVENT_NAME_FILTERING_MAX_EVENTS_PER_FILTER: event_name_filtering.max_events_per_filter: must be at most 64"},
		"no updates":       {map[string]string{"PRESENCE_UPDATE_RATE_LIMIT_PER_MEMBER_PER_SECOND": "0"}, "environment variable PRESENCE_UPDATE_RATE_LIMIT_PER_MEMBER_PER_SECOND: presence.update_rate: must be at least 1"},
		"no grace":         {map[string]string{"PRESENCE_V2_UNGRACEFUL_TIMEOUT_SECONDS": "15s"}, `environment variable PRESENCE_V2_UNGRACEFUL_TIMEOUT_SECONDS: "15s" is not a whole number`},
		"no ping":          {map[string]string{"WEBSOCKET_AUTO_PING": "never"}, `environment variable WEBSOCKET_AUTO_PING: "never" is no boolean; write true, 1, yes, on, false, 0, no or off`},
		"compression":      {map[string]string{"WEBSOCKET_COMPRESSION": "shared"}, "environment variable WEBSOCKET_COMPRESSION: is not supported yet by this version"},
		"role":             {map[string]string{"SOCKUDO_SERVER_ROLE": "api"}, "role: api needs an adapter that reaches other nodes, and local does not"},
		"no role":          {map[string]string{"SOCKUDO_SERVER_ROLE": "x"}, `environment variable SOCKUDO_SERVER_ROLE: role: "x" is not one of default, api`},
	} {
		_, err := resolveEnv(t, "", c.env)
		t.Run(name, func(t *testing.T) { expectError(t, err, c.want) })
		// Switched off, none of it is read.
		if _, err := resolveEnv(t, "env_overrides off", c.env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"true", "1", "yes", "on", "TRUE", "Yes"} {
		if on, err := parseEnvBool(text); !on || err != nil {
			t.Errorf("%s: %v %v", text, on, err)
		}
	}
	for _, text := range []string{"false", "0", "no", "off", "FALSE", "No"} {
		if on, err := parseEnvBool(text); on || err != nil {
			t.Errorf("%s: %v %v", text, on, err)
		}
	}
	// What is switched off need not be there.
	if _, err := resolveEnv(t, "", map[string]string{"PUSH_FCM_ENABLED": "false", "HISTORY_ENABLED": "false", "WEBSOCKET_COMPRESSION": "disabled", "SOCKUDO_SERVER_ROLE": "default"}); err != nil {
		t.Error(err)
	}
}

// Every variable changes what it names, over what is written.
//
// Checklist: configuration 28, 29
func TestVariables(t *testing.T) {
	type change = func(*realtime.Settings)
	second := time.Second
	defaults := realtime.DefaultSettings().Rate
	for assignment, c := range map[string]struct {
		block  string
		change change
	}{
		"SOCKUDO_MAX_CONNECTIONS=7":                 {"max_connections 5", func(s *realtime.Settings) { s.MaxConnections = 7 }},
		"ACTIVITY_TIMEOUT=7":                        {"activity_timeout 9s", func(s *realtime.Settings) { s.ActivityTimeout = 7 * second }},
		"USER_AUTHENTICATION_TIMEOUT=7":             {"", func(s *realtime.Settings) { s.AuthenticationTimeout = 7 * second }},
		"HEALTH_CHECK_TIMEOUT_MS=7":                 {"", func(s *realtime.Settings) { s.HealthTimeout = 7 * time.Millisecond }},
		"HTTP_API_USAGE_ENABLED=yes":                {"usage off", func(s *realtime.Settings) { s.HTTP.Usage = true }},
		"CLUSTER_HEALTH_ENABLED=false":              {"", func(s *realtime.Settings) { s.Cluster.Off = true }},
		"CLUSTER_HEALTH_HEARTBEAT_INTERVAL=700":     {"", func(s *realtime.Settings) { s.Cluster.Heartbeat = 700 * time.Millisecond }},
		"CLUSTER_HEALTH_NODE_TIMEOUT=77000":         {"", func(s *realtime.Settings) { s.Cluster.NodeTimeout = 77 * second }},
		"CLUSTER_HEALTH_CLEANUP_INTERVAL=700":       {"", func(s *realtime.Settings) { s.Cluster.Cleanup = 700 * time.Millisecond }},
		"INSTANCE_PROCESS_ID=node-7":                {"node_id n", func(s *realtime.Settings) { s.NodeID = "node-7" }},
		"WEBSOCKET_MAX_PAYLOAD_KB=7":                {"", func(s *realtime.Settings) { s.Socket.MaxPayload = 7 << 10 }},
		"WEBSOCKET_MAX_MESSAGES=none":               {"", func(s *realtime.Settings) { s.Socket.MaxMessages = 0 }},
		"WEBSOCKET_MAX_MESSAGES=0":                  {"", func(s *realtime.Settings) { s.Socket.MaxMessages = 0 }},
		"WEBSOCKET_MAX_MESSAGES=7":                  {"", func(s *realtime.Settings) { s.Socket.MaxMessages = 7 }},
		"WEBSOCKET_MAX_BYTES=NONE":                  {"", func(s *realtime.Settings) { s.Socket.MaxBytes = 0 }},
		"WEBSOCKET_MAX_BYTES=7777":                  {"websocket {\nmax_bytes 1MiB\n}", func(s *realtime.Settings) { s.Socket.MaxBytes = 7777 }},
		"WEBSOCKET_DISCONNECT_ON_BUFFER_FULL=false": {"", func(s *realtime.Settings) { s.Socket.DropWhenFull = true }},
		"CORS_ORIGINS=https://a.example, b.example": {"", func(s *realtime.Settings) { s.HTTP.CORS.Origins = []string{"https://a.example", "b.example"} }},
		"CORS_METHODS=GET":                          {"", func(s *realtime.Settings) { s.HTTP.CORS.Methods = []string{"GET"} }},
		"CORS_HEADERS=X-A,X-B":                      {"", func(s *realtime.Settings) { s.HTTP.CORS.Headers = []string{"X-A", "X-B"} }},
		"CORS_CREDENTIALS=true": {"cors {\norigins https://a.example\n}", func(s *realtime.Settings) {
			s.HTTP.CORS.Credentials, s.HTTP.CORS.Origins = true, []string{"https://a.example"}
		}},
		"WEBSOCKET_PING_INTERVAL=7":  {"websocket {\nping_interval off\n}", func(s *realtime.Settings) { s.Socket.PingInterval = 7 * second }},
		"WEBSOCKET_PING_INTERVAL=0":  {"", func(s *realtime.Settings) { s.Socket.PingInterval = 0 }},
		"WEBSOCKET_AUTO_PING=no":     {"websocket {\nping_interval 7s\n}", func(s *realtime.Settings) { s.Socket.PingInterval = 0 }},
		"WEBSOCKET_AUTO_PING=yes":    {"websocket {\nauto_ping off\n}", func(*realtime.Settings) {}},
		"WEBSOCKET_IDLE_TIMEOUT=0":   {"", func(s *realtime.Settings) { s.Socket.IdleTimeout = 0 }},
		"WEBSOCKET_IDLE_TIMEOUT=700": {"websocket {\nidle_timeout off\n}", func(s *realtime.Settings) { s.Socket.IdleTimeout = 700 * second }},

		"CONNECTION_RECOVERY_ENABLED=true":                   {"recovery off", func(s *realtime.Settings) { s.Recovery.Enabled = true }},
		"CONNECTION_RECOVERY_ENABLED=false":                  {"recovery {\nbuffer_size 7\n}", func(s *realtime.Settings) { s.Recovery.BufferSize = 7 }},
		"CONNECTION_RECOVERY_BUFFER_TTL=7":                   {"", func(s *realtime.Settings) { s.Recovery.TTL = 7 * second }}, // and it stays off
		"CONNECTION_RECOVERY_MAX_BUFFER_SIZE=7":              {"", func(s *realtime.Settings) { s.Recovery.BufferSize = 7 }},
		"CONNECTION_RECOVERY_MAX_BUFFER_SIZE=8":              {"recovery {\nbuffer_size 7\n}", func(s *realtime.Settings) { s.Recovery.Enabled, s.Recovery.BufferSize = true, 8 }},
		"EPHEMERAL_ENABLED=off":                              {"", func(s *realtime.Settings) { s.Extras.Ephemeral = false }},
		"ECHO_CONTROL_ENABLED=off":                           {"", func(s *realtime.Settings) { s.Extras.Echo = false }},
		"ECHO_CONTROL_DEFAULT_ECHO_MESSAGES=0":               {"", func(s *realtime.Settings) { s.Extras.EchoDefault = false }},
		"EVENT_NAME_FILTERING_ENABLED=off":                   {"", func(s *realtime.Settings) { s.Filters.Events = false }},
		"EVENT_NAME_FILTERING_MAX_EVENTS_PER_FILTER=7":       {"", func(s *realtime.Settings) { s.Filters.MaxEvents = 7 }},
		"EVENT_NAME_FILTERING_MAX_EVENT_NAME_LENGTH=7":       {"", func(s *realtime.Settings) { s.Filters.MaxEventLength = 7 }},
		"TAG_FILTERING_ENABLED=1":                            {"", func(s *realtime.Settings) { s.Filters.Tags = true }},
		"TAG_FILTERING_ENABLED=0":                            {"tag_filtering {\nenable_tags off\n}", func(s *realtime.Settings) { s.Filters.KeepTags = false }},
		"PRESENCE_UPDATE_RATE_LIMIT_PER_MEMBER_PER_SECOND=7": {"", func(s *realtime.Settings) { s.Presence.UpdateRate = 7 }},
		"PRESENCE_UNGRACEFUL_TIMEOUT_SECONDS=7":              {"presence {\ngrace 9s\n}", func(s *realtime.Settings) { s.Presence.Grace = 7 * second }},
		"PRESENCE_V2_UNGRACEFUL_TIMEOUT_SECONDS=0":           {"", func(s *realtime.Settings) { s.Presence.GraceV2 = 0 }},

		"IDEMPOTENCY_ENABLED=false":         {"", func(s *realtime.Settings) { s.Idempotency.Enabled = false }},
		"IDEMPOTENCY_TTL_SECONDS=7":         {"", func(s *realtime.Settings) { s.Idempotency.TTL = 7 * second }},
		"IDEMPOTENCY_MAX_KEY_LENGTH=7":      {"", func(s *realtime.Settings) { s.Idempotency.MaxKeyLength = 7 }},
		"RATE_LIMITER_ENABLED=false":        {"rate_limiter {\napi 5 5s\n}", func(s *realtime.Settings) { s.Rate = realtime.RateSettings{} }},
		"RATE_LIMITER_ENABLED=true":         {"rate_limiter {\nenabled off\n}", func(s *realtime.Settings) { s.Rate.SkipPrivate = false }},
		"RATE_LIMITER_DRIVER=memory":        {"", func(s *realtime.Settings) { s.Rate.SkipPrivate = false }},
		"RATE_LIMITER_API_MAX_REQUESTS=7":   {"", func(s *realtime.Settings) { s.Rate.API.Max, s.Rate.SkipPrivate = 7, false }},
		"RATE_LIMITER_API_WINDOW_SECONDS=7": {"", func(s *realtime.Settings) { s.Rate.API.Window, s.Rate.SkipPrivate = 7*second, false }},
		"RATE_LIMITER_WS_MAX_REQUESTS=7": {"rate_limiter {\napi 5 5s\n}", func(s *realtime.Settings) {
			s.Rate = realtime.RateSettings{API: realtime.Rate{Max: 5, Window: 5 * second}, Upgrades: realtime.Rate{Max: 7, Window: defaults.Upgrades.Window}}
		}},
		"RATE_LIMITER_WS_WINDOW_SECONDS=7": {"", func(s *realtime.Settings) { s.Rate.Upgrades.Window, s.Rate.SkipPrivate = 7*second, false }},
	} {
		name, value, _ := strings.Cut(assignment, "=")
		want := realtime.DefaultSettings()
		want.NodeID, want.Log = processID(), nil
		c.change(&want)
		d, err := resolveEnv(t, c.block, map[string]string{name: value})
		if err != nil {
			t.Errorf("%s: %v", assignment, err)
			continue
		}
		d.settings.Log = nil
		if !reflect.DeepEqual(d.settings, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", assignment, d.settings, want)
		}
		if !slices.Equal(d.variables, []string{name}) {
			t.Errorf("%s: applied %q", assignment, d.variables)
		}
	}
	d, err := resolveEnv(t, "metrics {\nprefix a_\n}", map[string]string{"METRICS_PROMETHEUS_PREFIX": "b_", "METRICS_ENABLED": "no"})
	if err != nil || d.prefix != "b_" || d.metrics {
		t.Errorf("%v %+v", err, d)
	}
	d, err = resolveEnv(t, "", map[string]string{"ENVIRONMENT": "Development"})
	if err != nil || len(d.variables) != 1 {
		t.Errorf("%v %+v", err, d)
	}
}

// Switched off, the environment changes nothing.
//
// Checklist: configuration 16
func TestEnvironmentOff(t *testing.T) {
	plain, err := resolveEnv(t, "env_overrides off", nil)
	if err != nil {
		t.Fatal(err)
	}
	env := credentials(map[string]string{"REDIS_URL": "redis://other:6379/0", "SOCKUDO_SKIP_INLINE_APPS": "true", "METRICS_ENABLED": "no", "CACHE_DRIVER": "redis"})
	for _, v := range slices.Concat(variables, historyVariables, pushVariables) {
		if _, ok := env[v.name]; !ok {
			env[v.name] = "7"
		}
	}
	off, err := resolveEnv(t, "env_overrides off", env)
	if err != nil {
		t.Fatal(err)
	}
	plain.settings.Log, off.settings.Log = nil, nil
	if !reflect.DeepEqual(plain, off) {
		t.Errorf("got  %+v\nwant %+v", off, plain)
	}
}

// A driver that is selected by variable keeps its own options, and no others.
func TestDriverVariables(t *testing.T) {
	env := map[string]string{"CACHE_DRIVER": "memory", "QUEUE_DRIVER": "memory", "ADAPTER_DRIVER": "local", "APP_MANAGER_DRIVER": "memory", "RATE_LIMITER_DRIVER": "memory"}
	d, err := resolveEnv(t, "cache memory {\nmax_entries 5\n}\nrate_limiter {\nmax_keys 5\n}", env)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]string{kindCache: `{"max_entries":5}`, kindRateLimiter: `{"max_keys":5}`, kindQueue: `{}`} {
		if got := string(d.drivers[kind].config); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	h := new(Handler)
	if err := json.Unmarshal([]byte(`{"adapter": {"driver": "redis", "address": "x"}}`), h); err != nil {
		t.Fatal(err)
	}
	d, err = resolve(&h.HubConfig, credentials(env))
	if err != nil || string(d.drivers[kindAdapter].config) != "{}" || d.drivers[kindAdapter].driver != "local" {
		t.Errorf("%v %+v", err, d)
	}
}
