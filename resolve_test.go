package sockudo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// A hub that says nothing has the settings of the core, and its apps those of the
// contract.
func TestDefaults(t *testing.T) {
	got, app := settingsOf(t, "")
	want := realtime.DefaultSettings()
	want.NodeID, want.Log = processID(), got.Log
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want := (storage.App{ID: "demo", Key: "demo-key", Secret: "s3cr3t-canary", Enabled: true}); !reflect.DeepEqual(*app, want) {
		t.Errorf("got  %+v\nwant %+v", *app, want)
	}
}

// The same configuration through both doors, and what comes of it.
//
// Checklist: configuration 3
func TestBothDoors(t *testing.T) {
	written := mustResolve(t, &mustParse(t, fullBlock(t)).HubConfig, nil)
	h := new(Handler)
	object := `{
		"name": "full", "env_overrides": "off", "mode": "development", "node_id": "node-1", "max_connections": "1000",
		"activity_timeout": 60000000000, "user_authentication_timeout": "600s", "health_check_timeout_ms": 500,
		"drain_period": "3s", "drain_timeout": "8s", "usage": true,
		"apps": [
			{"id": "demo", "key": "demo-key", "secret": "s3cr3t", "policy": {
				"limits": {
					"max_connections": "10", "max_client_events_per_second": 11, "max_backend_events_per_second": "12",
					"max_read_requests_per_second": 13, "max_presence_members_per_channel": 14,
					"max_presence_member_size_in_kb": 15, "max_channel_name_length": 16, "max_event_channels_at_once": 17,
					"max_event_name_length": 18, "max_event_payload_in_kb": 19, "max_event_batch_size": 20,
					"decay_seconds": 2, "terminate_on_limit": true,
					"message_rate_limit": {"max_attempts": 21, "decay_seconds": 22, "terminate_on_limit": true}
				},
				"features": {"enable_client_messages": true, "enable_user_authentication": true, "enable_watchlist_events": true, "subscription_count": true},
				"channels": {
					"allowed_origins": ["https://example.com", "*.example.org"],
					"channel_namespaces": [
						{"name": "chat", "channel_name_pattern": "^chat:", "max_channel_name_length": "100", "allow_user_limited_channels": true,
							"allow_subscribe_for_client": false, "allow_publish_for_client": "off", "allow_presence_for_client": false, "annotations_enabled": false,
							"history": {"rewind_enabled": false, "retention_window_seconds": "40", "max_messages_per_channel": 41, "max_bytes_per_channel": "42"},
							"presence_history": {"enabled": false}},
						{"name": "news", "pattern": "^news:"}
					],
					"channel_delta_compression": {
						"ticker-*": {"algorithm": "Xdelta3", "conflation_key": "data.symbol", "max_conflation_keys": 7, "enable_tags": false},
						"chat": {"mode": "fossil", "enabled": false}
					},
					"annotations_enabled": true
				},
				"history": {"enabled": true, "rewind": false, "retention": "1800s", "max_items_per_channel": "31", "max_bytes_per_channel": 32768},
				"presence_history": {"enabled": "on", "retention": 33000000000, "max_events_per_channel": 34, "max_bytes_per_channel": 35000},
				"connection_recovery": {"enabled": true, "max_buffer_size": 30, "ttl": "60s"},
				"idempotency": {"enabled": false, "ttl_seconds": 5},
				"webhooks": [
					{"url": "https://hooks.example.com/rt?token=x", "event_types": ["channel_occupied", "channel_vacated"],
						"filter": {"channel_prefix": "private-", "suffix": "-live", "channel_pattern": "^private-", "channel_namespaces": ["chat", "news"]},
						"headers": {"X-Env": "prod", "X-Token": "{env.HOME}"}, "request_timeout_ms": 3000,
						"retry": {"enabled": true, "max_attempts": "9", "max_elapsed_time_ms": 60000, "initial_backoff_ms": 2000, "max_backoff": "20s"}},
					{"lambda": {"function_name": "fn", "region": "eu-west-1"}, "events": ["cache_miss"], "filter": {"channel_namespace": "chat"}},
					{"lambda": {"function_name": "fn", "region": "us-east-1"}, "events": ["member_added"]}
				]
			}},
			{"id": "nested", "key": "nested-key", "secret": "s3cr3t", "max_connections": 7, "enable_client_messages": true,
				"allowed_origins": ["any"], "channel_namespaces": [{"name": "chat", "pattern": "^chat:"}], "idempotency": {"ttl": "1m"}, "recovery": "off",
				"channel_delta_compression": {"news": "disabled"}, "annotations": "on", "history": false, "presence_history": {"max_events_per_channel": "8"},
				"webhooks": [{"url": "http://127.0.0.1:8000/hooks", "events": ["client_event"]}]}
		],
		"app_manager": {"driver": "memory"}, "adapter": {"driver": "local"}, "server_role": "default",
		"cluster_health": {"enabled": true, "heartbeat_interval_ms": 2000, "node_timeout": "9s", "cleanup": "500ms"},
		"cache": {"driver": "memory", "max_entries": 500, "max_bytes": 1048576},
		"queue": {"driver": "memory", "max_bytes": 2000000, "reliability": {"max_attempts": 3, "retry_base": 500000000,
			"retry_max": 60000000000, "retry_jitter": 0.1, "deduplication_ttl": 60000000000, "failed_retention": 0, "memory_capacity": 1000}},
		"history": {"backend": "memory", "enabled": true, "max_size": 67108864, "rewind_enabled": true, "retention": "24h", "max_messages_per_channel": 10000,
			"max_bytes_per_channel": 10485760, "max_page_size": 50, "on_failure": "deliver", "purge_interval_seconds": 60, "writer_shards": "8",
			"writer_queue_capacity": 1000, "write_timeout": "2s"},
		"presence_history": {"retention_window_seconds": 43200, "max_page_size": 60, "max_events_per_channel": 500},
		"versioned_messages": {"driver": "Memory", "retention_seconds": 604800, "max_page_size": 70}, "annotations": true,
		"rate_limiter": {"driver": "memory", "enabled": true, "max_keys": 1000, "limits": {"connection_per_ip": 50, "events_per_second": 100},
			"api_rate_limit": {"max_requests": 200, "window_seconds": 60}, "upgrades": {"max": 30, "window": "10s"}, "fail_open": true},
		"websocket": {"max_messages": "none", "max_channels": "500", "max_bytes": 524288, "disconnect_on_buffer_full": false, "max_payload_kb": 32,
			"auto_ping": false, "ping_interval": "25s", "idle_timeout": "90s"},
		"cors": {"origin": ["https://example.com"], "methods": ["GET", "POST"], "allowed_headers": ["Content-Type"], "credentials": true},
		"http": {"request_limit_in_mb": 1},
		"channel_limits": {"max_name_length": 100, "cache_ttl_seconds": 3600},
		"event_limits": {"max_channels_at_once": 50, "max_name_length": 90, "max_payload_in_kb": 10, "max_batch_size": 5},
		"presence": {"max_members_per_channel": 40, "max_member_size_in_kb": 1, "update_rate_limit_per_member_per_second": 5,
			"ungraceful_timeout_seconds": 3, "v2_grace": "20s"},
		"connection_recovery": {"enabled": true, "max_buffer_size": 1000, "buffer_ttl_seconds": 120, "max_bytes": "2MiB"},
		"ephemeral": false, "echo_control": {"default_echo_messages": false},
		"event_name_filtering": {"max_events_per_filter": "20", "max_event_name_length": 100},
		"tag_filtering": {"enabled": true, "enable_tags": false},
		"delta_compression": {"algorithm": "xdelta3", "full_message_interval": 20, "min_message_size": 200, "max_state_age_secs": 60,
			"max_channel_states_per_socket": 50, "max_conflation_states_per_channel": 40, "conflation_key_path": "data.id", "omit_delta_algorithm": true,
			"cluster_coordination": false, "coordination_backend": "auto"},
		"idempotency": {"enabled": true, "ttl": "120s", "max_key_length": 64},
		"webhooks": {"enabled": true, "batching_enabled": false, "max_batch_size": 60, "flush_interval": "250ms", "timeout": "4s", "debounce": 2000000000,
			"concurrency": 30, "endpoint_concurrency": 3, "allow_private": true, "allow_lossy_queue": false, "ca": "testdata/authority.pem",
			"retry": {"enabled": true, "max_attempts": 8, "max_elapsed": "1m", "initial_backoff": "500ms", "max_backoff_ms": 10000}},
		"push": {"storage": {"driver": "memory"}, "queue_driver": "Memory", "allow_memory_drivers": true,
			"providers": {
				"fcm": {"enabled": false, "project_id": "demo"}, "apns": {"bundle_id": "com.example.app", "environment": "sandbox"},
				"webpush": {"vapid_subject": "mailto:ops@example.com", "vapid_private_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}, "wns": {"enabled": true}
			},
			"fcm_enabled": false, "apns_enabled": true, "webpush_enabled": "on", "hms_enabled": false, "wns_enabled": true,
			"async_only": "off", "default_ttl": "30m", "publish_status_ttl": "48h", "event_retention": 1209600000000000, "stale_device_max_age": "90d",
			"invalid_token_quarantine": "2h", "default_quotas": {"acceptance_rps": "50", "delivery_quota_daily": 100000, "fanout_max": 0, "inflight_max": 200},
			"planner_worker_count": 2, "dispatch_worker_count": "3", "dispatch_max_outbound_requests": 16, "fanout_fast_threshold": 5000, "fanout_shard_size": 50000,
			"backpressure": {"max_age": "30s", "max_publishes": 1000, "max_deliveries": 2000, "retry_after": "10s"},
			"retry": {"max_attempts": 4, "initial_backoff": "500ms", "max_backoff_ms": 30000, "max_elapsed": "2h", "jitter_ratio_percent": 10, "respect_retry_after": false},
			"circuit_breaker": {"failure_threshold": 6, "cooldown": "30s", "half_open_max_inflight": 2},
			"scheduler_interval": "2s", "repair_interval_secs": 0, "repair_min_age_secs": 60, "repair_batch_size": 50,
			"cleanup_interval_secs": 600, "cleanup_batch_size": 500, "cleanup_max_deleted_per_tick": 5000,
			"credential_encryption_key": "{env.HOME}", "previous_encryption_keys": ["older", "oldest"], "encrypt_recipients": true,
			"endpoints": {"allow_local": true, "allowed_hosts": ["push.example.com", ".example.org"], "denied_hosts": ["bad.example.org"]},
			"testing": {"allow_private_endpoints": "on"}
		},
		"push_rules": [
			{"channel_pattern": "orders-*", "event_filter": ["order-ready", "order-late"], "rate_limit_per_second": "20",
				"payload_mapping": {"title_field": "headline", "body_field": "text", "template_data_field": "details", "include_remaining_fields": false},
				"suppress_if_present": {"channel": "presence-shop", "delay": "5s"}},
			{"channel_pattern": "news", "event_filter": ["published"], "suppress_if_present": {"channel": "presence-news", "delay_seconds": 60}}
		],
		"metrics": {"enabled": true, "prefix": "rt_"}
	}`
	if err := json.Unmarshal([]byte(object), h); err != nil {
		t.Fatal(err)
	}
	spelled := mustResolve(t, &h.HubConfig, nil)
	for _, d := range []*definition{written, spelled} {
		for _, app := range d.apps {
			for _, n := range app.Namespaces {
				n.Match = nil // functions do not compare
			}
		}
		d.settings.Log = nil
	}
	if !reflect.DeepEqual(written.settings, spelled.settings) {
		t.Errorf("settings differ:\n%+v\n%+v", written.settings, spelled.settings)
	}
	for i := range written.apps {
		if !reflect.DeepEqual(written.apps[i], spelled.apps[i]) {
			t.Errorf("apps differ:\n%+v\n%+v", written.apps[i], spelled.apps[i])
		}
	}
	if !written.webhooks.Roots.Equal(spelled.webhooks.Roots) {
		t.Error("the authorities differ")
	}
	written.webhooks.Roots, spelled.webhooks.Roots = nil, nil
	if !reflect.DeepEqual(written.webhooks, spelled.webhooks) || written.webhooks == nil {
		t.Errorf("webhooks differ:\n%+v\n%+v", written.webhooks, spelled.webhooks)
	}
	if !reflect.DeepEqual(written.drivers, spelled.drivers) || written.prefix != spelled.prefix {
		t.Errorf("drivers differ:\n%+v\n%+v", written.drivers, spelled.drivers)
	}
	if !reflect.DeepEqual(written.writes, spelled.writes) || written.writes == nil {
		t.Errorf("history is written differently: %+v, %+v", written.writes, spelled.writes)
	}
	if !reflect.DeepEqual(written.push, spelled.push) || written.push == nil {
		t.Errorf("push differs:\n%+v\n%+v", written.push, spelled.push)
	}
}

