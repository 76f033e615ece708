package hms

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// sender sends for one app.
type sender struct {
	client *http.Client
	tokens *push.TokenCache
	now    func() time.Time
	url    string
}

// Send makes one request, and one more with a new access token if the service refuses
// the first one's.
func (s *sender) Send(ctx context.Context, n *push.Notification) push.Result {
	m, err := parse(n.Payload)
	var body []byte
	if err == nil {
		body, err = m.encode(n.Recipient.RegistrationToken, n.TTL)
	}
	if err != nil {
		return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "the payload is no message of HMS"}
	}
	ctx, cancel := context.WithTimeout(ctx, s.client.Timeout)
	defer cancel()
	for again := false; ; again = true {
		token, err := s.tokens.Get(ctx)
		if err != nil {
			return push.NoToken(ctx, err)
		}
		r, stale := s.attempt(ctx, token, body, n.Recipient.RegistrationToken)
		if !stale || again || !s.tokens.Invalidate(token) {
			return r
		}
	}
}

// attempt makes one request. It reports whether the access token has been refused.
func (s *sender) attempt(ctx context.Context, token string, body []byte, device string) (r push.Result, stale bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, Reason: "the address of the service is no URL"}, false
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := s.client.Do(request)
	if err != nil {
		return unreachable(ctx, err), false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, push.MaxAnswer))
	if err != nil && response.StatusCode < http.StatusMultipleChoices {
		return unreachable(ctx, err), false // what has come of the message stands in the body
	}
	return judge(&answer{status: response.StatusCode, header: response.Header, body: text, device: device, at: s.now()})
}

// unreachable is the result without an answer. The address is never the device's.
func unreachable(ctx context.Context, err error) push.Result {
	r := push.Unreachable(ctx, err)
	if r.Outcome == push.Rejected {
		r.Outcome, r.Class = push.Retryable, push.NetworkTransport
	}
	return r
}

// Close lets go of connections.
func (s *sender) Close() { s.client.CloseIdleConnections() }
