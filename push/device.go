package push

import (
	"encoding/json"
)

// State is that of a device (section 3.3).
type State string

// The states of devices.
const (
	Active  State = "ACTIVE"
	Failing State = "FAILING"
	Failed  State = "FAILED"
)

// Device is a registered device, as the store has it.
type Device struct {
	ID             string          `json:"id"`
	ClientID       string          `json:"clientId,omitempty"`
	FormFactor     string          `json:"formFactor"`
	Platform       string          `json:"platform"`
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	Timezone       string          `json:"timezone"`
	Locale         string          `json:"locale"`
	LastActiveAtMS int64           `json:"lastActiveAtMs,omitempty"`
	Recipient      Recipient       `json:"recipient"`
	State          State           `json:"state"`
	Failures       int             `json:"failures,omitempty"`
	// Error is why the device is not ACTIVE, without anything of its address.
	Error string `json:"error,omitempty"`
	// Secret is the hash of the device's identity token.
	Secret string `json:"secret"`
	// Rate bounds notifications that name this device.
	Rate *RatePolicy `json:"rate,omitempty"`
	// RegisteredAtMS is when it has got its Recipient.
	RegisteredAtMS int64 `json:"registeredAtMs"`
	// SeenAtMS is its last sign of life by our clock: a registration or a delivery. Nobody
	// believes LastActiveAtMS, which devices may say themselves.
	SeenAtMS int64 `json:"seenAtMs"`
	// InvalidAtMS is when the provider has called the address invalid, zero if it has not. The
	// device is removed some time after that.
	InvalidAtMS int64 `json:"invalidAtMs,omitempty"`
	// Removing says that the device is being removed with all that belongs to it. It does
	// not exist any more for anybody else.
	Removing bool `json:"removing,omitempty"`
	// Hash is the TokenHash of a Recipient that is encrypted in Sealed.
	Hash   string `json:"hash,omitempty"`
	Sealed string `json:"sealed,omitempty"`

	// version and due are those of the record.
	version uint64
	due     int64
}

// DeviceView is what anybody is told of a device (section 3.2). It has nothing of its
// address, secret or metadata.
type DeviceView struct {
	AppID          string        `json:"appId"`
	ID             string        `json:"id"`
	ClientID       *string       `json:"clientId"`
	FormFactor     string        `json:"formFactor"`
	Platform       string        `json:"platform"`
	Timezone       string        `json:"timezone"`
	Locale         string        `json:"locale"`
	LastActiveAtMS int64         `json:"lastActiveAtMs"`
	PushState      State         `json:"pushState"`
	Failures       int           `json:"pushFailureCount"`
	Recipient      RecipientView `json:"recipient"`
}

// RecipientView names an address without telling it.
type RecipientView struct {
	TransportType string `json:"transportType"`
	Provider      Kind   `json:"provider"`
	TokenHash     string `json:"tokenHash"`
}

// View is what anybody is told of the device.
func (d *Device) View(app string) DeviceView {
	return DeviceView{
		AppID: app, ID: d.ID, ClientID: optional(d.ClientID), FormFactor: d.FormFactor, Platform: d.Platform,
		Timezone: d.Timezone, Locale: d.Locale, LastActiveAtMS: d.LastActiveAtMS, PushState: d.State, Failures: d.Failures,
		Recipient: RecipientView{TransportType: d.Recipient.TransportType, Provider: d.Recipient.Kind(), TokenHash: d.TokenHash()},
	}
}

// TokenHash is that of the recipient.
func (d *Device) TokenHash() string {
	if d.Hash != "" {
		return d.Hash
	}
	return d.Recipient.TokenHash()
}

// optional is nil for an empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// RatePolicy bounds how often one device is notified (section 3.0).
type RatePolicy struct {
	// Capacity is how many notifications may come at once.
	Capacity int `json:"capacity"`
	// RefillPerSecond is how many of them there are again after a second.
	RefillPerSecond int `json:"refillPerSecond"`
}