// Other spellings give equal settings.
//
// Checklist: configuration 9
func TestSpellings(t *testing.T) {
	for one, other := range map[string]string{
		"authentication_timeout 90s":                "user_authentication_timeout 90s",
		"health_timeout 1500ms":                     "health_check_timeout_ms 1500",
		"usage on":                                  "usage true",
		"usage":                                     "usage on",
		"activity_timeout 1d":                       "activity_timeout 24h",
		"idempotency {\nttl 7s\n}":                  "idempotency {\nttl_seconds 7\n}",
		"websocket {\nmax_payload 8KiB\n}":          "websocket {\nmax_payload_kb 8\n}",
		"websocket {\non_buffer_full drop\n}":       "websocket {\ndisconnect_on_buffer_full off\n}",
		"websocket {\non_buffer_full disconnect\n}": "websocket {\ndisconnect_on_buffer_full\n}",
		"websocket {\nmax_messages none\n}":         "websocket {\nmax_messages 0\n}",
		"cors {\norigins a.example\n}":              "cors {\norigin a.example\n}",
		"cors {\nheaders X-A X-B\n}":                "cors {\nallowed_headers X-A X-B\n}",
		"http {\nmax_body 2MiB\n}":                  "http {\nrequest_limit_in_mb 2\n}",
		"channel_limits {\ncache_ttl 60s\n}":        "channel_limits {\ncache_ttl_seconds 60\n}",
		"event_limits {\nmax_payload 2KiB\n}":       "event_limits {\nmax_payload_in_kb 2\n}",
		"presence {\nmax_members 7\n}":              "presence {\nmax_members_per_channel 7\n}",
		"presence {\nmax_member_size 3KiB\n}":       "presence {\nmax_member_size_in_kb 3\n}",
		"rate_limiter {\napi 5 10s\n}":              "rate_limiter {\napi_rate_limit {\nmax_requests 5\nwindow_seconds 10\n}\n}",
		"rate_limiter {\nupgrades 5 60s\n}":         "rate_limiter {\nwebsocket_rate_limit {\nmax_requests 5\n}\n}",
		"rate_limiter {\nenabled on\n}":             "rate_limiter memory",
		"rate_limiter {\nlimits {\n}\n}":            "rate_limiter",
		"app_manager memory":                        "apps memory",
		"webhooks {\nbatching off\ndebounce 1s\n}":  "webhooks {\nbatching_enabled off\ndebounce 1000ms\n}",
		"cluster_health {\ncleanup 2s\n}":           "cluster_health {\ncleanup_interval_ms 2000\n}",

		"recovery {\nenabled true\nbuffer_size 1000\nttl_seconds 120\n}": "recovery {\nbuffer_size 1000\nttl 120s\n}", // the page's
		"recovery {\nbuffer_size 7\nttl 7s\n}":                           "connection_recovery {\nmax_buffer_size 7\nbuffer_ttl_seconds 7\n}",
		"recovery":                                                       "recovery {\nenabled on\n}",
		"recovery {\n}":                                                  "recovery on",
		"recovery off":                                                   "recovery {\nenabled off\n}",
		"ephemeral off":                                                  "ephemeral false",
		"echo_control off":                                               "echo_control {\nenabled off\n}",
		"event_name_filtering off":                                       "event_name_filtering {\nenabled off\n}",
		"tag_filtering on":                                               "tag_filtering {\nenable_tags on\n}",
		"tag_filtering":                                                  "tag_filtering true",
		"delta_compression off":                                          "delta_compression {\nenabled false\n}",
		"presence {\ngrace 7s\n}":                                        "presence {\nungraceful_timeout_seconds 7\n}",
		"presence {\nv2_grace 0s\n}":                                     "presence {\nv2_ungraceful_timeout_seconds 0\n}",
		"presence {\nupdate_rate 7\n}":                                   "presence {\nupdate_rate_limit_per_member_per_second 7\n}",
		"websocket {\nping_interval off\n}":                              "websocket {\nauto_ping off\n}",
		"websocket {\nping_interval 0\n}":                                "websocket {\nauto_ping off\nping_interval 20s\n}",
		"websocket {\nping_interval none\n}":                             "websocket {\nping_interval 0s\n}",
		"websocket {\nidle_timeout off\n}":                               "websocket {\nidle_timeout 0\n}",

		"delta_compression {\nmax_state_age 7s\n}": "delta_compression {\nmax_state_age_secs 7\ncluster_coordination off\ncoordination_backend auto\n}",
	} {
		a, _ := settingsOf(t, one)
		b, _ := settingsOf(t, other)
		a.Log = b.Log
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s\nand\n%s\ndiffer:\n%+v\n%+v", one, other, a, b)
		}
	}
	for word, want := range map[string]string{
		"redis-cluster": "redis_cluster", "PgSQL": "postgres", "postgresql": "postgres", "scylla": "scylladb",
		"surreal": "surrealdb", "gcp-pubsub": "google_pubsub", "pubsub": "google_pubsub", "google-pubsub": "google_pubsub",
		"rabbit-mq": "rabbitmq", "apache-iggy": "iggy", "memory": "memory",
	} {
		if got := driverName(word); got != want {
			t.Errorf("driver %s is %s, want %s", word, got, want)
		}
	}
}

