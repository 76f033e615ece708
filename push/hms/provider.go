// Package hms sends notifications by Huawei's Push Kit, one request for each device,
// with access tokens that it fetches for an app's credentials.
package hms

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/push"
)

const (
	endpoint      = "https://push-api.cloud.huawei.com"
	tokenEndpoint = "https://oauth-login.cloud.huawei.com/oauth2/v3/token" //nolint:gosec // an address
	// maxToken is the length of the longest registration token that is kept, in bytes.
	maxToken = 4096
)

// Provider is Huawei's Push Kit.
type Provider struct{}

// Kind is push.HMS.
func (Provider) Kind() push.Kind { return push.HMS }

// CheckRecipient refuses a registration token that is empty, too long or not one word.
func (Provider) CheckRecipient(r *push.Recipient, _ push.Policy) error {
	const field = "registrationToken"
	token := r.RegistrationToken
	switch {
	case token == "":
		return push.Fault(field, "it is missing")
	case len(token) > maxToken:
		return push.Fault(field, "it has %d bytes, more than %d", len(token), maxToken)
	case !utf8.ValidString(token) || strings.ContainsFunc(token, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }):
		return push.Fault(field, "it must not have white space or control characters")
	}
	return nil
}

// Render makes the message of a notification (section 19.4), without the registration
// token and the time to live.
func (Provider) Render(c *push.Content) (json.RawMessage, error) { return render(c) }

// CheckPayload refuses a payload that is no message for one device, or too large.
func (Provider) CheckPayload(payload json.RawMessage, _ bool) error {
	m, err := parse(payload)
	if err != nil {
		return err
	}
	if size := m.size(); size > MaxPayload {
		return push.Fault("payload", "the message has %d bytes with its time to live, more than %d", size, MaxPayload)
	}
	return nil
}

// CheckMaterial refuses credentials without an app, or with neither or both of a secret
// and a token.
func (Provider) CheckMaterial(text json.RawMessage) error {
	_, err := parseMaterial(text)
	return err
}

// Connect makes a sender for the app of the credentials.
func (Provider) Connect(text json.RawMessage, o push.ConnectOptions) (push.Sender, error) {
	m, err := parseMaterial(text)
	if err != nil {
		return nil, err
	}
	s := &sender{
		client: o.Client(), now: o.Clock,
		url: cmp.Or(o.Endpoint, endpoint) + "/v1/" + url.PathEscape(m.AppID) + "/messages:send",
	}
	s.tokens = m.tokens(&o, s.client)
	return s, nil
}
