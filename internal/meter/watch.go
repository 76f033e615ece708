package meter

import (
	"context"
	"sync"
	"time"
)

const (
	// watchEvery is the time between two looks at what must not be asked for while
	// somebody waits for metrics, because the answer may be slow.
	watchEvery = 10 * time.Second
	// watchTimeout bounds one look.
	watchTimeout = 2 * time.Second
	// watchShare is the part of the time that looking may take at most.
	watchShare = 20
)

// Watch calls look now, and then every ten seconds, less often if it is slow, until
// stop is called. It is for gauges whose values other processes know. stop waits for
// a look that is under way; its context has ended by then.
func Watch(look func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			begun := time.Now()
			once(ctx, look)
			timer := time.NewTimer(max(watchEvery, watchShare*time.Since(begun)))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// once looks once. A panic in a driver costs a value, not the process.
func once(ctx context.Context, look func(context.Context)) {
	defer func() { _ = recover() }()
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	look(ctx)
}
