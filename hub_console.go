package sockudo

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/console"
)

// setConsole gives the console the settings of the current configuration.
func (h *hub) setConsole() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if current := h.tenures[h.Generation()]; current != nil {
		h.console.Set(current.console)
	} else {
		h.console.Set(nil)
	}
}

// consoleRoutes are what the page of the console can ask for. It gets the answers of the
// admin API, those about the app of its link if that is for one.
func (h *hub) consoleRoutes() []console.Route {
	route := func(pattern string, f func(http.ResponseWriter, *http.Request, *hub, console.Claims) error) console.Route {
		return console.Route{Pattern: pattern, Serve: h.consoleCall(f)}
	}
	// ofApp are calls of the admin API that take the app from the request.
	ofApp := func(pattern string, f func(http.ResponseWriter, *http.Request, *hub) error) console.Route {
		return route(pattern, func(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
			if who.App != "" {
				r.Form.Set("app", who.App)
			}
			return f(w, r, h)
		})
	}
	whole := func(pattern string, f func(http.ResponseWriter, *http.Request, *hub) error) console.Route {
		r := ofApp(pattern, f)
		r.Whole = true
		return r
	}
	acts := func(r console.Route) console.Route {
		r.Acts = true
		return r
	}
	return []console.Route{
		whole("GET /state", adminHub),
		whole("GET /nodes", adminNodes),
		whole("GET /health", adminReady),
		route("GET /apps", consoleApps),
		ofApp("GET /channels", adminChannels),
		ofApp("GET /members", consoleMembers),
		ofApp("GET /connections", adminConnections),
		route("GET /connections/{socket_id}", consoleConnection),
		acts(route("DELETE /connections/{socket_id}", consoleKick)),
		acts(route("POST /events", consolePublish)),
		route("GET /webhooks", consoleWebhooks),
		route("GET /webhooks/dead", consoleDeadWebhooks),
		route("GET /webhooks/dead/{key}", consoleDeadWebhook),
		acts(route("POST /webhooks/dead/{key}/replay", consoleReplayWebhook)),
		whole("GET /push", adminPush),
		route("GET /push/providers", consoleLanes),
		ofApp("GET /push/dead", adminDeadPush),
		ofApp("GET /push/publishes/{id}", adminPublish),
		acts(ofApp("POST /push/dead/{id}/replay", adminReplayPush)),
	}
}

// ConsoleOff is the answer of a console about something that is off.
type ConsoleOff struct {
	// Off says what, and how it is switched on.
	Off string `json:"off"`
}

func off(err error) bool { return errors.Is(err, errNoWebhooks) || errors.Is(err, errNoPush) }

// maxConsoleBody bounds the body of a call, in bytes: the HTTP API has a bound of its own.
const maxConsoleBody = 16 << 20

// consoleCall makes an answer of what a call returns.
func (h *hub) consoleCall(f func(http.ResponseWriter, *http.Request, *hub, console.Claims) error) func(http.ResponseWriter, *http.Request, console.Claims) {
	return func(w http.ResponseWriter, r *http.Request, who console.Claims) {
		r.Form = r.URL.Query() // bodies are read by those who want them
		r.Body = http.MaxBytesReader(w, r.Body, maxConsoleBody)
		err := f(w, r, h, who)
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		if told, ok := errors.AsType[caddy.APIError](err); ok {
			status, err = told.HTTPStatus, told.Err
		}
		if off(err) { // which is no fault, and none for the log of a browser
			console.Answer(w, http.StatusOK, ConsoleOff{err.Error()})
			return
		}
		console.Answer(w, status, console.Refusal{Error: err.Error()})
	}
}

// untilStopping is closed when the servers of a configuration end.
func (a *App) untilStopping(ctx context.Context) <-chan struct{} {
	context.AfterFunc(ctx, a.endStreams) // where no event says so: the load has failed
	return a.stopping
}
