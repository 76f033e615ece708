package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Requests with an idempotency key are claimed in the cache, layer A of section
// 2.5: the first one runs, the others get its answer. A claim is a value that
// starts with claimMark and names its owner, so that nobody ends the claim of
// another; an answer is a value that does not.
const (
	claimMark = "__processing__"

	// Those who lose a claim ask again so often, in such intervals.
	claimTries = 6
	claimPause = 50 * time.Millisecond

	// runTimeout bounds a publish under a claim, settleTimeout ending the claim.
	// Both go on when the client has gone: it will repeat the request.
	runTimeout    = 10 * time.Second
	settleTimeout = 5 * time.Second

	// maxCacheKey is the longest key a cache takes.
	maxCacheKey = 1 << 10
)

// idempotent reports whether keys count for the call's app.
func (c *call) idempotent() bool {
	if on := c.app.Idempotency.Enabled; on != nil {
		return *on
	}
	return c.settings().Idempotency.Enabled
}

func (c *call) keyTTL() time.Duration {
	if ttl := c.app.Idempotency.TTL; ttl > 0 {
		return ttl
	}
	return c.settings().Idempotency.TTL
}

// headerKey is the key of the X-Idempotency-Key header. One that is not visible
// ASCII is ignored.
func (c *call) headerKey() (key string, given bool) {
	values := c.r.Header["X-Idempotency-Key"]
	if len(values) == 0 {
		return "", false
	}
	for i := range len(values[0]) {
		if b := values[0][i]; b < ' ' || b > '~' {
			return "", false
		}
	}
	return values[0], true
}

func (c *call) checkKey(key string) *failure {
	limit := c.settings().Idempotency.MaxKeyLength
	switch {
	case key == "":
		return errKeyEmpty
	case len(key) > limit:
		return invalidInput.with(fmt.Sprintf("Idempotency key exceeds maximum length of %d characters", limit))
	}
	return nil
}

// cacheKey is where the claim and the answer of a key are kept.
func (c *call) cacheKey(purpose, key string) string {
	name := "app:" + c.app.ID + ":" + purpose + ":" + key
	if len(name) > maxCacheKey {
		sum := sha256.Sum256([]byte(name))
		name = purpose + ":sha256:" + hex.EncodeToString(sum[:])
	}
	return name
}

// once runs under a claim of key and keeps the answer, or gives the answer of
// the request that was first. A run that fails gives the claim back, so that it
// can be repeated.
func (c *call) once(key, busy string, run func(context.Context) ([]byte, *failure)) (answer []byte, first bool, f *failure) {
	mine, answer, f := c.claim(key, busy)
	if f != nil {
		return nil, false, f
	}
	if mine == nil {
		c.live.Hub.Idempotent(c.app.ID, true)
		return answer, false, nil
	}
	settled := false
	defer func() {
		if !settled {
			c.settle(key, mine, nil)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), runTimeout)
	defer cancel()
	answer, f = run(ctx)
	if f != nil {
		return nil, true, f
	}
	settled = true
	c.settle(key, mine, answer)
	return answer, true, nil
}

// claim takes key for this call. mine is nil when another has answered already.
func (c *call) claim(key, busy string) (mine, answer []byte, f *failure) {
	ctx, cache := c.r.Context(), c.settings().Drivers.Cache
	mine = []byte(claimMark + ":" + protocol.NewMessageID())
	for try := 0; ; try++ {
		won, err := cache.SetIfAbsent(ctx, key, mine, c.keyTTL())
		if err != nil {
			return nil, nil, c.cacheDown(err)
		}
		if won {
			return mine, nil, nil
		}
		value, err := cache.Get(ctx, key)
		switch {
		case errors.Is(err, storage.ErrNotFound): // given back, or expired
		case err != nil:
			return nil, nil, c.cacheDown(err)
		case !bytes.HasPrefix(value, []byte(claimMark)):
			return nil, value, nil
		}
		if try == claimTries || !wait.For(ctx, claimPause) {
			return nil, nil, backpressure.with(busy)
		}
	}
}

// settle ends a claim: with the answer, or by giving it back when that is nil.
// What was published stays published, so a failure is only told to the log.
func (c *call) settle(key string, mine, answer []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), settleTimeout)
	defer cancel()
	cache := c.settings().Drivers.Cache
	var err error
	if answer != nil {
		// The answer may be in a buffer that is used again.
		_, err = cache.CompareAndSwap(ctx, key, mine, bytes.Clone(answer), c.keyTTL())
	} else {
		_, err = cache.CompareAndDelete(ctx, key, mine)
	}
	if err != nil {
		c.settings().Log.Warn("ending an idempotency claim", zap.String("app", c.app.ID), zap.Error(err))
	}
}

// cacheDown refuses a publish whose key cannot be looked up.
func (c *call) cacheDown(err error) *failure {
	c.settings().Log.Error("idempotency keys", zap.String("app", c.app.ID), zap.Error(err))
	return errIdempotency
}
