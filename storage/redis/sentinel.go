package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// sentinelTimeout bounds the question to one Sentinel, after which the next is
	// asked.
	sentinelTimeout = time.Second
	// sentinelPause is the time between two looks at whether the master is still the
	// same.
	sentinelPause = time.Second
)

// sentinels find the master. They own a goroutine, which closes the connections to
// one that is the master no more: cut off from its Sentinels it does not know that
// itself, and what it is told is lost.
type sentinels struct {
	options *SentinelOptions
	secure  *tls.Config // for the master
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
	known  []*sentinel // the one that has answered last comes first
	master string
	conns  map[*masterConn]string // to which address
}

type sentinel struct {
	address string
	client  *redis.SentinelClient
}

// masterConn is a connection that can be ended from outside.
type masterConn struct {
	*net.TCPConn
	forget func()
}

func (c *masterConn) Close() error {
	c.forget()
	return c.TCPConn.Close()
}

// newSentinels asks nobody yet. The options have been checked.
func newSentinels(o Options) *sentinels {
	s := &sentinels{options: o.Sentinel, conns: map[*masterConn]string{}}
	s.secure, _ = o.TLS.Config()
	secure, _ := o.Sentinel.TLS.Config()
	for _, address := range o.Sentinel.Addresses {
		c := clientOptions(Options{Username: o.Sentinel.Username, Password: o.Sentinel.Password, PoolSize: 2})
		c.Addr, c.ReadTimeout, c.WriteTimeout = address, sentinelTimeout, sentinelTimeout
		c.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, address, secure, nil) }
		s.known = append(s.known, &sentinel{address, redis.NewSentinelClient(c)})
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.watch(ctx) })
	return s
}

// find asks the Sentinels for the address of the master, one after the other.
func (s *sentinels) find(ctx context.Context) (string, error) {
	s.mu.Lock()
	known := append([]*sentinel(nil), s.known...)
	s.mu.Unlock()
	var failures []error
	for i, one := range known {
		bounded, cancel := context.WithTimeout(ctx, sentinelTimeout)
		found, err := one.client.GetMasterAddrByName(bounded, s.options.Master).Result()
		cancel()
		switch {
		case err == nil && len(found) == 2:
			address := net.JoinHostPort(found[0], found[1])
			s.take(address, known, i)
			return address, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(err, redis.Nil):
			err = fmt.Errorf("it knows no master %q", s.options.Master)
		}
		failures = append(failures, fmt.Errorf("sentinel %s: %w", one.address, err))
	}
	return "", errors.Join(failures...)
}

// take notes who the master is, and that the i-th of those asked has said so.
func (s *sentinels) take(address string, asked []*sentinel, i int) {
	s.mu.Lock()
	asked[0], asked[i] = asked[i], asked[0]
	s.known, s.master = asked, address
	var others []*masterConn
	for conn, to := range s.conns {
		if to != address {
			others = append(others, conn)
		}
	}
	s.mu.Unlock()
	for _, conn := range others {
		_ = conn.Close()
	}
}

// dial connects to the master of the moment.
func (s *sentinels) dial(ctx context.Context) (net.Conn, error) {
	address, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	return dial(ctx, address, s.secure, func(raw *net.TCPConn) net.Conn {
		conn := &masterConn{TCPConn: raw}
		conn.forget = func() {
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}
		s.mu.Lock()
		s.conns[conn] = address
		s.mu.Unlock()
		return conn
	})
}

// watch looks for a new master while there are connections.
func (s *sentinels) watch(ctx context.Context) {
	for wait.For(ctx, sentinelPause) {
		s.mu.Lock()
		idle := len(s.conns) == 0
		s.mu.Unlock()
		if !idle {
			_, _ = s.find(ctx) // an error means that nothing is known to have changed
		}
	}
}

func (s *sentinels) close() error {
	s.stop()
	s.done.Wait()
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	var failures []error
	for _, one := range known {
		failures = append(failures, one.client.Close())
	}
	return errors.Join(failures...)
}
