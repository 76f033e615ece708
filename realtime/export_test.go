package realtime

import "github.com/sockudo/caddy-sockudo/realtime/protocol"

// FileToken files a connection under a token, as if it had shown it.
func FileToken(c *Conn, t *protocol.Token) { c.app.tokens.replace(c, nil, t) }

// Rewinding is how many subscriptions are having the past of a channel read.
func Rewinding(h *Hub, app, name string) int {
	ch := h.liveApp(app).channel(name)
	if ch == nil {
		return 0
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.stream == nil {
		return 0
	}
	return ch.stream.watchers
}

// RateChecked counts a check of a limit per client address.
func (h *Hub) RateChecked(limiter string, allowed bool) {
	h.metrics.RateChecked(limiter, contextHTTP, allowed)
}