// What a limiter limits depends on whether its block names anything.
func TestRateLimits(t *testing.T) {
	defaults := realtime.DefaultSettings().Rate
	open := defaults
	open.SkipPrivate = false
	failOpen := open
	failOpen.FailOpen = true
	for block, want := range map[string]realtime.RateSettings{
		"":                               defaults,
		"rate_limiter memory":            open,
		"rate_limiter":                   open,
		"rate_limiter {\n}":              open,
		"rate_limiter {\nmax_keys 5\n}":  open,
		"rate_limiter {\nfail_open\n}":   failOpen,
		"rate_limiter {\nenabled off\n}": {},
		"rate_limiter {\nenabled off\napi 1 1s\n}":                                    {},
		"rate_limiter {\nlimits {\nconnection_per_ip 50\nevents_per_second 100\n}\n}": {ConnectionsPerIP: 50, EventsPerSecond: 100},
		"rate_limiter {\napi 7 30s\n}":                                                {API: realtime.Rate{Max: 7, Window: 30 * time.Second}},
		"rate_limiter {\nupgrades 7 30s\n}":                                           {Upgrades: realtime.Rate{Max: 7, Window: 30 * time.Second}},
		"rate_limiter {\napi 0 30s\n}":                                                {API: realtime.Rate{Max: 0, Window: 30 * time.Second}},
		"rate_limiter {\napi_rate_limit {\nwindow_seconds 5\n}\n}":                    {API: realtime.Rate{Max: 100, Window: 5 * time.Second}},
		"rate_limiter {\nwebsocket_rate_limit {\nmax_requests 5\n}\n}":                {Upgrades: realtime.Rate{Max: 5, Window: 60 * time.Second}},
	} {
		if got, _ := settingsOf(t, block); got.Rate != want {
			t.Errorf("%s\ngot  %+v\nwant %+v", block, got.Rate, want)
		}
	}
}

