package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	// dialTimeout bounds making one connection, TLS included.
	dialTimeout = 3 * time.Second
	// replyTimeout bounds sending one command, and waiting for its reply.
	replyTimeout = 3 * time.Second
	// turnTimeout bounds the wait for a free connection.
	turnTimeout = 3 * time.Second
	// idleTime is how long an unused connection stays open.
	idleTime = 5 * time.Minute
)

// dial makes one connection. wrap, if there is one, sees it below the TLS.
func dial(ctx context.Context, address string, secure *tls.Config, wrap func(*net.TCPConn) net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if raw, ok := conn.(*net.TCPConn); ok && wrap != nil {
		conn = wrap(raw)
	}
	if secure == nil {
		return conn, nil
	}
	if secure.ServerName == "" {
		secure = secure.Clone()
		secure.ServerName, _, _ = net.SplitHostPort(address)
	}
	encrypted := tls.Client(conn, secure)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return encrypted, nil
}
