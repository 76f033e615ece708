package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// reverbVariables are the options that variables set, as config/reverb.php has them.
var reverbVariables = map[string]string{ //nolint:gosec // names
	"REVERB_SERVER":                        "default",
	"REVERB_SERVER_HOST":                   "servers.reverb.host",
	"REVERB_SERVER_PORT":                   "servers.reverb.port",
	"REVERB_SERVER_PATH":                   "servers.reverb.path",
	"REVERB_MAX_REQUEST_SIZE":              "servers.reverb.max_request_size",
	"REVERB_SCALING_ENABLED":               "servers.reverb.scaling.enabled",
	"REVERB_SCALING_CHANNEL":               "servers.reverb.scaling.channel",
	"REVERB_PULSE_INGEST_INTERVAL":         "servers.reverb.pulse_ingest_interval",
	"REVERB_TELESCOPE_INGEST_INTERVAL":     "servers.reverb.telescope_ingest_interval",
	"REDIS_URL":                            "servers.reverb.scaling.server.url",
	"REDIS_HOST":                           "servers.reverb.scaling.server.host",
	"REDIS_PORT":                           "servers.reverb.scaling.server.port",
	"REDIS_USERNAME":                       "servers.reverb.scaling.server.username",
	"REDIS_PASSWORD":                       "servers.reverb.scaling.server.password",
	"REDIS_DB":                             "servers.reverb.scaling.server.database",
	"REVERB_APP_ID":                        "apps.apps.0.app_id",
	"REVERB_APP_KEY":                       "apps.apps.0.key",
	"REVERB_APP_SECRET":                    "apps.apps.0.secret",
	"REVERB_HOST":                          "apps.apps.0.options.host",
	"REVERB_PORT":                          "apps.apps.0.options.port",
	"REVERB_SCHEME":                        "apps.apps.0.options.scheme",
	"REVERB_ALLOWED_ORIGINS":               "apps.apps.0.allowed_origins",
	"REVERB_APP_ALLOWED_ORIGINS":           "apps.apps.0.allowed_origins",
	"REVERB_APP_PING_INTERVAL":             "apps.apps.0.ping_interval",
	"REVERB_APP_ACTIVITY_TIMEOUT":          "apps.apps.0.activity_timeout",
	"REVERB_APP_MAX_CONNECTIONS":           "apps.apps.0.max_connections",
	"REVERB_APP_MAX_MESSAGE_SIZE":          "apps.apps.0.max_message_size",
	"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM": "apps.apps.0.accept_client_events_from",
	"REVERB_APP_RATE_LIMITING_ENABLED":     "apps.apps.0.rate_limiting.enabled",
	"REVERB_APP_RATE_LIMIT_MAX_ATTEMPTS":   "apps.apps.0.rate_limiting.max_attempts",
	"REVERB_APP_RATE_LIMIT_DECAY_SECONDS":  "apps.apps.0.rate_limiting.decay_seconds",
	"REVERB_APP_RATE_LIMIT_TERMINATE":      "apps.apps.0.rate_limiting.terminate_on_limit",
}

