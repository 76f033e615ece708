package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// silence is how long a subscription may hear nothing before it asks whether
	// anybody is there, and then how long it waits for an answer.
	silence = 3 * time.Second
	// reconnectPause is the time between a subscription that was lost and the next.
	reconnectPause = 200 * time.Millisecond
)

// subscription keeps listening until it is stopped, over any number of
// connections.
type subscription struct {
	client   *Client
	channels []string
	// begun is called when all channels are subscribed, also after an earlier time
	// was over: what was published in between has been missed.
	begun func()
	// received is called with each message, by the same goroutine.
	received func(channel, payload string)

	lost bool // logged
}

// follow subscribes to channels, from one goroutine, which stop ends and waits
// for. It returns at once; neither begun nor received may block.
func (c *Client) follow(begun func(), received func(channel, payload string), channels ...string) (stop func()) {
	s := &subscription{client: c, channels: channels, begun: begun, received: received}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.run(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

func (s *subscription) run(ctx context.Context) {
	for {
		err := s.listen(ctx)
		if ctx.Err() != nil || errors.Is(err, redis.ErrClosed) {
			return
		}
		if !s.lost {
			s.lost = true
			s.client.log.Warn("a subscription is lost and is being renewed", zap.Error(err))
		}
		if !wait.For(ctx, reconnectPause) {
			return
		}
	}
}

// listen takes messages as long as the connection lives.
func (s *subscription) listen(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("recovered from a panic: %v", p)
		}
	}()
	subscribed := s.client.Subscribe(ctx, s.channels...)
	defer func() { _ = subscribed.Close() }()
	// Closing ends a wait for messages, which looks at no context.
	defer context.AfterFunc(ctx, func() { _ = subscribed.Close() })()
	for asked := false; ; {
		message, err := subscribed.ReceiveTimeout(ctx, silence)
		if isTimeout(err) && !asked && ctx.Err() == nil {
			asked = true
			if err = subscribed.Ping(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		asked = false
		s.take(message)
	}
}

func (s *subscription) take(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		if m.Count < len(s.channels) {
			return
		}
		if s.lost {
			s.lost = false
			s.client.log.Info("the subscription is back")
		}
		s.begun()
	case *redis.Message:
		s.received(m.Channel, m.Payload)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
