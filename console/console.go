// Package console is the debug console of a hub: a page that shows what happens while it
// happens, and lets who is allowed to do so publish events.
//
// It is served by the site of the hub, and opened by links that are signed and good for a
// short time. Everything that the page needs is in this binary.
package console

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// Settings are those of a console that is on.
type Settings struct {
	// Path is where the site serves it, without a slash at its end.
	Path string
	// Publish lets links be made that may publish events, close connections and send dead letters again.
	Publish bool
	// MaxSessions is the number of pages that are open at once.
	MaxSessions int
}

// Route is something that the page can ask for, below api/ of the console's path.
type Route struct {
	// Pattern is a method and a path, as http.ServeMux has them.
	Pattern string
	// Acts says that it changes something: the link must allow it.
	Acts bool
	// Whole says that it tells of all apps: links for one app do not get it.
	Whole bool
	// Serve answers. It only tells of the app that the claims name, and does nothing to others.
	Serve func(w http.ResponseWriter, r *http.Request, who Claims)
}

// Console is that of one hub. It outlives configurations: a reload ends neither links nor,
// for longer than it takes to connect again, open pages.
type Console struct {
	hub      *realtime.Hub
	settings atomic.Pointer[Settings] // nil while it is off
	api      *http.ServeMux
	pulses   pulses

	mu       sync.Mutex
	key      []byte // of the signatures of links
	sessions map[string]*session
}

// New makes the console of a hub. It is off until Set.
func New(hub *realtime.Hub, routes []Route) *Console {
	c := &Console{hub: hub, key: newKey(), api: http.NewServeMux(), sessions: map[string]*session{}}
	for _, route := range routes {
		c.api.Handle(route.Pattern, route)
	}
	c.api.Handle("GET /session", Route{Serve: c.serveSession})
	c.api.Handle("GET /stream", Route{Serve: c.serveStream})
	return c
}

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // which never fails
	return key
}

// Set switches the console on, or off with nil. Off ends all sessions, and a smaller number
// of them or the right to publish that is gone count at once.
func (c *Console) Set(s *Settings) {
	before := c.settings.Swap(s)
	switch {
	case before == nil:
	case s == nil:
		c.endSessions(errEndOff)
	case *before != *s:
		c.endSessions(errEndReload) // the pages ask again what they may do
	}
}

// On are the current settings, or nil while the console is off.
func (c *Console) On() *Settings { return c.settings.Load() }

// Revoke makes all links worthless, and ends all sessions.
func (c *Console) Revoke() {
	c.mu.Lock()
	c.key = newKey()
	c.mu.Unlock()
	c.endSessions(errEndRevoked)
}

// ErrOff is the answer of a console that is off.
var ErrOff = errors.New("the console of this hub is off: write console on in its sockudo block")

// ErrNoPublish is the answer to who asks for a link that may publish where none may.
var ErrNoPublish = errors.New("links of this console may not publish: write console { publish on } in the sockudo block of the hub")

type claimsKey struct{}

type untilKey struct{}

// claimsOf are those of a request that was admitted.
func claimsOf(r *http.Request) Claims {
	who, _ := r.Context().Value(claimsKey{}).(Claims)
	return who
}

// untilOf is what ends streams of a request early, or nil.
func untilOf(ctx context.Context) <-chan struct{} {
	until, _ := ctx.Value(untilKey{}).(<-chan struct{})
	return until
}

// ServeHTTP answers an API call of an admitted request.
func (route Route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who := claimsOf(r)
	switch {
	case route.Acts && !who.Publish:
		refuse(w, http.StatusForbidden, "This link is for looking only.")
	case route.Whole && who.App != "":
		refuse(w, http.StatusForbidden, "This link is for one app only.")
	default:
		route.Serve(w, r, who)
	}
}
