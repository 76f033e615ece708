package console

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"time"
)

// Owns reports whether a request path belongs to the console.
func (c *Console) Owns(requestPath string) bool {
	s := c.On()
	if s == nil {
		return false
	}
	rest, ok := strings.CutPrefix(requestPath, s.Path)
	return ok && (rest == "" || rest[0] == '/')
}

// ServeHTTP answers a request that the console owns. until ends streams when it is closed:
// the server that serves the request wants to end.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request, until <-chan struct{}) {
	guard(w.Header())
	s := c.On()
	if s == nil {
		refuse(w, http.StatusNotFound, "The console is off.")
		return
	}
	rest := strings.TrimPrefix(r.URL.Path, s.Path)
	if rest == "" {
		// Relative, because the site may serve it below a prefix that is not in the path here.
		w.Header().Set("Location", path.Base(s.Path)+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	call, ok := strings.CutPrefix(rest, "/api/")
	if !ok {
		servePage(w, r, strings.TrimPrefix(rest, "/"))
		return
	}
	who, ok := c.admit(w, r, s)
	if !ok {
		return
	}
	ctx := context.WithValue(context.WithValue(r.Context(), claimsKey{}, who), untilKey{}, until)
	r = r.Clone(ctx)
	r.URL.Path, r.URL.RawPath = "/"+call, strings.TrimPrefix(r.URL.RawPath, s.Path+"/api")
	c.api.ServeHTTP(w, r)
}

// admit verifies the link of a call, and refuses the call unless it is good.
func (c *Console) admit(w http.ResponseWriter, r *http.Request, s *Settings) (who Claims, ok bool) {
	token := bearer(r)
	if token == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sockudo console"`)
		refuse(w, http.StatusUnauthorized, "A link is needed. "+howTo)
		return who, false
	}
	who, err := c.verify(token, time.Now())
	if err != nil {
		text := err.Error()
		refuse(w, http.StatusForbidden, strings.ToUpper(text[:1])+text[1:]+". "+howTo)
		return who, false
	}
	who.Publish = who.Publish && s.Publish
	return who, true
}

// bearer is the token that a call has, or "".
func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

// howTo says how to get in.
const howTo = "Make a new one with: caddy sockudo console"

// guard keeps pages of others, and whatever an event has in it, away from the console.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
}

// Refusal is the body of an answer that is none.
type Refusal struct {
	// Error says why, for people.
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, text string) { Answer(w, status, Refusal{text}) }

// Answer writes the answer of a call.
func Answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"The answer cannot be written."}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // nobody is left to tell
}

// Session is what the page is told about its link.
type Session struct {
	// Hub is the name of the hub.
	Hub string `json:"hub"`
	// App is the only app that is shown, or "" for all.
	App string `json:"app_id,omitempty"`
	// Publish says that events may be published, connections closed and dead letters sent again.
	Publish bool `json:"publish"`
	// Expires is when the link is good no more.
	Expires time.Time `json:"expires_at"`
	// Now is the time of the server.
	Now time.Time `json:"now"`
}

func (c *Console) serveSession(w http.ResponseWriter, _ *http.Request, who Claims) {
	Answer(w, http.StatusOK, Session{who.Hub, who.App, who.Publish, who.expires(), time.Now()})
}
