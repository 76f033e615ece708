package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// tokenEarly is how long before its end a token is replaced.
	tokenEarly = 5 * time.Minute
	// tokenPause is how long nobody asks again after a failure, and tokenPauseValid while
	// the token at hand still works.
	tokenPause      = time.Second
	tokenPauseValid = 30 * time.Second
	// tokenPauseMax bounds what a token endpoint may ask for in its Retry-After.
	tokenPauseMax = time.Minute
)

// Token is an access token of a service.
type Token struct {
	// Value is what requests carry.
	Value string
	// Expires is when the service stops taking it.
	Expires time.Time
}

// TokenError is why there is no access token. It never tells credentials.
type TokenError struct {
	// Class is that of attempts which fail for it.
	Class Class
	// Reason is a short text without anything of the request.
	Reason string
	// RetryAfter is how long the endpoint wants nobody to ask again, or zero.
	RetryAfter time.Duration
}

// Error is the reason.
func (e *TokenError) Error() string { return e.Reason }

// TokenCache has the access token of one set of credentials for many goroutines. It
// fetches a new one five minutes before the old one ends, or earlier if that has a
// short life, with one request however many wait for it. If that fails, the old one
// serves as long as it can.
type TokenCache struct {
	fetch   func(context.Context) (Token, error)
	now     func() time.Time
	timeout time.Duration

	mu     sync.Mutex
	token  Token
	renew  time.Time    // when the token is to be replaced
	flight *tokenFlight // the fetch under way, or nil
	failed error        // what the last fetch came to
	pause  time.Time    // until then nobody asks again after a failure
}

// tokenFlight is a fetch under way.
type tokenFlight struct {
	done  chan struct{} // closed at the end
	token Token
	err   error
}

// NewTokenCache makes a cache that fetches with a function, which has to end when its
// context does. That is bounded by the timeout of the options, and by no caller's
// context: others wait for the same token.
func NewTokenCache(o *ConnectOptions, fetch func(context.Context) (Token, error)) *TokenCache {
	return &TokenCache{fetch: fetch, now: o.Clock, timeout: o.timeout()}
}

// StaticToken is a cache with a token that never ends and cannot be replaced.
func StaticToken(value string) *TokenCache {
	return &TokenCache{token: Token{Value: value}}
}

// Get is the token. It waits for one as long as ctx lasts; its error is then that of
// ctx.
func (c *TokenCache) Get(ctx context.Context) (string, error) {
	if c.fetch == nil {
		return c.token.Value, nil
	}
	c.mu.Lock()
	now := c.now()
	switch {
	case now.Before(c.renew):
		defer c.mu.Unlock()
		return c.token.Value, nil
	case c.flight == nil && now.Before(c.pause):
		defer c.mu.Unlock()
		return c.leftover(c.failed)
	case c.flight == nil:
		c.flight = &tokenFlight{done: make(chan struct{})}
		go c.fly(context.WithoutCancel(ctx), c.flight) // others wait for it too
	}
	flight := c.flight
	c.mu.Unlock()
	select {
	case <-flight.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if flight.err == nil {
		return flight.token.Value, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leftover(flight.err)
}

// leftover is the token that is due to be replaced, if it still works, and otherwise
// the reason why there is no other.
func (c *TokenCache) leftover(err error) (string, error) {
	if c.now().Before(c.token.Expires) {
		return c.token.Value, nil
	}
	return "", err
}

// fly fetches a token and tells those who wait. It ends with the fetch.
func (c *TokenCache) fly(ctx context.Context, flight *tokenFlight) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	flight.token, flight.err = c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = nil
	now := c.now()
	if c.failed = flight.err; c.failed == nil {
		life := flight.token.Expires.Sub(now)
		c.token, c.renew = flight.token, now.Add(life-min(tokenEarly, life/2))
	} else {
		c.pause = now.Add(c.pauseAfter(flight.err, now))
	}
	close(flight.done)
}

func (c *TokenCache) pauseAfter(err error, now time.Time) time.Duration {
	pause := tokenPause
	if now.Before(c.token.Expires) {
		pause = tokenPauseValid
	}
	if refused, ok := errors.AsType[*TokenError](err); ok {
		pause = max(pause, min(refused.RetryAfter, tokenPauseMax))
	}
	return pause
}

// Invalidate forgets a token that the service has refused, unless there is another one
// by now. It reports whether there is or can be another one.
func (c *TokenCache) Invalidate(value string) bool {
	if c.fetch == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.Value == value {
		c.token, c.renew = Token{}, time.Time{}
	}
	return true
}

// NoToken is the result of an attempt for which there was no access token.
func NoToken(ctx context.Context, err error) Result {
	if refused, ok := errors.AsType[*TokenError](err); ok {
		return Result{Outcome: Retryable, Class: refused.Class, Reason: refused.Reason, RetryAfter: refused.RetryAfter}
	}
	r := Unreachable(ctx, err)
	if r.Outcome != Cancelled { // it is nothing of the device
		r.Outcome, r.Class, r.Reason = Retryable, NetworkTransport, "no login: "+r.Reason
	}
	return r
}
