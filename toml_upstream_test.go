package sockudo

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// Spellings of Sockudo's own files mean what the words of a block mean.
//
// Checklist: configuration 9, 10
func TestSpellingsOfFiles(t *testing.T) {
	for file, block := range map[string]string{
		"mode = \"Development\"":                                       "mode development",
		"server_role = \"default\"\nmax_connections = 5":               "max_connections 5",
		"websocket_max_payload_kb = 32":                                "websocket {\nmax_payload 32KiB\n}",
		"activity_timeout = 60":                                        "activity_timeout 60s",
		"activity_timeout = \"2m\"":                                    "activity_timeout 2m",
		"user_authentication_timeout = 30":                             "authentication_timeout 30s",
		"health_check_timeout_ms = 500":                                "health_timeout 500ms",
		"instance.process_id = \"n1\"":                                 "node_id n1",
		"http_api = { request_limit_in_mb = 2, usage_enabled = true }": "usage on\nhttp {\nmax_body 2MiB\n}",
		"[cors]\norigin = [\"https://a.example\"]\ncredentials = true\nmethods = [\"GET\"]\nallowed_headers = [\"X-A\"]": "cors {\norigins https://a.example\ncredentials on\nmethods GET\nheaders X-A\n}",
		"[cors]\ncredentials = true\norigin = [\"*\"]":                                                                   "cors {\norigins *\n}",
		"[app_manager]\ndriver = \"pgsql\"\n[app_manager.cache]\nenabled = true\nttl = 0":                                "app_manager postgres\napp_cache {\nenabled on\nttl 0s\n}",
		"[app_manager]\ndriver = \"postgresql\"":                                                                         "app_manager postgres",
		"[app_manager]\ndriver = \"mysql\"\n[database.mysql]\nhost = \"h\"\npool_max = 7\npool_min = 1":                  "app_manager mysql\ndatabase mysql {\nhost h\nconnection_pool_size 7\n}",
		"[app_manager]\ndriver = \"postgres\"\n[database_pooling]\nenabled = true\nmin = 2\nmax = 9":                     "app_manager postgres\ndatabase postgres {\nconnection_pool_size 9\n}",
		"[app_manager]\ndriver = \"dynamodb\"\n[database.dynamodb]\nregion = \"eu-west-1\"\ntable_name = \"t\"\nendpoint_url = \"http://h\"\naws_access_key_id = \"i\"\naws_secret_access_key = \"s\"":                                                                                                                                  "app_manager dynamodb\ndatabase dynamodb {\nregion eu-west-1\ntable_name t\nendpoint_url http://h\naws_access_key_id i\naws_secret_access_key s\n}",
		"[app_manager]\ndriver = \"surrealdb\"\n[database.surrealdb]\nurl = \"ws://h\"\nnamespace = \"n\"\ndatabase = \"d\"\nusername = \"u\"\npassword = \"p\"\ntable_name = \"t\"\ncache_ttl = 300":                                                                                                                                   "app_manager surrealdb\ndatabase surrealdb {\nurl ws://h\nnamespace n\ndatabase d\nusername u\npassword p\ntable_name t\n}",
		"[app_manager]\ndriver = \"scylladb\"\n[database.scylladb]\nnodes = [\"h:9042\"]\nkeyspace = \"k\"\ntable_name = \"t\"\nusername = \"u\"\npassword = \"p\"\nreplication_class = \"SimpleStrategy\"\nreplication_factor = 3":                                                                                                     "app_manager scylladb\ndatabase scylladb {\nnodes h:9042\nkeyspace k\ntable_name t\nusername u\npassword p\nreplication_class SimpleStrategy\nreplication_factor 3\n}",
		"[cache]\ndriver = \"redis\"\n[database.redis]\nhost = \"h\"\nport = 1\ndb = 2\nusername = \"u\"\npassword = \"p\"\nkey_prefix = \"x:\"\nname = \"mymaster\"\nsentinels = []\n[database.redis.master_tls]\nenabled = true\nca_path = \"/ca\"\nclient_cert_path = \"/c\"\nclient_key_path = \"/k\"\naccept_invalid_certs = true": "cache redis\ndatabase redis {\nhost h\nport 1\ndb 2\nusername u\npassword p\nprefix x:\ntls {\nca /ca\ncert /c\nkey /k\ninsecure_skip_verify\n}\n}",
		"[cache]\ndriver = \"redis\"\n[database.redis]\nname = \"m\"\nsentinel_username = \"u\"\nsentinel_password = \"p\"\nhost = \"h\"\n[[database.redis.sentinels]]\nhost = \"s1\"\n[[database.redis.sentinels]]\nhost = \"s2\"\nport = 5":                                                                                           "cache redis\ndatabase redis {\nsentinel {\nmaster m\naddresses s1:26379 s2:5\nusername u\npassword p\n}\n}",
		"[cache]\ndriver = \"redis-cluster\"\n[database.redis.cluster]\nusername = \"u\"\nuse_tls = true\nnodes = [{ host = \"a\", port = 1 }, { host = \"b\" }]":                                                                                                                                                                       "cache redis_cluster\ndatabase redis_cluster {\nusername u\nnodes a:1 b:7000\ntls\n}",
		"[cache]\ndriver = \"redis-cluster\"\n[database.redis]\ncluster_nodes = [{ host = \"rediss://a\", port = 1 }]":                                                                                                                                                                                                                  "cache redis_cluster\ndatabase redis_cluster {\nnodes a:1\ntls\n}\ndatabase redis",
		alone + "[adapter]\ndriver = \"redis\"\nenable_socket_counting = true\nfallback_to_local = false\n[adapter.redis]\nrequests_timeout = 900\nredis_pub_options = { url = \"redis://h\" }\n[adapter.cluster_health]\nheartbeat_interval_ms = 2000\nnode_timeout_ms = 9000\ncleanup_interval_ms = 500":                              aloneBlock + "adapter redis {\nrequest_timeout 900ms\nurl redis://h\n}\ncluster_health {\nheartbeat 2s\nnode_timeout 9s\ncleanup 500ms\n}",
		alone + "[adapter]\ndriver = \"redis-cluster\"\n[adapter.cluster]\nnodes = [\"redis://a:1\", \"b:2\"]\nprefix = \"p\"\nrequest_timeout_ms = 900\nuse_sharded_pubsub = true\nuse_connection_manager = true":                                                                                                                      aloneBlock + "adapter redis_cluster {\nnodes a:1 b:2\nprefix p\nrequest_timeout 900ms\nuse_sharded_pubsub on\n}",
		alone + "[adapter]\ndriver = \"nats\"\n[adapter.nats]\nservers = [\"nats://h\"]\nprefix = \"p\"\nrequest_timeout_ms = 900\nconnection_timeout_ms = 800\nusername = \"u\"\npassword = \"p\"\nnodes_number = 2\nsubscription_capacity = 70000\nmax_reconnects = 3\nno_echo = true":                                                aloneBlock + "adapter nats {\nservers nats://h\nprefix p\nrequest_timeout 900ms\nconnection_timeout 800ms\nusername u\npassword p\nsubscription_capacity 70000\nmax_reconnects 3\nno_echo on\n}",
		"[cache]\ndriver = \"redis\"\n[cache.redis]\nprefix = \"p\"\nurl_override = \"redis://h\"":                                                                                                                                                                                                                                      "cache redis {\nprefix p\nurl redis://h\n}",
		"[cache.memory]\nmax_capacity = 500": "cache memory {\nmax_entries 500\n}",
		"[queue]\ndriver = \"redis\"\n[queue.redis]\nconcurrency = 3\nprefix = \"p\"\nresponse_timeout_ms = 700\n[queue.reliability]\nmax_attempts = 4\nretry_base_delay_ms = 500\nretry_max_delay_ms = 9000\nretry_jitter = 0.1\nlease_duration_ms = 20000\nlease_renew_interval_ms = 5000\ndeduplication_ttl_ms = 60000\nfailed_retention = 5\nworker_prefetch = 16\nmemory_capacity = 100000": "queue redis {\nconcurrency 3\nprefix p\nresponse_timeout 700ms\nreliability {\nmax_attempts 4\nretry_base 500ms\nretry_max 9s\nretry_jitter 0.1\nlease 20s\nlease_renew 5s\ndeduplication_ttl 60s\nfailed_retention 5\n}\n}",
		"[queue]\ndriver = \"redis-cluster\"\n[queue.redis_cluster]\nnodes = [\"redis://a:1\"]\nrequest_timeout_ms = 700": "queue redis_cluster {\nnodes a:1\nresponse_timeout 700ms\n}",
		"[queue]\ndriver = \"memory\"\n[queue.reliability]\nmemory_capacity = 50\nlease_duration_ms = 30000":              "queue memory {\nreliability {\nmemory_capacity 50\n}\n}",
		"[queue]\ndriver = \"none\"": "webhooks {\nenabled off\n}",
		"[metrics]\ndriver = \"prometheus\"\n[metrics.prometheus]\nprefix = \"rt_\"": "metrics {\nprefix rt_\n}",
		"[rate_limiter]\ndriver = \"redis\"\n[rate_limiter.redis]\nprefix = \"p\"\nurl_override = \"redis://h\"\n[rate_limiter.websocket_rate_limit]\nmax_requests = 5\nwindow_seconds = 6\nidentifier = \"x\"\ntrust_hops = 0": "rate_limiter redis {\nprefix p\nurl redis://h\nupgrades 5 6s\n}",
		"[rate_limiter.api_rate_limit]\nmax_requests = 5\nwindow_seconds = 6": "rate_limiter {\napi 5 6s\n}",
		"[rate_limiter]\nenabled = false\ndriver = \"redis\"":                 "rate_limiter {\nenabled off\n}",
		"[websocket]\nmax_messages = 0\nmax_bytes = 1000\ndisconnect_on_buffer_full = false\nauto_ping = false\nping_interval = 20\nidle_timeout = 0\ncompression = \"disabled\"": "websocket {\nmax_messages none\nmax_bytes 1000\non_buffer_full drop\nauto_ping off\nping_interval 20s\nidle_timeout off\n}",
		"[channel_limits]\nmax_name_length = 9\ncache_ttl = 60":                                                                                                                              "channel_limits {\nmax_name_length 9\ncache_ttl 60s\n}",
		"[event_limits]\nmax_channels_at_once = 1\nmax_name_length = 2\nmax_payload_in_kb = 3\nmax_batch_size = 4":                                                                           "event_limits {\nmax_channels_at_once 1\nmax_name_length 2\nmax_payload 3KiB\nmax_batch_size 4\n}",
		"[presence]\nmax_members_per_channel = 1\nmax_member_size_in_kb = 2\nupdate_rate_limit_per_member_per_second = 3\nungraceful_timeout_seconds = 4\nv2_ungraceful_timeout_seconds = 5": "presence {\nmax_members 1\nmax_member_size 2KiB\nupdate_rate 3\ngrace 4s\nv2_grace 5s\n}",
		"[connection_recovery]\nenabled = true\nbuffer_ttl_seconds = 9\nmax_buffer_size = 8":                                                                                                 "recovery {\nttl 9s\nbuffer_size 8\n}",
		"[history]\nenabled = true\nbackend = \"mysql\"\nrewind_enabled = false\nretention_window_seconds = 60\nmax_messages_per_channel = 5\nmax_bytes_per_channel = 6\nmax_page_size = 7\nwriter_shards = 8\nwriter_queue_capacity = 9\npurge_interval_seconds = 10\n[history.mysql]\ntable_prefix = \"t\"\nwrite_timeout_ms = 900": "history mysql {\nenabled on\nrewind off\nretention 60s\nmax_items_per_channel 5\nmax_bytes_per_channel 6\nmax_page_size 7\nwriter_shards 8\nwriter_queue_capacity 9\npurge_interval 10s\ntable_prefix t\nwrite_timeout 900ms\n}",
		"[history]\nbackend = \"postgres\"\n[history.postgres]\ntable_prefix = \"t\"": "history off",
		"[history]\nenabled = true\n[presence_history]\nenabled = true\nretention_window_seconds = 60\nmax_events_per_channel = 5\n[versioned_messages]\nenabled = true\nretention_window_seconds = 0\npurge_interval_seconds = 300\n[annotations]\nenabled = true": "history on\npresence_history {\nretention 60s\nmax_events_per_channel 5\n}\nversioned_messages {\nretention none\n}\nannotations on",
		"[tag_filtering]\nenabled = true\nenable_tags = false\n[echo_control]\nenabled = false\n[event_name_filtering]\nmax_events_per_filter = 5\nmax_event_name_length = 6":                                                                                       "tag_filtering {\nenabled on\nenable_tags off\n}\necho_control off\nevent_name_filtering {\nmax_events_per_filter 5\nmax_event_name_length 6\n}",
		"[delta_compression]\nenabled = true\nalgorithm = \"Xdelta3\"\nfull_message_interval = 5\nmin_message_size = 6\nmax_state_age_secs = 7\nconflation_key_path = \"a.b\"\ncluster_coordination = true\ncoordination_backend = \"redis\"":                       "delta_compression {\nalgorithm xdelta3\nfull_message_interval 5\nmin_message_size 6\nmax_state_age 7s\nconflation_key_path a.b\n}",
		"[ephemeral]\nenabled = false":                       "ephemeral off",
		"[idempotency]\nttl_seconds = 5\nmax_key_length = 6": "idempotency {\nttl 5s\nmax_key_length 6\n}",
		"[webhooks]\nrequest_timeout_ms = 900\nbatching = { enabled = true, size = 5, duration = 60 }\n[webhooks.retry]\nmax_attempts = 5\nmax_elapsed_time_ms = 60000\ninitial_backoff_ms = 100\nmax_backoff_ms = 200": "webhooks {\ntimeout 900ms\nbatching_enabled on\nmax_batch_size 5\nflush_interval 60ms\nretry {\nmax_attempts 5\nmax_elapsed 60s\ninitial_backoff 100ms\nmax_backoff 200ms\n}\n}",
		"[push]\nstorage_driver = \"postgres\"\nfcm_enabled = false\nplanner_worker_count = 2\ndispatch_max_outbound_requests = 3\nbackpressure_lag_threshold_secs = 0\npublish_status_ttl_days = 2\nstale_device_max_age_days = 3\nscheduler_interval_secs = 4\nrepair_interval_secs = 0\ncleanup_interval_secs = 600\nanalytics_retention_days = 5\naccept_worker_count = 1\ncredential_encryption_key = \"k\"\n[push.retry]\nmax_attempts = 2\nmax_elapsed_secs = 60\n[push.circuit_breaker]\ncooldown_secs = 5\n[push.default_quotas]\nacceptance_rps = 0\ninflight_max = 9": "push {\nstorage postgres\nfcm_enabled off\nplanner_worker_count 2\ndispatch_max_outbound_requests 3\nbackpressure {\nmax_age none\n}\npublish_status_ttl 2d\nstale_device_max_age 3d\nscheduler_interval 4s\nrepair_interval none\ncleanup_interval 600s\nevent_retention 5d\ncredential_encryption_key k\nretry {\nmax_attempts 2\nmax_elapsed 60s\n}\ncircuit_breaker {\ncooldown 5s\n}\ndefault_quotas {\nacceptance_rps none\ninflight_max 9\n}\n}",
		"[push]\nstorage_driver = \"memory\"\nqueue_driver = \"memory\"": "push off",
		"[push]\nenabled = true\n[[push_rules]]\nchannel_pattern = \"a*\"\nevent_filter = [\"x\"]\nrate_limit_per_second = 5\npayload_mapping = { title_field = \"t\" }": "push on\npush_rule a* {\nevent_filter x\nrate_limit_per_second 5\npayload_mapping {\ntitle_field t\n}\n}",
	} {
		app := strings.ReplaceAll(pageApp, "@\n", "")
		top, rest, _ := strings.Cut("\n"+file, "\n[")
		if rest != "" {
			rest = "\n[" + rest
		}
		_, got := hubOf(t, mustReadSockudo(t, top+"\n"+app+rest))
		if strings.Contains(file, `driver = "memory"`) && strings.HasPrefix(file, "[queue]") {
			got.lossyQueue = false // see TestQueueInMemory
		}
		want := withoutLog(mustResolve(t, &mustParse(t, strings.ReplaceAll(pageAppBlock, "@\n", "")+block).HubConfig, nil))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\n%+v", file, got, want)
		}
	}
}

