package apns

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// tries bounds the connections that one request is taken to, of which all but the last
// have left it undone.
const tries = 16

// exchange is one request and its answer, as far as the library does not carry them.
type exchange struct {
	body    []byte // what is sent, byte for byte
	expires string
	token   string // what it has been sent with
	answer  answer
}

type exchangeKey struct{}

// wire takes the library's requests to a host.
type wire struct {
	pool pool
	now  func() time.Time
}

// newWire makes the way to a host, which is one that https leads to.
func newWire(host string, certificate *tls.Certificate, o *push.ConnectOptions) (*wire, error) {
	to, err := url.Parse(host)
	if err != nil || to.Scheme != "https" || to.Hostname() == "" || strings.Trim(to.Path, "/") != "" || to.RawQuery != "" || to.User != nil {
		return nil, errors.New("endpoint: must be https:// and a host")
	}
	address := net.JoinHostPort(to.Hostname(), cmp.Or(to.Port(), "443"))
	t := o.Transport()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true) // APNs speaks nothing else
	// A connection is quiet for long, and Apple wants it kept. Pings find out whether it is
	// still one.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second}
	t.IdleConnTimeout = 15 * time.Minute
	if certificate != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*certificate}
	}
	w := &wire{now: o.Clock}
	w.pool.most = t.MaxConnsPerHost
	w.pool.dial = func(ctx context.Context) (*http.ClientConn, error) { return t.NewClientConn(ctx, "https", address) }
	return w, nil
}

// RoundTrip sends a request, again if a connection has refused it before anybody has
// looked at it. The library gets an answer without a body: it reads without bounds, and
// gives up on what is not JSON.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close() // of the library, which escapes what is in it
	}
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("a request of nobody")
	}
	req.Header.Set("apns-expiration", x.expires)
	x.token = strings.TrimPrefix(req.Header.Get("Authorization"), "bearer ")
	for try := 1; ; try++ {
		l, err := w.pool.take(req.Context())
		if err != nil {
			return nil, err
		}
		again := req.WithContext(req.Context())
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
		again.GetBody = nil
		res, err := l.RoundTrip(again)
		if err == nil {
			return w.finish(l, res, x)
		}
		why := undone(err)
		w.pool.done(l, ending{leaving: why == unusable})
		if why == begun || try == tries {
			return nil, err
		}
	}
}

// finish reads an answer.
func (w *wire) finish(l *link, res *http.Response, x *exchange) (*http.Response, error) {
	how := ending{answered: true}
	defer func() { w.pool.done(l, how) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, push.MaxAnswer))
	_ = res.Body.Close()
	if err != nil && res.StatusCode != http.StatusOK {
		return nil, err // what it was about is in the part that is missing
	}
	x.answer = parseAnswer(res.StatusCode, res.Header, body, w.now())
	how.leaving = x.answer.verdict().leave
	res.Body, res.ContentLength = http.NoBody, 0
	return res, nil
}

// streamError has the form of net/http's error for one request of a connection, which
// fills in any type that has.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error is never shown.
func (e streamError) Error() string { return "the request has been reset" }

// What is known of a request that has failed.
const (
	begun    = iota // the server may have begun with it
	refusal         // the connection had no room for it
	unusable        // the connection has no more use
)

// undone says whether a request has failed before the server has begun with it. Most
// errors of net/http for that have no names; one that is not known costs an attempt and
// no notification.
func undone(err error) int {
	const refusedStream = 7
	if stream, ok := errors.AsType[streamError](err); ok && stream.Code == refusedStream {
		return refusal
	}
	switch err.Error() {
	case "http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable":
		return unusable
	}
	return begun
}
