package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// connectTimeout bounds Connect.
	connectTimeout = 10 * time.Second
	// callTimeout bounds one call of a driver, however many times it has to ask.
	callTimeout = 5 * time.Second
	// clusterPause is the time after which a cluster in use is asked again who has what:
	// nothing else tells of a master that has died and was replaced.
	clusterPause = 2 * time.Second
)

// Client is the hold of one driver on connections that it may share with others. It
// reconnects by itself. Commands that block for longer than a few seconds need a
// client of their own, whose options differ.
type Client struct {
	redis.UniversalClient
	place   string // for errors
	cluster bool
	log     *zap.Logger
	shared  *shared
	closed  atomic.Bool
}

// shared are connections in use.
type shared struct {
	key       [sha256.Size]byte
	client    redis.UniversalClient
	sentinels *sentinels
	users     int // under running
}

// running are all connections, by the hash of their options.
var running = struct {
	sync.Mutex
	clients map[[sha256.Size]byte]*shared
}{clients: map[[sha256.Size]byte]*shared{}}

// Connect gives connections to a server that is there, lets us in, and is what the
// options say it is. The logger may be nil.
func Connect(ctx context.Context, o Options, logger *zap.Logger) (*Client, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if logger == nil {
		logger = zap.NewNop()
	}
	c := &Client{place: o.place(), cluster: o.Cluster, log: logger.With(zap.String("store", o.place())), shared: share(o)}
	c.UniversalClient = c.shared.client
	for _, name := range o.unverified() {
		c.log.Warn("insecure_skip_verify is on: anybody may pose as the server", zap.String("in", name))
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := c.inspect(ctx); err != nil {
		if o.TLS != nil && len(o.TLS.Cert) == 0 && isReset(err) {
			// By TLS 1.3 the refusal comes after the handshake, if it comes at all.
			err = fmt.Errorf("%w; the server may demand a client certificate: tls { cert key }", err)
		}
		return nil, errors.Join(c.fail(ctx, err), c.Close())
	}
	return c, nil
}

// isReset says that the other side has ended the connection.
func isReset(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// share takes a hold on the connections with these options.
func share(o Options) *shared {
	key := sha256.Sum256([]byte(o.key()))
	running.Lock()
	defer running.Unlock()
	s := running.clients[key]
	if s == nil {
		s = &shared{key: key}
		s.open(o)
		running.clients[key] = s
	}
	s.users++
	return s
}

// open makes the client, which connects when it is used.
func (s *shared) open(o Options) {
	secure, _ := o.TLS.Config()
	c := clientOptions(o)
	switch {
	case o.Cluster:
		s.client = redis.NewClusterClient(clusterOptions(c, o, func(ctx context.Context, _, address string) (net.Conn, error) {
			return dial(ctx, address, secure, nil)
		}))
	case o.Sentinel != nil:
		s.sentinels = newSentinels(o)
		c.Addr = o.Sentinel.Master
		c.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.sentinels.dial(ctx) }
		s.client = redis.NewClient(c)
	default:
		c.Addr = o.Addresses[0]
		c.Dialer = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address, secure, nil) }
		s.client = redis.NewClient(c)
	}
}

