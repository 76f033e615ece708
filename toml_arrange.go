package sockudo

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// arrange brings what the file says about the hub to where the handler has it. What it
// does not know stays where it is, for the handler's words to judge.
func (r *fileReader) arrange(root *fileNode) {
	r.readIdle(root)
	r.arrangeHub(root)
	r.arrangeApps(root)
	r.arrangeDatabases(root)
	r.arrangeAdapter(root)
	r.arrangeDriver(root, kindCache, map[string]string{"redis": "redis redis_cluster", "memory": "memory"})
	r.arrangeQueue(root)
	r.arrangeHistory(root)
	r.arrangeLimiter(root)
	r.arrangeWebhooks(root)
	r.arrangePush(root)
}

func (r *fileReader) arrangeHub(root *fileNode) {
	r.put(root, root.take("websocket_max_payload_kb"), "websocket", "max_payload_kb")
	r.unwrap(root, "http_api", map[string]string{"request_limit_in_mb": "http.request_limit_in_mb", "usage_enabled": "usage"})
	r.unwrap(root, "instance", map[string]string{"process_id": "node_id"})
	if root.get("ephemeral").table() != nil {
		r.unwrap(root, "ephemeral", map[string]string{"enabled": "ephemeral"})
	}
	if recovery := root.get("connection_recovery"); recovery != nil {
		root.take("connection_recovery")
		r.put(root, recovery, "recovery")
	}
	for _, section := range []string{"recovery", "history", "presence_history", "versioned_messages", "annotations", "tag_filtering"} {
		r.offUnlessOn(root.get(section))
	}
	cors := root.get("cors")
	origins := cors.get("origin")
	if origins == nil {
		origins = cors.get("origins")
	}
	var list []*fileNode
	if origins != nil {
		var ok bool
		if list, ok = origins.value.([]*fileNode); ok && len(list) == 0 {
			r.refuse(origins, false, errors.New(`nobody would be admitted: write the origins, or ["*"]`))
			cors.take("origin")
			cors.take("origins")
		}
	}
	open := origins == nil || slices.ContainsFunc(list, func(n *fileNode) bool { s := r.scalar(n); return s == "*" || s == "any" })
	if c := cors.get("credentials"); c != nil && open && r.boolean(c, false) {
		r.note(c, "credentials need origins that are not any")
		cors.take("credentials")
	}
}

// unwrap moves the keys of a table that is none of the handler's to where it has them.
func (r *fileReader) unwrap(root *fileNode, name string, to map[string]string) {
	n := root.take(name)
	if !r.isTable(n) {
		return
	}
	r.onlyKeys(n, strings.Join(sortedKeys(to), " "))
	for _, key := range n.keys() {
		r.put(root, n.table()[key], strings.Split(to[key], ".")...)
	}
}

// offUnlessOn switches a section off that does not say enabled, as Sockudo does. The
// handler takes a block that is there for on.
func (r *fileReader) offUnlessOn(n *fileNode) {
	if n.table() != nil && n.get("enabled") == nil {
		n.table()["enabled"] = n.like(false)
		r.notes = append(r.notes, placedError{n.line, n.path + " is off: it does not say enabled = true"})
	}
}

// shortRates are older spellings in files of Sockudo, which it reads over itself.
var shortRates = map[string]string{
	"max_backend_events_per_sec": "max_backend_events_per_second", "max_client_events_per_sec": "max_client_events_per_second",
	"max_read_req_per_sec": "max_read_requests_per_second",
}

func (r *fileReader) arrangeApps(root *fileNode) {
	if n := root.take("app_manager", "array"); r.isTable(n) {
		r.onlyKeys(n, "apps")
		r.put(root, n.take("apps"), "apps")
	}
	manager := root.get("app_manager")
	if manager != nil && !r.isTable(manager) {
		root.take("app_manager")
		manager = nil
	}
	if manager.table() != nil {
		if manager.get("driver") == nil {
			manager.table()["driver"] = manager.like(defaultDrivers[kindApps])
		}
		if cache := manager.take("cache"); cache != nil {
			if driverName(r.scalar(manager.get("driver"))) == defaultDrivers[kindApps] {
				r.onlyKeys(cache, "enabled ttl ttl_seconds negative_ttl stale_if_error")
				r.note(cache, "apps in memory need no cache")
			} else {
				r.put(root, cache, "app_cache")
			}
		}
	}
	apps := root.get("apps")
	if apps == nil {
		return
	}
	list, _ := apps.value.([]*fileNode)
	for _, app := range list {
		for _, limits := range []*fileNode{app, app.get("limits"), app.get("policy", "limits")} {
			for from, to := range shortRates {
				r.put(limits, limits.take(from), to)
			}
			r.offUnlessOn(limits.get("message_rate_limit"))
		}
	}
}

