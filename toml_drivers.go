package sockudo

import (
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"strconv"
	"strings"
)

// hubField is the type of a section of the hub.
func hubField(word string) reflect.Type { return fieldsOf(hubType)[word].kind }

func (r *fileReader) arrangeQueue(root *fileNode) {
	n := root.get("queue")
	driver := r.driverOf(n, kindQueue)
	reliability := n.get("reliability")
	if reliability != nil {
		n.take("reliability")
	}
	if n != nil && driver == none {
		root.take("queue")
		if on := root.get("webhooks", "enabled"); on != nil && r.boolean(on, true) {
			r.refuse(on, false, errors.New(`needs a queue, and queue.driver is "none"`))
			return
		}
		r.put(root, n.like(false), "webhooks", "enabled")
		r.note(n, "without a queue there are no webhooks")
		return
	}
	if c := n.get("redis_cluster"); c != nil {
		r.put(c, c.take("request_timeout_ms"), "response_timeout_ms")
	}
	r.arrangeDriver(root, kindQueue, map[string]string{
		"redis": "redis", "redis_cluster": "redis_cluster", "nats": "nats", "pulsar": "pulsar", "rabbitmq": "rabbitmq",
		"google_pubsub": "google_pubsub", "kafka": "kafka", "iggy": "iggy", "sqs": "sqs", "sns": "sns",
	})
	if !r.isTable(reliability) {
		return
	}
	for _, k := range [][2]string{
		{"retry_base_delay_ms", "retry_base_ms"},
		{"retry_max_delay_ms", "retry_max_ms"},
		{"lease_duration_ms", "lease_ms"},
		{"lease_renew_interval_ms", "lease_renew_ms"},
	} {
		r.put(reliability, reliability.take(k[0]), k[1])
	}
	others := map[string]string{"memory_capacity": "the queue is not in memory"}
	if driver == "memory" {
		others = map[string]string{"lease_ms": "a job in memory has one holder", "lease_renew_ms": "a job in memory has one holder"}
	}
	for _, word := range sortedKeys(others) {
		if n := reliability.take(word); n != nil {
			r.note(n, "%s", others[word])
		}
	}
	if n == nil || root.get("queue") == nil {
		root.table()["queue"] = reliability.like(fileTable{"driver": reliability.like(driver)})
	}
	r.put(root, reliability, "queue", "reliability")
}

func (r *fileReader) arrangeHistory(root *fileNode) {
	h := root.get("history")
	if h != nil && h.table() == nil {
		return
	}
	r.put(h, h.take("backend"), "driver")
	r.arrangeDriver(root, kindHistory, map[string]string{
		"postgres": "postgres", "mysql": "mysql", "dynamodb": "dynamodb", "surrealdb": "surrealdb", "scylladb": "scylladb", "memory": "memory",
	})
	if h = root.get("history"); h != nil && !r.boolean(h.get("enabled"), true) && !appsKeepHistory(root) {
		if d := h.get("driver"); d != nil {
			r.section(h, historyType) // whose faults count all the same
			r.note(d, "nothing is kept, so it is not opened")
			root.table()["history"] = h.like(fileTable{"enabled": h.like(false)})
		}
	}
	v := root.get("versioned_messages")
	if d := v.get("driver"); d != nil && !r.boolean(v.get("enabled"), true) {
		v.take("driver")
		r.note(d, "no message is changed")
	}
}

// appsKeepHistory reports whether an app of the file or what is beside history needs the
// store of history.
func appsKeepHistory(root *fileNode) bool {
	isOn := func(n *fileNode) bool { return n != nil && n.value != false && n.value != "off" && n.value != "false" }
	for _, section := range []string{"presence_history", "versioned_messages"} {
		n := root.get(section)
		if n.table() == nil && isOn(n) || isOn(n.get("enabled")) {
			return true
		}
	}
	apps, ok := root.get("apps"), false
	var list []*fileNode
	if apps != nil {
		list, _ = apps.value.([]*fileNode)
	}
	for _, app := range list {
		for _, word := range []string{"history", "presence_history"} {
			ok = ok || app.get(word) != nil || app.get("policy", word) != nil
		}
	}
	return ok
}

