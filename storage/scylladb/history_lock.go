package scylladb

import (
	"context"
	"sync"

	"github.com/sockudo/caddy-sockudo/storage"
)

// locks let one change of a log follow another within this process, so that only
// those of several nodes get into each other's way. One that nobody wants is
// forgotten.
type locks struct {
	mu   sync.Mutex
	held map[storage.LogKey]*lock
}

type lock struct {
	free  chan struct{} // holds a value while nobody has the lock
	users int           // those who have it or wait for it
}

// take waits for the lock of a log. What it returns gives the lock back.
func (l *locks) take(ctx context.Context, key storage.LogKey) (func(), error) {
	l.mu.Lock()
	one := l.held[key]
	if one == nil {
		one = &lock{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		if l.held == nil {
			l.held = map[storage.LogKey]*lock{}
		}
		l.held[key] = one
	}
	one.users++
	l.mu.Unlock()
	select {
	case <-one.free:
		return func() {
			one.free <- struct{}{}
			l.leave(key, one)
		}, nil
	case <-ctx.Done():
		l.leave(key, one)
		return nil, ctx.Err()
	}
}

func (l *locks) leave(key storage.LogKey, one *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.held, key)
	}
}
