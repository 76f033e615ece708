package sockudo

import (
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/console"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ChannelView is one channel with who is in it.
type ChannelView struct {
	// Channel is its state, in the whole cluster.
	Channel realtime.ChannelState `json:"channel"`
	// Users are the members of a presence channel, in the whole cluster.
	Users []string `json:"users"`
	// Connections are those of this node that are subscribed, by socket id.
	Connections []realtime.ConnState `json:"connections"`
	// Next is what to ask for with after to get more of them; empty if these are all.
	Next string `json:"next,omitempty"`
}

// consoleApps lists the apps that the link shows.
func consoleApps(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	if who.App == "" {
		return adminApps(w, r, h)
	}
	r.Form.Set("app", who.App)
	return h.withApp(r, func(_ realtime.Live, app *storage.App) error {
		return answer(w, http.StatusOK, []realtime.AppState{h.AppState(app)})
	})
}

// consoleMembers shows who is in a channel.
func consoleMembers(w http.ResponseWriter, r *http.Request, h *hub) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	return h.withApp(r, func(live realtime.Live, app *storage.App) error {
		name := r.FormValue("channel")
		state, err := live.Channel(r.Context(), app, name)
		if err != nil {
			return unavailable(err)
		}
		users, err := live.Members(r.Context(), app, name)
		if err != nil {
			return unavailable(err)
		}
		conns := h.Subscribers(app.ID, name, r.FormValue("after"), limit+1)
		view := ChannelView{state, append([]string{}, users...), conns[:min(limit, len(conns))], ""}
		if len(conns) > limit {
			view.Next = conns[limit-1].SocketID
		}
		if view.Connections == nil {
			view.Connections = []realtime.ConnState{}
		}
		return answer(w, http.StatusOK, view)
	})
}

// shownConnection is an open connection that the link shows.
func (h *hub) shownConnection(id string, who console.Claims) (realtime.ConnState, error) {
	state, ok := h.Connection(id)
	if !ok || who.App != "" && who.App != state.App {
		return state, missing("connection", id)
	}
	return state, nil
}

func consoleConnection(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	state, err := h.shownConnection(r.PathValue("socket_id"), who)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, state)
}

// consoleKick closes a connection.
func consoleKick(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	state, err := h.shownConnection(r.PathValue("socket_id"), who)
	if err != nil {
		return err
	}
	h.logConsole(r, "a connection is closed by the console", who.ID, zap.String("app", state.App), zap.String("socket_id", state.SocketID))
	return adminKick(w, r, h)
}

// logConsole notes what somebody has done with a link.
func (h *hub) logConsole(r *http.Request, what, link string, more ...zap.Field) {
	live, err := h.Live()
	if err != nil {
		return
	}
	defer live.Release()
	live.Settings.Log.Info(what, append(more, zap.String("hub", h.Name()), zap.String("link", link), zap.String("client_ip", clientIP(r)))...)
}

// consolePublish publishes an event as a backend does: the HTTP API gets a call that is
// signed with the app's secret, so that the same checks and limits hold.
func consolePublish(w http.ResponseWriter, r *http.Request, h *hub, who console.Claims) error {
	if who.App != "" {
		r.Form.Set("app", who.App)
	}
	return h.withApp(r, func(_ realtime.Live, app *storage.App) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusRequestEntityTooLarge, Err: err}
		}
		call, err := signedCall(r.Context(), app, "events", body, time.Now())
		if err != nil {
			return err
		}
		h.logConsole(r, "an event is published by the console", who.ID, zap.String("app", app.ID))
		a := &apiAnswer{header: http.Header{}, status: http.StatusOK}
		h.api.ServeHTTP(a, call, clientIP(r))
		if a.status != http.StatusOK {
			return caddy.APIError{HTTPStatus: a.status, Err: a.refusal()}
		}
		w.Header().Set("Content-Type", "application/json")
		_, err = w.Write(a.body)
		return err
	})
}
