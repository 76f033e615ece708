package webpush

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

// maxLocation bounds the name of a message, in bytes.
const maxLocation = 1024

// sender sends with one pair of keys, to whatever service a subscription is of.
type sender struct {
	*identity
	client *http.Client
	now    func() time.Time
}

// Close lets go of idle connections.
func (s *sender) Close() { s.client.CloseIdleConnections() }

// Send encrypts a notification and hands it to the push service of its recipient.
func (s *sender) Send(ctx context.Context, n *push.Notification) push.Result {
	request, failure := s.request(ctx, n)
	if failure != nil {
		return *failure
	}
	answer, err := s.client.Do(request) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		r := push.Unreachable(ctx, err)
		r.DeviceOnly = true // other recipients have other services
		return r
	}
	return s.result(answer, push.ReadAnswer(answer.Body))
}

// request makes the request. What is wrong with a recipient here has been refused when
// it was registered, so it is no reason to remove a device.
func (s *sender) request(ctx context.Context, n *push.Notification) (*http.Request, *push.Result) {
	u, err := url.Parse(n.Recipient.Endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, refused(push.DeviceTransient, "the endpoint is not an https URL")
	}
	key, err := decodePoint("p256dh", n.Recipient.P256dh)
	if err != nil {
		return nil, refused(push.DeviceTransient, err.Error())
	}
	auth, err := decodeAuth(n.Recipient.Auth)
	if err != nil {
		return nil, refused(push.DeviceTransient, err.Error())
	}
	m, err := readMessage(n.Payload)
	if err != nil {
		return nil, refused(push.CallerPayload, err.Error())
	}
	body, err := encrypt(m.plaintext, key, auth)
	if err != nil {
		return nil, refused(push.DeviceTransient, "the message cannot be encrypted for this recipient")
	}
	token, err := tokens.get(s.identity, originOf(u), s.now())
	if err != nil {
		return nil, refused(push.CredentialAuth, "the token cannot be signed")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Recipient.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, refused(push.DeviceTransient, "the endpoint is not an https URL")
	}
	h := request.Header
	h.Set("Content-Encoding", "aes128gcm")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Authorization", "vapid t="+token+", k="+s.public)
	h.Set("TTL", strconv.FormatInt(m.lifetime(n.TTL), 10))
	h.Set("Urgency", m.urgency)
	if topic := m.topic; topic != "" {
		h.Set("Topic", topic)
	} else if topic := topicOf(n.CollapseKey); topic != "" {
		h.Set("Topic", topic)
	}
	return request, nil
}

// lifetime is how long the service is to keep the message, in seconds: what is left of
// it, or less if the payload wants that.
func (m *message) lifetime(left time.Duration) int64 {
	ttl := min(left, maxTTL)
	if m.ttl != nil {
		ttl = min(ttl, *m.ttl)
	}
	return int64(max(ttl, 0) / time.Second)
}

func refused(class push.Class, reason string) *push.Result {
	return &push.Result{Outcome: push.Rejected, Class: class, Reason: reason}
}

// result reads the answer. What it asks for is about this recipient alone: others have
// other services, and anybody can have one of his own that answers as he likes.
func (s *sender) result(answer *http.Response, body []byte) push.Result {
	r := push.Result{Outcome: push.Rejected, Class: push.UnknownFailure, Reason: reason(answer.StatusCode, body)}
	wait := retryafter.Parse(answer.Header.Get("Retry-After"), s.now())
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		r = push.Result{Outcome: push.Accepted}
		if location := answer.Header.Get("Location"); len(location) <= maxLocation {
			r.MessageID = location
		}
	case code >= 300 && code < 400:
		r.Class, r.Reason = push.DeviceTransient, r.Reason+": a redirect, which is not followed"
	case code == http.StatusNotFound || code == http.StatusGone:
		r.Class = push.DeviceTerminal
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge:
		r.Class = push.CallerPayload
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		// A subscription is bound to the key that it was made with. With the old key it would
		// still be good, so it is not the device that has to go.
		r.Class = push.CredentialAuth
	case code == http.StatusTooManyRequests:
		r.Outcome, r.Class, r.RetryAfter, r.DeviceOnly = push.Retryable, push.ProviderQuota, wait, true
	case code >= 500:
		r.Outcome, r.Class, r.RetryAfter, r.DeviceOnly = push.Retryable, push.ProviderTransient, wait, true
	}
	return r
}

// reason is the status, and the word or number that some services give besides. Nothing
// else is taken from the body, in which a service may repeat what it was sent.
func reason(status int, body []byte) string {
	text := strconv.Itoa(status)
	var said struct {
		Reason string `json:"reason"` // Apple
		Errno  int    `json:"errno"`  // Mozilla
	}
	if json.Unmarshal(body, &said) != nil {
		return text
	}
	if said.Errno > 0 && said.Errno < 10000 {
		text += fmt.Sprintf(" errno %d", said.Errno)
	}
	if said.Reason != "" && len(said.Reason) <= 64 && !strings.ContainsFunc(said.Reason, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		text += " " + said.Reason
	}
	return text
}
