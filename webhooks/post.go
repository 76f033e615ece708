package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// IDHeader carries the id of a request, the same in every attempt, by which a
// receiver knows one that comes again.
const IDHeader = "X-Sockudo-Webhook-Id"

// poster posts to an URL.
type poster struct{ client *http.Client }

// newClient makes a client for targets that others choose: it follows no redirect,
// uses no proxy, and connects to public addresses only unless told otherwise.
func newClient(s *Settings) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !s.AllowPrivate {
		dialer.Control = netguard.RefusePrivate
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    s.EndpointConcurrency,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (p *poster) send(ctx context.Context, m *message) result {
	bounded, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(bounded, http.MethodPost, m.to.URL, bytes.NewReader(m.body))
	if err != nil {
		return result{verdict: refused, reason: "the URL cannot be used", class: "url"}
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "caddy-sockudo")
	h.Set("X-Pusher-Key", m.app.Key)
	h.Set("X-Pusher-Signature", protocol.Sign(m.app.Secret, string(m.body)))
	h.Set(IDHeader, m.id)
	for name, value := range m.to.Headers {
		switch {
		case CheckHeader(name, value) != nil: // in a record that others have written
		case http.CanonicalHeaderKey(name) == "User-Agent":
			h.Set(name, value)
		default:
			h.Add(name, value)
		}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return broken(ctx, err, m.timeout)
	}
	defer func() { _ = resp.Body.Close() }()
	// What is left of a longer answer is dropped, with its connection.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return answered(resp, time.Now())
}

// answered is the meaning of an answer.
func answered(resp *http.Response, now time.Time) result {
	status := resp.StatusCode
	r := result{reason: fmt.Sprintf("the answer was %d", status), class: "status"}
	switch {
	case status >= 200 && status < 300:
		return result{}
	case retryStatus(status):
		r.verdict, r.after = failed, retryafter.Parse(resp.Header.Get("Retry-After"), now)
	case status >= 300 && status < 400:
		r.verdict = refused
		r.reason += ", and redirects are not followed: the URL must be the final one"
	default:
		r.verdict, r.gone = refused, status == http.StatusGone
	}
	return r
}
