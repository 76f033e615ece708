package sockudo

import (
	"maps"
	"reflect"
)

var pushType = reflect.TypeFor[PushConfig]()

// notAPushKey are words of Sockudo for push that do nothing there.
func notAPushKey(instead string) needlessError { return needlessError{reason: instead} }

// pushLexicons are the words of push notifications beside their settings.
var pushLexicons = map[reflect.Type]lexicon{
	pushType: {
		alone: "enabled",
		aliases: map[string]alias{
			"default_ttl_seconds": {"default_ttl", unit("s")}, "publish_status_ttl_seconds": {"publish_status_ttl", unit("s")},
			"publish_status_ttl_days": {"publish_status_ttl", unit("d")}, "analytics_retention_days": {"event_retention", unit("d")},
			"stale_device_max_age_days": {"stale_device_max_age", unit("d")}, "scheduler_interval_secs": {"scheduler_interval", unit("s")},
			"repair_interval_secs": {"repair_interval", unit("s")}, "repair_min_age_secs": {"repair_min_age", unit("s")},
			"cleanup_interval_secs": {"cleanup_interval", unit("s")}, "store": {"storage", nil},
		},
		needless: map[string]needlessError{
			"queue_partition_count":  notAPushKey("batches are shared out by app, not by partition"),
			"channel_shard_count":    notAPushKey("a channel is planned in parts of fanout_shard_size"),
			"accept_worker_count":    notAPushKey("a publish is accepted by the request that brings it"),
			"shard_worker_count":     notAPushKey("parts are planned by planner_worker_count workers"),
			"feedback_worker_count":  notAPushKey("what comes of a notification is kept by the worker that has sent it"),
			"retry_worker_count":     notAPushKey("a batch is tried again by the workers that send"),
			"fanout_sync_threshold":  notAPushKey("every publish is delivered in the background; see async_only"),
			"dry_run":                notAPushKey("it would have no effect"),
			"analytics_enabled":      notAPushKey("what comes of every notification is kept"),
			"kms_key_ref":            notAPushKey("the key is credential_encryption_key, which may be {env.X} or {file.X}"),
			"vault_secret_ref":       notAPushKey("secrets may be {env.X} or {file.X}"),
			"payload_redaction":      notAPushKey("payloads and addresses are never in the log"),
			"fcm_credential_ref":     notAPushKey("credentials are in provider fcm { … }, or uploaded by apps"),
			"apns_credential_ref":    notAPushKey("credentials are in provider apns { … }, or uploaded by apps"),
			"webpush_credential_ref": notAPushKey("credentials are in provider webpush { … }, or uploaded by apps"),
			"hms_credential_ref":     notAPushKey("credentials are in provider hms { … }, or uploaded by apps"),
			"wns_credential_ref":     notAPushKey("credentials are in provider wns { … }, or uploaded by apps"),
		},
		elsewhere: map[string]string{
			"backpressure_lag_threshold_secs": "backpressure: backpressure { max_age DURATION }",
		},
	},
	reflect.TypeFor[PushBackpressure](): {aliases: map[string]alias{"lag_threshold_secs": {"max_age", unit("s")}}},
	reflect.TypeFor[PushRetryConfig](): {aliases: map[string]alias{
		"initial_backoff_ms": {"initial_backoff", unit("ms")}, "max_backoff_ms": {"max_backoff", unit("ms")}, "max_elapsed_secs": {"max_elapsed", unit("s")},
	}},
	reflect.TypeFor[PushBreakerConfig](): {aliases: map[string]alias{"cooldown_secs": {"cooldown", unit("s")}}},
	reflect.TypeFor[PushSuppress]():      {aliases: map[string]alias{"delay_seconds": {"delay", unit("s")}}},
}

func init() {
	maps.Copy(lexicons, pushLexicons)
}
