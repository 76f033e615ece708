package sockudo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/realtime/rest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// adminAPI is what the admin endpoint tells about hubs and does to them. It holds
// nothing: after a load that failed, Caddy goes on using the routes of that load.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.sockudo", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes are the routes of the admin endpoint.
func (*adminAPI) Routes() []caddy.AdminRoute {
	route := func(pattern string, f func(http.ResponseWriter, *http.Request) error) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(f)}
	}
	ofHub := func(pattern string, f func(http.ResponseWriter, *http.Request, *hub) error) caddy.AdminRoute {
		return route(pattern, func(w http.ResponseWriter, r *http.Request) error {
			h := findHub(r.PathValue("hub"))
			if h == nil {
				return missing("hub", r.PathValue("hub"))
			}
			return f(w, r, h)
		})
	}
	return []caddy.AdminRoute{
		route("GET /sockudo/hubs", adminHubs),
		ofHub("GET /sockudo/hubs/{hub}", adminHub),
		ofHub("GET /sockudo/hubs/{hub}/apps", adminApps),
		ofHub("GET /sockudo/hubs/{hub}/apps/{id}", adminApp),
		ofHub("PUT /sockudo/hubs/{hub}/apps/{id}", adminPutApp),
		ofHub("DELETE /sockudo/hubs/{hub}/apps/{id}", adminDeleteApp),
		ofHub("GET /sockudo/hubs/{hub}/channels", adminChannels),
		ofHub("GET /sockudo/hubs/{hub}/presence", adminMembers),
		ofHub("POST /sockudo/hubs/{hub}/publish", adminPublishEvent),
		ofHub("GET /sockudo/hubs/{hub}/connections", adminConnections),
		ofHub("DELETE /sockudo/hubs/{hub}/connections/{socket_id}", adminKick),
		ofHub("GET /sockudo/hubs/{hub}/tail", adminTail),
		ofHub("POST /sockudo/hubs/{hub}/drain", adminDrain),
		ofHub("DELETE /sockudo/hubs/{hub}/drain", adminResume),
		ofHub("GET /sockudo/hubs/{hub}/nodes", adminNodes),
		ofHub("GET /sockudo/hubs/{hub}/health/live", adminLive),
		ofHub("GET /sockudo/hubs/{hub}/health/ready", adminReady),
		ofHub("GET /sockudo/hubs/{hub}/usage", adminUsage),
		ofHub("GET /sockudo/hubs/{hub}/webhooks", adminWebhooks),
		ofHub("GET /sockudo/hubs/{hub}/webhooks/dead", adminDeadWebhooks),
		ofHub("DELETE /sockudo/hubs/{hub}/webhooks/dead", adminPurgeWebhooks),
		ofHub("POST /sockudo/hubs/{hub}/webhooks/dead/replay", adminReplayWebhooks),
		ofHub("GET /sockudo/hubs/{hub}/webhooks/dead/{key}", adminDeadWebhook),
		ofHub("POST /sockudo/hubs/{hub}/webhooks/dead/{key}/replay", adminReplayWebhook),
		ofHub("GET /sockudo/hubs/{hub}/console", adminConsole),
		ofHub("POST /sockudo/hubs/{hub}/console", adminConsoleLink),
		ofHub("DELETE /sockudo/hubs/{hub}/console", adminRevokeConsole),
		ofHub("GET /sockudo/hubs/{hub}/push", adminPush),
		ofHub("GET /sockudo/hubs/{hub}/push/publishes/{id}", adminPublish),
		ofHub("GET /sockudo/hubs/{hub}/push/dead", adminDeadPush),
		ofHub("POST /sockudo/hubs/{hub}/push/dead/{id}/replay", adminReplayPush),
	}
}

func missing(what, name string) error {
	return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("there is no %s %q", what, name)}
}