// Apps as Sockudo's files have them, flat and with a policy.
func TestAppsOfFiles(t *testing.T) {
	file := `
[[app_manager.array.apps]]
id = "demo"
key = "demo-key"
secret = "s3cr3t-canary"
[app_manager.array.apps.policy.limits]
max_connections = "1000"
max_client_events_per_sec = 7
message_rate_limit = { max_attempts = 5 }
[app_manager.array.apps.policy.channels]
allowed_origins = ["*"]
[[app_manager.array.apps.policy.channels.channel_namespaces]]
name = "ticker"
channel_name_pattern = "^ticker:[a-z]{2}$"
annotations_enabled = false
[app_manager.array.apps.policy.channels.channel_delta_compression]
"news" = "Disabled"
[app_manager.array.apps.policy.channels.channel_delta_compression."ticker:*"]
algorithm = "Fossil"
conflation_key = "item_id"
max_messages_per_key = 10
max_conflation_keys = 1000
[app_manager.array.apps.policy.idempotency]
ttl_seconds = 300
[app_manager.array.apps.policy.connection_recovery]
enabled = false
`
	block := `app demo {
	key demo-key
	secret s3cr3t-canary
	max_connections 1000
	max_client_events_per_second 7
	allowed_origins *
	namespace ticker {
		pattern ^ticker:[a-z]\{2}$
		annotations off
	}
	delta news disabled
	delta ticker:* fossil {
		conflation_key item_id
		max_conflation_keys 1000
	}
	idempotency {
		ttl 300s
	}
	recovery off
}`
	_, got := hubOf(t, mustReadSockudo(t, file))
	want := mustResolve(t, &mustParse(t, block).HubConfig, nil)
	for _, d := range []*definition{got, want} {
		for _, n := range d.apps[0].Namespaces {
			n.Match = nil
		}
	}
	if !reflect.DeepEqual(got.apps, want.apps) {
		t.Errorf("%+v\n%+v", got.apps[0], want.apps[0])
	}
}

