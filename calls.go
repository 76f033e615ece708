package sockudo

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sockudo/caddy-sockudo/realtime/ws"
)

// answerTime is what a call may take longer than the drain at the end of the process, to be answered.
const answerTime = time.Second

// calls are the calls of the HTTP API that are under way. Caddy waits for all of them at the end of the
// process, for ever unless it has a grace period, and so a client that never ends its body, or never reads its
// answer, would keep the process. Each is given until the end of the drain. What a call asks of others has bounds
// of its own.
type calls struct {
	mu    sync.Mutex
	open  map[*call]struct{}
	until time.Time // zero while the process does not end
}

// call is one call. Its handler may write at any moment, and what Caddy puts around a writer takes a deadline for
// writing from its handler alone; that of the server takes it from anybody.
type call struct{ caddys, servers *http.ResponseController }

// begin notes a call, in the goroutine of its handler. The caller ends it.
func (c *calls) begin(w http.ResponseWriter) *call {
	one := &call{http.NewResponseController(w), http.NewResponseController(ws.Innermost(w))}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*call]struct{}{}
	}
	c.open[one] = struct{}{}
	if !c.until.IsZero() {
		one.bound(one.caddys, c.until)
	}
	return one
}

func (c *calls) end(one *call) {
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
		one.bound(one.servers, until)
	}
}

// bound is how long a call waits for its client. Every server that Caddy has can do this.
func (c *call) bound(writer *http.ResponseController, until time.Time) {
	_ = c.caddys.SetReadDeadline(until)
	_ = writer.SetWriteDeadline(until.Add(answerTime))
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
	t.hub.events.end() // while the events app still runs
}
