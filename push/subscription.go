package push

import (
	"strings"
)

// Subscription is that of a device to a channel (section 4).
type Subscription struct {
	Channel           string `json:"channel"`
	DeviceID          string `json:"deviceId"`
	ClientID          string `json:"clientId,omitempty"`
	Provider          Kind   `json:"provider"`
	TokenHash         string `json:"tokenHash"`
	CredentialVersion int64  `json:"credentialVersion,omitempty"`
}

// clientScope begins the device id of a subscription that stands for all devices of a
// client (section 4).
const clientScope = "__sockudo_client_scope__:"

// ClientScope is the device id of subscriptions that stand for all devices of a client.
func ClientScope(clientID string) string { return clientScope + Hash(clientID) }

// OfClient reports whether the subscription stands for all devices of its client.
func (s *Subscription) OfClient() bool { return strings.HasPrefix(s.DeviceID, clientScope) }

// SubscriptionView is the JSON of a subscription in requests and answers.
type SubscriptionView struct {
	AppID             string  `json:"appId"`
	Channel           string  `json:"channel"`
	DeviceID          string  `json:"deviceId"`
	ClientID          *string `json:"clientId"`
	Provider          Kind    `json:"provider"`
	TokenHash         string  `json:"tokenHash"`
	CredentialVersion *int64  `json:"credentialVersion"`
}

// View is the subscription as it is shown.
func (s *Subscription) View(app string) SubscriptionView {
	v := SubscriptionView{
		AppID: app, Channel: s.Channel, DeviceID: s.DeviceID, ClientID: optional(s.ClientID),
		Provider: s.Provider, TokenHash: s.TokenHash,
	}
	if s.CredentialVersion != 0 {
		v.CredentialVersion = &s.CredentialVersion
	}
	return v
}

// Normalize checks a subscription that somebody has sent, and fills what follows from the
// rest: one with a client and no device is that of all the client's devices. Provider and
// TokenHash may be missing, because the device has them.
func (s *Subscription) Normalize() error {
	if err := checkName("channel", s.Channel); err != nil {
		return err
	}
	if s.ClientID != "" {
		if err := checkName("clientId", s.ClientID); err != nil {
			return err
		}
	}
	if s.DeviceID == "" && s.ClientID != "" {
		s.DeviceID = ClientScope(s.ClientID)
	}
	if err := checkName("deviceId", s.DeviceID); err != nil {
		return err
	}
	if s.OfClient() {
		if s.ClientID == "" || s.DeviceID != ClientScope(s.ClientID) {
			return Fault("deviceId", "it must not begin with %q, unless it is that of clientId", clientScope)
		}
		s.Provider, s.TokenHash = Realtime, Hash(s.ClientID)
	}
	if s.Provider != "" {
		kind, err := ParseKind(string(s.Provider))
		if err != nil {
			return Fault("provider", "there is no such provider")
		}
		s.Provider = kind
	}
	if s.CredentialVersion < 0 {
		return Fault("credentialVersion", "it must not be negative")
	}
	return checkLength("tokenHash", s.TokenHash, maxWord)
}
