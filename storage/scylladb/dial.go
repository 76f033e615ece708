package scylladb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// silence is how long a node may say nothing before its connection counts as lost.
// The client asks for a sign of life every five seconds.
const silence = 15 * time.Second

var (
	errSilent = fmt.Errorf("no sign of life for %v", silence)
	errEnded  = errors.New("the session has ended")
)

// dialer makes the connections of a session, and ends them.
type dialer struct {
	tls   *tls.Config // nil for plain text
	names []string    // of the nodes that are written

	mu     sync.Mutex
	ended  bool
	conns  map[*connection]struct{}
	ctx    context.Context // ends with the session
	cancel context.CancelFunc
}

func newDialer(o Options) (*dialer, error) {
	config, err := o.TLS.Config()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	d := &dialer{tls: config, conns: map[*connection]struct{}{}}
	for _, node := range o.Nodes {
		host, _, err := net.SplitHostPort(node)
		if err != nil {
			return nil, err
		}
		d.names = append(d.names, host)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// DialHost connects to a node.
func (d *dialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	address := host.ConnectAddressAndPort()
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	raw, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		encrypted := tls.Client(raw, d.secure(host))
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
		}
		raw = encrypted
	}
	c := &connection{Conn: raw, dialer: d, limit: silence}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		_ = raw.Close()
		return nil, errEnded
	}
	d.conns[c] = struct{}{}
	return &gocql.DialedHost{Conn: c, DisableCoalesce: true}, nil
}

// end closes all connections, and makes no more.
func (d *dialer) end() {
	d.cancel()
	d.mu.Lock()
	d.ended = true
	conns := d.conns
	d.conns = map[*connection]struct{}{}
	d.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// connection is one to a node. The client waits for a frame without a time limit,
// and gives a connection up only after half a minute of signs of life that were not
// answered; here it is lost sooner.
type connection struct {
	net.Conn
	dialer *dialer
	limit  time.Duration // the silence after which it is lost

	mu      sync.Mutex
	waiting bool // there is no limit but silence
}

// SetReadDeadline limits reading. No limit means silence.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting = t.IsZero(); c.waiting {
		t = time.Now().Add(c.limit)
	}
	return c.Conn.SetReadDeadline(t)
}

// Read fails for good after silence. The client reads again after an error that is
// only a timeout.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting {
			err = errSilent
		}
	}
	return n, err
}

// Close closes the connection.
func (c *connection) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// secure is the TLS of a connection. Nodes that were not written are known by their
// addresses only, while their certificates may name hosts; so a certificate is good
// if it is for the address that was dialled, or for one of the nodes that are
// written.
func (d *dialer) secure(host *gocql.HostInfo) *tls.Config {
	config := d.tls.Clone()
	if config.InsecureSkipVerify {
		return config
	}
	names := append([]string{host.ConnectAddress().String()}, d.names...)
	config.InsecureSkipVerify = true // for what is done here instead
	config.VerifyConnection = func(s tls.ConnectionState) error { return verify(s.PeerCertificates, config.RootCAs, names) }
	return config
}

// verify checks the certificates of a node against authorities, nil for those of
// the system, and names.
func verify(chain []*x509.Certificate, roots *x509.CertPool, names []string) error {
	if len(chain) == 0 {
		return errors.New("the node shows no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return err
	}
	for _, name := range names {
		if chain[0].VerifyHostname(name) == nil {
			return nil
		}
	}
	return fmt.Errorf("the certificate is for none of %s", strings.Join(names, ", "))
}
