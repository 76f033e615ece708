package fcm

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// maxCollapseID is the longest name that Apple takes for what replaces each other, in
// bytes, and maxWebTopic the longest that a browser's service takes.
const (
	maxCollapseID = 64
	maxWebTopic   = 32
)

var webTopic = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// The parts of a message that a notification without the form of a provider can fill.
// What has nothing to say is left out, since the service takes null for a fault in some
// of its members.
type (
	envelope struct {
		Message rendered `json:"message"`
	}
	rendered struct {
		Notification *notification     `json:"notification,omitempty"`
		Data         map[string]string `json:"data,omitempty"`
		Android      android           `json:"android"`
		APNs         *apns             `json:"apns,omitempty"`
		WebPush      webPush           `json:"webpush"`
	}
	notification struct {
		Title string `json:"title,omitempty"`
		Body  string `json:"body,omitempty"`
		Image string `json:"image,omitempty"`
	}
	android struct {
		CollapseKey  string `json:"collapse_key,omitempty"`
		Priority     string `json:"priority"`
		Notification *sound `json:"notification,omitempty"`
	}
	apns struct {
		Headers *apnsHeaders `json:"headers,omitempty"`
		Payload *apnsPayload `json:"payload,omitempty"`
	}
	apnsHeaders struct {
		CollapseID string `json:"apns-collapse-id"`
	}
	apnsPayload struct {
		APS sound `json:"aps"`
	}
	webPush struct {
		Headers webPushHeaders `json:"headers"`
	}
	webPushHeaders struct {
		Urgency string `json:"Urgency"`
		Topic   string `json:"Topic,omitempty"`
	}
	sound struct {
		Sound string `json:"sound"`
	}
)

// Render makes the message. The icon is its image only, because the icon of Android is
// the name of a picture within the app.
func (Provider) Render(c *push.Content) (json.RawMessage, error) {
	data, err := texts(c.Data)
	if err != nil {
		return nil, err
	}
	m := rendered{Data: data, Android: android{CollapseKey: c.CollapseKey, Priority: "HIGH"}}
	m.WebPush.Headers.Urgency = "high"
	if shown := (notification{c.Title, c.Body, c.Icon}); shown != (notification{}) {
		m.Notification = &shown
	}
	if c.CollapseKey != "" {
		m.APNs = &apns{Headers: &apnsHeaders{CollapseID: collapseID(c.CollapseKey)}}
		m.WebPush.Headers.Topic = topicOf(c.CollapseKey)
	}
	if c.Sound != "" {
		m.Android.Notification = &sound{c.Sound}
		m.APNs = cmp.Or(m.APNs, new(apns))
		m.APNs.Payload = &apnsPayload{sound{c.Sound}}
	}
	return encode(envelope{m})
}

// collapseID is the key as Apple takes it.
func collapseID(key string) string {
	if len(key) > maxCollapseID {
		return push.Hash(key)
	}
	return key
}

// topicOf is the key as a browser's service takes it.
func topicOf(key string) string {
	if len(key) <= maxWebTopic && webTopic.MatchString(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// texts are the members of a JSON object as the service wants them: texts as they are,
// anything else as its JSON, and nothing for null.
func texts(data json.RawMessage) (map[string]string, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	var members object
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, push.Fault("templateData", "must be a JSON object")
	}
	all := make(map[string]string, len(members))
	for name, value := range members {
		if reserved(name) {
			return nil, push.Fault("templateData", "%q is a name that FCM keeps for itself", shorten(name))
		}
		switch value[0] {
		case 'n': // null
		case '"':
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, push.Fault("templateData", "%q is not a text", shorten(name))
			}
			all[name] = text
		default:
			var b bytes.Buffer
			if err := json.Compact(&b, value); err != nil {
				return nil, push.Fault("templateData", "%q is not JSON", shorten(name))
			}
			all[name] = b.String()
		}
	}
	return all, nil
}

// reserved reports whether no data may have this name.
func reserved(name string) bool {
	return name == "from" || name == "message_type" || strings.HasPrefix(name, "google") || strings.HasPrefix(name, "gcm")
}

// shorten bounds a name that is shown in an error.
func shorten(name string) string {
	if len(name) > 64 {
		return name[:64] + "…"
	}
	return name
}

// encode is JSON without the escapes for HTML, which would count towards the limit.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