// A queue that a file keeps in memory may lose webhooks, as in Sockudo, and the adapter
// says so.
func TestQueueInMemory(t *testing.T) {
	f := mustReadSockudo(t, "[queue]\ndriver = \"memory\"\n[webhooks]\nenabled = true\n"+strings.ReplaceAll(pageApp, "@\n", ""))
	if _, d := hubOf(t, f); !d.lossyQueue {
		t.Error("webhooks would be refused")
	}
	contains(t, strings.Join(f.Notes, "\n"), "line 1: queue is memory: webhooks that wait are lost when the process ends")
}

// A whole file of Sockudo's defaults, in TOML and in JSON, is taken, and what is read
// over is said.
//
// Checklist: configuration 148
func TestDefaultsOfSockudo(t *testing.T) {
	for _, name := range []string{"defaults.toml", "defaults.json"} {
		text, err := os.ReadFile("testdata/toml/" + name)
		if err != nil {
			t.Fatal(err)
		}
		config, warnings := adaptFile(t, string(text))
		validate(t, config)
		lines := strings.Split(string(text), "\n")
		for _, w := range warnings {
			first, _, _ := strings.Cut(w.Message, " ")
			key := first[strings.LastIndex(first, ".")+1:]
			if w.Line < 1 || w.Line > len(lines) || !strings.Contains(lines[w.Line-1], key) {
				t.Errorf("%s: line %d is not that of %s", name, w.Line, w.Message)
			}
		}
		if len(warnings) < 20 {
			t.Errorf("%s: %d warnings", name, len(warnings))
		}
	}
}

// Both forms of a file are one tree.
func TestFileAsJSON(t *testing.T) {
	adapter := caddyconfig.GetAdapter("sockudo")
	one, _, err := adapter.Adapt([]byte("port = 7000\n[history]\nenabled = true\nretention_seconds = 60\n[[app_manager.array.apps]]\nid = \"a\"\nkey = \"k\"\nsecret = \"s\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := adapter.Adapt([]byte(` {"port": 7000, "history": {"enabled": true, "retention_seconds": 60}, "app_manager": {"array": {"apps": [{"id": "a", "key": "k", "secret": "s", "enabled": null}]}}}`), nil)
	if err != nil || string(one) != string(other) || !json.Valid(one) {
		t.Errorf("%v\n%s\n%s", err, one, other)
	}
}
