package realtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// revocationPrefix begins the keys of revocations in the cache.
	revocationPrefix = "sockudo:capability_revocation:"
	// maxCacheKey is the longest key a cache takes, in bytes.
	maxCacheKey = 1 << 10
	// MaxRevocation is the longest time that a revocation holds.
	MaxRevocation = 10 * 365 * 24 * time.Hour
	// revokeTimeout bounds a revocation, which goes on when the caller has gone: half of
	// one is worse than one that nobody waits for.
	revokeTimeout = 5 * time.Second
)

// Revocation ends capability tokens before they expire (HTTP API section 3.6).
type Revocation struct {
	// ID is the jti of the token, or "". ClientID is the client whose tokens end, those
	// that are still to be made included, or "".
	ID, ClientID string
	// TTL is how long the revocation holds, at least a second. Zero means until
	// ExpiresAt.
	TTL time.Duration
	// ExpiresAt is when the token expires by itself. Zero means that it is not known: the
	// revocation holds as long as a token can live, 24 hours. Other than TTL it is
	// exceeded by what clocks may be apart, because tokens are accepted for so long.
	ExpiresAt time.Time
	// Reason is kept with the revocation. Empty means "revoked".
	Reason string
}

// RevocationResult is what a revocation has done.
type RevocationResult struct {
	// ID and Client say under which names it is kept.
	ID, Client bool
	// Closed is the number of sockets that this node closes. Other nodes close theirs
	// when they hear of it, and are not counted.
	Closed int
}

// keep is how long the cache keeps the revocation.
func (r Revocation) keep(now time.Time) time.Duration {
	if r.TTL > 0 {
		return min(max(r.TTL, time.Second), MaxRevocation)
	}
	left := protocol.MaxTokenLifetime
	if !r.ExpiresAt.IsZero() {
		left = r.ExpiresAt.Sub(now)
	}
	// A token may have been made by a clock that is ahead, and is accepted after its end.
	return max(min(left, MaxRevocation)+2*protocol.TokenLeeway, time.Second)
}

// revocationKey is where the cache keeps the revocation of a name. Names are kept
// apart for all apps: an id with a colon could look like that of another app with a
// part of the name, so it is hashed, and so is what is too long.
func revocationKey(app, kind, name string) string {
	key := revocationPrefix + app + ":" + kind + ":" + name
	if len(key) <= maxCacheKey && !strings.Contains(app, ":") {
		return key
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s:%s:%s", len(app), app, kind, name))
	return revocationPrefix + "sha256:" + hex.EncodeToString(sum[:])
}

func tokenKey(app, id string) string      { return revocationKey(app, "jti", id) }
func clientKey(app, client string) string { return revocationKey(app, "client", client) }

// Revoke keeps a revocation in the cache, so that its tokens are refused from now on,
// and closes the sockets that have shown one, on every node. An error means that not
// all of this is done; doing it again is harmless. The caller has checked the names.
func (l Live) Revoke(ctx context.Context, app *storage.App, r Revocation) (RevocationResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	var result RevocationResult
	var err error
	reason, keep := []byte(cmp.Or(r.Reason, "revoked")), r.keep(time.Now())
	if r.ID != "" {
		err = l.Settings.Drivers.Cache.Set(ctx, tokenKey(app.ID, r.ID), reason, keep)
		result.ID = err == nil
	}
	if r.ClientID != "" && err == nil {
		err = l.Settings.Drivers.Cache.Set(ctx, clientKey(app.ID, r.ClientID), reason, keep)
		result.Client = err == nil
	}
	if err != nil {
		return result, fmt.Errorf("keeping a revocation: %w", err)
	}
	// Before the others hear of it, to be counted: this node hears of it too.
	if a := l.Hub.liveApp(app.ID); a != nil {
		result.Closed = a.revoke(r.ID, r.ClientID)
	}
	e := &protocol.Envelope{Kind: protocol.KindRevoke, App: app.ID, Event: r.ID, User: r.ClientID}
	if err := l.broadcast(ctx, e); err != nil {
		return result, fmt.Errorf("passing on a revocation: %w", err)
	}
	return result, nil
}

// Revoked reports whether a token, or its client, is revoked. When the cache cannot
// tell, that is an error and the token counts as revoked. The connection must have
// been filed under the token before, see tokens.replace.
func (l Live) Revoked(ctx context.Context, app string, t *protocol.Token) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, driverTimeout)
	defer cancel()
	for _, key := range [...]string{tokenKey(app, t.ID), clientKey(app, t.ClientID)} {
		_, err := l.Settings.Drivers.Cache.Get(ctx, key)
		switch {
		case err == nil:
			return true, nil
		case !isNotFound(err):
			return true, fmt.Errorf("looking for a revocation: %w", err)
		}
	}
	return false, nil
}

// revoke ends the connections of this node whose token has the id, or is of the
// client, and returns their number.
func (a *App) revoke(id, client string) int {
	conns := a.tokens.take(id, client)
	for _, c := range conns {
		c.revoked()
	}
	return len(conns)
}
