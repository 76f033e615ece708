package migrate

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

const soketiAppsPath = "appManager.array.apps"

// appNumbers are the limits of an app that are numbers, by the names that soketi has for
// them, in small letters and without underscores.
var appNumbers = map[string]string{
	"maxconnections":               "max_connections",
	"maxbackendeventspersecond":    "max_backend_events_per_second",
	"maxbackendeventspersec":       "max_backend_events_per_second",
	"maxclienteventspersecond":     "max_client_events_per_second",
	"maxclienteventspersec":        "max_client_events_per_second",
	"maxreadrequestspersecond":     "max_read_requests_per_second",
	"maxreadreqpersec":             "max_read_requests_per_second",
	"maxpresencemembersperchannel": "max_presence_members_per_channel",
	"maxpresencemembersizeinkb":    "max_presence_member_size_in_kb",
	"maxchannelnamelength":         "max_channel_name_length",
	"maxeventchannelsatonce":       "max_event_channels_at_once",
	"maxeventnamelength":           "max_event_name_length",
	"maxeventpayloadinkb":          "max_event_payload_in_kb",
	"maxeventbatchsize":            "max_event_batch_size",
}

// appSwitches are its switches.
var appSwitches = map[string]string{
	"enabled":                  "enabled",
	"enableclientmessages":     "enable_client_messages",
	"enableuserauthentication": "enable_user_authentication",
}

// plainKey is a name in small letters and without underscores.
func plainKey(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }

// soketiApps turns the apps of the configuration into words. Without any, soketi has one
// that everybody knows.
func (m *importer) soketiApps() {
	if s := m.settings["appManager.driver"]; s != nil && !s.saysNothing() && m.text(s) != "array" {
		for _, path := range m.below(soketiAppsPath) {
			if s := m.take(join(soketiAppsPath, path)); s != nil {
				m.note(s, NotNeeded, "", "apps come from a store")
			}
		}
		return
	}
	m.expandWebhooks()
	indices := m.indices(soketiAppsPath)
	if len(indices) == 0 {
		indices = []string{"0"}
	}
	var apps []any
	for _, i := range indices {
		apps = append(apps, m.soketiApp(join(soketiAppsPath, i)))
	}
	m.set("apps", apps)
}

// expandWebhooks reads webhooks that are JSON within text, as databases have them.
func (m *importer) expandWebhooks() {
	for _, i := range m.indices(soketiAppsPath) {
		for _, name := range []string{"webhooks", "Webhooks"} {
			path := join(join(soketiAppsPath, i), name)
			s := m.settings[path]
			if s == nil {
				continue
			}
			text, ok := s.value.(string)
			if !ok || !strings.HasPrefix(text, "[") {
				continue
			}
			n, err := parseTree([]byte(text), 1)
			if err != nil {
				m.fail(s, fmt.Errorf("line %w", err))
				return
			}
			m.order = slices.DeleteFunc(m.order, func(p string) bool { return p == path })
			delete(m.settings, path)
			n.flatten("", func(within string, value any, _ int) {
				m.add(&setting{joinPath(s.name, within), joinPath(path, within), value, s.place, s.variable})
			})
		}
	}
}

func (m *importer) soketiApp(path string) map[string]any {
	app := map[string]any{"id": "app-id", "key": "app-key"}
	var secret *setting
	for _, name := range m.below(path) {
		first, _, _ := strings.Cut(name, ".")
		key := strings.TrimPrefix(plainKey(first), "app")
		if key == "webhooks" {
			continue
		}
		s := m.take(join(path, name))
		if s == nil {
			continue
		}
		switch {
		case key == "id" || key == "key":
			app[key] = literal(m.text(s))
			m.note(s, TakenOver, "app."+key, "")
		case key == "secret":
			secret = s
		case appNumbers[key] != "":
			n := m.number(s)
			app[appNumbers[key]] = max(n, 0)
			m.note(s, TakenOver, "app."+appNumbers[key], map[bool]string{true: "0 is what -1 is for soketi: no limit of the app's own"}[n < 0])
		case appSwitches[key] != "":
			app[appSwitches[key]] = m.bool(s)
			m.note(s, TakenOver, "app."+appSwitches[key], "")
		default:
			m.note(s, NoEquivalent, "", "soketi has no such option of an app either, as far as is known here")
		}
	}
	m.soketiSecret(app, secret)
	for _, name := range []string{"webhooks", "Webhooks"} {
		if hooks := m.soketiWebhooks(join(path, name), fmt.Sprint(app["id"])); len(hooks) > 0 {
			app["webhooks"] = hooks
		}
	}
	return app
}