// Placeholders are expanded into what is resolved, and stay in what Caddy shows.
//
// Checklist: configuration 13, 15
func TestPlaceholders(t *testing.T) {
	const canary = "s3cr3t-canary"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from-"+canary+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOCKUDO_TEST_SECRET", canary)
	t.Setenv("SOCKUDO_TEST_N", "77")
	h := mustParse(t, `
		max_connections {env.SOCKUDO_TEST_N}
		activity_timeout {env.SOCKUDO_TEST_N}s
		health_check_timeout_ms {env.SOCKUDO_TEST_N}
		node_id node-{env.SOCKUDO_TEST_N}
		cors {
			origins https://{env.SOCKUDO_TEST_N}.example
		}
		app one {
			key k1
			secret {env.SOCKUDO_TEST_SECRET}
		}
		app two {
			key k2
			secret {file.`+file+`}
		}
		app three {
			key k3
			secret "a\{b\}"
		}`)
	d := mustResolve(t, &h.HubConfig, nil)
	s := d.settings
	if s.MaxConnections != 77 || s.ActivityTimeout != 77*time.Second || s.HealthTimeout != 77*time.Millisecond || s.NodeID != "node-77" || s.HTTP.CORS.Origins[0] != "https://77.example" {
		t.Errorf("%+v", s)
	}
	for i, want := range []string{canary, "from-" + canary, "a{b}"} {
		if got := d.apps[i].Secret; got != want {
			t.Errorf("secret %d is %q, want %q", i, got, want)
		}
	}
	shown, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(shown), "{env.SOCKUDO_TEST_SECRET}", "{env.SOCKUDO_TEST_N}", "{file."+file+"}")
	if reflect.DeepEqual(h.Apps[0].Secret, canary) {
		t.Error("the secret is in the configuration")
	}
}

// The fingerprint tells definitions apart, not spellings of JSON.
func TestFingerprint(t *testing.T) {
	printed := func(object string) string {
		h := new(Handler)
		if err := json.Unmarshal([]byte(object), h); err != nil {
			t.Fatal(err)
		}
		f, err := h.fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a := printed(`{"max_connections": 5, "cache": {"driver": "memory", "max_entries": 5, "max_bytes": 6}}`)
	if b := printed(`{"cache": {"max_bytes": 6, "max_entries": 5, "driver": "memory"}, "max_connections": "5"}`); a != b {
		t.Error("equal definitions differ")
	}
	if b := printed(`{"max_connections": 5, "cache": {"driver": "memory", "max_entries": 5, "max_bytes": 7}}`); a == b {
		t.Error("different definitions are equal")
	}
	if a := printed(`{"rate_limiter": {"max_keys": 5}}`); a == printed(`{"rate_limiter": {"max_keys": 6}}`) {
		t.Error("options of the rate limiter do not count")
	}
}
