package rest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// Handler serves the HTTP API of one hub. It may be used by several servers and
// outlives configurations.
type Handler struct {
	hub    *realtime.Hub
	now    func() time.Time
	cors   atomic.Pointer[corsPolicy]
	probes probes
}

// New makes the handler of a hub.
func New(hub *realtime.Hub) *Handler {
	return &Handler{hub: hub, now: time.Now}
}

// Owned reports whether a decoded request path belongs to the HTTP API. usage
// says that the memory and statistics endpoints are served too. Paths that are
// not owned are for the next handler of the site.
func Owned(path string, usage bool) bool {
	if strings.HasPrefix(path, "/apps/") || strings.HasPrefix(path, "/up/") {
		return true
	}
	switch trimSlash(path) {
	case "/up", "/live":
		return true
	case "/usage", "/stats", "/operator/stats":
		return usage
	}
	return false
}

// ServeHTTP answers a request for an owned path. clientIP is the address that
// limits count, without a port: headers that name another one are not read here.
//
// Clients sign the path that they send. Where the API is mounted under a prefix,
// r.URL must be without it and r.RequestURI with it: a server that rewrites both
// must restore the latter.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, clientIP string) {
	// The escaped path, because an escaped slash does not end a segment.
	path := trimSlash(r.URL.EscapedPath())
	if rest, ok := strings.CutPrefix(path, "/apps/"); ok {
		h.serveApps(w, r, rest, clientIP)
		return
	}
	h.serveOperations(w, r, path)
}

// serveApps answers a call under /apps/. What cannot be routed is refused before
// it costs anything: no limiter, no app store, no body.
func (h *Handler) serveApps(w http.ResponseWriter, r *http.Request, rest, clientIP string) {
	app, tail, _ := strings.Cut(rest, "/")
	rt, param := match(tail)
	if rt == nil {
		rt = messageRoute(r.Method, tail)
	}
	if rt == nil {
		rt, param = pushRoute(tail)
	}
	if app == "" || rt == nil {
		writeNotFound(w)
		return
	}
	live, err := h.hub.Live()
	if err != nil {
		errNoSettings.write(w)
		return
	}
	defer live.Release()
	if rt == routePush && live.Settings.PushAPI == nil {
		writeNotFound(w)
		return
	}
	h.corsOf(live.Settings).apply(w, r, rt)
	switch {
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", rt.allow)
		w.WriteHeader(http.StatusNoContent)
		return
	case !rt.allows(r.Method):
		w.Header().Set("Allow", rt.allow)
		methodNotAllowed.with("Method not allowed").write(w)
		return
	case !admit(w, r, live, clientIP):
		return
	}
	c := newCall(h, live, w, r)
	if rt == routePush {
		c.serveSigned(live.Settings.PushAPI, app, param)
	} else {
		c.serve(rt, app, param)
	}
	c.free()
}

// trimSlash takes exactly one trailing slash off a path.
func trimSlash(path string) string {
	if len(path) > 1 && path[len(path)-1] == '/' {
		return path[:len(path)-1]
	}
	return path
}
