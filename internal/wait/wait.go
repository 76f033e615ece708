// Package wait waits for a while, as long as somebody wants it.
package wait

import (
	"context"
	"sync"
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

// Done waits for all of a group, or until ctx ends, whose error it returns then. A group that
// is not done by then is waited for in the background.
func Done(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
