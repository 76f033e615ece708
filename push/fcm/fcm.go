// Package fcm sends notifications by way of Firebase Cloud Messaging, with its HTTP
// interface of version 1.
//
// Google's library firebase.google.com/go/v4 makes the requests, and this is the only
// package that knows it. It would try again on its own, and its messages have no room
// for members that it does not know. So what it is given to connect with sends our own
// bytes, once, and keeps the answer for us: one attempt is one request.
package fcm

import (
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// Provider is Firebase Cloud Messaging.
type Provider struct{}

var _ push.Provider = Provider{}

// Kind is fcm.
func (Provider) Kind() push.Kind { return push.FCM }

const (
	maxRegistrationToken = 4096
	maxTopic             = 900
	maxCondition         = 1024
)

var topicName = regexp.MustCompile(`^[a-zA-Z0-9\-_.~%]+$`)

// CheckRecipient wants exactly one of a registration token, a topic and a condition. A
// topic is kept without /topics/ in front.
func (Provider) CheckRecipient(r *push.Recipient, _ push.Policy) error {
	written := 0
	for _, address := range []string{r.RegistrationToken, r.Topic, r.Condition} {
		if address != "" {
			written++
		}
	}
	switch {
	case written > 1:
		return push.Fault("registrationToken", "must not be written together with a topic or a condition, nor these two together")
	case r.Topic != "":
		r.Topic = strings.TrimPrefix(r.Topic, "/topics/")
		if len(r.Topic) > maxTopic || !topicName.MatchString(r.Topic) {
			return push.Fault("topic", "must have 1 to %d of the characters A-Z a-z 0-9 - _ . ~ %%", maxTopic)
		}
	case r.Condition != "":
		if strings.TrimSpace(r.Condition) == "" || len(r.Condition) > maxCondition {
			return push.Fault("condition", "must not be blank, nor have more than %d bytes", maxCondition)
		}
	case strings.TrimSpace(r.RegistrationToken) == "":
		return push.Fault("registrationToken", "must not be blank")
	case len(r.RegistrationToken) > maxRegistrationToken:
		return push.Fault("registrationToken", "has %d bytes, more than %d", len(r.RegistrationToken), maxRegistrationToken)
	}
	return nil
}
