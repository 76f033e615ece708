// Package sockudo is a realtime server for Caddy that speaks the Pusher protocol:
// WebSockets, and an HTTP API to publish with, beside whatever else a site serves.
//
// The HTTP handler is a route of a site; the app sockudo holds what a whole
// configuration has. Neither keeps connections: those belong to hubs, which
// outlive configurations, so that a reload drops nothing.
package sockudo

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sockudo/caddy-sockudo/realtime/rest"
	"github.com/sockudo/caddy-sockudo/realtime/ws"
)

const defaultHub = "default"

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(adminAPI))
	httpcaddyfile.RegisterHandlerDirective("sockudo", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("sockudo", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterGlobalOption("sockudo", parseGlobalOption)
}

// Handler serves a hub on a site: sockets under /app/, the HTTP API under /apps/,
// and /up and /live. All other paths are for the next handler.
//
// A handler that says nothing but a name refers to a hub that the app sockudo or
// another handler defines. Handlers that define one hub must do so alike.
type Handler struct {
	// Name is the hub's name, in metrics and in the admin API. Over a reload, the
	// hub with the same name goes on with its connections. Default: "default".
	Name string `json:"name,omitempty"`

	HubConfig

	hub    *hub
	socket *ws.Handler
	api    *rest.Handler
	// stopping is closed when the servers of this configuration end.
	stopping <-chan struct{}
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.sockudo", New: func() caddy.Module { return new(Handler) }}
}

// UnmarshalJSON refuses whatever it does not know.
func (h *Handler) UnmarshalJSON(b []byte) error {
	type plain Handler
	return decodeConfig(b, (*plain)(h))
}

// Provision takes a share of the hub.
func (h *Handler) Provision(ctx caddy.Context) error {
	module, err := ctx.App("sockudo")
	if err != nil {
		return err
	}
	app := module.(*App)
	name, err := expandText(caddy.NewReplacer(), h.Name, false)
	if err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if name == "" {
		name = defaultHub
	}
	var t *tenure
	if h.isReference() {
		t, err = app.refer(name)
	} else {
		t, err = app.define(ctx, name, &h.HubConfig)
	}
	if err != nil {
		return err
	}
	h.hub, h.socket, h.api = t.hub, ws.New(t.hub.Hub), t.hub.api
	h.stopping = app.untilStopping(ctx)
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
