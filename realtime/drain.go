package realtime

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// slowestClose is the most time between two sockets that a drain closes: to spread a few
	// over a long period would only keep the process.
	slowestClose = 100 * time.Millisecond
	// lookAtSockets is how often a drain looks whether all have gone.
	lookAtSockets = 5 * time.Millisecond
)

// Drain refuses new connections and closes all sockets with 4200, in no order and at moments that are
// spread evenly over the drain period of the current settings, or over most of what ctx leaves if that is
// less. It returns when every socket is closed, when the drain timeout has passed, with ctx, or with
// Resume, after which it closes no more.
func (h *Hub) Drain(ctx context.Context) {
	if !h.draining.Swap(true) {
		h.tell(Happening{Kind: DrainStarted, Here: true})
	}
	s := h.settings()
	ctx, cancel := context.WithTimeout(ctx, s.DrainTimeout)
	defer cancel()
	conns := h.conns()
	period := closingTime(ctx, s.DrainPeriod, len(conns))
	s.Log.Info("draining", zap.String("hub", h.name), zap.Int("sockets", len(conns)), zap.Duration("over", period))
	rand.Shuffle(len(conns), func(i, k int) { conns[i], conns[k] = conns[k], conns[i] })
	began := time.Now()
	for i, c := range conns {
		// Each has a part of the period of its own, and is closed somewhere in it.
		at := time.Duration((float64(i) + rand.Float64()) / float64(len(conns)) * float64(period))
		if pause := at - time.Since(began); pause > 0 && !wait.For(ctx, pause) {
			break
		}
		if !h.draining.Load() {
			return
		}
		c.end(protocol.ErrShutdown)
	}
	h.closeAll(ctx, protocol.ErrShutdown)
}

// DrainTimeout is when a drain ends, whatever is left.
func (h *Hub) DrainTimeout() time.Duration { return h.settings().DrainTimeout }

// closingTime is the time over which n sockets are closed.
func closingTime(ctx context.Context, period time.Duration, n int) time.Duration {
	period = min(period, time.Duration(n)*slowestClose)
	if end, bounded := ctx.Deadline(); bounded {
		period = min(period, time.Until(end)*4/5) // the rest is for the answers
	}
	return max(period, 0)
}

// Resume ends a drain: new connections are admitted again, and what the drain has not closed stays.
func (h *Hub) Resume() {
	if h.draining.Swap(false) {
		h.tell(Happening{Kind: DrainEnded, Here: true})
	}
}

// closeAll closes every connection with e at once, but for those that are being closed, and waits until all have
// disconnected, bounded by ctx.
func (h *Hub) closeAll(ctx context.Context, e *protocol.Error) {
	for _, c := range h.conns() {
		c.end(e) // closing twice does nothing
	}
	for h.sockets.Load() > 0 && wait.For(ctx, lookAtSockets) { //nolint:revive // the condition is the work
	}
}