// driverOf is the driver that a table selects, in its one spelling.
func (r *fileReader) driverOf(n *fileNode, kind string) string {
	if d := n.get("driver"); d != nil {
		if s, ok := d.value.(string); ok {
			return driverName(r.vars.plain(s))
		}
	}
	return defaultDrivers[kind]
}

// foreignKeys are the keys of tables for drivers that are not part of this Caddy.
var foreignKeys = map[string]string{
	"pulsar":        "url prefix request_timeout_ms token nodes_number",
	"rabbitmq":      "url prefix request_timeout_ms connection_timeout_ms nodes_number",
	"google_pubsub": "project_id prefix request_timeout_ms emulator_host nodes_number",
	"kafka":         "brokers prefix request_timeout_ms security_protocol sasl_mechanism sasl_username sasl_password nodes_number",
	"iggy": "connection_string username password consumer_name stream topic_prefix queue_topic_prefix consumer_group_prefix request_timeout_ms " +
		"poll_interval_ms poll_batch_size partitions_count partition_id auto_create start_from_latest nodes_number",
	"sqs": "region queue_url_prefix visibility_timeout endpoint_url max_messages wait_time_seconds concurrency fifo message_group_id",
	"sns": "region topic_arn endpoint_url",
	"nats": "servers prefix request_timeout_ms connection_timeout_ms username password token nodes_number discovery_max_wait_ms discovery_idle_wait_ms " +
		"subscription_capacity client_capacity max_reconnects presence_sync_chunk_size no_echo",
}

// arrangeDriver takes the settings of the selected driver out of the table that is for
// it. Tables for other drivers are checked and read over. tables are the names of such
// tables, each with the drivers that it is for.
func (r *fileReader) arrangeDriver(root *fileNode, section string, tables map[string]string) {
	n := root.get(section)
	if n == nil {
		return
	}
	if !r.isTable(n) {
		root.take(section)
		return
	}
	kind, driver := section, r.driverOf(n, section)
	for _, name := range sortedKeys(tables) {
		own := n.get(name)
		if own == nil {
			continue
		}
		if n.take(name); !r.isTable(own) {
			continue
		}
		drivers := strings.Fields(tables[name])
		r.arrangeConnection(own)
		if slices.Contains(drivers, driver) {
			r.merge(n, own)
			continue
		}
		if module, err := findDriver(namespaces[kind], drivers[0]); err == nil {
			r.guest(own, module)
		} else {
			r.onlyKeys(own, foreignKeys[name])
		}
		r.note(own, "the driver of %s is %s", section, driver)
	}
	if n.get("driver") == nil && len(n.table()) == 0 {
		root.take(section)
	} else if n.get("driver") == nil && section != kindRateLimiter && section != kindHistory {
		n.table()["driver"] = n.like(driver)
	}
}

// arrangeConnection writes the settings of a driver as drivers have them.
func (r *fileReader) arrangeConnection(n *fileNode) {
	r.put(n, n.take("url_override"), "url")
	if options := n.take("redis_pub_options"); r.isTable(options) {
		r.put(n, options.take("url"), "url")
		r.onlyKeys(options, "")
	}
	if t := n.take("requests_timeout"); t != nil {
		if number, ok := t.value.(json.Number); ok {
			t = t.like(number.String() + "ms")
		}
		r.put(n, t, "request_timeout")
	}
	r.put(n, n.take("max_capacity"), "max_entries")
	if list := n.get("nodes"); list != nil {
		r.arrangeNodes(n, list)
	}
	if n.get("tls") != nil {
		r.put(n, r.redisTLS(n.take("tls")), "tls")
	}
}

func (r *fileReader) arrangeAdapter(root *fileNode) {
	adapter := root.get("adapter")
	health := adapter.get("cluster_health")
	if health != nil {
		adapter.take("cluster_health")
		r.put(root, health, "cluster_health")
	}
	driver := r.driverOf(adapter, kindAdapter)
	if f := adapter.get("fallback_to_local"); f != nil {
		adapter.take("fallback_to_local")
		switch {
		case !r.boolean(f, false):
			r.note(f, "a node whose adapter cannot be reached does not start")
		case driver == defaultDrivers[kindAdapter]:
			r.note(f, "the adapter is local")
		default:
			r.refuse(f, false, errors.New("is not supported yet by this version: a node whose adapter cannot be reached does not start; write false, or leave it out"))
		}
	}
	r.arrangeDriver(root, kindAdapter, map[string]string{
		"redis": "redis", "cluster": "redis_cluster", "nats": "nats", "pulsar": "pulsar", "rabbitmq": "rabbitmq",
		"google_pubsub": "google_pubsub", "kafka": "kafka", "iggy": "iggy",
	})
	if health = root.get("cluster_health"); health.table() != nil && driver == defaultDrivers[kindAdapter] {
		r.section(health, hubField("cluster_health"))
		r.note(health, "the adapter is local, of one node")
		root.take("cluster_health")
	}
}
