package migrate

import "strings"

// redisUsers are the drivers of soketi that may be Redis, and what they are here.
var redisUsers = []struct{ path, word string }{
	{"adapter", "adapter"}, {"cache", "cache"}, {"queue", "queue"}, {"rateLimiter", "rate_limiter"},
}

const redisPath = "database.redis"

// driverOf is the driver that an option of soketi names.
func (m *importer) driverOf(path string) string {
	if s := m.settings[path+".driver"]; s != nil && !s.saysNothing() {
		return m.text(s)
	}
	return ""
}

// isCluster reports whether a driver is for a cluster of Redis.
func (m *importer) isCluster(path string) bool {
	s := m.settings[path+".redis.clusterMode"]
	return s != nil && !s.saysNothing() && m.bool(s)
}

// redisDriver is how that driver is called here.
func (m *importer) redisDriver(path string) string {
	if m.isCluster(path) {
		return "redis_cluster"
	}
	return "redis"
}

// soketiRedis turns the connection that drivers share into words, if any of them is Redis.
func (m *importer) soketiRedis() {
	single, cluster := false, false
	for _, u := range redisUsers {
		if m.driverOf(u.path) == "redis" {
			cluster = cluster || m.isCluster(u.path)
			single = single || !m.isCluster(u.path)
		}
	}
	if !single && !cluster {
		m.unused(redisPath, "nothing uses Redis")
		return
	}
	block := map[string]any{}
	m.redisLogin(block)
	m.redisPrefix()
	if cluster {
		nodes := m.addresses(redisPath+".clusterNodes", "database.redis_cluster.nodes", "6379")
		if len(nodes) == 0 {
			nodes = []any{"127.0.0.1:6379"}
		}
		m.set("database.redis_cluster", withLogin(map[string]any{"nodes": nodes}, block))
	} else {
		m.unused(redisPath+".clusterNodes", "no driver is for a cluster")
	}
	if single {
		m.redisPlace(block)
		m.set("database.redis", block)
	} else {
		m.unused(redisPath, "all drivers are for a cluster")
	}
}

func withLogin(block, login map[string]any) map[string]any {
	for _, word := range []string{"username", "password", "tls"} {
		if login[word] != nil {
			block[word] = login[word]
		}
	}
	return block
}

// unused reports settings that nothing uses.
func (m *importer) unused(path, why string) {
	for _, name := range m.below(path) {
		if s := m.take(join(path, name)); s != nil {
			m.note(s, NotNeeded, "", why)
		}
	}
}

func (m *importer) redisLogin(block map[string]any) {
	if s := m.take(redisPath + ".username"); s != nil {
		block["username"] = literal(m.text(s))
		m.note(s, TakenOver, "database.redis.username", "")
	}
	if s := m.take(redisPath + ".password"); s != nil {
		block["password"] = m.secret(s, "database.redis.password", "SOKETI_DB_REDIS_PASSWORD")
	}
	m.redisTLS(redisPath, block, "database.redis.tls")
}

// redisTLS switches encryption on. The options of it are those of another language.
func (m *importer) redisTLS(path string, block map[string]any, word string) {
	if s := m.take(path + ".tls"); s != nil {
		block["tls"] = map[string]any{}
		m.note(s, TakenOver, word, "")
	}
	for _, name := range m.below(path + ".tls") {
		if s := m.take(join(path+".tls", name)); s != nil {
			block["tls"] = map[string]any{}
			m.note(s, Approximated, word, "TLS is on; write ca, cert and key of that block as files if the servers need them")
		}
	}
}

// redisPlace says where the server is: at an address, or where Sentinels say.
func (m *importer) redisPlace(block map[string]any) {
	sentinels := m.addresses(redisPath+".sentinels", "database.redis.sentinel.addresses", "26379")
	master, password := m.take(redisPath+".name"), m.take(redisPath+".sentinelPassword")
	for _, name := range []string{"host", "port", "db"} {
		s := m.take(join(redisPath, name))
		switch {
		case s == nil:
		case len(sentinels) > 0 && name != "db":
			m.note(s, NotNeeded, "", "Sentinels say where the server is")
		case name == "host":
			block["host"] = literal(m.text(s))
			m.note(s, TakenOver, "database.redis.host", "")
		default:
			block[name] = m.number(s)
			m.note(s, TakenOver, "database.redis."+name, "")
		}
	}
	if len(sentinels) == 0 {
		for _, s := range []*setting{master, password} {
			if s != nil {
				m.note(s, NotNeeded, "", "there are no Sentinels")
			}
		}
		return
	}
	sentinel := map[string]any{"addresses": sentinels, "master": "mymaster"}
	if master != nil {
		sentinel["master"] = literal(m.text(master))
		m.note(master, TakenOver, "database.redis.sentinel.master", "")
	}
	if password != nil {
		sentinel["password"] = m.secret(password, "database.redis.sentinel.password", "SOKETI_DB_REDIS_SENTINEL_PASSWORD")
	}
	block["sentinel"] = sentinel
}

// addresses reads a list of objects with host and port.
func (m *importer) addresses(path, word, port string) (list []any) {
	for _, i := range m.indices(path) {
		at := join(path, i)
		host, number := m.take(at+".host"), m.take(at+".port")
		list = append(list, m.address(host, number, "127.0.0.1", port))
		for _, s := range []*setting{host, number} {
			if s != nil {
				m.note(s, TakenOver, word, "")
			}
		}
	}
	return list
}

// redisPrefix puts the prefix of keys before those that drivers have here.
func (m *importer) redisPrefix() {
	s := m.take(redisPath + ".keyPrefix")
	if s == nil {
		return
	}
	prefix := literal(m.text(s))
	for _, u := range redisUsers[1:] {
		if m.driverOf(u.path) == "redis" {
			m.set(u.word+".prefix", prefix+u.word+":")
		}
	}
	m.note(s, Approximated, "prefix of cache, queue and rate_limiter", "the name of each follows it, so that their keys stay apart")
}

// redisOptions turns options of the client library that one driver has into words of that
// driver, over those of the shared connection.
func (m *importer) redisOptions(path, word string) {
	own := map[string]any{}
	for _, name := range m.below(path) {
		s := m.take(join(path, name))
		if s == nil {
			continue
		}
		first, _, _ := strings.Cut(name, ".")
		switch {
		case first == "host" || first == "username":
			own[first] = literal(m.text(s))
			m.note(s, TakenOver, word+"."+first, "")
		case first == "port" || first == "db":
			own[first] = m.number(s)
			m.note(s, TakenOver, word+"."+first, "")
		case first == "password":
			own[first] = m.secretOf(s, word+".password", variableFor("soketi", word, "redis_password"))
		case first == "tls":
			own[first] = map[string]any{}
			m.note(s, Approximated, word+".tls", "TLS is on; write ca, cert and key of that block as files if the server needs them")
		default:
			m.note(s, NoEquivalent, "", "the client library is another one; "+word+" has words for the connection, and timeouts of its own")
		}
	}
	driver, ok := m.Hub[word].(map[string]any)
	if len(own) == 0 || !ok {
		return
	}
	database, _ := m.Hub["database"].(map[string]any)
	shared, _ := database["redis"].(map[string]any)
	for _, name := range []string{"host", "port", "db", "username", "password", "tls"} {
		if own[name] == nil && shared[name] != nil {
			own[name] = shared[name]
		}
	}
	for name, value := range own {
		if driver[name] == nil {
			driver[name] = value
		}
	}
}
