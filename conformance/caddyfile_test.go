package conformance

import (
	"strings"
	"text/template"
)

// app is one set of credentials in the generated Caddyfile.
type app struct {
	ID, Key, Secret string
}

var (
	// open has every feature of the Pusher protocol on.
	openApp = app{"app-id", "app-key", "app-secret"}
	// guarded has an origin list and no features.
	guardedApp = app{"guarded", "guarded-key", "guarded-secret"}
)

// allowedOrigin is the one origin that guardedApp lets in.
const allowedOrigin = "https://allowed.example.com"

// caddyfile is what the generated Caddyfile is made of.
type caddyfile struct {
	Host                          string
	Plain, TLS, Admin, HTTP, TLS2 int
	// Hooks is where the app hooked has the receiver of its webhook.
	Hooks int
	Site  string
	// MaxEventName is the limit that reloads change, in bytes.
	MaxEventName int
	// Extra is put into the sockudo block as it is.
	Extra string
}

// Both sites lease the same hub, so a client of one hears a client of the other.
var caddyfileText = template.Must(template.New("Caddyfile").Parse(`{
	admin {{.Host}}:{{.Admin}}
	skip_install_trust
	http_port {{.HTTP}}
	https_port {{.TLS2}}
}

(realtime) {
	sockudo {
		rate_limiter {
			enabled off
		}
		event_limits {
			max_name_length {{.MaxEventName}}
		}
		app app-id {
			key app-key
			secret app-secret
			enable_client_messages on
			enable_user_authentication on
			enable_watchlist_events on
		}
		app guarded {
			key guarded-key
			secret guarded-secret
			allowed_origins https://allowed.example.com
		}
		app hooked {
			key hooked-key
			secret hooked-secret
			enable_client_messages on
			webhook http://{{.Host}}:{{.Hooks}}/hooks {
				events channel_occupied member_added client_event
			}
		}
		webhooks {
			allow_private on
			flush_interval 20ms
		}
{{- with .Extra}}
		{{.}}
{{- end}}
	}
	handle {
		root * {{.Site}}
		file_server
	}
}

http://{{.Host}}:{{.Plain}} {
	import realtime
}

https://localhost:{{.TLS}} {
	bind {{.Host}}
	tls internal
	import realtime
}
`))

func (c caddyfile) String() string {
	var b strings.Builder
	if err := caddyfileText.Execute(&b, c); err != nil {
		panic(err) // the template and its data are both above
	}
	return b.String()
}
