package apns

import (
	"encoding/json"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// The environments of devices and credentials.
const (
	production = "production"
	sandbox    = "sandbox"
)

// hosts are Apple's, by environment.
var hosts = map[string]string{
	production: "https://api.push.apple.com",
	sandbox:    "https://api.sandbox.push.apple.com",
}

// Provider is what the pipeline has to know of APNs.
type Provider struct {
	// BundleID is the app of keys and tokens that do not say which they are for. Default:
	// none, and then they cannot be sent with.
	BundleID string
}

var _ push.Provider = Provider{}

// Kind is apns.
func (Provider) Kind() push.Kind { return push.APNs }

// CheckRecipient takes a token of 64 to 200 hexadecimal digits and makes them lowercase,
// which is how APNs writes them.
func (Provider) CheckRecipient(r *push.Recipient, _ push.Policy) error {
	token, ok := deviceToken(r.DeviceToken)
	switch {
	case r.DeviceToken == "":
		return push.Fault("deviceToken", "is missing")
	case !ok:
		return push.Fault("deviceToken", "must be from 64 to 200 hexadecimal digits, an even number of them")
	case r.Environment != "" && hosts[r.Environment] == "":
		return push.Fault("environment", "must be %s or %s", production, sandbox)
	}
	r.DeviceToken = token
	return nil
}

// deviceToken is a token in the form in which it is kept. It is part of a path later, so
// nothing else may get through.
func deviceToken(text string) (string, bool) {
	if len(text) < 64 || len(text) > 200 || len(text)%2 != 0 {
		return "", false
	}
	lower := []byte(text)
	for i, c := range lower {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			lower[i] = c + 'a' - 'A'
		default:
			return "", false
		}
	}
	return string(lower), true
}

// CheckMaterial refuses credentials that cannot be used, or not any more.
func (Provider) CheckMaterial(material json.RawMessage) error {
	c, err := parseCredentials(material)
	if err != nil {
		return err
	}
	if end := c.expiry(); !end.IsZero() && end.Before(time.Now()) {
		return push.Fault(c.field, "the certificate has expired on %s", end.UTC().Format(time.DateOnly))
	}
	return nil
}

// Connect makes a sender. Connections are made when there is something to send.
func (p Provider) Connect(material json.RawMessage, o push.ConnectOptions) (push.Sender, error) {
	c, err := parseCredentials(material)
	if err != nil {
		return nil, err
	}
	if c.bundle == "" && c.certificate == nil {
		c.bundle = p.BundleID
	}
	return newSender(c, o)
}
