package migrate

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// readSoketi reads files of variables and of JSON. Variables override the rest, as they do
// with soketi.
func readSoketi(files []File) (*Result, error) {
	m := newImporter()
	var variables []File
	for _, f := range files {
		switch extension(f) {
		case ".env":
			variables = append(variables, f)
			continue
		case ".json":
		default:
			return nil, fmt.Errorf("%s: soketi reads files of variables and of JSON only", f.Name)
		}
		n, err := readTree(f.Name, f.Text)
		if err != nil {
			return nil, err
		}
		if n.kind != objectKind {
			return nil, fmt.Errorf("%s:%d: %w", f.Name, n.line, errNoObject)
		}
		m.addTree(n, f.Name, "", "", "")
	}
	for _, f := range variables {
		if err := m.addSoketiVariables(f); err != nil {
			return nil, err
		}
	}
	m.soketi()
	return &m.Result, m.err
}

// addSoketiVariables adds those of a file. A value that is JSON is read as such.
func (m *importer) addSoketiVariables(f File) error {
	list, err := ReadEnv(f)
	if err != nil {
		return err
	}
	var others []Variable
	for _, v := range list {
		name, ours := strings.CutPrefix(v.Name, "SOKETI_")
		path, known := soketiVariables[name]
		place := fmt.Sprintf("%s:%d", f.Name, v.Line)
		variable := v.Name
		if v.Refers != "" {
			variable = v.Refers
		}
		switch {
		case !ours:
			others = append(others, v)
		case !known:
			m.add(&setting{v.Name, "variable " + v.Name, v.Value, place, variable})
		case strings.HasPrefix(v.Value, "{") || strings.HasPrefix(v.Value, "["):
			n, err := parseTree([]byte(v.Value), v.Line)
			if err != nil {
				return fmt.Errorf("%s:%w in %s", f.Name, err, v.Name)
			}
			m.addTree(n, f.Name, v.Name, path, v.Name)
		default:
			m.add(&setting{v.Name, path, v.Value, place, variable})
		}
	}
	m.foreign(f, others)
	return nil
}

// foreign reports variables of other programs together, by name.
func (m *importer) foreign(f File, others []Variable) {
	if len(others) == 0 {
		return
	}
	var names []string
	for _, v := range others {
		if !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
		}
	}
	m.Report = append(m.Report, Entry{
		Setting: strings.Join(names, ", "), Place: fmt.Sprintf("%s:%d", f.Name, others[0].Line), Outcome: NotNeeded, Note: "they are for other programs",
	})
}

// soketi turns soketi's options into words.
func (m *importer) soketi() {
	m.set("env_overrides", false) // some of its variables mean something else here
	m.soketiSite()
	for _, one := range soketiPlain {
		if s := m.take(one.path); s != nil {
			m.plain(s, one)
		}
	}
	m.soketiApps()
	m.soketiStore()
	m.soketiRedis()
	m.soketiAdapter()
	m.soketiKept()
	m.ShareCache()
	m.soketiLimiter()
	m.soketiCORS()
	m.soketiRest()
}

// plain is an option that is a word here, as it is or in another unit.
type plain struct {
	path, word string
	// unit is written behind the number. "n" is for a number alone, "on" for a switch, and
	// none for text.
	unit string
}

var soketiPlain = []plain{
	{"channelLimits.maxNameLength", "channel_limits.max_name_length", "n"},
	{"channelLimits.cacheTtl", "channel_limits.cache_ttl", "s"},
	{"eventLimits.maxChannelsAtOnce", "event_limits.max_channels_at_once", "n"},
	{"eventLimits.maxNameLength", "event_limits.max_name_length", "n"},
	{"eventLimits.maxPayloadInKb", "event_limits.max_payload", "KiB"},
	{"eventLimits.maxBatchSize", "event_limits.max_batch_size", "n"},
	{"httpApi.requestLimitInMb", "http.max_body", "MiB"},
	{"presence.maxMembersPerChannel", "presence.max_members", "n"},
	{"presence.maxMemberSizeInKb", "presence.max_member_size", "KiB"},
	{"userAuthenticationTimeout", "authentication_timeout", "ms"},
	{"webhooks.batching.enabled", "webhooks.batching_enabled", "on"},
	{"webhooks.batching.duration", "webhooks.flush_interval", "ms"},
	{"metrics.enabled", "metrics.enabled", "on"},
	{"metrics.prometheus.prefix", "metrics.prefix", ""},
}