func (r *fileReader) arrangeLimiter(root *fileNode) {
	r.arrangeDriver(root, kindRateLimiter, map[string]string{"redis": "redis redis_cluster"})
	n := root.get(kindRateLimiter)
	if d := n.get("driver"); d != nil && !r.boolean(n.get("enabled"), true) && driverName(r.scalar(d)) != defaultDrivers[kindRateLimiter] {
		r.section(n, rateLimiterType) // whose faults count all the same
		r.note(d, "nothing is limited, so it is not opened")
		root.table()[kindRateLimiter] = n.like(fileTable{"enabled": n.get("enabled")})
	}
}

func (r *fileReader) arrangeWebhooks(root *fileNode) {
	n := root.get("webhooks")
	if n.table() == nil {
		return
	}
	if b := n.get("batching"); b.table() != nil {
		n.take("batching")
		for _, k := range [][2]string{{"enabled", "batching_enabled"}, {"size", "max_batch_size"}, {"duration", "flush_interval_ms"}} {
			r.put(n, b.take(k[0]), k[1])
		}
		r.onlyKeys(b, "")
	}
	if q := root.get("queue"); r.driverOf(q, kindQueue) == "memory" && n.get("allow_lossy_queue") == nil {
		n.table()["allow_lossy_queue"] = q.like(true)
		r.notes = append(r.notes, placedError{q.line, q.path + " is memory: webhooks that wait are lost when the process ends, and there are no dead letters"})
	}
}

// arrangeNodes writes the nodes of a cluster as HOST:PORT.
func (r *fileReader) arrangeNodes(table, list *fileNode) {
	nodes, ok := list.value.([]*fileNode)
	if !ok {
		return // which the driver refuses
	}
	if len(nodes) == 0 {
		table.take("nodes")
		return
	}
	all := []*fileNode{}
	for _, one := range nodes {
		address := r.address(one, 7000)
		text := r.scalarText(address)
		if rest, encrypted := strings.CutPrefix(text, "rediss://"); encrypted {
			text = rest
			if table.get("tls") == nil {
				table.table()["tls"] = one.like(fileTable{})
			}
		}
		text = strings.TrimSuffix(strings.TrimPrefix(text, "redis://"), "/")
		all = append(all, address.like(text))
	}
	table.table()["nodes"] = list.like(all)
}

// address is HOST:PORT, which may be written as a table.
func (r *fileReader) address(n *fileNode, port int) *fileNode {
	if n.table() == nil {
		return n
	}
	r.onlyKeys(n, "host port")
	host := r.text(n.get("host"), "127.0.0.1")
	scheme := ""
	if i := strings.Index(host, "://"); i >= 0 {
		scheme, host = host[:i+3], host[i+3:]
	}
	return n.like(scheme + net.JoinHostPort(host, strconv.Itoa(r.number(n.get("port"), port, 1, 65535))))
}

func (r *fileReader) scalarText(n *fileNode) string {
	if s, ok := n.value.(string); ok {
		return r.vars.plain(s)
	}
	r.refuse(n, false, errors.New("must be a string such as 127.0.0.1:7000"))
	return ""
}

// redisTLS is a block of TLS, or nil if it is off.
func (r *fileReader) redisTLS(n *fileNode) *fileNode {
	if n == nil || n.table() == nil {
		return n
	}
	on, ours := n.take("enabled"), len(n.table()) > 0
	for _, k := range [][2]string{
		{"accept_invalid_certs", "insecure_skip_verify"}, {"ca_path", "ca"}, {"client_cert_path", "cert"}, {"client_key_path", "key"},
	} {
		if v := n.take(k[0]); v != nil {
			ours = false
			r.put(n, v, k[1])
		}
	}
	if on == nil && ours || r.boolean(on, false) {
		return n
	}
	r.note(n, "it is off")
	return nil
}

// arrangeDatabases writes the settings of databases as drivers have them.
func (r *fileReader) arrangeDatabases(root *fileNode) {
	if n := root.get("database"); n != nil && n.table() != nil {
		if redis := n.get("redis"); redis.table() != nil {
			r.arrangeRedis(n, redis)
		}
		for _, driver := range []string{"mysql", "postgres"} {
			r.put(n.get(driver), n.take(driver, "pool_max"), "connection_pool_size")
		}
		if len(n.table()) == 0 {
			root.take("database")
		}
	}
	r.arrangePools(root)
}

