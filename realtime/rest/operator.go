package rest

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// PublishAs publishes the event in the body of r for an app, with all checks of the HTTP API but that of
// the signature: whoever may call this has come in by another door. The answer is that of section 2.1, and so
// is the body. known is false, and nothing is written, if there is no such app.
func (h *Handler) PublishAs(w http.ResponseWriter, r *http.Request, appID string) (known bool) {
	live, err := h.hub.Live()
	if err != nil {
		errNoSettings.write(w)
		return true
	}
	defer live.Release()
	c := newCall(h, live, w, r)
	defer c.free()
	app, err := live.Settings.Drivers.Apps.AppByID(r.Context(), appID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return false
	case err != nil:
		live.Settings.Log.Error("looking up an app by its id", zap.Error(err))
		errStoreDown.write(w)
		return true
	}
	f := c.readBody()
	c.app = app
	var body []byte
	if f == nil {
		body, f = c.answer(routeEvents, "")
	}
	var sent int
	if f != nil {
		sent = f.write(w)
	} else {
		sent = writeJSON(w, http.StatusOK, body)
	}
	live.Hub.HTTPCall(app, len(c.body), sent)
	return true
}