func (m *importer) plain(s *setting, one plain) {
	switch one.unit {
	case "":
		m.set(one.word, literal(m.text(s)))
	case "on":
		m.set(one.word, m.bool(s))
	case "n":
		m.set(one.word, m.positive(s))
	default:
		m.set(one.word, fmt.Sprint(m.positive(s))+one.unit)
	}
	m.note(s, TakenOver, one.word, "")
}

// soketiSite deals with what Caddy does.
func (m *importer) soketiSite() {
	port := "6001"
	if s := m.take("port"); s != nil {
		port = fmt.Sprint(m.positive(s))
		m.note(s, TakenOver, "site address", "")
	}
	m.Site.Address = ":" + port
	if s := m.take("host"); s != nil {
		m.Site.Bind = m.text(s)
		m.note(s, TakenOver, "bind", "")
	}
	if s := m.take("pathPrefix"); s != nil {
		m.Site.Prefix = strings.Trim(m.text(s), "/")
		m.note(s, TakenOver, "handle_path", "")
	}
	if s := m.take("debug"); s != nil {
		m.Site.Debug = m.bool(s)
		m.note(s, TakenOver, "the global option debug", "")
	}
	m.soketiTLS()
	if s := m.take("shutdownGracePeriod"); s != nil {
		grace := m.positive(s)
		m.Site.Grace = fmt.Sprintf("%dms", grace)
		m.set("drain_timeout", m.Site.Grace)
		m.set("drain_period", fmt.Sprintf("%dms", min(grace, 5000)))
		m.note(s, Approximated, "drain_timeout", "sockets are closed within drain_period, not all at once, and the process ends when they are")
	}
	m.soketiMetrics()
}

func (m *importer) soketiTLS() {
	cert, key := m.take("ssl.certPath"), m.take("ssl.keyPath")
	if cert != nil && key != nil {
		m.Site.Cert, m.Site.Key = m.text(cert), m.text(key)
		m.note(cert, TakenOver, "tls", "without that line, and with a name as site address, Caddy gets certificates itself")
		m.note(key, TakenOver, "tls", "")
	} else if one := cmpOr(cert, key); one != nil {
		m.note(one, NoEquivalent, "", "a certificate needs its key, and a key its certificate: write tls CERT KEY in the site, or a name as site address")
	}
	if s := m.take("ssl.passphrase"); s != nil {
		m.note(s, NoEquivalent, "", "Caddy reads keys without a passphrase: openssl pkey -in KEY -out NEW removes it; or leave certificates to Caddy")
	}
	if s := m.take("ssl.caPath"); s != nil {
		m.note(s, NoEquivalent, "", "write tls { client_auth { … } } in the site if clients have to show certificates")
	}
}

func cmpOr(a, b *setting) *setting {
	if a != nil {
		return a
	}
	return b
}

func (m *importer) soketiMetrics() {
	on := m.settings["metrics.enabled"]
	served := on != nil && !on.saysNothing() && m.bool(on)
	port := m.take("metrics.port")
	if served {
		m.Site.Metrics = ":9601"
		if port != nil {
			m.Site.Metrics = fmt.Sprintf(":%d", m.positive(port))
		}
	}
	for _, s := range []*setting{port, m.take("metrics.host")} {
		switch {
		case s == nil:
		case !served:
			m.note(s, NotNeeded, "", "metrics are off")
		case s == port:
			m.note(s, TakenOver, "a site with metrics", "")
		default:
			m.Site.MetricsBind = m.text(s)
			m.note(s, TakenOver, "bind of the site with metrics", "")
		}
	}
	if served && !m.has("metrics.prometheus.prefix") {
		m.set("metrics.prefix", "soketi_")
	}
	if served {
		m.Report = append(m.Report, Entry{Setting: "names of metrics", Outcome: Approximated, Word: "metrics.prefix", Note: "the prefix stays, but the metrics are those of docs/operations.md: look through boards and alerts"})
	}
	if s := m.take("metrics.driver"); s != nil {
		if m.text(s) == "prometheus" {
			m.note(s, NotNeeded, "", "it is the only one")
		} else {
			m.note(s, NoEquivalent, "", "metrics are for Prometheus only")
		}
	}
}

// address is HOST:PORT, of which either may be a setting or not.
func (m *importer) address(host, port *setting, defaultHost, defaultPort string) string {
	h, p := defaultHost, defaultPort
	if host != nil {
		h = m.text(host)
	}
	if port != nil {
		p = fmt.Sprint(m.positive(port))
	}
	return net.JoinHostPort(h, p)
}
