package migrate

import (
	"fmt"
	"slices"
	"strings"
)

const reverbAppsPath = "apps.apps"

func (m *importer) reverbApps() {
	var apps []any
	for _, i := range m.indices(reverbAppsPath) {
		apps = append(apps, m.reverbApp(join(reverbAppsPath, i)))
	}
	if len(apps) == 0 && m.err == nil {
		m.err = errNoApp
	}
	m.set("apps", apps)
}

func (m *importer) reverbApp(path string) map[string]any {
	app := map[string]any{}
	for _, one := range []struct{ name, word string }{{"app_id", "id"}, {"key", "key"}} {
		s := m.take(join(path, one.name))
		if s == nil {
			m.missing(path, one.name)
			continue
		}
		app[one.word] = literal(m.text(s))
		m.note(s, TakenOver, "app."+one.word, "")
	}
	if s := m.take(path + ".secret"); s != nil {
		app["secret"] = m.secret(s, "app.secret", variableFor("reverb", fmt.Sprint(app["id"]), "secret"))
	} else {
		m.missing(path, "secret")
	}
	if s := m.take(path + ".max_connections"); s != nil {
		app["max_connections"] = max(m.number(s), 0)
		m.note(s, TakenOver, "app.max_connections", "")
	}
	m.reverbOrigins(app, path)
	m.reverbClientEvents(app, path)
	m.reverbRate(app, path)
	m.reverbSockets(path)
	m.unused(path+".options", "it is for the backend, and stays as long as the address does")
	return app
}

func (m *importer) missing(path, name string) {
	if m.err == nil {
		m.err = fmt.Errorf("%s has no %s: %w", path, name, errNoApp)
	}
}

// reverbOrigins takes the hosts of pages that may connect.
func (m *importer) reverbOrigins(app map[string]any, path string) {
	s := m.take(path + ".allowed_origins")
	if s == nil {
		return
	}
	hosts := m.texts(s)
	if slices.Contains(hosts, "*") {
		m.note(s, TakenOver, "app.allowed_origins", "any origin is the default")
		return
	}
	var list []any
	for _, host := range hosts {
		switch {
		case strings.Contains(host, "*"):
			list = append(list, literal(host))
		default: // Reverb looks at neither the scheme nor the port
			list = append(list, literal("http://"+host), literal("https://"+host), literal("http://"+host+":*"), literal("https://"+host+":*"))
		}
	}
	app["allowed_origins"] = list
	m.note(s, Approximated, "app.allowed_origins", "Reverb compares the host alone, so that any scheme and port is admitted; leave in the list what your pages have. *.HOST admits HOST too")
}

// reverbClientEvents says whose client events count. Without a word of it, those of members
// do, which Echo's whisper needs.
func (m *importer) reverbClientEvents(app map[string]any, path string) {
	const word = "app.enable_client_messages"
	app["enable_client_messages"] = true
	s := m.take(path + ".accept_client_events_from")
	if s == nil {
		m.Report = append(m.Report, Entry{
			Setting: path + ".accept_client_events_from (not set)", Outcome: TakenOver, Word: word, Note: "Reverb takes client events of members by default, and so does the Caddyfile",
		})
		return
	}
	switch m.text(s) {
	case "none":
		app["enable_client_messages"] = false
		m.note(s, TakenOver, word, "")
	case "all":
		m.note(s, Approximated, word, "only who is subscribed to a private or presence channel may send client events to it")
	case "members":
		m.note(s, TakenOver, word, "")
	default:
		m.fail(s, fmt.Errorf("%q is none of members, all and none, which Reverb knows", shown(m.text(s))))
	}
}

// reverbRate limits what a socket sends.
func (m *importer) reverbRate(app map[string]any, path string) {
	path += ".rate_limiting"
	enabled := m.take(path + ".enabled")
	if enabled == nil || !m.bool(enabled) {
		if enabled != nil {
			m.note(enabled, TakenOver, "app.message_rate_limit", "without that block there is no such limit")
		}
		m.unused(path, "there is no such limit while it is off")
		return
	}
	limit := map[string]any{"enabled": true}
	m.note(enabled, TakenOver, "app.message_rate_limit", "")
	if s := m.take(path + ".max_attempts"); s != nil {
		limit["max_attempts"] = m.positive(s)
		m.note(s, TakenOver, "app.message_rate_limit.max_attempts", "")
	}
	if s := m.take(path + ".decay_seconds"); s != nil {
		limit["decay"] = fmt.Sprintf("%ds", m.positive(s))
		m.note(s, TakenOver, "app.message_rate_limit.decay", "")
	}
	if s := m.take(path + ".terminate_on_limit"); s != nil {
		limit["terminate"] = m.bool(s)
		m.note(s, TakenOver, "app.message_rate_limit.terminate", "")
	}
	app["message_rate_limit"] = limit
}

// reverbSockets says how sockets are kept alive, and how much they may send. Here that is
// the same for all apps.
func (m *importer) reverbSockets(path string) {
	if s := m.take(path + ".activity_timeout"); s != nil {
		m.hubWide(s, "activity_timeout", fmt.Sprintf("%ds", m.positive(s)))
	}
	if s := m.take(path + ".max_message_size"); s != nil {
		m.hubWide(s, "websocket.max_payload", m.positive(s))
	}
	if s := m.take(path + ".ping_interval"); s != nil {
		m.note(s, NotNeeded, "", "a client is asked for a sign of life after activity_timeout without one, not at intervals")
	}
}

// hubWide sets a word that is one for all apps: the first of them counts.
func (m *importer) hubWide(s *setting, word string, value any) {
	if m.hubSet == nil {
		m.hubSet = map[string]any{}
	}
	first, there := m.hubSet[word]
	switch {
	case !there:
		m.hubSet[word] = value
		m.set(word, value)
		m.note(s, TakenOver, word, "")
	case first == value:
		m.note(s, TakenOver, word, "")
	default:
		m.note(s, Approximated, word, fmt.Sprintf("it is one for all apps here: %v, as the first app has it", first))
	}
}
