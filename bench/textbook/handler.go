package main

import (
	"bufio"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gorilla/websocket"
)

func init() {
	caddy.RegisterModule(Handler{})
	httpcaddyfile.RegisterHandlerDirective("textbook", parseCaddyfile)
	httpcaddyfile.RegisterDirectiveOrder("textbook", httpcaddyfile.Before, "respond")
}

// Handler serves one application.
type Handler struct {
	// AppID, Key and Secret are the application's credentials.
	AppID  string `json:"app_id,omitempty"`
	Key    string `json:"key,omitempty"`
	Secret string `json:"secret,omitempty"`

	hub *hub
}

// CaddyModule implements caddy.Module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.textbook", New: func() caddy.Module { return new(Handler) }}
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(caddy.Context) error {
	h.hub = newHub()
	return nil
}

// parseCaddyfile reads: textbook APP_ID KEY SECRET
func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	var handler Handler
	h.Next()
	if !h.Args(&handler.AppID, &handler.Key, &handler.Secret) || h.NextArg() {
		return nil, h.ArgErr()
	}
	return &handler, nil
}

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch r.URL.Path {
	case "/app/" + h.Key:
		conn, err := upgrader.Upgrade(hijackable{w}, r, nil)
		if err == nil {
			h.hub.serve(conn)
		}
		return nil // on an error gorilla has answered
	case "/apps/" + h.AppID + "/events", "/apps/" + h.AppID + "/batch_events":
		if r.Method == http.MethodPost {
			return h.publish(w, r)
		}
	}
	return next.ServeHTTP(w, r)
}

// hijackable gives Caddy's wrapped writers the http.Hijacker that gorilla
// asserts.
type hijackable struct{ http.ResponseWriter }

func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
