package rest

import (
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// routePush is everything below push/, which another package serves.
var routePush = &route{allow: "GET, HEAD, POST, DELETE, OPTIONS"}

// errOtherApp refuses a key of another app there.
var errOtherApp = forbidden.with("Authenticated app does not match route app_id")

// pushRoute is the route of a path below /apps/{app}/ that is one below push/, and
// what follows that. Nil means that it is another.
func pushRoute(tail string) (rt *route, below string) {
	if below, ok := strings.CutPrefix(tail, "push/"); ok && below != "" {
		return routePush, below
	}
	return nil, ""
}

// serveSigned authenticates a call of an API that another package has, lets that answer
// it and counts it.
func (c *call) serveSigned(api realtime.SignedAPI, appID, path string) {
	f := c.authenticate(appID)
	if f == errWrongApp {
		f = errOtherApp
	}
	authenticated, received := c.app != nil, len(c.body)
	if f == nil {
		f = c.mayCall(c.r.Method == http.MethodGet || c.r.Method == http.MethodHead)
	}
	var sent int
	if f != nil {
		sent = f.write(c.w)
	} else {
		one := realtime.SignedCall{App: c.app, Path: path, Query: c.query}
		if c.r.Method == http.MethodPost {
			one.Body, c.body = c.body, nil // it may be kept
		}
		w := &meteredWriter{ResponseWriter: c.w}
		api.ServeSigned(w, c.r, one)
		sent = w.sent
	}
	if authenticated {
		c.live.Hub.HTTPCall(c.app, received, sent)
	}
}

// meteredWriter counts the bytes of an answer.
type meteredWriter struct {
	http.ResponseWriter
	sent int
}

// Write counts what has been written.
func (w *meteredWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent += n
	return n, err
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *meteredWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
