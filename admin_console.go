package sockudo

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/console"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ConsoleState says whether a hub has a console, and who looks.
type ConsoleState struct {
	// Enabled says that it is on.
	Enabled bool `json:"enabled"`
	// Path is where sites serve it.
	Path string `json:"path,omitempty"`
	// Publish says that links may be made that publish.
	Publish bool `json:"publish"`
	// Sessions is the number of pages that are open.
	Sessions int `json:"sessions"`
	// MaxSessions is the most that may be.
	MaxSessions int `json:"max_sessions"`
}

// adminConsole says whether the console is on.
func adminConsole(w http.ResponseWriter, _ *http.Request, h *hub) error {
	state := ConsoleState{Sessions: h.console.Sessions()}
	if s := h.console.On(); s != nil {
		state.Enabled, state.Path, state.Publish, state.MaxSessions = true, s.Path, s.Publish, s.MaxSessions
	}
	return answer(w, http.StatusOK, state)
}

// adminConsoleLink makes a link to the console.
func adminConsoleLink(w http.ResponseWriter, r *http.Request, h *hub) error {
	refused := func(err error) error { return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err} }
	var ttl time.Duration
	if text := r.FormValue("ttl"); text != "" {
		var err error
		if ttl, err = caddy.ParseDuration(text); err != nil || ttl <= 0 {
			return refused(fmt.Errorf("ttl %q is not a duration such as 15m", text))
		}
	}
	publish := false
	if text := r.FormValue("publish"); text != "" {
		var err error
		if publish, err = parseSwitch(text); err != nil {
			return refused(fmt.Errorf("publish: %w", err))
		}
	}
	app := r.FormValue("app")
	if app != "" && h.console.On() != nil {
		if err := h.withApp(r, func(realtime.Live, *storage.App) error { return nil }); err != nil {
			return err
		}
	}
	link, err := h.console.Link(app, publish, ttl)
	switch {
	case errors.Is(err, console.ErrOff), errors.Is(err, console.ErrNoPublish):
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: err}
	case err != nil:
		return refused(err)
	}
	return answer(w, http.StatusCreated, link)
}

// adminRevokeConsole makes all links worthless and ends open pages.
func adminRevokeConsole(w http.ResponseWriter, _ *http.Request, h *hub) error {
	h.console.Revoke()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
