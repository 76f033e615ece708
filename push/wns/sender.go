package wns

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// sender sends for one package.
type sender struct {
	client *http.Client
	tokens *push.TokenCache
	now    func() time.Time
	// endpoint takes the place of the scheme and host of channels, unless it is nil.
	endpoint *url.URL
	// anywhere admits channels at other hosts than the service's.
	anywhere bool
}

// Send makes one request, and one more with a new access token if the service refuses
// the first one's.
func (s *sender) Send(ctx context.Context, n *push.Notification) push.Result {
	m, err := parse(n.Payload)
	if err != nil {
		return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "the payload is no message of WNS"}
	}
	// Checked once more, because whoever has the host gets the access token.
	channel, err := parseChannel(n.Recipient.ChannelURI, s.anywhere)
	if err != nil {
		return push.Result{Outcome: push.Rejected, Class: push.DeviceTransient, Reason: "the channel is not one of the service"}
	}
	if s.endpoint != nil {
		channel.Scheme, channel.Host = s.endpoint.Scheme, s.endpoint.Host
	}
	ctx, cancel := context.WithTimeout(ctx, s.client.Timeout)
	defer cancel()
	header, content := m.header(n.TTL, n.CollapseKey), m.content()
	for again := false; ; again = true {
		token, err := s.tokens.Get(ctx)
		if err != nil {
			return push.NoToken(ctx, err)
		}
		header.Set("Authorization", "Bearer "+token)
		r, stale := s.attempt(ctx, channel, header, content)
		if !stale || again || !s.tokens.Invalidate(token) {
			return r
		}
	}
}

// attempt makes one request. It reports whether the access token has been refused.
func (s *sender) attempt(ctx context.Context, channel *url.URL, header http.Header, content []byte) (r push.Result, stale bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, channel.String(), bytes.NewReader(content))
	if err != nil {
		return push.Result{Outcome: push.Rejected, Class: push.DeviceTransient, Reason: "the channel is no URI"}, false
	}
	request.Header = header.Clone()
	response, err := s.client.Do(request) //nolint:bodyclose // ReadAnswer does
	if err != nil {
		return s.unreachable(ctx, err), false
	}
	push.ReadAnswer(response.Body) // it says nothing, but has to be read for the next request
	return judge(response.StatusCode, response.Header, s.now()), response.StatusCode == http.StatusUnauthorized
}

// unreachable is the result without an answer. An address that is not of the public
// network is the device's, unless all are replaced by one.
func (s *sender) unreachable(ctx context.Context, err error) push.Result {
	r := push.Unreachable(ctx, err)
	if r.Outcome == push.Rejected && s.endpoint != nil {
		r.Outcome, r.Class = push.Retryable, push.NetworkTransport
	}
	return r
}

// Close lets go of connections.
func (s *sender) Close() { s.client.CloseIdleConnections() }
