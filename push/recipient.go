package push

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Recipient is an address at a provider (section 3.0).
type Recipient struct {
	// TransportType says whose address it is: gcm, apns, web, hms, wns or realtime.
	TransportType string `json:"transportType"`
	// RegistrationToken is that of gcm and hms.
	RegistrationToken string `json:"registrationToken,omitempty"`
	// DeviceToken is that of apns, in hexadecimal digits.
	DeviceToken string `json:"deviceToken,omitempty"`
	// Environment is production or sandbox for apns. Empty means the one of the credentials.
	Environment string `json:"environment,omitempty"`
	// Endpoint, P256dh and Auth are those of a web push subscription; the keys are unpadded
	// base64url.
	Endpoint string `json:"endpoint,omitempty"`
	P256dh   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
	// ChannelURI is that of wns.
	ChannelURI string `json:"channelUri,omitempty"`
	// Channel is that of realtime.
	Channel string `json:"channel,omitempty"`
	// Topic and Condition are addresses at fcm that stand for many devices. They cannot be
	// registered.
	Topic     string `json:"topic,omitempty"`
	Condition string `json:"condition,omitempty"`
}

// Kind is the provider of the address, empty for none that is known.
func (r *Recipient) Kind() Kind { return transports[r.TransportType] }

// Address is what the provider knows the recipient by.
func (r *Recipient) Address() string {
	switch r.Kind() {
	case FCM:
		switch {
		case r.Topic != "":
			return "topic:" + r.Topic
		case r.Condition != "":
			return "condition:" + r.Condition
		}
		return r.RegistrationToken
	case HMS:
		return r.RegistrationToken
	case APNs:
		return r.DeviceToken
	case WebPush:
		return r.Endpoint
	case WNS:
		return r.ChannelURI
	case Realtime:
		return r.Channel
	}
	return ""
}

// TokenHash names the address without telling it.
func (r *Recipient) TokenHash() string { return Hash(r.Address()) }

// String never tells the address.
func (r Recipient) String() string {
	return fmt.Sprintf("%s:%.12s", r.Kind(), r.TokenHash())
}

// GoString never tells the address.
func (r Recipient) GoString() string { return r.String() }

// only keeps the members that belong to the transport, so that equal addresses are equal
// texts.
func (r *Recipient) only() {
	kept := Recipient{TransportType: r.TransportType}
	switch r.Kind() {
	case FCM:
		kept.TransportType, kept.RegistrationToken, kept.Topic, kept.Condition = "gcm", r.RegistrationToken, r.Topic, r.Condition
	case HMS:
		kept.RegistrationToken = r.RegistrationToken
	case APNs:
		kept.DeviceToken, kept.Environment = r.DeviceToken, r.Environment
	case WebPush:
		kept.Endpoint, kept.P256dh, kept.Auth = r.Endpoint, r.P256dh, r.Auth
	case WNS:
		kept.ChannelURI = r.ChannelURI
	case Realtime:
		kept.Channel = r.Channel
	}
	*r = kept
}

// FieldError is a fault of one member of what somebody has sent.
type FieldError struct {
	// Field is its path, such as push.recipient.p256dh.
	Field string
	// Text says what is wrong with it.
	Text string
}

// Error names the member and the fault.
func (e *FieldError) Error() string { return e.Field + ": " + e.Text }

// Fault is a FieldError.
func Fault(field, format string, args ...any) error {
	return &FieldError{Field: field, Text: fmt.Sprintf(format, args...)}
}

// under puts a member's path below another.
func under(field string, err error) error {
	if f, ok := err.(*FieldError); ok { //nolint:errorlint // faults are not wrapped
		return &FieldError{Field: field + "." + f.Field, Text: f.Text}
	}
	return err
}

// raw makes JSON of a value that is known to be one.
func raw(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // what has been measured is not to grow
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
