package rest

import (
	"context"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/push"
)

const (
	// maxWaiting bounds the calls that wait at one time. Others do not wait.
	maxWaiting = 256
	// waitTime bounds the wait of one call.
	waitTime = 10 * time.Second
	// How long a call waits before it looks again.
	firstLook, lastLook = 10 * time.Millisecond, 500 * time.Millisecond
)

// wait waits until the notifications of accepted publishes have ended, and puts what has
// come of them into the answers. Where nobody may wait, a header says so.
func (c *call) wait(answers ...any) {
	if !c.api.o.AllowSync {
		c.header.Set(headerForced, forcedAsync)
		return
	}
	select {
	case c.api.waiting <- struct{}{}:
		defer func() { <-c.api.waiting }()
	default:
		c.header.Set(headerForced, forcedAsync)
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, waitTime)
	defer cancel()
	for _, one := range answers {
		if accepted, ok := one.(*push.Acceptance); ok && !c.follow(ctx, accepted) {
			return
		}
	}
}

// follow waits for the end of one publish. It is false when there is no more time.
func (c *call) follow(ctx context.Context, a *push.Acceptance) bool {
	deadline, _ := ctx.Deadline()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		s, err := c.pipeline().Status(ctx, c.app, a.PublishID)
		if err != nil { // it is accepted all the same
			return ctx.Err() == nil
		}
		a.Follow(s)
		if s.Ended() || s.RetryAfterMS > deadline.UnixMilli() { // nothing happens before
			return true
		}
		if !wait.For(ctx, pause) {
			return false
		}
	}
}
