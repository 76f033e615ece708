package sockudo

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// idleKey is a key of Sockudo's files that there is no need of here. What it may say
// without asking for anything is read over, and anything else is refused.
type idleKey struct {
	// path has a star where any element or key stands.
	path string
	// nothing are the values that ask for nothing, a star is any.
	nothing string
	reason  string
}

const (
	anyValue = "*"
	ofWorker = "there are no such workers: "
	aCluster = `a cluster is selected by driver = "redis-cluster"`
	ownSteps = "drivers do it in steps of their own"
)

// idleKeys are those that stand beside keys that count.
var idleKeys = []idleKey{
	{"path_prefix", "/", "it does nothing in Sockudo; in a Caddyfile, handle_path takes a prefix away"},
	{"ssl.passphrase", "", "it does nothing in Sockudo, and Caddy reads keys without one"},
	{"ssl.ca_path", "", "it does nothing in Sockudo; in a Caddyfile, tls has client_auth"},
	{"http_api.accept_traffic", anyValue, "it does nothing in Sockudo either"},
	{"metrics.driver", "prometheus", "Caddy serves metrics for Prometheus"},

	{"app_manager.scylladb", anyValue, "it does nothing in Sockudo either: database.scylladb counts"},
	{"app_manager.array.apps.*.channel_delta_compression.*.max_messages_per_key", anyValue, "a delta is always that to the newest message of its key"},
	{"app_manager.array.apps.*.policy.channels.channel_delta_compression.*.max_messages_per_key", anyValue, "a delta is always that to the newest message of its key"},

	{"adapter.buffer_multiplier_per_cpu", anyValue, "events are handed to shards of sockets, which need no such bound"},
	{"adapter.enable_socket_counting", "true", "sockets are counted on all nodes in any case"},
	{"adapter.aggregate_counts", "false", "nodes exchange counts in any case"},
	{"adapter.fast_presence_transitions", "false", "nodes know the members of the others in any case"},
	{"adapter.redis.redis_sub_options", anyValue, "it does nothing in Sockudo either: one address is for both ways"},
	{"adapter.redis.cluster_mode", "false", aCluster},
	{"adapter.cluster.use_connection_manager", anyValue, "it does nothing in Sockudo either"},
	{"adapter.nats.nodes_number", anyValue, "nodes find each other by their signs of life"},
	{"adapter.nats.discovery_max_wait_ms", anyValue, "nodes find each other by their signs of life"},
	{"adapter.nats.discovery_idle_wait_ms", anyValue, "nodes find each other by their signs of life"},
	{"adapter.nats.client_capacity", anyValue, "what waits for the server is bounded in bytes"},
	{"adapter.nats.presence_sync_chunk_size", anyValue, "nodes exchange members in parts of their own size"},

	{"cache.memory.ttl", "300", "every entry has its own: channel_limits.cache_ttl, idempotency.ttl_seconds"},
	{"cache.memory.cleanup_interval", anyValue, "it does nothing in Sockudo either"},
	{"cache.redis.cluster_mode", "false", aCluster},
	{"queue.redis.cluster_mode", "false", aCluster},
	{"rate_limiter.redis.cluster_mode", "false", aCluster},
	{"rate_limiter.api_rate_limit.identifier", anyValue, "it does nothing in Sockudo either"},
	{"rate_limiter.websocket_rate_limit.identifier", anyValue, "it does nothing in Sockudo either"},

	{"queue.reliability.stalled_batch_size", anyValue, ownSteps},
	{"queue.reliability.max_batch_size", anyValue, ownSteps},
	{"queue.reliability.worker_prefetch", anyValue, ownSteps},
	{"queue.reliability.worker_poll_interval_ms", anyValue, "workers are woken when there is a job"},
	{"queue.reliability.shutdown_timeout_ms", anyValue, "shutdown_grace_period is for all that ends"},
	{"queue.reliability.completed_retention", anyValue, "a job that is done is forgotten"},
	{"queue.reliability.event_retention", anyValue, "what happens to a job is in the metrics"},

	{"database_pooling.min", anyValue, "connections are opened when they are needed"},
	{"database.mysql.pool_min", anyValue, "connections are opened when they are needed"},
	{"database.postgres.pool_min", anyValue, "connections are opened when they are needed"},

	{"history.purge_batch_size", anyValue, ownSteps},
	{"history.max_purge_per_tick", anyValue, ownSteps},
	{"versioned_messages.purge_interval_seconds", anyValue, "versions go with the history that they are in: history.purge_interval_seconds"},
	{"versioned_messages.purge_batch_size", anyValue, ownSteps},
	{"versioned_messages.max_purge_per_tick", anyValue, ownSteps},

	{"delta_compression.cluster_coordination", anyValue, noCoordination},
	{"delta_compression.coordination_backend", anyValue, noCoordination},

	{"websocket.compression", "disabled", "it is not supported yet by this version"},
	{"websocket.max_message_size", "67108864", "websocket_max_payload_kb bounds what a client sends"},
	{"websocket.max_frame_size", "16777216", "websocket_max_payload_kb bounds what a client sends"},
	{"websocket.write_buffer_size", anyValue, "all that waits is written at once"},
	{"websocket.max_backpressure", "1048576", "max_bytes bounds what waits for a client"},

	{"push.accept_worker_count", anyValue, ofWorker + "a publish is accepted by the request that brings it"},
	{"push.shard_worker_count", anyValue, ofWorker + "parts are planned by planner_worker_count workers"},
	{"push.feedback_worker_count", anyValue, ofWorker + "what comes of a notification is kept by the worker that has sent it"},
	{"push.retry_worker_count", anyValue, ofWorker + "a batch is tried again by the workers that send"},
	{"push.queue_partition_count", anyValue, "it does nothing in Sockudo either"},
	{"push.channel_shard_count", anyValue, "it does nothing in Sockudo either"},
	{"push.fanout_sync_threshold", "0", "every publish is delivered in the background; see async_only"},
	{"push.dry_run", "false", "it does nothing in Sockudo either"},
	{"push.analytics_enabled", anyValue, "what comes of every notification is kept"},
	{"push.payload_redaction.redact_payload", "true", "payloads are never in the log"},
	{"push.payload_redaction.redact_template_data", "true", "payloads are never in the log"},
	{"push.payload_redaction.redact_provider_overrides", "true", "payloads are never in the log"},
	{"push.payload_redaction.allow_debug_payload_logging", "false", "payloads are never in the log"},
}

