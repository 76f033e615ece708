package push

import (
	"encoding/json"
	"strconv"
)

// MaxTargets bounds those of one publish.
const MaxTargets = 1024

// TargetType says what a target is.
type TargetType string

// The targets of a publish (section 7.2).
const (
	ToDevice    TargetType = "device"
	ToClient    TargetType = "client"
	ToChannel   TargetType = "channel"
	ToRecipient TargetType = "recipient"
	ToTopic     TargetType = "providerTopic"
	ToCondition TargetType = "providerCondition"
)

// unknownTargets are those that upstream accepts and never delivers to.
var unknownTargets = map[TargetType]bool{"registeredTopic": true, "userTopic": true, "indexedFilter": true}

// Target is whom a publish is for. Of its members those of its type are set.
type Target struct {
	Type      TargetType `json:"type"`
	Channel   string     `json:"channel,omitempty"`
	ClientID  string     `json:"client_id,omitempty"`
	DeviceID  string     `json:"device_id,omitempty"`
	Recipient *Recipient `json:"recipient,omitempty"`
	Provider  string     `json:"provider,omitempty"`
	Topic     string     `json:"topic,omitempty"`
	Condition string     `json:"condition,omitempty"`
}

// UnmarshalJSON reads a target with members in either spelling.
func (t *Target) UnmarshalJSON(b []byte) error {
	type plain Target
	var read struct {
		plain
		ClientID2 string `json:"clientId"`
		DeviceID2 string `json:"deviceId"`
	}
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	*t = Target(read.plain)
	if t.ClientID == "" {
		t.ClientID = read.ClientID2
	}
	if t.DeviceID == "" {
		t.DeviceID = read.DeviceID2
	}
	return nil
}

// check refuses a target that leads nowhere, and gives addresses their kept form.
func (t *Target) check(field string, registry *Registry) error {
	named := func(member, value string) error {
		switch {
		case value == "":
			return Fault(field+"."+member, "must not be empty for the type %s", t.Type)
		case len(value) > MaxName:
			return Fault(field+"."+member, "is longer than %d bytes", MaxName)
		}
		return nil
	}
	switch t.Type {
	case ToDevice:
		return named("device_id", t.DeviceID)
	case ToClient:
		return named("client_id", t.ClientID)
	case ToChannel:
		return named("channel", t.Channel)
	case ToRecipient:
		if t.Recipient == nil {
			return Fault(field+".recipient", "is missing")
		}
		if t.Recipient.Topic != "" || t.Recipient.Condition != "" {
			return Fault(field+".recipient", "topics and conditions are targets of the types providerTopic and providerCondition")
		}
		return under(field+".recipient", registry.CheckRecipient(t.Recipient))
	case ToTopic, ToCondition:
		if t.Provider != string(FCM) {
			return Fault(field+".provider", "only fcm has topics and conditions, not %q", t.Provider)
		}
		t.Recipient = &Recipient{TransportType: "gcm", Topic: t.Topic, Condition: t.Condition}
		if t.Type == ToTopic {
			t.Recipient.Condition = ""
		} else {
			t.Recipient.Topic = ""
		}
		if t.Recipient.Address() == "" {
			return Fault(field, "the %s is missing", map[TargetType]string{ToTopic: "topic", ToCondition: "condition"}[t.Type])
		}
		return under(field, registry.checkAt(t.Recipient))
	}
	if unknownTargets[t.Type] {
		return Fault(field+".type", "%q is not supported: nothing would be delivered", t.Type)
	}
	return Fault(field+".type", "unknown type %q, which may be device, client, channel, recipient, providerTopic or providerCondition", t.Type)
}

// direct is the address of a target that is one, and nil for others.
func (t *Target) direct() *Recipient {
	if t.Type == ToRecipient || t.Type == ToTopic || t.Type == ToCondition {
		return t.Recipient
	}
	return nil
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
