package migrate

import "fmt"

// soketiAdapter says how nodes are joined.
func (m *importer) soketiAdapter() {
	s := m.take("adapter.driver")
	driver := "local"
	if s != nil {
		driver = m.text(s)
	}
	switch driver {
	case "local":
		if s != nil {
			m.set("adapter.driver", "local")
			m.note(s, TakenOver, "adapter", "")
		}
	case "redis":
		m.set("adapter.driver", m.redisDriver("adapter"))
		m.note(s, TakenOver, "adapter", "nodes of soketi and of this server do not hear each other: publish to one of them at a time")
		m.adapterRedis()
	case "nats":
		m.set("adapter.driver", "nats")
		m.note(s, TakenOver, "adapter", "nodes of soketi and of this server do not hear each other: publish to one of them at a time")
		m.adapterNATS()
	case "cluster":
		m.note(s, NoEquivalent, "", "nodes find each other by Redis or NATS only: add adapter redis or adapter nats, or run one node, which takes more sockets than a process of soketi")
	default:
		m.fail(s, fmt.Errorf("soketi has no adapter %q", driver))
	}
	m.unused("adapter.redis", "the adapter is another one")
	m.unused("adapter.nats", "the adapter is another one")
	m.unused("adapter.cluster", "there is no such adapter here")
	m.unused("cluster", "nodes find each other by Redis or NATS, and need no addresses of each other")
}

func (m *importer) adapterRedis() {
	const path = "adapter.redis"
	if s := m.take(path + ".clusterMode"); s != nil {
		m.note(s, TakenOver, "adapter", "")
	}
	if s := m.take(path + ".prefix"); s != nil {
		m.set("adapter.prefix", literal(m.text(s)))
		m.note(s, TakenOver, "adapter.prefix", "")
	}
	m.timeout(path+".requestsTimeout", "adapter.request_timeout")
	if s := m.take(path + ".shardMode"); s != nil {
		switch on := m.bool(s); {
		case on && m.isCluster("adapter"):
			m.set("adapter.use_sharded_pubsub", true)
			m.note(s, TakenOver, "adapter.use_sharded_pubsub", "")
		case on:
			m.note(s, NotNeeded, "", "only a cluster has shards")
		default:
			m.note(s, TakenOver, "adapter.use_sharded_pubsub", "it is off by default")
		}
	}
	m.redisOptions(path+".redisSubOptions", "adapter")
	m.redisOptions(path+".redisPubOptions", "adapter")
}

// timeout is an option in milliseconds.
func (m *importer) timeout(path, word string) {
	if s := m.take(path); s != nil {
		m.set(word, fmt.Sprintf("%dms", m.positive(s)))
		m.note(s, TakenOver, word, "")
	}
}

func (m *importer) adapterNATS() {
	const path = "adapter.nats"
	if s := m.take(path + ".servers"); s != nil {
		servers := []any{}
		for _, one := range m.texts(s) {
			servers = append(servers, literal(one))
		}
		m.set("adapter.servers", servers)
		m.note(s, TakenOver, "adapter.servers", "")
	}
	if s := m.take(path + ".prefix"); s != nil {
		m.set("adapter.prefix", literal(m.text(s)))
		m.note(s, TakenOver, "adapter.prefix", "")
	}
	if s := m.take(path + ".user"); s != nil {
		m.set("adapter.username", literal(m.text(s)))
		m.note(s, TakenOver, "adapter.username", "")
	}
	if s := m.take(path + ".pass"); s != nil {
		m.set("adapter.password", m.secret(s, "adapter.password", "SOKETI_ADAPTER_NATS_PASSWORD"))
	}
	if s := m.take(path + ".token"); s != nil {
		m.set("adapter.token", m.secret(s, "adapter.token", "SOKETI_ADAPTER_NATS_TOKEN"))
	}
	if s := m.take(path + ".credentials"); s != nil {
		m.note(s, NoEquivalent, "", "put the credentials into a file, and write credentials_file FILE in the block of the adapter")
	}
	m.timeout(path+".timeout", "adapter.connection_timeout")
	m.timeout(path+".requestsTimeout", "adapter.request_timeout")
	if s := m.take(path + ".nodesNumber"); s != nil {
		m.note(s, NotNeeded, "", "nodes know how many they are")
	}
}

// soketiKept says where events of cache channels and jobs are kept.
func (m *importer) soketiKept() {
	if s := m.take("cache.driver"); s != nil {
		switch driver := m.text(s); driver {
		case "memory":
			m.set("cache.driver", driver)
		case "redis":
			m.set("cache.driver", m.redisDriver("cache"))
		default:
			m.fail(s, fmt.Errorf("soketi has no cache %q", driver))
		}
		m.note(s, TakenOver, "cache", "")
	}
	m.redisUser("cache", "cache")
	if s := m.take("queue.driver"); s != nil {
		switch driver := m.text(s); driver {
		case "sync":
			m.note(s, Approximated, "queue", "webhooks are kept in a file in Caddy's data directory until they are delivered; soketi keeps none")
		case "redis":
			m.set("queue.driver", m.redisDriver("queue"))
			m.note(s, TakenOver, "queue", "jobs that wait in soketi's own queues are not taken over")
		case "sqs":
			m.note(s, NoEquivalent, "", "webhooks are kept in a file in Caddy's data directory instead; write queue redis if nodes have to share them")
		default:
			m.fail(s, fmt.Errorf("soketi has no queue %q", driver))
		}
	}
	if s := m.take("queue.redis.concurrency"); s != nil {
		if m.driverOf("queue") == "redis" {
			m.set("queue.concurrency", m.positive(s))
			m.note(s, TakenOver, "queue.concurrency", "")
		} else {
			m.note(s, NotNeeded, "", "the queue is another one")
		}
	}
	m.redisUser("queue", "queue")
	m.unused("queue.sqs", "there is no queue sqs in it")
}

// redisUser deals with what a driver says of Redis.
func (m *importer) redisUser(path, word string) {
	if m.driverOf(path) != "redis" {
		m.unused(path+".redis", "the driver is another one")
		return
	}
	if s := m.take(path + ".redis.clusterMode"); s != nil {
		m.note(s, TakenOver, word, "")
	}
	m.redisOptions(path+".redis.redisOptions", word)
}

// soketiLimiter says what counts.
func (m *importer) soketiLimiter() {
	m.unlimited("soketi")
	if s := m.take("rateLimiter.driver"); s != nil {
		switch driver := m.text(s); driver {
		case "local":
			m.set("rate_limiter.driver", "memory")
			m.note(s, TakenOver, "rate_limiter", "")
		case "redis":
			m.set("rate_limiter.driver", m.redisDriver("rateLimiter"))
			m.note(s, TakenOver, "rate_limiter", "")
		case "cluster":
			m.set("rate_limiter.driver", "memory")
			m.note(s, Approximated, "rate_limiter", "each node counts by itself; rate_limiter redis counts for all nodes")
		default:
			m.fail(s, fmt.Errorf("soketi has no rate limiter %q", driver))
		}
	}
	m.redisUser("rateLimiter", "rate_limiter")
}
