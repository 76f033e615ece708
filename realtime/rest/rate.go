package rest

import (
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The answers of the limit per client address are not the error envelope
// (section 0.4).
const (
	tooManyRequests = `{"error":"Too Many Requests","message":"Rate limit exceeded. Please try again later."}`
	limiterDown     = `{"error":"Internal Server Error","message":"Rate limiter backend unavailable."}`
)

// admit counts a call of a client address, before it is authenticated. It
// answers those that it refuses.
func admit(w http.ResponseWriter, r *http.Request, live realtime.Live, clientIP string) bool {
	d, limited, err := live.AllowAPI(r.Context(), clientIP)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, []byte(limiterDown))
		return false
	}
	if !limited {
		return true
	}
	header, reset := w.Header(), strconv.Itoa(seconds(d.Reset))
	header.Set("X-Ratelimit-Limit", strconv.Itoa(d.Limit))
	header.Set("X-Ratelimit-Remaining", strconv.Itoa(max(d.Remaining, 0)))
	header.Set("X-Ratelimit-Reset", reset)
	if d.Allowed {
		return true
	}
	header.Set("Retry-After", reset)
	writeJSON(w, http.StatusTooManyRequests, []byte(tooManyRequests))
	return false
}

// allowEvents counts n published events of the app.
func (c *call) allowEvents(n int) *failure {
	limit := limitOf(c.app.Limits.MaxBackendEventsPerSecond, c.settings().Rate.EventsPerSecond)
	return c.allow("backend_events", n, limit, "Event rate limit of the application exceeded")
}

// allowRead counts a GET call of the app.
func (c *call) allowRead() *failure {
	limit := limitOf(c.app.Limits.MaxReadRequestsPerSecond, 0)
	return c.allow("read_requests", 1, limit, "Read rate limit of the application exceeded")
}

func (c *call) allow(what string, n, limit int, text string) *failure {
	if limit == unlimited {
		return nil
	}
	d, err := c.live.AllowApp(c.r.Context(), c.app, what, n, limit)
	if err != nil {
		c.settings().Log.Error("rate limiter", zap.String("limiter", what), zap.String("app", c.app.ID), zap.Error(err))
		return errInternal
	}
	return refusal(d, text)
}

func refusal(d storage.RateDecision, text string) *failure {
	if d.Allowed {
		return nil
	}
	return rateLimited.with(text).after(seconds(d.Reset))
}

// seconds is a wait in whole seconds, rounded up, at least one.
func seconds(d time.Duration) int {
	return int(max((d+time.Second-1)/time.Second, 1))
}
