// Package wait waits for a while, as long as somebody wants it.
package wait

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends. It reports whether it waited the whole
// time.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