func init() {
	for _, driver := range []string{"mysql", "postgres", "surrealdb"} {
		at := "database." + driver + ".cache_"
		idleKeys = append(idleKeys,
			idleKey{at + "ttl", "300", "records of apps are cached as app_manager.cache says"},
			idleKey{at + "max_capacity", anyValue, "records of apps are cached as app_manager.cache says"},
			idleKey{at + "cleanup_interval", anyValue, "it does nothing in Sockudo either"})
	}
}

// idleTables are tables for what does not exist here, with their keys. One whose enabled
// is false, or that has no such key and tunes what there is no need of, is read over.
var idleTables = []struct{ path, keys, reason string }{
	{"cleanup", "async_enabled fallback_to_sync queue_buffer_size batch_size batch_timeout_ms worker_threads max_retry_attempts", "every socket cleans up after itself at once"},
	{"ai_transport", "enabled channels max_accumulated_message_bytes max_appends_per_message max_open_streaming_messages_per_channel max_transport_value_bytes max_steer_codec_message_ids_bytes rollup", "it is off"},
	{"ably_compat", "enabled realtime_admission attach_timeout_ms keys max_token_ttl_ms token_request_timestamp_skew_ms nonce_ttl_seconds stats_fixture_ingest_enabled stats_queue_capacity stats_flush_interval_ms stats_retention_seconds stats_max_scan_entries stats_cas_retries", "it is off"},
	{"metrics.tcp_exporter", "enabled host port buffer_size", "it is off"},
}

// readIdle removes what there is no need of.
func (r *fileReader) readIdle(root *fileNode) {
	for _, k := range idleKeys {
		if !isWordOfHub(k.path) {
			r.readIdleKey(root, k, strings.Split(k.path, "."))
		}
	}
	if p := root.get("push", "payload_redaction"); p != nil && p.table() != nil && len(p.table()) == 0 {
		root.take("push", "payload_redaction")
	}
	for _, t := range idleTables {
		path := strings.Split(t.path, ".")
		n := root.get(path...)
		if n == nil || isWordOfHub(t.path) || !r.isTable(n) {
			continue
		}
		tunes := !slices.Contains(strings.Fields(t.keys), "enabled")
		if r.onlyKeys(n, t.keys); !tunes && r.boolean(n.get("enabled"), false) {
			if t.path == "metrics.tcp_exporter" {
				continue // which the handler refuses
			}
			r.fail(n, errLater)
		} else {
			r.note(n, "%s", t.reason)
		}
		root.take(path...)
	}
}

// isWordOfHub reports whether a section of this version knows a word after all.
func isWordOfHub(path string) bool {
	word, rest, nested := strings.Cut(path, ".")
	f, ok := fieldsOf(hubType)[word]
	if !ok || !nested || f.kind.Kind() != reflect.Pointer {
		return false
	}
	_, ok = fieldsOf(f.kind.Elem())[rest]
	return ok
}

// readIdleKey removes the values at a path.
func (r *fileReader) readIdleKey(at *fileNode, k idleKey, path []string) {
	if path[0] == anyValue {
		for _, key := range at.keys() {
			r.readIdleKey(at.table()[key], k, path[1:])
		}
		if list, ok := at.value.([]*fileNode); ok {
			for _, one := range list {
				r.readIdleKey(one, k, path[1:])
			}
		}
		return
	}
	n := at.get(path[0])
	if n == nil || len(path) > 1 {
		if n != nil {
			r.readIdleKey(n, k, path[1:])
		}
		return
	}
	at.take(path[0])
	if k.nothing == anyValue || slices.Contains(strings.Fields(k.nothing), r.scalar(n)) || r.scalar(n) == k.nothing && isText(n) {
		r.note(n, "%s", k.reason)
		return
	}
	r.refuse(n, false, errors.New("is not supported: "+k.reason))
}

func isText(n *fileNode) bool {
	_, ok := n.value.(string)
	return ok
}

// scalar is a single value as text.
func (r *fileReader) scalar(n *fileNode) string {
	switch v := n.value.(type) {
	case string:
		return strings.ToLower(r.vars.plain(v))
	case json.Number:
		return v.String()
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	}
	return n.describe()
}

// onlyKeys wants no other keys than these in a table.
func (r *fileReader) onlyKeys(n *fileNode, keys string) {
	known := strings.Fields(keys)
	for _, key := range n.keys() {
		if !slices.Contains(known, key) {
			r.fail(n.take(key), unknownWord(key, known))
		}
	}
}
