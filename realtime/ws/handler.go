package ws

import (
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/span"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Handler admits sockets to a hub.
type Handler struct {
	hub      *realtime.Hub
	portable bool
}

// PortableReader is an environment variable that makes Linux read like other
// systems, with a waiting goroutine for each socket, to measure the difference.
const PortableReader = "SOCKUDO_PORTABLE_READER"

// New makes a handler for the sockets of hub. It holds no state, so each
// configuration may make its own.
func New(hub *realtime.Hub) *Handler {
	return &Handler{hub: hub, portable: os.Getenv(PortableReader) != ""}
}

// ServeHTTP answers GET /app/{key}. On HTTP/1.1 it returns after the upgrade and
// the socket lives on; on HTTP/2 and 3 it returns when the socket ends. clientIP
// is the address that limits count by.
//
// What can be refused before the upgrade is refused with an HTTP status, in the
// order of section 1.3; later refusals are an error frame and a close frame.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, key, clientIP string) {
	live, err := h.hub.Live()
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "no configuration")
		return
	}
	ctx, step := span.Start(r.Context(), "sockudo.upgrade", span.Attribute{Key: span.Hub, Value: h.hub.Name()})
	defer func() { step.End(err) }()
	terms, release, ok := h.precheck(w, r, live, clientIP)
	live.Release()
	if !ok {
		return
	}
	s, err := h.upgrade(w, r)
	if err != nil {
		release()
		live.Settings.Log.Debug("upgrade failed", zap.String("client_ip", clientIP), zap.Error(err))
		return
	}
	s.release, s.format = release, terms.Format
	conn, e := h.hub.Connect(ctx, s, realtime.Handshake{
		Key:       key,
		Origin:    r.Header.Get("Origin"),
		ClientIP:  clientIP,
		Terms:     terms,
		KeepAlive: keepAlive(r),
	})
	if e != nil {
		err = e
		s.Close(e)
	} else {
		step.Set(span.App, conn.AppID())
		step.Set(span.Socket, conn.ID())
	}
	s.conn.Store(conn)
	s.start(live.Settings.Socket.MaxPayload)
}

// precheck does the checks that are answered with HTTP, and takes the slot of
// the client address.
func (h *Handler) precheck(w http.ResponseWriter, r *http.Request, live realtime.Live, clientIP string) (terms protocol.Terms, release func(), ok bool) {
	d, limited, err := live.AllowUpgrade(r.Context(), clientIP)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "Rate limiter backend unavailable.")
		return terms, nil, false
	}
	if limited && !tellRate(w, d) {
		return terms, nil, false
	}
	if terms, err = protocol.Negotiate(r.URL.RawQuery); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return terms, nil, false
	}
	if status, text := badUpgrade(r); status != 0 {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		refuse(w, status, text)
		return terms, nil, false
	}
	if h.hub.Draining() {
		refuse(w, http.StatusServiceUnavailable, "Server shutting down")
		return terms, nil, false
	}
	release, ok, err = live.TakeSlot(r.Context(), clientIP)
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, "Rate limiter backend unavailable.")
	case !ok:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "Too many connections from this address")
	}
	return terms, release, ok && err == nil
}

// badUpgrade reports what is wrong with the headers of an upgrade request.
func badUpgrade(r *http.Request) (status int, text string) {
	switch {
	case isStream(r):
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "method not allowed"
	case !websocket.IsWebSocketUpgrade(r):
		return http.StatusBadRequest, "not a WebSocket upgrade request"
	}
	if r.Header.Get("Sec-WebSocket-Version") != "13" {
		return http.StatusBadRequest, "Sec-WebSocket-Version must be 13"
	}
	return 0, ""
}

// tellRate sets the headers of a rate limit, and refuses when it is exceeded.
func tellRate(w http.ResponseWriter, d storage.RateDecision) bool {
	reset := strconv.Itoa(int(math.Ceil(max(d.Reset, time.Second).Seconds())))
	header := w.Header()
	header.Set("X-RateLimit-Limit", strconv.Itoa(d.Limit))
	header.Set("X-RateLimit-Remaining", strconv.Itoa(max(d.Remaining, 0)))
	header.Set("X-RateLimit-Reset", reset)
	if d.Allowed {
		return true
	}
	header.Set("Retry-After", reset)
	refuse(w, http.StatusTooManyRequests, "Too many connection attempts from this address")
	return false
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
