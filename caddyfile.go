package sockudo

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive. Without a block it refers to a hub that
// is defined elsewhere. A switch that stands alone is on. Where on|off|{ stands, a
// switch may be written instead of the block. Words in brackets are other spellings.
//
//	sockudo [MATCHER] [NAME] {
//		name NAME                             # default
//		env_overrides on|off                  # on
//		mode production|development           # production
//		role default|api                      # default [server_role]
//		node_id TEXT                          # random, as long as the process lasts
//		max_connections N                     # 0: unlimited
//		activity_timeout DURATION             # 120s
//		authentication_timeout DURATION       # 3600s [user_authentication_timeout]
//		health_timeout DURATION               # 2s [health_check_timeout_ms N]
//		drain_period DURATION                 # 5s
//		drain_timeout DURATION                # 10s
//		usage on|off                          # off
//		events NAME...                        # none beside those of subscriptions
//		app ID {                              # at least one, unless they are in a store
//			key TEXT                          # required
//			secret TEXT                       # required
//			enabled on|off                    # on
//			enable_client_messages on|off     # off
//			enable_user_authentication on|off # off
//			enable_watchlist_events on|off    # off
//			subscription_count on|off         # off
//			allowed_origins PATTERN...        # any
//			max_connections N                 # 0: unlimited
//			max_client_events_per_second N    # 0: events_per_second of the rate limiter
//			max_backend_events_per_second N   # 0: events_per_second of the rate limiter
//			max_read_requests_per_second N    # 0: unlimited
//			max_presence_members_per_channel N # 0: as the hub, like those below
//			max_presence_member_size_in_kb N
//			max_channel_name_length N
//			max_event_channels_at_once N
//			max_event_name_length N
//			max_event_payload_in_kb N
//			max_event_batch_size N
//			decay_seconds N                   # 1
//			terminate_on_limit on|off         # off
//			message_rate_limit {              # no limit
//				enabled on|off                # on
//				max_attempts N                # 60
//				decay DURATION                # 60s [decay_seconds N]
//				terminate on|off              # off [terminate_on_limit]
//			}
//			limits { ... }                    # the limits above may stand here instead
//			policy { ... }                    # limits, features, channels, idempotency, recovery and histories
//			namespace NAME {
//				pattern REGEXP                # any [channel_name_pattern]
//				max_channel_name_length N     # 0: as the app
//				allow_user_limited_channels on|off # off
//				allow_subscribe_for_client on|off # on, for V2 clients like those below
//				allow_publish_for_client on|off # on
//				allow_presence_for_client on|off # on
//				history { ... }               # as the app, without enabled
//				presence_history on|off|{ ... } # as the app
//				annotations on|off            # as the app [annotations_enabled]
//			}
//			delta CHANNEL|PATTERN inherit|disabled|fossil|xdelta3 [{ # any number of them
//				enabled on|off                # on
//				algorithm fossil|xdelta3      # as the mode
//				conflation_key PATH           # as the hub
//				max_conflation_keys N         # 0: as the hub
//				enable_tags on|off            # on
//			}]
//			webhook URL {                     # any number of them; without URL, with lambda
//				events NAME...                # required [event_types]
//				filter {                      # any channel
//					prefix TEXT               # [channel_prefix]
//					suffix TEXT               # [channel_suffix]
//					pattern REGEXP            # [channel_pattern]
//					namespaces NAME...        # [channel_namespaces]
//					namespace NAME            # [channel_namespace]
//				}
//				header NAME VALUE             # any number of them
//				timeout DURATION              # as the hub [request_timeout_ms N]
//				retry { ... }                 # as the hub
//				lambda FUNCTION REGION        # instead of URL
//				lambda_function NAME          # in us-east-1
//			}
//			idempotency {                     # as the hub
//				enabled on|off
//				ttl DURATION                  # [ttl_seconds N]
//			}
//			recovery on|off|{                 # as the hub [connection_recovery]
//				enabled on|off
//				buffer_size N                 # [max_buffer_size]
//				ttl DURATION                  # [ttl_seconds N, buffer_ttl_seconds N]
//			}
//			history on|off|{                  # as the hub
//				enabled on|off
//				rewind on|off                 # [rewind_enabled]
//				retention DURATION            # [retention_seconds N, retention_window_seconds N]
//				max_items_per_channel N       # [max_messages_per_channel N]
//				max_bytes_per_channel SIZE
//			}
//			presence_history on|off|{         # as the hub
//				enabled on|off
//				retention DURATION            # [retention_seconds N, retention_window_seconds N]
//				max_events_per_channel N
//				max_bytes_per_channel SIZE
//			}
//			annotations on|off                # off [annotations_enabled]
//		}
//		app_manager DRIVER { ... }            # memory [apps DRIVER]
//		app_cache {                           # for app managers other than memory
//			enabled on|off                    # on
//			ttl DURATION                      # 300s, 0: for ever [ttl_seconds N]
//			negative_ttl DURATION             # 2s [negative_ttl_seconds N]
//			stale_if_error DURATION           # 0: not at all
//		}
//		database DRIVER { ... }               # settings for drivers that have none of their own
//		adapter DRIVER { ... }                # local
//		cluster_health {                      # for adapters between nodes
//			enabled on|off                    # on
//			heartbeat DURATION                # 3s [heartbeat_interval_ms N]
//			node_timeout DURATION             # 10s [node_timeout_ms N]
//			cleanup DURATION                  # 1s [cleanup_interval_ms N]
//		}
//		cache DRIVER { ... }                  # memory
//		queue DRIVER { ... }                  # sqlite
//		history [DRIVER]|on|off|{             # off; in a block, sqlite
//			enabled on|off                    # on
//			rewind on|off                     # on [rewind_enabled]
//			retention DURATION                # 24h [retention_seconds N, retention_window_seconds N]
//			max_items_per_channel N|none      # none [max_messages_per_channel N]
//			max_bytes_per_channel SIZE|none   # none
//			max_page_size N                   # 100
//			on_failure refuse|deliver         # refuse
//			purge_interval DURATION           # 300s [purge_interval_seconds N]
//			writer_shards N                   # 16
//			writer_queue_capacity N           # 4096
//			write_timeout DURATION            # 5s [write_timeout_ms N]
//			...                               # what the driver knows
//		}
//		presence_history on|off|{             # off
//			enabled on|off                    # on
//			retention DURATION                # 24h [retention_seconds N, retention_window_seconds N]
//			max_page_size N                   # 100
//			max_events_per_channel N|none     # none
//			max_bytes_per_channel SIZE|none   # none
//		}
//		versioned_messages [DRIVER]|on|off|{  # off
//			enabled on|off                    # on
//			driver DRIVER                     # that of history, and no other
//			retention DURATION|none           # none [retention_seconds N, retention_window_seconds N]
//			max_page_size N                   # 100
//		}
//		annotations on|off|{                  # off
//			enabled on|off                    # on
//		}
//		rate_limiter [DRIVER] {               # memory
//			enabled on|off                    # on
//			limits {
//				connection_per_ip N           # 0: unlimited
//				events_per_second N           # 0: unlimited
//			}
//			api MAX WINDOW                    # 100 60s [api_rate_limit]
//			upgrades MAX WINDOW               # 20 60s [websocket_rate_limit]
//			fail_open on|off                  # off
//			...                               # what the driver knows
//		}
//		websocket {
//			max_messages N|none               # 1000
//			max_bytes SIZE|none               # 1MiB
//			on_buffer_full disconnect|drop    # disconnect [disconnect_on_buffer_full on|off]
//			max_channels N|none               # 10000
//			max_payload SIZE                  # 64KiB [max_payload_kb N]
//			auto_ping on|off                  # on
//			ping_interval DURATION|off        # 30s
//			idle_timeout DURATION|off         # 120s
//		}
//		cors {
//			origins PATTERN...                # * [origin]
//			methods METHOD...                 # GET POST PUT PATCH DELETE OPTIONS
//			headers NAME...                   # [allowed_headers] Authorization Content-Type X-Requested-With Accept X-Idempotency-Key
//			credentials on|off                # off
//		}
//		http {
//			max_body SIZE                     # 10MiB [request_limit_in_mb N]
//		}
//		channel_limits {
//			max_name_length N                 # 200
//			cache_ttl DURATION                # 3600s [cache_ttl_seconds N]
//		}
//		event_limits {
//			max_channels_at_once N            # 100
//			max_name_length N                 # 200
//			max_payload SIZE                  # 100KiB [max_payload_in_kb N]
//			max_batch_size N                  # 10
//		}
//		presence {
//			max_members N                     # 100 [max_members_per_channel]
//			max_member_size SIZE              # 2KiB [max_member_size_in_kb N]
//			update_rate N                     # 10 [update_rate_limit_per_member_per_second]
//			grace DURATION                    # 0s [ungraceful_timeout_seconds N]
//			v2_grace DURATION                 # 15s [v2_ungraceful_timeout_seconds N]
//		}
//		recovery on|off|{                     # off [connection_recovery]
//			enabled on|off                    # on
//			buffer_size N                     # 100 [max_buffer_size]
//			ttl DURATION                      # 120s [ttl_seconds N, buffer_ttl_seconds N]
//			max_bytes SIZE                    # 1MiB
//		}
//		ephemeral on|off                      # on
//		echo_control on|off|{
//			enabled on|off                    # on
//			default_echo_messages on|off      # on
//		}
//		event_name_filtering on|off|{
//			enabled on|off                    # on
//			max_events_per_filter N           # 50, 64 at most
//			max_event_name_length N           # 200, 256 at most
//		}
//		tag_filtering on|off|{                # off
//			enabled on|off                    # on
//			enable_tags on|off                # on
//		}
//		delta_compression on|off|{
//			enabled on|off                    # on
//			algorithm fossil|xdelta3          # fossil
//			full_message_interval N           # 10
//			min_message_size SIZE             # 100
//			max_state_age DURATION            # 300s [max_state_age_secs N]
//			max_channel_states_per_socket N   # 100
//			max_conflation_states_per_channel N # 100
//			conflation_key_path PATH          # none
//			omit_delta_algorithm on|off       # off
//		}
//		idempotency {
//			enabled on|off                    # on
//			ttl DURATION                      # 120s [ttl_seconds N]
//			max_key_length N                  # 128
//		}
//		webhooks {                            # if an app has any
//			enabled on|off                    # on
//			batching_enabled on|off           # on [batching]
//			max_batch_size N                  # 50
//			flush_interval DURATION           # 500ms [flush_interval_ms N]
//			timeout DURATION                  # 5s [timeout_ms N, request_timeout_ms N]
//			debounce DURATION                 # 3s
//			concurrency N                     # 20
//			endpoint_concurrency N            # 4
//			retry {
//				enabled on|off                # on
//				max_attempts N                # unlimited
//				max_elapsed DURATION          # 300s [max_elapsed_time_ms N]
//				initial_backoff DURATION      # 1s [initial_backoff_ms N]
//				max_backoff DURATION          # 60s [max_backoff_ms N]
//			}
//			allow_private on|off              # off, on in mode development
//			allow_lossy_queue on|off          # off
//			ca PATH                           # authorities beside those of the system
//		}
//		push on|off|{                         # off
//			enabled on|off                    # on
//			storage DRIVER { ... }            # sqlite [store]
//			storage_driver DRIVER             # the same without a block
//			queue_driver DRIVER               # that of queue, and no other
//			allow_memory_drivers on|off       # off
//			provider fcm {                    # any number of providers
//				enabled on|off                # on
//				credentials_path FILE         # or
//				credentials_json JSON         # or
//				provider_token TEXT
//				project_id NAME               # that of the service account
//				endpoint URL                  # https://fcm.googleapis.com
//				ca_file FILE                  # the authorities of the system
//			}
//			provider apns {
//				enabled on|off                # on
//				environment production|sandbox # production
//				team_id ID
//				key_id ID
//				bundle_id ID
//				private_key_path FILE
//				private_key TEXT              # or
//				certificate_path FILE         # or
//				certificate_password TEXT
//				provider_token TEXT           # or
//				endpoint URL                  # Apple's
//				ca_file FILE                  # the authorities of the system
//			}
//			provider webpush {
//				enabled on|off                # on
//				vapid_subject URL             # mailto:sockudo-webpush@example.com
//				vapid_public_key KEY          # that of the private key
//				vapid_private_key KEY         # none
//				ca_file FILE                  # none but those of the system
//			}
//			provider hms {
//				enabled on|off                # on
//				app_id NUMBER
//				client_id NUMBER              # app_id
//				client_secret TEXT
//				provider_token TEXT           # in place of client_secret
//				endpoint URL                  # https://push-api.cloud.huawei.com
//				token_endpoint URL            # https://oauth-login.cloud.huawei.com/oauth2/v3/token
//				ca_file FILE                  # none but those of the system
//			}
//			provider wns {
//				enabled on|off                # on
//				package_sid SID
//				client_secret TEXT
//				provider_token TEXT           # in place of both
//				endpoint URL                  # that of each channel
//				token_endpoint URL            # https://login.live.com/accesstoken.srf
//				ca_file FILE                  # none but those of the system
//			}
//			fcm_enabled on|off                # as in the block of the provider
//			apns_enabled on|off
//			webpush_enabled on|off
//			hms_enabled on|off
//			wns_enabled on|off
//			async_only on|off                 # on
//			default_ttl DURATION              # 1h [default_ttl_seconds N]
//			publish_status_ttl DURATION       # 24h [publish_status_ttl_seconds N, publish_status_ttl_days N]
//			event_retention DURATION          # 30d [analytics_retention_days N]
//			stale_device_max_age DURATION|none # none [stale_device_max_age_days N]
//			invalid_token_quarantine DURATION # 1h
//			max_recipients_per_publish N|none # 10000
//			planner_worker_count N            # 4
//			dispatch_worker_count N           # 1
//			dispatch_max_outbound_requests N  # 32
//			fanout_fast_threshold N           # 10000
//			fanout_shard_size N               # 100000
//			backpressure {
//				refuse on|off                 # off
//				max_age DURATION|none         # 60s [lag_threshold_secs N]
//				max_publishes N               # 100000
//				max_deliveries N              # 100000
//				retry_after DURATION          # 5s
//			}
//			retry {
//				max_attempts N                # 5
//				initial_backoff DURATION      # 1s [initial_backoff_ms N]
//				max_backoff DURATION          # 60s [max_backoff_ms N]
//				max_elapsed DURATION          # 24h [max_elapsed_secs N]
//				jitter on|off                 # on
//				jitter_ratio_percent N        # 20
//				respect_retry_after on|off    # on
//			}
//			circuit_breaker {
//				failure_threshold N           # 5
//				cooldown DURATION             # 60s [cooldown_secs N]
//				half_open_max_inflight N      # 10
//			}
//			default_quotas {                  # of each app
//				acceptance_rps N|none         # 100
//				delivery_quota_daily N|none   # none
//				fanout_max N|none             # max_recipients_per_publish
//				inflight_max N                # 1000
//			}
//			scheduler_interval DURATION       # 5s [scheduler_interval_secs N]
//			repair_interval DURATION|none     # 30s [repair_interval_secs N]
//			repair_min_age DURATION           # 30s [repair_min_age_secs N]
//			repair_batch_size N               # 100
//			cleanup_interval DURATION|none    # 300s [cleanup_interval_secs N]
//			cleanup_batch_size N              # 1000
//			cleanup_max_deleted_per_tick N    # 100000
//			credential_encryption_key TEXT    # none
//			previous_encryption_keys TEXT...  # none
//			encrypt_recipients on|off         # off
//			endpoints {
//				allow_local on|off            # off
//				allowed_hosts HOST...         # any
//				denied_hosts HOST...          # none
//			}
//			testing {
//				allow_private_endpoints on|off # off
//			}
//		}
//		push_rule CHANNEL|PATTERN {           # any number of them
//			enabled on|off                    # on
//			event_filter NAME...              # required
//			rate_limit_per_second N           # 100
//			payload_mapping {
//				title_field NAME              # title
//				body_field NAME               # body
//				template_data_field NAME      # data
//				include_remaining_fields on|off # on
//			}
//			suppress_if_present [CHANNEL] [{  # not; a presence channel, that of the event if it is one
//				channel CHANNEL
//				delay DURATION                # 0s [delay_seconds N]
//			}]
//		}
//		console on|off|{                      # off
//			enabled on|off                    # on
//			path PATH                         # /_sockudo
//			publish on|off                    # off
//			max_sessions N                    # 5
//		}
//		metrics {
//			enabled on|off                    # on
//			prefix TEXT                       # sockudo_
//			channel_labels on|off             # off
//			tcp_exporter [on|off|HOST:PORT] [{ # off
//				enabled on|off            # off
//				host ADDRESS              # 127.0.0.1
//				port N                    # 5000
//				buffer_size N             # 1024
//			}]
//		}
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	name := d.RemainingArgs()
	switch {
	case len(name) > 1:
		return d.Errf("sockudo takes one name, not %q", name)
	case len(name) == 1:
		h.Name = name[0]
	}
	err := parseBlock(d, h)
	if err == nil && len(name) == 1 && h.Name != name[0] {
		return d.Errf("name: the hub has two names, %s and %s", name[0], h.Name)
	}
	return err
}
