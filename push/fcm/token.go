package fcm

import (
	"context"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

const (
	// ahead is how long before its end a token is renewed, without anybody waiting.
	ahead = 5 * time.Minute
	// pause is the time between two attempts to renew a token ahead of its end.
	pause = 10 * time.Second
	// patience is how long a token that has taken the place of a refused one is not taken
	// for the reason of a refusal. Otherwise an account without rights would have a token
	// fetched for each notification.
	patience = 10 * time.Second
)

// token is an access token. One that never ends has been given and not fetched.
type token struct {
	text         string
	from         time.Time
	renew, until time.Time
	// instead says that the service had refused the one before.
	instead bool
}

// tokens keeps the access token of a service account. However many want one, there is
// one request for it at a time.
type tokens struct {
	// fetch asks for a token. It is bounded in time, whatever its context says.
	fetch func(context.Context) (*token, *push.Result)
	clock func() time.Time

	mu      sync.Mutex
	current *token
	flight  *flight
	paused  time.Time
}

// flight is a request for a token. What it has brought is there once it is done.
type flight struct {
	done    chan struct{}
	instead bool
	token   *token
	failed  *push.Result
}

// get is a token that has not ended.
func (s *tokens) get(ctx context.Context) (*token, *push.Result) {
	s.mu.Lock()
	now, have := s.clock(), s.current
	if have != nil && (have.until.IsZero() || now.Before(have.until)) {
		if !have.until.IsZero() && !now.Before(have.renew) && !now.Before(s.paused) {
			s.start(ctx)
		}
		s.mu.Unlock()
		return have, nil
	}
	f := s.start(ctx)
	s.mu.Unlock()
	return f.wait(ctx)
}

// replace is another token than the one that the service has refused. It is nil without
// a failure if there is no use in another.
func (s *tokens) replace(ctx context.Context, refused *token) (*token, *push.Result) {
	s.mu.Lock()
	now, have := s.clock(), s.current
	switch {
	case have != nil && have != refused && now.Before(have.until):
		s.mu.Unlock()
		return have, nil
	case refused.until.IsZero() || refused.instead && now.Sub(refused.from) < patience:
		s.mu.Unlock()
		return nil, nil
	}
	s.current = nil
	f := s.start(ctx)
	f.instead = true
	s.mu.Unlock()
	return f.wait(ctx)
}

// start asks for a token, unless somebody has. It is called with the lock.
func (s *tokens) start(ctx context.Context) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	// The first to want it may give up, and the others still want it.
	go s.run(context.WithoutCancel(ctx), f)
	return f
}

func (s *tokens) run(ctx context.Context, f *flight) {
	fetched, failed := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed == nil {
		fetched.instead = f.instead
		s.current = fetched
	} else {
		s.paused = s.clock().Add(pause)
	}
	f.token, f.failed = fetched, failed
	s.flight = nil
	close(f.done)
}

func (f *flight) wait(ctx context.Context) (*token, *push.Result) {
	select {
	case <-f.done:
		return f.token, f.failed
	case <-ctx.Done():
		r := push.Unreachable(ctx, ctx.Err())
		return nil, &r
	}
}
