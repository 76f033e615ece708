package fcm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

const (
	maxPayload      = 4096
	maxTopicPayload = 2048
	maxTTL          = 2419200 * time.Second
)

var errTopicPayload = fmt.Errorf("the payload has more than the %d bytes that a topic takes", maxTopicPayload)

// object is a JSON object whose members are kept as they are, known to us or not.
type object = map[string]json.RawMessage

// addresses are the members that say who gets a message.
var addresses = []string{"token", "topic", "condition"}

// CheckPayload wants a message that is for nobody yet, with texts as its data, in no
// more than 4096 bytes.
func (Provider) CheckPayload(payload json.RawMessage, _ bool) error {
	message, err := read(payload)
	if err != nil {
		return err
	}
	if size := sizeOf(payload); size > maxPayload {
		return push.Fault("message", "the payload has %d bytes, more than %d", size, maxPayload)
	}
	if err := checkData(message["data"]); err != nil {
		return err
	}
	return addLife(message, time.Unix(0, 0), time.Second) // which finds what has another form
}

// read is the message of a payload.
func read(payload json.RawMessage) (object, error) {
	var outer object
	if json.Unmarshal(payload, &outer) != nil || outer == nil {
		return nil, push.Fault("message", "the payload must be a JSON object with a message")
	}
	for name := range outer {
		if name != "message" {
			return nil, push.Fault("message", "must be the only member of the payload, without %q beside it", shorten(name))
		}
	}
	var message object
	if json.Unmarshal(outer["message"], &message) != nil || message == nil {
		return nil, push.Fault("message", "must be a JSON object")
	}
	for _, name := range addresses {
		if _, ok := message[name]; ok {
			return nil, push.Fault("message."+name, "must not be written, because the recipients of the publish take its place")
		}
	}
	return message, nil
}

// sizeOf is the size of JSON without what only makes it pretty.
func sizeOf(payload json.RawMessage) int {
	var b bytes.Buffer
	if json.Compact(&b, payload) != nil {
		return len(payload)
	}
	return b.Len()
}

func checkData(data json.RawMessage) error {
	var members map[string]*string
	if len(data) == 0 {
		return nil
	}
	if json.Unmarshal(data, &members) != nil {
		return push.Fault("message.data", "must be an object whose members are all texts")
	}
	for name, text := range members {
		switch {
		case reserved(name):
			return push.Fault("message.data", "%q is a name that FCM keeps for itself", shorten(name))
		case text == nil:
			return push.Fault("message.data", "%q must be a text", shorten(name))
		}
	}
	return nil
}

// complete makes the body of a request of a notification's payload: with its address,
// and with how long it lives where the payload says nothing of that.
func complete(n *push.Notification) (json.RawMessage, error) {
	message, err := read(n.Payload)
	if err != nil {
		return nil, err
	}
	name, address := "token", n.Recipient.RegistrationToken
	switch {
	case n.Recipient.Topic != "":
		name, address = "topic", n.Recipient.Topic
	case n.Recipient.Condition != "":
		name, address = "condition", n.Recipient.Condition
	}
	if name != "token" && sizeOf(n.Payload) > maxTopicPayload {
		return nil, errTopicPayload
	}
	if message[name], err = encode(address); err != nil {
		return nil, err
	}
	if err := addLife(message, n.Expires, n.TTL); err != nil {
		return nil, err
	}
	return encode(map[string]object{"message": message})
}

// addLife says in the words of each platform when to give up.
func addLife(message object, expires time.Time, ttl time.Duration) error {
	seconds := strconv.FormatInt(int64(min(max(ttl, time.Second), maxTTL)/time.Second), 10)
	if err := within(message, []string{"android"}, "ttl", seconds+"s"); err != nil {
		return err
	}
	if err := within(message, []string{"apns", "headers"}, "apns-expiration", strconv.FormatInt(expires.Unix(), 10)); err != nil {
		return err
	}
	return within(message, []string{"webpush", "headers"}, "TTL", seconds)
}

// within sets a text of a nested object, unless it is there. The names of headers have
// no case.
func within(outer object, path []string, name, text string) error {
	inner, err := member(outer, path[0])
	if err != nil {
		return push.Fault("message."+path[0], "must be a JSON object")
	}
	if len(path) > 1 {
		if err = within(inner, path[1:], name, text); err != nil {
			return push.Fault("message."+strings.Join(path, "."), "must be a JSON object")
		}
	} else {
		for have := range inner {
			if strings.EqualFold(have, name) {
				return nil
			}
		}
		if inner[name], err = encode(text); err != nil {
			return err
		}
	}
	outer[path[0]], err = encode(inner)
	return err
}

// member is the object that is a member of another, an empty one if it is not there.
func member(outer object, name string) (object, error) {
	inner := object{}
	if len(outer[name]) == 0 {
		return inner, nil
	}
	err := json.Unmarshal(outer[name], &inner)
	if inner == nil { // null
		inner = object{}
	}
	return inner, err
}
