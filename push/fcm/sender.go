package fcm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"firebase.google.com/go/v4/messaging"

	"github.com/sockudo/caddy-sockudo/push"
)

const defaultEndpoint = "https://fcm.googleapis.com"

// sender sends for one project.
type sender struct {
	tokens  *tokens
	library *messaging.Client
	client  *http.Client
	clock   func() time.Time
}

// Connect makes a sender. Without leave for private addresses it wants TLS too.
func (Provider) Connect(m json.RawMessage, o push.ConnectOptions) (push.Sender, error) {
	c, err := parseMaterial(m)
	if err != nil {
		return nil, err
	}
	endpoint := cmp.Or(o.Endpoint, defaultEndpoint)
	u := parseAddress(endpoint)
	if u == nil || u.Scheme != "https" && !o.AllowPrivate {
		return nil, push.Fault("endpoint", "must be an https URL")
	}
	s := &sender{client: o.Client(), clock: o.Clock}
	if s.tokens, err = s.source(c, o.AllowPrivate); err != nil {
		return nil, err
	}
	if s.library, err = newLibrary(s.client, endpoint, c.project); err != nil {
		return nil, errors.New("the library for FCM does not start") // what it says may show settings of the machine
	}
	return s, nil
}

// source is where the access tokens of credentials come from.
func (s *sender) source(c *credentials, plain bool) (*tokens, error) {
	if c.account == nil {
		return &tokens{clock: s.clock, current: &token{text: c.token}}, nil
	}
	if u := parseAddress(c.account.TokenURI); u == nil || u.Scheme != "https" && !plain {
		return nil, push.Fault("serviceAccountJson.token_uri", "must be an https URL")
	}
	f := &fetcher{account: c.account, client: s.client, clock: s.clock}
	return &tokens{clock: s.clock, fetch: f.fetch}, nil
}

// Send makes one attempt. A token that the service refuses is replaced, and then the
// request is made once more: nothing has come of the first.
func (s *sender) Send(ctx context.Context, n *push.Notification) push.Result {
	body, err := complete(n)
	if err != nil {
		return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: faulty(err)}
	}
	with, failed := s.tokens.get(ctx)
	if failed != nil {
		return *failed
	}
	x := s.exchange(ctx, with.text, body, &n.Recipient)
	if x.answer.refusesToken() {
		with, failed = s.tokens.replace(ctx, with)
		switch {
		case failed != nil:
			return *failed
		case with != nil:
			x = s.exchange(ctx, with.text, body, &n.Recipient)
		}
	}
	return s.result(ctx, x, &n.Recipient)
}

// faulty says what is wrong with a payload, and nothing that is in it.
func faulty(err error) string {
	if f, ok := errors.AsType[*push.FieldError](err); ok {
		return f.Field + " is not as FCM takes it"
	}
	return err.Error()
}

// exchange has the library make a request.
func (s *sender) exchange(ctx context.Context, bearer string, body []byte, to *push.Recipient) *exchange {
	x := &exchange{bearer: bearer, body: body}
	m := &messaging.Message{Token: to.RegistrationToken}
	if to.Topic != "" || to.Condition != "" {
		m = &messaging.Message{Topic: to.Topic, Condition: to.Condition}
	}
	// What it says of the answer is less than the answer says.
	_, _ = s.library.Send(context.WithValue(ctx, exchangeKey{}, x), m)
	return x
}

func (s *sender) result(ctx context.Context, x *exchange, to *push.Recipient) push.Result {
	switch {
	case !x.done:
		return push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "the address is not one of FCM"}
	case x.answer.err != nil:
		return unreachable(ctx, x.answer.err)
	}
	return x.answer.result(s.clock(), to.RegistrationToken != "" && to.Topic == "" && to.Condition == "")
}

// Close lets go of the connections that are idle. Those in use are let go of when they
// have been so for a while.
func (s *sender) Close() { s.client.CloseIdleConnections() }