// soketiSecret names the variable with the secret. Without any, soketi has one that
// everybody knows.
func (m *importer) soketiSecret(app map[string]any, s *setting) {
	if s != nil {
		app["secret"] = m.secret(s, "app.secret", variableFor("soketi", fmt.Sprint(app["id"]), "secret"))
		return
	}
	const name = "SOKETI_DEFAULT_APP_SECRET"
	app["secret"] = "{env." + name + "}"
	m.keep(name, "app-secret")
	m.Report = append(m.Report, Entry{
		Setting: "secret of app " + fmt.Sprint(app["id"]), Value: hidden, Outcome: Approximated, Word: "app.secret",
		Note: "it is not set, so that soketi takes app-secret, which everybody knows; set " + name + " to one of your own, here and in the backend",
	})
}

// soketiWebhooks turns the webhooks of an app into words.
func (m *importer) soketiWebhooks(path, app string) (list []any) {
	if s := m.settings[path]; s != nil {
		m.take(path) // it is an empty list
	}
	for _, i := range m.indices(path) {
		hook := map[string]any{}
		for _, name := range m.below(join(path, i)) {
			if s := m.take(join(join(path, i), name)); s != nil {
				m.soketiWebhook(hook, s, name, variableFor("soketi", app, "webhook", i))
			}
		}
		if fn, ok := hook["lambda_function"]; ok && hook["lambda"] != nil {
			setIn(hook, "lambda.function_name", fn)
			delete(hook, "lambda_function")
		}
		list = append(list, hook)
	}
	return list
}

func (m *importer) soketiWebhook(hook map[string]any, s *setting, name, variable string) {
	word := func(path string) string { return "app.webhook." + path }
	first, rest, _ := strings.Cut(name, ".")
	switch {
	case name == "url":
		m.webhookURL(hook, s, variable)
	case name == "event_types":
		hook["events"] = m.texts(s)
		m.note(s, TakenOver, word("events"), "")
	case name == "lambda_function":
		hook["lambda_function"] = literal(m.text(s))
		m.note(s, TakenOver, word("lambda"), "")
	case name == "lambda.region" || name == "lambda.client_options.region":
		setIn(hook, "lambda.region", literal(m.text(s)))
		m.note(s, TakenOver, word("lambda"), "")
	case name == "lambda.async":
		m.note(s, NotNeeded, "", "functions are invoked in the background in any case")
	case first == "lambda":
		m.note(s, NoEquivalent, "", "give AWS credentials to Caddy in its environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or a role of the machine")
	case (first == "filter" || first == "filters") && rest == "channel_name_starts_with":
		setIn(hook, "filter.prefix", literal(m.text(s)))
		m.note(s, TakenOver, word("filter.prefix"), "")
	case (first == "filter" || first == "filters") && rest == "channel_name_ends_with":
		setIn(hook, "filter.suffix", literal(m.text(s)))
		m.note(s, TakenOver, word("filter.suffix"), "")
	case first == "headers" && rest != "":
		m.webhookHeader(hook, s, rest, variable)
	default:
		m.note(s, NoEquivalent, "", "webhooks have no such option here")
	}
}

// webhookHeader keeps the value of a header out of the Caddyfile if it is a secret.
func (m *importer) webhookHeader(hook map[string]any, s *setting, header, variable string) {
	headers, ok := hook["headers"].(map[string]any)
	if !ok {
		headers = map[string]any{}
		hook["headers"] = headers
	}
	if key := strings.ToLower(header); isSecretName(header) || strings.Contains(key, "key") || strings.Contains(key, "auth") || strings.Contains(key, "token") || strings.Contains(key, "cookie") {
		s.path += ".secret" // so that it is not shown
		headers[header] = m.secretOf(s, "app.webhook.header", variable+"_"+variableFor(header))
		return
	}
	headers[header] = literal(m.text(s))
	m.note(s, TakenOver, "app.webhook.header", "")
}

// secretOf is secret for a part of what a variable has, which cannot be referred to.
func (m *importer) secretOf(s *setting, word, name string) string {
	own := *s
	own.variable = ""
	return m.conceal(&own, m.text(s), word, name)
}

// webhookURL keeps a URL with credentials out of the Caddyfile, and admits receivers at
// private addresses where there are any.
func (m *importer) webhookURL(hook map[string]any, s *setting, variable string) {
	text := m.text(s)
	if hasCredentials(text) {
		hook["url"] = m.secretOf(s, "app.webhook", variable+"_URL")
	} else {
		hook["url"] = literal(text)
		m.note(s, TakenOver, "app.webhook", "")
	}
	u, err := url.Parse(text)
	if err != nil || !isPrivate(u.Hostname()) {
		return
	}
	if webhooks, _ := m.Hub["webhooks"].(map[string]any); webhooks["allow_private"] != true {
		m.set("webhooks.allow_private", true)
		m.Report = append(m.Report, Entry{
			Setting: "receivers of webhooks at private addresses", Value: u.Host, Outcome: Approximated, Word: "webhooks.allow_private",
			Note: "they are refused here unless that is on, and it is",
		})
	}
}

// isPrivate reports whether a host is likely to have a private address.
func isPrivate(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".internal") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".localhost")
}
