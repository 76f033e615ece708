// Package webpush sends notifications to browsers by way of their push services, as
// RFC 8030 says. Messages are encrypted as in RFC 8291, so that only the browser can
// read them, and tell who sends them as in RFC 8292.
//
// Encrypted messages are not padded: how long one is can be seen by the push service,
// and in turn every one is as small as it can be. A service worker gets the JSON object
// with the members notification and data.
package webpush

import (
	"encoding/json"

	"github.com/sockudo/caddy-sockudo/push"
)

// Provider is Web Push.
type Provider struct{}

// Kind is push.WebPush.
func (Provider) Kind() push.Kind { return push.WebPush }

// CheckRecipient refuses a subscription that no browser can have given, or whose host
// the policy does not admit. It writes the keys in the unpadded alphabet for URLs.
func (Provider) CheckRecipient(r *push.Recipient, p push.Policy) error {
	if err := checkEndpoint(r.Endpoint, p); err != nil {
		return err
	}
	key, err := decodePoint("p256dh", r.P256dh)
	if err != nil {
		return err
	}
	auth, err := decodeAuth(r.Auth)
	if err != nil {
		return err
	}
	r.P256dh, r.Auth = encoding.EncodeToString(key.Bytes()), encoding.EncodeToString(auth)
	return nil
}

// Render makes {"headers":{…},"notification":{…},"data":{…}}. The headers are those of
// the request and no part of what is encrypted.
func (Provider) Render(c *push.Content) (json.RawMessage, error) { return render(c) }

// CheckPayload refuses headers that have no meaning, and a message that is too long for
// a push service. The names of its faults are below the payload's, except payload.
func (Provider) CheckPayload(payload json.RawMessage, _ bool) error {
	_, err := readMessage(payload)
	return err
}

// CheckMaterial refuses a pair of keys that is none, and a subject that is nobody's
// address.
func (Provider) CheckMaterial(material json.RawMessage) error {
	_, err := readMaterial(material)
	return err
}

// Connect makes a sender with a pair of keys.
func (Provider) Connect(material json.RawMessage, o push.ConnectOptions) (push.Sender, error) {
	i, err := readMaterial(material)
	if err != nil {
		return nil, err
	}
	return &sender{identity: i, client: o.Client(), now: o.Clock}, nil
}

var _ push.Provider = Provider{}
