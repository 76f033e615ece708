package sockudo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// What outlives configurations. A configuration only holds leases of it.
var (
	hubs    = caddy.NewUsagePool() // of *hub, by name
	drivers = caddy.NewUsagePool() // of *resource, by poolKey
)

// drainTimeout bounds what a driver may take to finish when nobody needs it any
// more. Caddy's configuration is locked meanwhile.
const drainTimeout = 3 * time.Second

// lease is the hold of one configuration on a value of a pool.
type lease struct {
	pool *caddy.UsagePool
	key  string
	held bool
}

// take gets the value, made by construct if the pool has none.
func (l *lease) take(construct caddy.Constructor) (any, error) {
	value, _, err := l.pool.LoadOrNew(l.key, construct)
	l.held = err == nil
	return value, err
}

// last reports whether nobody else holds the value.
func (l *lease) last() bool {
	n, _ := l.pool.References(l.key)
	return l.held && n == 1
}

// release gives the value back. The last one to do so ends it.
func (l *lease) release() error {
	if !l.held {
		return nil
	}
	l.held = false
	_, err := l.pool.Delete(l.key)
	return err
}

// poolKey identifies a running driver. It is a hash because the key of a driver
// may hold a password, and keys are printed.
func poolKey(kind, driver, key string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{kind, driver, key}, "\x00")))
	return kind + "/" + driver + "/" + hex.EncodeToString(sum[:8])
}

// resource is a running driver in the pool.
type resource struct {
	kind   string
	driver io.Closer
}

// Destruct drains and closes the driver, within a bound.
func (r *resource) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return await(ctx, "closing the "+r.kind, func() error {
		var err error
		if d, ok := r.driver.(storage.Drainer); ok {
			err = d.Drain(ctx)
		}
		return errors.Join(err, r.driver.Close())
	})
}

// await runs f and returns its error, or gives up when ctx ends: what hangs in a
// driver must not hold up the configuration for ever.
func await(ctx context.Context, what string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				caddy.Log().Named("sockudo").Error("recovered from a panic", zap.String("in", what), zap.Any("panic", p), zap.Stack("stack"))
				done <- fmt.Errorf("%s: panic: %v", what, p)
			}
		}()
		done <- f()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		case <-time.After(grace):
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// grace is what f may take longer than its context before await gives up.
const grace = 250 * time.Millisecond
