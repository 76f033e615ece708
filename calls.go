package sockudo

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// answerTime is what a call may take longer than the drain at the end of the process, to be answered.
const answerTime = time.Second

// calls are the calls of the HTTP API that are under way. Caddy waits for all of them at the end of the
// process, for ever unless it has a grace period, and so a client that never ends its body, or never reads its
// answer, would keep the process. Each is given until the end of the drain. What a call asks of others has bounds
// of its own.
type calls struct {
	mu    sync.Mutex
	open  map[*http.ResponseController]struct{}
	until time.Time // zero while the process does not end
}

// begin notes a call. The caller ends it.
func (c *calls) begin(w http.ResponseWriter) *http.ResponseController {
	one := http.NewResponseController(w)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*http.ResponseController]struct{}{}
	}
	c.open[one] = struct{}{}
	if !c.until.IsZero() {
		bound(one, c.until)
	}
	return one
}

func (c *calls) end(one *http.ResponseController) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, one)
}

// endBy gives all calls, and those to come, until then.
func (c *calls) endBy(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
	for one := range c.open {
		bound(one, until)
	}
}

// bound is how long a call waits for its client.
func bound(call *http.ResponseController, until time.Time) {
	_ = call.SetReadDeadline(until) // every server that Caddy has can do this
	_ = call.SetWriteDeadline(until.Add(answerTime))
}

// exitBound is what Caddy leaves for the end of the process: its grace period, zero for no bound.
func (a *App) exitBound() time.Duration {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		if !errors.Is(err, caddy.ErrNotConfigured) {
			a.log.Debug("asking for the grace period: " + err.Error())
		}
		return 0
	}
	if server, ok := app.(*caddyhttp.App); ok {
		return time.Duration(server.GracePeriod)
	}
	return 0
}

// drainAtExit closes all sockets when the process ends, within the drain timeout and within the grace period of
// Caddy. Without it a socket on HTTP/2 or 3 would keep the HTTP server from ending.
func (a *App) drainAtExit() {
	if !caddy.Exiting() {
		return
	}
	bound := a.exitBound()
	a.each(func(t *tenure) { t.drainAtExit(bound) })
}

// drainAtExit closes the sockets of a hub. A bound of zero is none.
func (t *tenure) drainAtExit(bound time.Duration) {
	ctx, most := context.Background(), t.hub.DrainTimeout()
	if bound > 0 && bound < most {
		most = bound
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t.hub.calls.endBy(time.Now().Add(most))
	t.hub.Drain(ctx)
}