// clientOptions are what every connection has in common. RESP2 will do, and needs
// nothing of the server.
func clientOptions(o Options) *redis.Options {
	return &redis.Options{
		Protocol: 2, Username: o.Username, Password: o.Password, DB: o.DB,
		DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: cmp.Or(o.ReplyTimeout, replyTimeout), WriteTimeout: cmp.Or(o.ReplyTimeout, replyTimeout), ContextTimeoutEnabled: true,
		// What must not happen twice is not tried twice, see script.
		MaxRetries: 1, MaxRetryBackoff: 100 * time.Millisecond,
		PoolSize: o.PoolSize, PoolTimeout: turnTimeout, PipelinePoolSize: -1, ConnMaxIdleTime: idleTime,
		DisableIdentity:          true, // it needs a right of its own
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func clusterOptions(c *redis.Options, o Options, dialer func(context.Context, string, string) (net.Conn, error)) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: o.Addresses, Dialer: dialer, ClusterStateReloadInterval: clusterPause,
		Protocol: c.Protocol, Username: c.Username, Password: c.Password,
		DialTimeout: c.DialTimeout, DialerRetries: c.DialerRetries, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
		ContextTimeoutEnabled: c.ContextTimeoutEnabled, MaxRetryBackoff: c.MaxRetryBackoff,
		PoolSize: c.PoolSize, PoolTimeout: c.PoolTimeout, PipelinePoolSize: c.PipelinePoolSize, ConnMaxIdleTime: c.ConnMaxIdleTime,
		DisableIdentity: c.DisableIdentity, MaintNotificationsConfig: c.MaintNotificationsConfig,
	}
}

// inspect asks the server what it is.
func (c *Client) inspect(ctx context.Context) error {
	if c.cluster {
		// The first command asks for the nodes, which a single server does not have.
		return c.Ping(ctx).Err()
	}
	hello, err := c.Do(ctx, "hello").Slice()
	if _, answered := errors.AsType[redis.Error](err); answered {
		return c.Ping(ctx).Err() // it is too old to know hello, or we may not say that
	}
	if err != nil {
		return err
	}
	return checkMode(wordsOf(hello)["mode"])
}

// wordsOf are what a server says of itself in answer to hello.
func wordsOf(hello []any) map[string]string {
	said := map[string]string{}
	for i := 0; i+1 < len(hello); i += 2 {
		name, _ := hello[i].(string)
		said[name], _ = hello[i+1].(string)
	}
	return said
}

// checkMode wants a server that is one by itself.
func checkMode(mode string) error {
	switch mode {
	case "cluster":
		return errors.New("this server belongs to a cluster; use the driver redis_cluster")
	case "sentinel":
		return errors.New("this is a Sentinel; write its address in sentinel { ... }")
	}
	return nil
}

// call does something with the server that takes a bounded time, and names the
// place of its error.
func (c *Client) call(ctx context.Context, do func(ctx context.Context) error) error {
	return c.within(ctx, callTimeout, do)
}

// within is call with a bound of its own.
func (c *Client) within(ctx context.Context, timeout time.Duration, do func(ctx context.Context) error) error {
	if c.closed.Load() {
		return c.fail(ctx, storage.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return c.fail(ctx, err)
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.fail(ctx, do(bounded))
}

// check asks the server for a key, which needs reading rights only, and in a
// cluster whether every master is there.
func (c *Client) check(ctx context.Context, key string) error {
	return c.call(ctx, func(ctx context.Context) error {
		if cluster, ok := c.UniversalClient.(*redis.ClusterClient); ok {
			if err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.Ping(ctx).Err() }); err != nil {
				return err
			}
		}
		if err := c.Get(ctx, key).Err(); !errors.Is(err, redis.Nil) {
			return err
		}
		return nil
	})
}

// fail names the place of an error, or says that it is not the server's.
func (c *Client) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case c.closed.Load():
		return fmt.Errorf("redis: %w", storage.ErrClosed)
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrFull):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", c.place, ctx.Err())
	case redis.HasErrorPrefix(err, "OOM "):
		return fmt.Errorf("%s: %w: %w", c.place, storage.ErrFull, err)
	case redis.HasErrorPrefix(err, "MOVED "):
		return fmt.Errorf("%s: this server belongs to a cluster; use the driver redis_cluster: %w", c.place, err)
	}
	return fmt.Errorf("%s: %w", c.place, err)
}

// Close gives the connections back. The last to do so closes them.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	s := c.shared
	running.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(running.clients, s.key)
	}
	running.Unlock()
	if !last {
		return nil
	}
	err := s.client.Close()
	if s.sentinels != nil {
		err = errors.Join(err, s.sentinels.close())
	}
	return err
}
