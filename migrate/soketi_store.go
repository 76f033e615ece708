package migrate

import "fmt"

// soketiStore says where apps come from.
func (m *importer) soketiStore() {
	s := m.take("appManager.driver")
	driver := "array"
	if s != nil {
		driver = m.text(s)
	}
	switch driver {
	case "array":
		if s != nil {
			m.note(s, TakenOver, "app", "")
		}
	case "mysql", "postgres":
		m.set("app_manager.driver", driver)
		m.note(s, Approximated, "app_manager", "the columns max_backend_events_per_sec, max_client_events_per_sec and max_read_req_per_sec of the table have to be called …_per_second and max_read_requests_per_second, with 0 instead of -1; see docs/migrate-soketi.md")
		m.soketiDatabase(driver)
	case "dynamodb":
		m.set("app_manager.driver", driver)
		m.note(s, Approximated, "app_manager", "items have other attributes here: copy them by the admin API, or with a script; see docs/migrate-soketi.md")
		m.soketiDynamo()
	default:
		m.fail(s, fmt.Errorf("soketi has no app manager %q", driver))
	}
	m.soketiAppCache(driver)
	for _, path := range []string{"appManager.mysql", "appManager.postgres", "appManager.dynamodb", "database.mysql", "database.postgres", "databasePooling"} {
		m.unused(path, "apps are not kept there")
	}
}

func (m *importer) soketiDatabase(driver string) {
	m.set("app_manager.table_name", "apps")
	path := "appManager." + driver
	if s := m.take(path + ".table"); s != nil {
		m.set("app_manager.table_name", literal(m.text(s)))
		m.note(s, TakenOver, "app_manager.table_name", "")
	}
	for _, name := range []string{"version", "useMysql2"} {
		if s := m.take(join(path, name)); s != nil {
			m.note(s, NotNeeded, "", "the driver finds that out")
		}
	}
	path = "database." + driver
	block := map[string]any{"database": "main"}
	for _, one := range []struct{ name, word string }{{"host", "host"}, {"user", "username"}, {"database", "database"}} {
		if s := m.take(join(path, one.name)); s != nil {
			block[one.word] = literal(m.text(s))
			m.note(s, TakenOver, join(path, one.word), "")
		}
	}
	if s := m.take(path + ".port"); s != nil {
		block["port"] = m.positive(s)
		m.note(s, TakenOver, path+".port", "")
	}
	if s := m.take(path + ".password"); s != nil {
		block["password"] = m.secret(s, path+".password", variableFor("soketi_db", driver, "password"))
	}
	m.soketiPool(block, path)
	m.set(path, block)
}

func (m *importer) soketiPool(block map[string]any, path string) {
	enabled, most := m.take("databasePooling.enabled"), m.take("databasePooling.max")
	on := enabled != nil && m.bool(enabled)
	if enabled != nil {
		m.note(enabled, NotNeeded, "", "connections are pooled in any case")
	}
	if most != nil && on {
		block["connection_pool_size"] = m.positive(most)
		m.note(most, TakenOver, path+".connection_pool_size", "")
	} else if most != nil {
		m.note(most, NotNeeded, "", "the pool is off")
	}
	if s := m.take("databasePooling.min"); s != nil {
		m.note(s, NotNeeded, "", "connections are opened when they are needed")
	}
}

func (m *importer) soketiDynamo() {
	m.set("app_manager.table_name", "apps")
	m.set("app_manager.region", "us-east-1")
	for _, one := range []struct{ name, word string }{{"table", "table_name"}, {"region", "region"}, {"endpoint", "endpoint_url"}} {
		if s := m.take(join("appManager.dynamodb", one.name)); s != nil {
			m.set("app_manager."+one.word, literal(m.text(s)))
			m.note(s, TakenOver, "app_manager."+one.word, "")
		}
	}
}

func (m *importer) soketiAppCache(driver string) {
	enabled, ttl := m.take("appManager.cache.enabled"), m.take("appManager.cache.ttl")
	for _, s := range []*setting{enabled, ttl} {
		switch {
		case s == nil:
		case driver == "array":
			m.note(s, NotNeeded, "", "apps of the configuration need no cache")
		case s == enabled:
			m.set("app_cache.enabled", m.bool(s))
			m.note(s, TakenOver, "app_cache.enabled", "")
		default:
			n := max(m.number(s), 0)
			m.set("app_cache.ttl", fmt.Sprintf("%ds", n))
			m.note(s, TakenOver, "app_cache.ttl", map[bool]string{true: "0s is what -1 is for soketi: for ever"}[n == 0])
		}
	}
	if driver != "array" && enabled == nil {
		m.set("app_cache.enabled", false)
		m.Report = append(m.Report, Entry{Setting: "appManager.cache.enabled (not set)", Outcome: TakenOver, Word: "app_cache.enabled", Note: "soketi asks the store each time; without the line, records count for 5 minutes, which takes load off it"})
	}
}

// soketiCORS says which pages of browsers may call the HTTP API.
func (m *importer) soketiCORS() {
	origins := m.take("cors.origin")
	every := origins == nil
	for _, one := range []struct {
		s    *setting
		word string
	}{{origins, "origins"}, {m.take("cors.methods"), "methods"}, {m.take("cors.allowedHeaders"), "headers"}} {
		if one.s == nil {
			continue
		}
		var list []any
		for _, text := range m.texts(one.s) {
			every = every || one.s == origins && text == "*"
			list = append(list, literal(text))
		}
		m.set("cors."+one.word, list)
		m.note(one.s, TakenOver, "cors."+one.word, "")
	}
	s := m.take("cors.credentials")
	switch {
	case s == nil:
	case m.bool(s) && every:
		m.note(s, Approximated, "cors.credentials", "cookies are not admitted while any origin is: name the origins, and then write credentials on")
	default:
		m.set("cors.credentials", m.bool(s))
		m.note(s, TakenOver, "cors.credentials", "")
	}
}

// soketiRest deals with what is left, and with what is unknown.
func (m *importer) soketiRest() {
	if s := m.take("mode"); s != nil {
		switch mode := m.text(s); mode {
		case "full":
			m.note(s, NotNeeded, "", "a node does everything")
		case "server":
			m.note(s, Approximated, "queue", "a node takes sockets, and sends webhooks too: with a queue in Redis nodes share that work")
		default:
			m.note(s, NoEquivalent, "", "no node does nothing but send webhooks: with a queue in Redis nodes share that work")
		}
	}
	if s := m.take("httpApi.acceptTraffic.memoryThreshold"); s != nil {
		m.note(s, NoEquivalent, "", "let load balancers ask /up, and bound sockets by max_connections")
	}
	m.unused("instance", "node_id names a node, which has a random name otherwise")
	m.rest("soketi has no such option, as far as is known here; it is left out")
}