// arrangePools gives the size of all pools to the databases that say nothing of theirs.
func (r *fileReader) arrangePools(root *fileNode) {
	pools := root.take("database_pooling")
	if !r.isTable(pools) {
		return
	}
	on, most := r.boolean(pools.take("enabled"), true), pools.take("max")
	r.onlyKeys(pools, "")
	if most == nil {
		return
	}
	if !on {
		r.note(most, "pooling is off, and connection_pool_size counts")
		return
	}
	used := false
	for _, driver := range []string{"mysql", "postgres"} {
		block := root.get("database", driver)
		needed := block.table() != nil || r.driverOf(root.get("app_manager"), kindApps) == driver || r.driverOf(root.get("history"), kindHistory) == driver
		if !needed {
			continue
		}
		used = true
		if block.get("connection_pool_size") == nil {
			r.put(root, most.like(most.value), "database", driver, "connection_pool_size")
		}
	}
	if !used {
		r.note(most, "there is no database that has a pool")
	}
}

// arrangeRedis writes one server, one that Sentinels find, or a cluster.
func (r *fileReader) arrangeRedis(databases, n *fileNode) {
	r.put(n, n.take("key_prefix"), "prefix")
	r.put(n, r.redisTLS(n.take("master_tls")), "tls")
	r.arrangeSentinels(n)
	cluster := n.take("cluster")
	if nodes := n.take("cluster_nodes"); nodes != nil {
		if list, ok := nodes.value.([]*fileNode); !ok || len(list) > 0 {
			if cluster == nil {
				cluster = nodes.like(fileTable{})
			}
			r.put(cluster, nodes, "nodes")
		}
	}
	if cluster == nil || !r.isTable(cluster) {
		return
	}
	if list := cluster.get("nodes"); list != nil {
		r.arrangeNodes(cluster, list)
	}
	if on := cluster.take("use_tls"); r.boolean(on, false) && cluster.get("tls") == nil {
		cluster.table()["tls"] = on.like(fileTable{})
	}
	if cluster.get("nodes") == nil {
		r.onlyKeys(cluster, "username password tls prefix")
		r.note(cluster, "it names no nodes")
		return
	}
	r.put(databases, cluster, "redis_cluster")
}

func (r *fileReader) arrangeSentinels(n *fileNode) {
	sentinels, own := n.take("sentinels"), n.like(fileTable{})
	r.put(own, n.take("name"), "master")
	r.put(own, n.take("sentinel_username"), "username")
	r.put(own, n.take("sentinel_password"), "password")
	r.put(own, r.redisTLS(n.take("sentinel_tls")), "tls")
	var list []*fileNode
	if sentinels != nil {
		var ok bool
		if list, ok = sentinels.value.([]*fileNode); !ok {
			r.refuse(sentinels, false, errors.New("must be a list"))
		}
	}
	if len(list) == 0 {
		for _, key := range own.keys() {
			r.note(own.table()[key], "there are no sentinels")
		}
		return
	}
	addresses := []*fileNode{}
	for _, one := range list {
		addresses = append(addresses, r.address(one, 26379))
	}
	own.table()["addresses"] = sentinels.like(addresses)
	for _, word := range []string{"host", "port"} {
		if v := n.take(word); v != nil {
			r.note(v, "sentinels know where the server is")
		}
	}
	r.put(n, own, "sentinel")
}

func (r *fileReader) arrangePush(root *fileNode) {
	n := root.get("push")
	if n.table() == nil {
		return
	}
	r.put(n, n.take("backpressure_lag_threshold_secs"), "backpressure", "lag_threshold_secs")
	quotas := n.get("default_quotas")
	for _, word := range []string{"acceptance_rps", "delivery_quota_daily", "fanout_max"} {
		if q := quotas.get(word); q != nil && q.value == json.Number("0") {
			quotas.table()[word] = q.like(none)
		}
	}
	inMemory := func(word string) bool { d := n.get(word); return d != nil && r.scalar(d) == "memory" }
	mode := root.get("mode")
	production := mode == nil || r.scalar(mode) == "production"
	if n.get("enabled") == nil && production && inMemory("storage_driver") && !r.boolean(n.get("allow_memory_drivers"), false) {
		for _, word := range []string{"storage_driver", "queue_driver"} {
			n.take(word)
		}
		n.table()["enabled"] = n.like(false)
		r.notes = append(r.notes, placedError{n.line, n.path + " is off: it does not say enabled = true, and in production Sockudo too sends nothing with a store in memory"})
	}
}
