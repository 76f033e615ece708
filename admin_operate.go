package sockudo

import (
	"fmt"
	"net/http"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// MemberPage is who is in a presence channel.
type MemberPage struct {
	// App is the id of the app.
	App string `json:"app_id"`
	// Channel is the name of the channel.
	Channel string `json:"channel"`
	// Members are the users of all nodes, in the order of their joining.
	Members []realtime.MemberState `json:"members"`
}

// adminMembers lists who is in a presence channel.
func adminMembers(w http.ResponseWriter, r *http.Request, h *hub) error {
	return h.withApp(r, func(live realtime.Live, app *storage.App) error {
		name := r.FormValue("channel")
		if protocol.ParseChannel(name).Kind != protocol.Presence {
			return badRequest(fmt.Errorf("channel %q is not a presence channel", name))
		}
		members, some := live.Present(app, name)
		if !some {
			return missing("channel with anybody in it, named", name)
		}
		return answer(w, http.StatusOK, MemberPage{app.ID, name, members})
	})
}

// adminPublishEvent publishes an event in the name of an operator. Its body is that of the HTTP API, and all
// that is checked there is checked here, but for the signature.
func adminPublishEvent(w http.ResponseWriter, r *http.Request, h *hub) error {
	id := r.URL.Query().Get("app")
	if id == "" {
		return errNoApp()
	}
	if !h.api.PublishAs(w, r, id) {
		return missing("app", id)
	}
	return nil
}
