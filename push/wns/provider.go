// Package wns sends notifications by Windows Push Notification Services: one request to
// the channel of each device, with access tokens that it fetches for an app's package.
package wns

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

const (
	tokenEndpoint = "https://login.live.com/accesstoken.srf" //nolint:gosec // an address
	// hosts are those of channels, and only those below.
	hosts = ".notify.windows.com"
	// maxURI is the length of the longest channel URI, in bytes.
	maxURI = 2048
)

// Provider is Windows Push Notification Services.
type Provider struct{}

// Kind is push.WNS.
func (Provider) Kind() push.Kind { return push.WNS }

// CheckRecipient refuses a channel URI that is not https, or not at a host of the
// service unless the policy admits others.
func (Provider) CheckRecipient(r *push.Recipient, p push.Policy) error {
	_, err := parseChannel(r.ChannelURI, p.AllowLocal)
	return err
}

// hostForm is that of a name, so that none is written in a way that others read in
// another one.
var hostForm = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*$`)

// parseChannel reads a channel URI, at any host or at one of the service.
func parseChannel(text string, anywhere bool) (*url.URL, error) {
	const field = "channelUri"
	switch {
	case text == "":
		return nil, push.Fault(field, "it is missing")
	case len(text) > maxURI:
		return nil, push.Fault(field, "it has %d bytes, more than %d", len(text), maxURI)
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }):
		return nil, push.Fault(field, "it must not have white space, backslashes or characters beyond ASCII")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, push.Fault(field, "it is no URI")
	case u.Scheme != "https":
		return nil, push.Fault(field, "it must begin with https://")
	case u.User != nil:
		return nil, push.Fault(field, "it must not have a user")
	case u.Hostname() == "":
		return nil, push.Fault(field, "it has no host")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, push.Fault(field, "it must not have a fragment")
	case anywhere:
		return u, nil
	}
	host := strings.ToLower(u.Host)
	if name, found := strings.CutSuffix(host, ":443"); found {
		host = name
	}
	if !hostForm.MatchString(host) || !strings.HasSuffix(host, hosts) {
		return nil, push.Fault(field, "its host must end in %s", hosts)
	}
	return u, nil
}

// Render makes the payload of a toast.
func (Provider) Render(c *push.Content) (json.RawMessage, error) { return render(c) }

// CheckPayload refuses a payload that cannot be sent, or is too large as it is sent.
func (Provider) CheckPayload(payload json.RawMessage, _ bool) error {
	m, err := parse(payload)
	if err != nil {
		return err
	}
	if size := len(m.content()); size > MaxPayload {
		return push.Fault("payload", "what is sent has %d bytes, more than %d", size, MaxPayload)
	}
	return nil
}

// CheckMaterial refuses credentials that are neither those of a package nor a token.
func (Provider) CheckMaterial(text json.RawMessage) error {
	_, err := parseMaterial(text)
	return err
}

// Connect makes a sender for the package of the credentials.
func (Provider) Connect(text json.RawMessage, o push.ConnectOptions) (push.Sender, error) {
	m, err := parseMaterial(text)
	if err != nil {
		return nil, err
	}
	s := &sender{client: o.Client(), now: o.Clock, anywhere: o.AllowPrivate}
	if o.Endpoint != "" {
		if s.endpoint, err = url.Parse(o.Endpoint); err != nil || s.endpoint.Host == "" {
			return nil, push.Fault("endpoint", "it is not a scheme and a host")
		}
	}
	s.tokens = m.tokens(&o, s.client)
	return s, nil
}
