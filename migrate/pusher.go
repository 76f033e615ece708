package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// pusherVariables are what backends know of an app, in all spellings.
var pusherVariables = map[string]string{
	"PUSHER_APP_ID": "app.id", "PUSHER_ID": "app.id",
	"PUSHER_APP_KEY": "app.key", "PUSHER_KEY": "app.key",
	"PUSHER_APP_SECRET": "app.secret", "PUSHER_SECRET": "app.secret",
	"PUSHER_APP_CLUSTER": "cluster", "PUSHER_CLUSTER": "cluster",
	"PUSHER_HOST": "options.host", "PUSHER_PORT": "options.port", "PUSHER_SCHEME": "options.scheme",
	"PUSHER_URL":                          "url",
	"PUSHER_ENCRYPTION_MASTER_KEY":        "encryption.master_key",
	"PUSHER_ENCRYPTION_MASTER_KEY_BASE64": "encryption.master_key",
	"PUSHER_ENCRYPTED":                    "tls", "PUSHER_USE_TLS": "tls", "PUSHER_TLS": "tls",
	"PUSHER_BEAMS_INSTANCE_ID": "beams.instance", "PUSHER_BEAMS_SECRET_KEY": "beams.secret",
	"PUSHER_TIMEOUT": "timeout",
}

// readPusher reads the environment of a backend that publishes to Pusher Channels.
func readPusher(files []File) (*Result, error) {
	m := newImporter()
	for _, f := range files {
		if extension(f) != ".env" {
			return nil, fmt.Errorf("%s: Pusher Channels has no configuration of its own; give the file of variables of the backend", f.Name)
		}
		if err := m.addLaravel(f, pusherVariables, "PUSHER_"); err != nil {
			return nil, err
		}
	}
	m.set("env_overrides", false) // the backend's variables mean something else here
	m.pusherSite()
	app := map[string]any{}
	m.pusherURL(app)
	m.pusherApp(app)
	m.set("apps", []any{app})
	m.pusherRest()
	m.unlimited("Pusher")
	m.dashboard()
	m.rest("it is no variable of Pusher's libraries, as far as is known here; it is left out")
	return &m.Result, m.err
}

// localSite is what there is without a better name.
const localSite = "http://localhost:6001"

// pusherSite takes the address of another server than Pusher's, as Laravel may name one.
func (m *importer) pusherSite() {
	own := true
	if s := m.settings["options.host"]; s != nil && !s.saysNothing() {
		host := strings.ToLower(m.text(s))
		own = host == "pusher.com" || strings.HasSuffix(host, ".pusher.com") || strings.HasSuffix(host, ".pusherapp.com")
	}
	if !own {
		m.public("options", localSite)
		return
	}
	m.Site.Address = localSite
	m.unused("options", "it is the address of Pusher")
	m.clients("")
	m.Report = append(m.Report, Entry{
		Setting: "address of the server", Outcome: Approximated, Word: "site address",
		Note: "it is " + localSite + ", for trying things out: give the name that clients will use with --site",
	})
}

// pusherURL reads http://KEY:SECRET@HOST/apps/ID.
func (m *importer) pusherURL(app map[string]any) {
	s := m.take("url")
	if s == nil {
		return
	}
	u, err := url.Parse(m.text(s))
	if err == nil && (u.User == nil || !strings.HasPrefix(u.Path, "/apps/")) {
		err = errors.New("it has to be like https://KEY:SECRET@HOST/apps/ID")
	}
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err // the whole text has a secret in it
		}
		m.fail(s, err)
		return
	}
	secret, _ := u.User.Password()
	app["id"], app["key"] = literal(path.Base(u.Path)), literal(u.User.Username())
	own := *s
	own.variable = ""
	app["secret"] = m.conceal(&own, secret, "app.secret", "PUSHER_APP_SECRET")
}

func (m *importer) pusherApp(app map[string]any) {
	for _, name := range []string{"id", "key", "secret"} {
		s := m.take("app." + name)
		switch {
		case s == nil && app[name] == nil:
			if m.err == nil {
				m.err = fmt.Errorf("there is no PUSHER_APP_%s, and no PUSHER_URL that says it", strings.ToUpper(name))
			}
		case s == nil:
		case name == "secret":
			app[name] = m.secret(s, "app.secret", "PUSHER_APP_SECRET")
		default:
			app[name] = literal(m.text(s))
			m.note(s, TakenOver, "app."+name, "")
		}
	}
}

func (m *importer) pusherRest() {
	for _, one := range []struct {
		path    string
		outcome Outcome
		note    string
	}{
		{"cluster", NotNeeded, "there are no clusters: clients and backends name a host instead, and libraries that insist on a cluster may have any"},
		{"encryption.master_key", NotNeeded, "it is between backends and clients, and stays there"},
		{"tls", NotNeeded, "the site address says it; it stays in the backend"},
		{"timeout", NotNeeded, "it is the backend's, and stays there"},
		{"beams.instance", NoEquivalent, "notifications are sent by this server itself: see docs/push.md"},
		{"beams.secret", NoEquivalent, "notifications are sent by this server itself: see docs/push.md"},
	} {
		if s := m.take(one.path); s != nil {
			m.note(s, one.outcome, "", one.note)
		}
	}
}

// dashboard reports what is set at Pusher, and in no file.
func (m *importer) dashboard() {
	for _, one := range [][3]string{
		{"client events (set at Pusher)", "app.enable_client_messages", "they are off; if they are on at Pusher, write enable_client_messages on"},
		{"subscription counting (set at Pusher)", "app.subscription_count", "it is off; if it is on at Pusher, write subscription_count on"},
		{"authorized connections (set at Pusher)", "app.enable_user_authentication", "they are off; if they are on at Pusher, write enable_user_authentication on"},
		{"webhooks (set at Pusher)", "app.webhook", "there are none: write a block webhook URL { events … } for each, see docs/webhooks.md"},
	} {
		m.Report = append(m.Report, Entry{Setting: one[0], Outcome: Approximated, Word: one[1], Note: one[2]})
	}
}