func unavailable(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

func answer(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}

func adminHubs(w http.ResponseWriter, _ *http.Request) error {
	states := []HubState{}
	for _, h := range allHubs() {
		states = append(states, h.state())
	}
	return answer(w, http.StatusOK, states)
}

func adminHub(w http.ResponseWriter, _ *http.Request, h *hub) error {
	return answer(w, http.StatusOK, h.state())
}

// adminNodes lists the other nodes of the cluster.
func adminNodes(w http.ResponseWriter, _ *http.Request, h *hub) error {
	return answer(w, http.StatusOK, h.Nodes())
}

func adminApps(w http.ResponseWriter, r *http.Request, h *hub) error {
	live, err := h.Live()
	if err != nil {
		return unavailable(err)
	}
	defer live.Release()
	apps, err := live.Settings.Drivers.Apps.Apps(r.Context())
	if err != nil {
		return unavailable(err)
	}
	states := make([]realtime.AppState, len(apps))
	for i, app := range apps {
		states[i] = h.AppState(app)
	}
	return answer(w, http.StatusOK, states)
}

// limitOf is the number of entries that a request asks for.
func limitOf(r *http.Request) (int, error) {
	const usual, most = 100, 10000
	text := r.FormValue("limit")
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("limit %q is not a number from 1 to %d", text, most)}
	}
	return n, nil
}

// withApp calls f with the app that a request names.
func (h *hub) withApp(r *http.Request, f func(live realtime.Live, app *storage.App) error) error {
	live, err := h.Live()
	if err != nil {
		return unavailable(err)
	}
	defer live.Release()
	id := r.FormValue("app")
	if id == "" {
		return errNoApp()
	}
	app, err := live.Settings.Drivers.Apps.AppByID(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return missing("app", id)
	}
	if err != nil {
		return unavailable(err)
	}
	return f(live, app)
}

// errNoApp is the answer to a request that has to name an app.
func errNoApp() error { return badRequest(errors.New("app is missing: name it as ?app=ID")) }

// adminChannels lists the occupied channels of an app on this node.
func adminChannels(w http.ResponseWriter, r *http.Request, h *hub) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	return h.withApp(r, func(live realtime.Live, app *storage.App) error {
		channels, err := live.Channels(r.Context(), app, r.FormValue("prefix"))
		if err != nil {
			return unavailable(err)
		}
		page := ChannelPage{App: app.ID, Total: len(channels), Channels: channels[:min(limit, len(channels))]}
		if page.Channels == nil {
			page.Channels = []realtime.ChannelState{}
		}
		return answer(w, http.StatusOK, page)
	})
}

// adminConnections lists open sockets, page by page.
func adminConnections(w http.ResponseWriter, r *http.Request, h *hub) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	conns := h.Connections(r.FormValue("app"), r.FormValue("after"), limit+1)
	page := ConnectionPage{Connections: conns[:min(limit, len(conns))]}
	if len(conns) > limit {
		page.Next = page.Connections[limit-1].SocketID
	}
	return answer(w, http.StatusOK, page)
}

func adminKick(w http.ResponseWriter, r *http.Request, h *hub) error {
	if id := r.PathValue("socket_id"); !h.Kick(id, protocol.ErrTerminated) {
		return missing("connection", id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// adminDrain closes all sockets over the drain period and admits no new ones, as
// at the end of the process. It does not wait.
func adminDrain(w http.ResponseWriter, _ *http.Request, h *hub) error {
	if !h.Draining() {
		go func() {
			defer h.Recovered("drain")
			h.Drain(context.Background())
		}()
	}
	state := h.state()
	state.Draining = true
	return answer(w, http.StatusAccepted, state)
}

// adminResume admits sockets again. Those that are being closed stay so.
func adminResume(w http.ResponseWriter, _ *http.Request, h *hub) error {
	h.Resume()
	return answer(w, http.StatusOK, h.state())
}

func adminLive(w http.ResponseWriter, _ *http.Request, _ *hub) error {
	return answer(w, http.StatusOK, map[string]rest.Status{"status": rest.StatusOK})
}

func adminReady(w http.ResponseWriter, r *http.Request, h *hub) error {
	report, status := rest.Health(r.Context(), h.Hub), http.StatusServiceUnavailable
	if report.Status == rest.StatusOK || report.Status == rest.StatusDegraded {
		status = http.StatusOK
	}
	return answer(w, status, report)
}

func adminUsage(w http.ResponseWriter, r *http.Request, h *hub) error {
	stats, err := rest.ReadStats(r.Context(), h.Hub)
	if err != nil {
		return unavailable(err)
	}
	return answer(w, http.StatusOK, stats)
}

// Interface guards.
var (
	_ caddy.Module      = (*adminAPI)(nil)
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
