package apns

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name of a message is no secret
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/sideshow/apns2"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/push"
)

// sender sends with one set of credentials.
type sender struct {
	credentials *credentials
	options     push.ConnectOptions
	bearer      *bearer
	// clients are by environment. With an endpoint there is one for both.
	clients map[string]*apns2.Client
	wires   []*wire
	close   func()
}

func newSender(c *credentials, o push.ConnectOptions) (*sender, error) {
	s := &sender{credentials: c, options: o, clients: map[string]*apns2.Client{}}
	for _, environment := range []string{production, sandbox} {
		host := hosts[environment]
		if o.Endpoint != "" {
			if host = strings.TrimRight(o.Endpoint, "/"); environment == sandbox {
				s.clients[sandbox] = s.clients[production]
				break
			}
		}
		w, err := newWire(host, c.certificate, &s.options)
		if err != nil {
			return nil, err
		}
		s.wires = append(s.wires, w)
		client := s.options.Client()
		client.Transport = w
		s.clients[environment] = &apns2.Client{Host: host, HTTPClient: client}
	}
	var err error
	if s.bearer, err = bearers.take(c, s.options.Clock()); err != nil {
		return nil, err
	}
	if c.certificate == nil {
		for _, client := range s.clients {
			client.Token = s.bearer.carrier
		}
	}
	s.close = sync.OnceFunc(func() {
		for _, w := range s.wires {
			w.pool.close()
		}
		if c.key != nil {
			bearers.give(s.bearer)
		}
	})
	return s, nil
}

// Close lets go of connections, once what is under way has its answer.
func (s *sender) Close() { s.close() }

// Send makes one attempt, and a second request if the token was too old for the first.
func (s *sender) Send(ctx context.Context, n *push.Notification) push.Result {
	p, err := parsePayload(n.Payload)
	if err != nil {
		return refused(push.CallerPayload, err.Error())
	}
	m, err := s.message(n, &p)
	if err != nil {
		return refused(push.CallerPayload, err.Error())
	}
	if m.Topic == "" && s.credentials.certificate == nil {
		return refused(push.CredentialAuth, "the credentials have no bundle id")
	}
	environment := n.Recipient.Environment
	client := s.clients[environment]
	if environment == "" {
		client = s.clients[s.credentials.environment]
	}
	if client == nil {
		return refused(push.CallerPayload, "the environment is not one of APNs")
	}
	bounded, cancel := context.WithTimeout(ctx, client.HTTPClient.Timeout)
	defer cancel()
	for first := true; ; first = false {
		if err := s.bearer.refresh(s.options.Clock()); err != nil {
			return refused(push.CredentialAuth, "no token can be made with the key")
		}
		x := exchange{body: p.body, expires: expires(n, &p.headers)}
		if _, err := client.PushWithContext(context.WithValue(bounded, exchangeKey{}, &x), m); err != nil {
			return s.unreachable(ctx, err)
		}
		if first && x.answer.reason == expiredToken && s.bearer.renew(x.token, s.options.Clock()) {
			continue
		}
		if x.answer.id == "" {
			x.answer.id = m.ApnsID
		}
		return x.answer.result(environment)
	}
}

// message is the notification as the library takes it.
func (s *sender) message(n *push.Notification, p *payload) (*apns2.Notification, error) {
	token, ok := deviceToken(n.Recipient.DeviceToken)
	if !ok {
		return nil, errors.New("the address is not one of APNs")
	}
	topic, ok := p.topicFor(s.credentials.bundle)
	if !ok {
		return nil, errors.New("apns-topic is of another app than the credentials")
	}
	m := &apns2.Notification{
		ApnsID: messageID(n.Key), DeviceToken: token, Topic: topic, CollapseID: p.collapse,
		Priority: p.priority, PushType: apns2.EPushType(p.pushType), Payload: p.body,
	}
	if m.CollapseID == "" {
		m.CollapseID = collapseID(n.CollapseKey)
	}
	return m, nil
}

// expires is when APNs is to give up: when the notification ends, or before if the
// payload says so.
func expires(n *push.Notification, h *headers) string {
	end := n.Expires.Unix()
	if h.expires != nil {
		end = min(end, *h.expires)
	}
	return strconv.FormatInt(end, 10)
}

// refused is the result of an attempt that needs no request.
func refused(class push.Class, reason string) push.Result {
	return push.Result{Outcome: push.Rejected, Class: class, Reason: reason}
}

// unreachable is the result of an attempt without an answer.
func (s *sender) unreachable(ctx context.Context, err error) push.Result {
	r := push.Unreachable(ctx, err)
	remote, ok := errors.AsType[*net.OpError](err)
	switch {
	case r.Outcome == push.Cancelled:
	case errors.Is(err, netguard.ErrPrivate):
		// No device is to blame for the address of the service.
		r.Outcome, r.Class = push.Retryable, push.NetworkTransport
	case ok && remote.Op == "remote error" && s.credentials.certificate != nil:
		r.Outcome, r.Class, r.Reason = push.Retryable, push.CredentialAuth, "the service has refused the certificate"
	}
	return r
}

// messageID is the UUID of version 5 of a notification's key, so that it is the same
// in every attempt.
func messageID(key string) string {
	const namespace = "\x6b\x0e\x5d\x1c\x94\x3a\x4f\x7e\x8a\x21\xd3\x70\x5b\xc8\x16\xf4" // our own
	sum := sha1.Sum([]byte(namespace + key))                                             //nolint:gosec // as RFC 9562 wants it
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
