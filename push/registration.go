package push

import (
	"encoding/json"
	"slices"
	"strings"
)

// Registration is a request to register a device (section 3.0). What the server decides
// itself, such as appId and deviceSecret, is accepted and not looked at.
type Registration struct {
	ID             string           `json:"id"`
	ClientID       string           `json:"clientId"`
	FormFactor     string           `json:"formFactor"`
	Platform       string           `json:"platform"`
	Metadata       json.RawMessage  `json:"metadata"`
	Timezone       string           `json:"timezone"`
	Locale         string           `json:"locale"`
	LastActiveAtMS int64            `json:"lastActiveAtMs"`
	Push           RegistrationPush `json:"push"`
	Rate           *RatePolicy      `json:"pushRatePolicy"`
}

// RegistrationPush is the address of a device, and what its owner knows of it.
type RegistrationPush struct {
	Recipient Recipient `json:"recipient"`
	// State is ACTIVE unless it is given.
	State    State  `json:"state"`
	Failures int    `json:"failureCount"`
	Error    string `json:"errorReason"`
}

// ParseRegistration reads a request without checking its values.
func ParseRegistration(body []byte) (*Registration, error) {
	r := &Registration{}
	if err := Parse(body, r); err != nil {
		return nil, err
	}
	return r, nil
}

var (
	formFactors = []string{"phone", "tablet", "desktop", "tv", "car", "watch", "embedded", "other"}
	platforms   = []string{"android", "ios", "browser", "windows", "macos", "watchos", "tvos", "other"}
	states      = []State{Active, Failing, Failed}
)

// maxRate bounds the numbers of a RatePolicy and counts of failures.
const maxRate = 1_000_000

// check makes a device of the request.
func (g *Registry) check(r *Registration) (*Device, error) {
	if err := r.checkWords(); err != nil {
		return nil, err
	}
	metadata, err := compact("metadata", r.Metadata, MaxMetadata)
	if err != nil {
		return nil, err
	}
	recipient := r.Push.Recipient
	if err := g.CheckRecipient(&recipient); err != nil {
		return nil, under("push.recipient", err)
	}
	d := &Device{
		ID: r.ID, ClientID: r.ClientID, FormFactor: r.FormFactor, Platform: r.Platform, Metadata: metadata,
		Timezone: r.Timezone, Locale: r.Locale, LastActiveAtMS: r.LastActiveAtMS, Recipient: recipient,
		State: r.Push.State, Failures: r.Push.Failures, Error: RedactReason(r.Push.Error), Rate: r.Rate,
	}
	if d.State == "" {
		d.State = Active
	}
	return d, nil
}

// checkWords checks everything but the address and the metadata.
func (r *Registration) checkWords() error {
	if err := checkName("id", r.ID); err != nil {
		return err
	}
	if strings.HasPrefix(r.ID, clientScope) {
		return Fault("id", "it must not begin with %q", clientScope)
	}
	if r.ClientID != "" {
		if err := checkName("clientId", r.ClientID); err != nil {
			return err
		}
	}
	if err := checkWord("timezone", r.Timezone); err != nil {
		return err
	}
	if err := checkWord("locale", r.Locale); err != nil {
		return err
	}
	switch {
	case !slices.Contains(formFactors, r.FormFactor):
		return Fault("formFactor", "it must be one of %s", strings.Join(formFactors, ", "))
	case !slices.Contains(platforms, r.Platform):
		return Fault("platform", "it must be one of %s", strings.Join(platforms, ", "))
	case r.Push.State != "" && !slices.Contains(states, r.Push.State):
		return Fault("push.state", "it must be ACTIVE, FAILING or FAILED")
	case r.Push.Failures < 0 || r.Push.Failures > maxRate:
		return Fault("push.failureCount", "it must be 0 to %d", maxRate)
	case r.LastActiveAtMS < 0:
		return Fault("lastActiveAtMs", "it must not be negative")
	}
	if p := r.Rate; p != nil {
		if p.Capacity < 1 || p.Capacity > maxRate {
			return Fault("pushRatePolicy.capacity", "it must be 1 to %d", maxRate)
		}
		if p.RefillPerSecond < 1 || p.RefillPerSecond > maxRate {
			return Fault("pushRatePolicy.refillPerSecond", "it must be 1 to %d", maxRate)
		}
	}
	return nil
}

// CheckRecipient refuses an address that no single device can have, names its member,
// and puts it into the form in which it is kept.
func (g *Registry) CheckRecipient(r *Recipient) error {
	kind := r.Kind()
	if kind == "" {
		return Fault("transportType", "it must be one of gcm, apns, web, hms, wns, realtime")
	}
	if r.Topic != "" || r.Condition != "" {
		return Fault("topic", "a topic or condition is not an address of one device")
	}
	r.only()
	if r.TransportType == "" || strings.TrimSpace(r.Address()) == "" {
		return Fault(r.member(), "it must not be empty")
	}
	if len(r.Address()) > maxAddress {
		return Fault(r.member(), "it has %d bytes, more than %d", len(r.Address()), maxAddress)
	}
	return g.checkAt(r)
}

// checkAt refuses what the provider of an address does not take for one.
func (g *Registry) checkAt(r *Recipient) error {
	kind := r.Kind()
	if p := g.o.Providers[kind]; p != nil {
		return p.CheckRecipient(r, g.o.Policy)
	}
	if kind != Realtime {
		return Fault("transportType", "this server has no provider %s", kind)
	}
	return checkName("channel", r.Channel)
}

// member is the name of the recipient's address in JSON.
func (r *Recipient) member() string {
	switch r.Kind() {
	case APNs:
		return "deviceToken"
	case WebPush:
		return "endpoint"
	case WNS:
		return "channelUri"
	case Realtime:
		return "channel"
	case FCM, HMS:
	}
	return "registrationToken"
}
