package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// dialer connects to one of several servers. It knows those that are written and
// those that servers have told of.
type dialer struct {
	log *zap.Logger

	mu         sync.Mutex
	options    Options
	discovered []server
}

// server is one that may be connected to.
type server struct {
	*url.URL
	// tlsName is whom its certificate must be for, if that is not its host.
	tlsName string
}

// set changes the tuning for connections that are made from now on.
func (d *dialer) set(t Tuning) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options.Tuning = t.withDefaults()
}

// choices are the options, and the servers to try: in any order, so that clients
// spread over them, and the discovered ones last.
func (d *dialer) choices() (Options, []server, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []server
	for _, text := range d.options.Servers {
		u, err := parseServer(text)
		if err != nil {
			return d.options, nil, err
		}
		list = append(list, server{URL: u})
	}
	for _, part := range [][]server{list, d.discovered} {
		rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	for _, s := range d.discovered {
		if !slices.ContainsFunc(list, func(other server) bool { return other.Host == s.Host }) {
			list = append(list, s)
		}
	}
	return d.options, list, nil
}

// learn notes the servers that a server tells of. They have its login and, if they
// are bare addresses, its name.
func (d *dialer) learn(from server, urls []string) {
	var list []server
	for _, text := range urls {
		u, err := parseServer(text)
		if err != nil {
			continue
		}
		u.Scheme, u.User = from.Scheme, from.User
		s := server{URL: u}
		if net.ParseIP(u.Hostname()) != nil {
			if s.tlsName = from.tlsName; s.tlsName == "" && net.ParseIP(from.Hostname()) == nil {
				s.tlsName = from.Hostname()
			}
		}
		list = append(list, s)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.discovered = list
}

// dial is a relay.Dial.
func (d *dialer) dial(ctx context.Context, in *relay.Inlet) (relay.Link, error) {
	o, servers, err := d.choices()
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		l, failed := d.connect(ctx, in, o, s)
		if failed == nil {
			in.Event("connected")
			if o.Echo {
				return l, nil
			}
			return silentLink{l}, nil
		}
		switch {
		case len(servers) == 1:
			err = failed
		case err == nil:
			err = fmt.Errorf("%s: %w", s.Host, failed)
		default:
			err = fmt.Errorf("%w; %s: %w", err, s.Host, failed)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// connect makes a connection to one server, and makes sure that messages may go out.
func (d *dialer) connect(ctx context.Context, in *relay.Inlet, o Options, s server) (*link, error) {
	l := &link{
		in: in, log: d.log, prefix: o.Prefix, timeout: o.AnswerTimeout, subscriptions: map[protocol.Topic]*nats.Subscription{},
		incoming: make(chan *nats.Msg, o.Capacity), stop: make(chan struct{}),
	}
	dial := &wireDialer{ctx: ctx, timeout: o.ConnectionTimeout}
	client, err := clientOptions(o, s)
	if err != nil {
		return nil, err
	}
	client.CustomDialer = dial
	client.ClosedCB = l.closed
	client.AsyncErrorCB = l.failed
	client.LameDuckModeHandler = func(*nats.Conn) { in.Event("lame_duck") }
	client.DiscoveredServersCB = func(conn *nats.Conn) { d.learn(s, conn.DiscoveredServers()) }
	conn, err := client.Connect()
	if err != nil {
		return nil, dial.cause(err)
	}
	l.conn, l.wire = conn, dial.last()
	l.loops.Go(l.receive)
	d.learn(s, conn.DiscoveredServers())
	if err := l.mayPublish(ctx); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// clientOptions are those of the client library, for one server. It connects once:
// the relay makes the next connection.
func clientOptions(o Options, s server) (nats.Options, error) {
	c := nats.GetDefaultOptions()
	c.Servers = []string{s.String()}
	c.Name = "sockudo"
	c.AllowReconnect = false
	c.NoCallbacksAfterClientClose = true
	c.SkipSubjectValidation = true // ours are made so that they are subjects
	c.NoEcho = !o.Echo
	c.Timeout = o.ConnectionTimeout
	c.FlusherTimeout = o.AnswerTimeout
	c.User, c.Password, c.Token = o.Username, o.Password, o.Token
	secure, err := o.TLS.Config()
	if err != nil {
		return c, fmt.Errorf("tls: %w", err)
	}
	if secure != nil {
		secure.ServerName = s.tlsName
		c.Secure, c.TLSConfig = true, secure
	}
	switch {
	case o.CredentialsFile != "":
		err = nats.UserCredentials(o.CredentialsFile)(&c)
	case o.NkeyFile != "":
		var option nats.Option
		if option, err = nats.NkeyOptionFromSeed(o.NkeyFile); err != nil {
			return c, fmt.Errorf("nkey_file: %w", err)
		}
		err = option(&c)
	}
	return c, err
}

// wireDialer makes the connections of one attempt, and remembers what failed.
type wireDialer struct {
	ctx     context.Context //nolint:containedctx // the client library has none to give
	timeout time.Duration

	mu    sync.Mutex
	made  *wire
	wrong error
}

// Dial is called by the client library. The connection is closed when the attempt
// is given up.
func (d *wireDialer) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: d.timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := dialer.DialContext(d.ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.wrong = err
		return nil, err
	}
	d.made = &wire{Conn: conn}
	d.made.release = context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	return d.made, nil
}

// last is the connection that was made, which does not depend on the attempt any
// more.
func (d *wireDialer) last() *wire {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made.release()
	return d.made
}

// cause is why there is no connection. The library keeps some reasons to itself.
func (d *wireDialer) cause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ctx.Err() != nil:
		return d.ctx.Err()
	case errors.Is(err, nats.ErrNoServers) && d.wrong != nil:
		return d.wrong
	}
	return err
}

// wire is a connection that ends with the first write that fails: the client
// library would go on, without what it could not write.
type wire struct {
	net.Conn
	release func() bool
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if err != nil {
		_ = w.Close()
	}
	return n, err
}
