package push

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
)

// MaxAnswer is how much of a service's answer is read, in bytes.
const MaxAnswer = 64 << 10

// Client is an HTTP client for a service: it follows no redirect, speaks HTTP/2 where the
// service does, and connects to public addresses only unless told otherwise. Whoever
// has it closes its idle connections.
func (o *ConnectOptions) Client() *http.Client {
	return &http.Client{
		Transport:     o.Transport(),
		Timeout:       o.timeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport is that of Client.
func (o *ConnectOptions) Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	if !o.AllowPrivate {
		dialer.Control = netguard.RefusePrivate
	}
	connections := cmp.Or(o.Connections, 64)
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    connections,
		MaxConnsPerHost:        connections,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: MaxAnswer,
	}
}

func (o *ConnectOptions) timeout() time.Duration { return cmp.Or(o.Timeout, 10*time.Second) }

// Clock is the time by the options' clock.
func (o *ConnectOptions) Clock() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// ReadAnswer reads what is useful of a body, and closes it.
func ReadAnswer(body io.ReadCloser) []byte {
	b, _ := io.ReadAll(io.LimitReader(body, MaxAnswer)) // half an answer is one
	_ = body.Close()
	return b
}

// Unreachable is the result of an attempt without an answer. Its reason is in our own
// words, because errors of the network show names and addresses.
func Unreachable(ctx context.Context, err error) Result {
	r := Result{Outcome: Retryable, Class: NetworkTransport, Reason: "the connection failed"}
	var (
		lookup  *net.DNSError
		verify  *tls.CertificateVerificationError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		r.Outcome, r.Reason = Cancelled, "it was cut off, because the worker has been stopped"
	case errors.Is(err, netguard.ErrPrivate):
		r.Outcome, r.Class, r.Reason = Rejected, DeviceTransient, "the address is not of the public network"
	case errors.As(err, &lookup):
		r.Reason = "the name of the service cannot be resolved"
	case errors.As(err, &verify):
		r.Reason = "the certificate of the service cannot be verified"
	case errors.As(err, &timeout) && timeout.Timeout():
		r.Reason = "there was no answer in time"
	}
	return r
}
