package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// errLinkOver is the error of a client that would connect again: a link lives once.
var errLinkOver = fmt.Errorf("redis: the connection is lost: %w", net.ErrClosed)

// dialer makes the links of an adapter. It knows the nodes of a cluster that are
// written and those that a node has told of.
type dialer struct {
	options   Options
	sharded   bool
	names     names
	sentinels *sentinels // nil without
	timeout   atomic.Int64
	closing   sync.Once

	mu    sync.Mutex
	known []string
}

// close leaves the Sentinels, once.
func (d *dialer) close() (err error) {
	d.closing.Do(func() {
		if d.sentinels != nil {
			err = d.sentinels.close()
		}
	})
	return err
}

// dial is a relay.Dial.
func (d *dialer) dial(ctx context.Context, in *relay.Inlet) (relay.Link, error) {
	switch {
	case d.sharded:
		return eachOf(ctx, d.nodes(), func(address string) (relay.Link, error) { return d.dialShards(ctx, in, address) })
	case d.options.Cluster:
		return eachOf(ctx, d.nodes(), func(address string) (relay.Link, error) { return d.dialNode(ctx, in, address) })
	case d.sentinels != nil:
		return d.dialServer(ctx, in, d.options.Sentinel.Master)
	}
	return d.dialServer(ctx, in, d.options.Addresses[0])
}

// eachOf tries one address after the other. The error is that of all of them.
func eachOf(ctx context.Context, addresses []string, dial func(string) (relay.Link, error)) (relay.Link, error) {
	var failed error
	for _, address := range addresses {
		l, err := dial(address)
		switch {
		case err == nil:
			return l, nil
		case len(addresses) == 1:
			failed = err
		case failed == nil:
			failed = fmt.Errorf("%s: %w", address, err)
		default:
			failed = fmt.Errorf("%w; %s: %w", failed, address, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// nodes are those to try: in any order, so that clients spread over them, and those
// that a node has told of last, since some of them may not be for us to reach.
func (d *dialer) nodes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.options.Addresses)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	further := slices.Clone(d.known)
	rand.Shuffle(len(further), func(i, j int) { further[i], further[j] = further[j], further[i] })
	for _, address := range further {
		if !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	return list
}

// dialServer makes a link to one server that is no cluster.
func (d *dialer) dialServer(ctx context.Context, in *relay.Inlet, address string) (relay.Link, error) {
	l, err := d.openPair(ctx, address, pairOptions{verify: isMaster, received: in.Received, lost: in.Lost})
	if err != nil {
		return nil, err
	}
	return d.admit(ctx, &link{pair: l, names: d.names})
}

// dialNode makes a link to any node of a cluster, which sends everything to all
// others.
func (d *dialer) dialNode(ctx context.Context, in *relay.Inlet, address string) (relay.Link, error) {
	l, err := d.openPair(ctx, address, pairOptions{verify: isJoined, received: in.Received, lost: in.Lost})
	if err != nil {
		return nil, err
	}
	if _, err := d.topology(ctx, l.publisher, address); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return d.admit(ctx, &link{pair: l, names: d.names})
}

// admit checks the rights of the login on a name that nobody listens to.
func (d *dialer) admit(ctx context.Context, l relay.Link) (relay.Link, error) {
	err := l.Send(ctx, []relay.Packet{{Topic: protocol.Topic{Channel: "check"}}})
	if d.sharded && err != nil && strings.Contains(err.Error(), "unknown command") {
		err = fmt.Errorf("use_sharded_pubsub needs Redis 7: %w", err)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// topology asks a node of a cluster who is responsible for which slots, and notes
// all that it names.
func (d *dialer) topology(ctx context.Context, client *redis.Client, from string) ([]redis.ClusterSlot, error) {
	slots, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // what replaces it needs Redis 7
	if err != nil {
		return nil, err
	}
	var known []string
	for i := range slots {
		for k := range slots[i].Nodes {
			node := &slots[i].Nodes[k]
			node.Addr = completed(node.Addr, from)
			if !strings.HasPrefix(node.Addr, "?") && !slices.Contains(known, node.Addr) {
				known = append(known, node.Addr)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = known
	return slots, nil
}

// completed is an address with the host of the node that has told of it where the
// node knows none.
func completed(address, from string) string {
	if port, ok := strings.CutPrefix(address, ":"); ok {
		if host, _, err := net.SplitHostPort(from); err == nil {
			return net.JoinHostPort(host, port)
		}
	}
	return address
}

// wire is the one connection of a client.
type wire struct {
	mu     sync.Mutex
	dialed bool
	closed bool
	conn   net.Conn
}

// dial makes the connection, once.
func (w *wire) dial(ctx context.Context, connect func(context.Context) (net.Conn, error)) (net.Conn, error) {
	w.mu.Lock()
	again := w.dialed || w.closed
	w.dialed = true
	w.mu.Unlock()
	if again {
		return nil, errLinkOver
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn = conn; w.closed {
		cut(conn)
		return nil, errLinkOver
	}
	return conn, nil
}

// close ends the connection, whoever reads from it or writes to it.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.conn != nil {
		cut(w.conn)
	}
}

// cut closes a connection without the goodbye of TLS, which might have to wait.
func cut(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}

// client is one of the client library that connects once and tries nothing twice.
func (d *dialer) client(address string) (*redis.Client, *wire) {
	timeout := time.Duration(d.timeout.Load())
	secure, _ := d.options.TLS.Config()
	w := new(wire)
	c := clientOptions(d.options)
	c.Addr, c.PoolSize, c.MaxRetries, c.ConnMaxIdleTime = address, 1, -1, -1
	c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = timeout, timeout, timeout
	c.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.dial(ctx, func(ctx context.Context) (net.Conn, error) {
			if d.sentinels != nil {
				return d.sentinels.dial(ctx)
			}
			return dial(ctx, address, secure, nil)
		})
	}
	return redis.NewClient(c), w
}
