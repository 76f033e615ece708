package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// ended is told that a master has let go of a channel, since its slot belongs to
// another one. The next question to it tells to whom. What was published meanwhile
// has been missed.
func (s *shards) ended(from *pair, channel string) {
	s.leave(from, map[string]*asked{channel: newAsked(1, func() { s.in.Missed(1) })})
}

// moved is told by a master that a slot belongs to another one, and with it
// channels.
func (s *shards) moved(from *pair, err error, channels map[string]*asked) {
	slot, ok := movedSlot(err)
	address, _ := redis.IsMovedError(err)
	if !ok || address == "" {
		s.in.Lost(fmt.Errorf("%s: an answer that cannot be read: %w", from.address, err))
		return
	}
	s.own(slot, completed(address, from.address))
	s.leave(from, channels)
}

// leave puts channels in line for the mover. Nodes that do not agree for long are
// given up.
func (s *shards) leave(from *pair, channels map[string]*asked) {
	if len(channels) == 0 {
		return
	}
	late := false
	s.mu.Lock()
	for channel, a := range channels {
		if s.channels[channel] == from { // it is wanted, and has not moved before
			s.homeless[channel] = a
			late = late || time.Since(a.since) > s.timeout
		}
	}
	s.mu.Unlock()
	if late {
		s.in.Lost(fmt.Errorf("%s: nobody takes a channel", from.address))
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// move asks for homeless channels where they belong.
func (s *shards) move() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		}
		if err := s.moveAll(); err != nil {
			s.in.Lost(fmt.Errorf("following channels: %w", err))
			return
		}
		if !wait.For(s.ctx, movePause) {
			return
		}
	}
}

func (s *shards) moveAll() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	s.mu.Lock()
	list := s.homeless
	s.homeless = map[string]*asked{}
	s.mu.Unlock()
	return s.ask(ctx, list)
}
