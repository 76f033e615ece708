package sockudo

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sockudo/caddy-sockudo/realtime/rest"
)

// ServeHTTP answers the hub's paths and leaves all others to the next handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if key, ok := socketKey(r.URL); ok {
		if h.publishesOnly() {
			http.NotFound(w, r)
			return nil
		}
		stayOpen(r)
		h.socket.ServeHTTP(w, r, key, clientIP(r))
		return nil
	}
	if path := r.URL.Path; rest.Owned(path, false) || rest.Owned(path, true) && h.servesUsage() {
		defer h.hub.calls.end(h.hub.calls.begin(w))
		h.api.ServeHTTP(w, asReceived(r), clientIP(r))
		return nil
	}
	return next.ServeHTTP(w, r)
}

// asReceived gives a request its own request line back. Under handle_path and the
// like Caddy has rewritten it, and some publishers sign the path with its prefix.
func asReceived(r *http.Request) *http.Request {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.RequestURI == r.RequestURI {
		return r
	}
	received := *r
	received.RequestURI = original.RequestURI
	return &received
}

// socketKey is the key of an app in the path of a socket, /app/{key}.
func socketKey(u *url.URL) (key string, ok bool) {
	path := u.Path
	if u.RawPath != "" {
		path = u.RawPath
	}
	segment, ok := strings.CutPrefix(path, "/app/")
	segment = strings.TrimSuffix(segment, "/")
	if !ok || segment == "" || strings.Contains(segment, "/") {
		return "", false
	}
	if u.RawPath == "" {
		return segment, true
	}
	key, err := url.PathUnescape(segment)
	return key, err == nil
}

// clientIP is the address that limits count by. Caddy knows which proxies to
// trust; headers are not read here.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// servesUsage reports whether the current settings show the usage on sites.
func (h *Handler) servesUsage() bool {
	live, err := h.hub.Live()
	if err != nil {
		return false
	}
	defer live.Release()
	return live.Settings.HTTP.Usage
}

// publishesOnly reports whether this is a node without sockets.
func (h *Handler) publishesOnly() bool {
	live, err := h.hub.Live()
	if err != nil {
		return false
	}
	defer live.Release()
	return live.Settings.PublishOnly
}

// stayOpen lifts the server's idle timeouts from the stream of a socket: it reads
// all the time and may be silent for long. A socket on HTTP/1.1 leaves the server.
func stayOpen(r *http.Request) {
	if r.ProtoMajor < 2 {
		return
	}
	const long = 10 * 365 * 24 * time.Hour
	reader, writer := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if reader != nil {
		reader.Override(long, 0)
	}
	if writer != nil {
		writer.Override(long, 0, 0)
	}
}