// readReverb reads the environment of a Laravel application, or its configuration as JSON.
func readReverb(files []File) (*Result, error) {
	m := newImporter()
	for _, f := range files {
		var err error
		switch extension(f) {
		case ".php":
			err = errPHP(f)
		case ".json":
			err = m.addReverbTree(f)
		case ".env":
			err = m.addLaravel(f, reverbVariables, "REVERB_")
		default:
			err = fmt.Errorf("%s: settings of Laravel Reverb are read from files of variables and from JSON only", f.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	m.set("env_overrides", false) // Laravel's variables mean something else here
	m.reverbSite()
	m.reverbServer()
	m.reverbApps()
	m.unlimited("Reverb")
	m.rest("Reverb has no such option, as far as is known here; it is left out")
	return &m.Result, m.err
}

// addReverbTree adds the configuration as Laravel writes it.
func (m *importer) addReverbTree(f File) error {
	n, err := readTree(f.Name, f.Text)
	if err != nil {
		return err
	}
	if n.kind != objectKind {
		return fmt.Errorf("%s:%d: %w", f.Name, n.line, errNoObject)
	}
	if len(n.members) == 1 && n.members[0].name == Reverb {
		n = n.members[0].node
	}
	m.addTree(n, f.Name, "", "", "")
	return nil
}

// clientPrefixes are before the names of variables that end up in pages.
var clientPrefixes = []string{"VITE_", "MIX_", "NEXT_PUBLIC_", "NUXT_PUBLIC_", "REACT_APP_", "PUBLIC_"}

// addLaravel adds the variables of a file that are options of a server. Others of its
// prefix are unknown options.
func (m *importer) addLaravel(f File, known map[string]string, prefix string) error {
	list, err := ReadEnv(f)
	if err != nil {
		return err
	}
	var others []Variable
	for _, v := range list {
		path := known[v.Name]
		if path == "" && strings.HasPrefix(v.Name, prefix) {
			path = "variable " + v.Name
		}
		for _, client := range append(clientPrefixes, "BROADCAST_") {
			if strings.HasPrefix(v.Name, client+prefix) || client == "BROADCAST_" && (v.Name == "BROADCAST_DRIVER" || v.Name == "BROADCAST_CONNECTION") {
				path = "client " + v.Name
			}
		}
		if path == "" {
			others = append(others, v)
			continue
		}
		variable := v.Name
		if v.Refers != "" {
			variable = v.Refers
		}
		m.add(&setting{v.Name, path, v.Value, fmt.Sprintf("%s:%d", f.Name, v.Line), variable})
	}
	m.foreign(f, others)
	return nil
}

// clients reports the options of pages, which stay what they are, and what of the address
// of the server they know.
func (m *importer) clients(host string) (hosts []string) {
	for _, path := range append([]string{}, m.order...) {
		name, ok := strings.CutPrefix(path, "client ")
		if !ok {
			continue
		}
		s := m.take(path)
		if s == nil {
			continue
		}
		switch {
		case strings.HasPrefix(name, "BROADCAST_"):
			m.note(s, NotNeeded, "", "Laravel goes on with its driver "+m.text(s)+", which publishes here as it is")
		case strings.HasSuffix(name, "_HOST") && m.text(s) != host && host != "":
			hosts = append(hosts, m.text(s))
			m.note(s, TakenOver, "site address", "pages use another name than the backend; the site answers both")
		default:
			m.note(s, NotNeeded, "", "it is for pages, and stays as long as the address does")
		}
	}
	return hosts
}

// public says under which address clients know the server.
func (m *importer) public(path, otherwise string) {
	scheme, host, port := m.take(path+".scheme"), m.take(path+".host"), m.take(path+".port")
	secure := scheme == nil || !strings.EqualFold(m.text(scheme), "http")
	name := ""
	if host != nil {
		name = m.text(host)
	}
	number := ""
	if port != nil {
		number = fmt.Sprint(m.positive(port))
	}
	switch {
	case name == "":
		m.Site.Address = otherwise
	case secure:
		m.Site.Address = secureAddress(name, number)
	case number == "":
		m.Site.Address = ":80"
	default:
		m.Site.Address = ":" + number
	}
	for _, other := range m.clients(name) {
		if secure && name != "" {
			m.Site.Address += ", " + secureAddress(other, number)
		}
	}
	for _, s := range []*setting{scheme, host, port} {
		if s == nil {
			continue
		}
		note := ""
		if s == host && !secure {
			note = "without HTTPS the site answers to any name"
		}
		m.note(s, TakenOver, "site address", note)
	}
}

func secureAddress(host, port string) string {
	if port == "" || port == "443" {
		return "https://" + host
	}
	return "https://" + host + ":" + port
}

func (m *importer) reverbSite() {
	const server = "servers.reverb"
	for _, path := range []string{"default", "apps.provider"} {
		if s := m.take(path); s != nil {
			m.note(s, NotNeeded, "", "there is one server, and apps are in the Caddyfile")
		}
	}
	hostname, host, port := m.take(server+".hostname"), m.take(server+".host"), m.take(server+".port")
	otherwise := "http://localhost:8080"
	if port != nil {
		otherwise = fmt.Sprintf(":%d", m.positive(port))
	}
	m.public("apps.apps.0.options", otherwise)
	if host != nil && strings.HasPrefix(m.Site.Address, ":") && m.text(host) != "0.0.0.0" {
		m.Site.Bind = m.text(host)
		m.note(host, TakenOver, "bind", "")
		host = nil
	}
	for _, s := range []*setting{hostname, host, port} {
		if s != nil {
			m.note(s, NotNeeded, "", "Caddy listens at the address that clients use, without a proxy before it")
		}
	}
	if s := m.take(server + ".path"); s != nil {
		m.Site.Prefix = strings.Trim(m.text(s), "/")
		m.note(s, TakenOver, "handle_path", "")
	}
	cert, key := m.take(server+".options.tls.local_cert"), m.take(server+".options.tls.local_pk")
	if cert != nil && key != nil {
		m.Site.Cert, m.Site.Key = m.text(cert), m.text(key)
		m.note(cert, TakenOver, "tls", "without that line Caddy gets certificates itself")
		m.note(key, TakenOver, "tls", "")
	} else if one := cmpOr(cert, key); one != nil {
		m.note(one, NoEquivalent, "", "Caddy gets certificates itself; with one of your own, write tls CERT KEY in the site")
	}
	m.unusedAs(server+".options", NoEquivalent, "write it in a block tls of the site, if it is needed")
}

// unusedAs is unused with another outcome.
func (m *importer) unusedAs(path string, outcome Outcome, why string) {
	for _, name := range m.below(path) {
		if s := m.take(join(path, name)); s != nil {
			m.note(s, outcome, "", why)
		}
	}
}

func (m *importer) reverbServer() {
	const server = "servers.reverb"
	if s := m.take(server + ".max_request_size"); s != nil {
		m.set("http.max_body", m.positive(s))
		m.note(s, TakenOver, "http.max_body", "")
	}
	for _, name := range []string{"pulse_ingest_interval", "telescope_ingest_interval"} {
		if s := m.take(join(server, name)); s != nil {
			m.note(s, NotNeeded, "", "there are metrics for Prometheus instead, see docs/operations.md")
		}
	}
	enabled := m.take(server + ".scaling.enabled")
	if enabled == nil || !m.bool(enabled) {
		if enabled != nil {
			m.note(enabled, TakenOver, "adapter", "one node")
		}
		m.unused(server+".scaling", "Reverb does not use it while scaling is off")
		return
	}
	m.set("adapter.driver", "redis")
	m.note(enabled, TakenOver, "adapter", "nodes of Reverb and of this server do not hear each other: publish to one of them at a time")
	if s := m.take(server + ".scaling.channel"); s != nil {
		m.set("adapter.prefix", literal(m.text(s)))
		m.note(s, Approximated, "adapter.prefix", "it begins the names of several channels")
	}
	m.set("database.redis", map[string]any{})
	m.reverbRedis(server + ".scaling.server")
	m.ShareCache()
}

func (m *importer) reverbRedis(path string) {
	if s := m.take(path + ".url"); s != nil {
		m.redisURL(s)
		m.unused(path, "the URL says it all")
		return
	}
	for _, one := range []struct{ name, word string }{{"host", "host"}, {"username", "username"}} {
		if s := m.take(join(path, one.name)); s != nil {
			m.set("database.redis."+one.word, literal(strings.TrimPrefix(m.text(s), "tcp://")))
			m.note(s, TakenOver, "database.redis."+one.word, "")
		}
	}
	for _, one := range []struct{ name, word string }{{"port", "port"}, {"database", "db"}} {
		if s := m.take(join(path, one.name)); s != nil {
			m.set("database.redis."+one.word, m.number(s))
			m.note(s, TakenOver, "database.redis."+one.word, "")
		}
	}
	if s := m.take(path + ".password"); s != nil {
		m.set("database.redis.password", m.secret(s, "database.redis.password", "REDIS_PASSWORD"))
	}
}

// redisURL refers to a URL with a password, and writes others.
func (m *importer) redisURL(s *setting) {
	text := m.text(s)
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "redis" && u.Scheme != "rediss":
		m.note(s, NoEquivalent, "", "write url redis://… or rediss://… in the block database redis")
	case hasCredentials(text):
		m.set("database.redis.url", m.secret(s, "database.redis.url", "REDIS_URL"))
	default:
		m.set("database.redis.url", literal(text))
		m.note(s, TakenOver, "database.redis.url", "")
	}
}

// unlimited limits nothing per client address.
func (m *importer) unlimited(server string) {
	none := map[string]any{"max": 0, "window": "60s"}
	m.set("rate_limiter.api", none)
	m.set("rate_limiter.upgrades", none)
	m.Report = append(m.Report, Entry{
		Setting: "calls and handshakes of one client address", Outcome: Approximated, Word: "rate_limiter",
		Note: server + " does not limit them, so neither does the Caddyfile; without the lines api and upgrades there are 100 calls and 20 handshakes a minute",
	})
}

var errNoApp = errors.New("there is no app: an id, a key and a secret are needed")
