package fcm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func TestCheckPayload(t *testing.T) {
	for payload, field := range map[string]string{
		`{"message":{"data":{"k":"v"},"anything":{"new":[1]}}}`: "",
		`{"message":{}}`: "",
		`{"message":{"android":{"ttl":"5s"},"apns":null,"webpush":{}}}`: "",
		`{"message":{"token":"x"}}`:                                     "message.token",
		`{"message":{"\u0074oken":"x"}}`:                                "message.token",
		`{"message":{"topic":null}}`:                                    "message.topic",
		`{"message":{"condition":"'a' in topics"}}`:                     "message.condition",
		`{"message":{},"validate_only":true}`:                           "message",
		`{"message":[]}`:                                                "message",
		`{"message":null}`:                                              "message",
		`{"data":{}}`:                                                   "message",
		`{}`:                                                            "message",
		`null`:                                                          "message",
		`[]`:                                                            "message",
		`"x"`:                                                           "message",
		``:                                                              "message",
		`{"message":{"data":{"k":1}}}`:                                  "message.data",
		`{"message":{"data":{"k":null}}}`:                               "message.data",
		`{"message":{"data":["k"]}}`:                                    "message.data",
		`{"message":{"data":{"from":"x"}}}`:                             "message.data",
		`{"message":{"android":"x"}}`:                                   "message.android",
		`{"message":{"apns":[]}}`:                                       "message.apns",
		`{"message":{"apns":{"headers":"x"}}}`:                          "message.apns.headers",
		`{"message":{"webpush":{"headers":[]}}}`:                        "message.webpush.headers",
		`{"message":{"data":{"k":"` + strings.Repeat("x", 4096) + `"}}}`:    "message",
		`{"message":{"data":{"k":"v"}}` + strings.Repeat(" ", 4096) + "\n}": "",
	} {
		err := Provider{}.CheckPayload(json.RawMessage(payload), true)
		if field == "" && err != nil {
			t.Errorf("%.80s: %v", payload, err)
		}
		if field != "" {
			wantField(t, err, field)
		}
	}
}

func TestPayloadOfExactlyTheLimit(t *testing.T) {
	frame := len(`{"message":{"data":{"k":""}}}`)
	payload := func(size int) json.RawMessage {
		return json.RawMessage(`{"message":{"data":{"k":"` + strings.Repeat("x", size-frame) + `"}}}`)
	}
	if err := (Provider{}).CheckPayload(payload(4096), false); err != nil {
		t.Error(err)
	}
	wantField(t, Provider{}.CheckPayload(payload(4097), false), "message")
	for _, r := range []push.Recipient{{Topic: "news"}, {Condition: "'a' in topics"}} {
		n := &push.Notification{Recipient: r, Payload: payload(2048), TTL: time.Minute, Expires: time.Now()}
		if _, err := complete(n); err != nil {
			t.Error(err)
		}
		n.Payload = payload(2049)
		if _, err := complete(n); !errors.Is(err, errTopicPayload) {
			t.Error(err)
		}
	}
}

func TestComplete(t *testing.T) {
	expires := time.Unix(1779214200, 0)
	const life = `"android":{"ttl":"600s"},"apns":{"headers":{"apns-expiration":"1779214200"}}`
	for _, c := range []struct {
		to            push.Recipient
		ttl           time.Duration
		payload, want string
	}{
		{
			push.Recipient{RegistrationToken: "a<b"},
			10 * time.Minute, `{"message":{"unknown":{"big":12345678901234567890}}}`,
			`{"message":{` + life + `,"token":"a<b","unknown":{"big":12345678901234567890},"webpush":{"headers":{"TTL":"600"}}}}`,
		},
		{
			push.Recipient{Topic: "news"},
			10*time.Minute + 999*time.Millisecond, `{"message":{"android":null,"webpush":{"headers":{"ttl":"5","Topic":"x"}}}}`,
			`{"message":{` + life + `,"topic":"news","webpush":{"headers":{"ttl":"5","Topic":"x"}}}}`,
		},
		{
			push.Recipient{Condition: "'a' in topics"},
			90 * 24 * time.Hour, `{"message":{"apns":{"headers":{"APNS-Expiration":"0"}}}}`,
			`{"message":{"android":{"ttl":"2419200s"},"apns":{"headers":{"APNS-Expiration":"0"}},"condition":"'a' in topics","webpush":{"headers":{"TTL":"2419200"}}}}`,
		},
		{
			push.Recipient{RegistrationToken: "t"},
			0, `{"message":{"android":{"ttl":"7s"},"apns":{"headers":{"apns-expiration":"7"}}}}`,
			`{"message":{"android":{"ttl":"7s"},"apns":{"headers":{"apns-expiration":"7"}},"token":"t","webpush":{"headers":{"TTL":"1"}}}}`,
		},
	} {
		got, err := complete(&push.Notification{Recipient: c.to, Payload: json.RawMessage(c.payload), TTL: c.ttl, Expires: expires})
		if err != nil || string(got) != c.want {
			t.Errorf("%s becomes\n%s (%v), want\n%s", c.payload, got, err, c.want)
		}
	}
}

func TestCheckRecipient(t *testing.T) {
	long := strings.Repeat("x", 4097)
	for i, c := range []struct {
		r     push.Recipient
		field string
	}{
		{push.Recipient{RegistrationToken: "fcm-token-A"}, ""},
		{push.Recipient{RegistrationToken: long[:4096]}, ""},
		{push.Recipient{RegistrationToken: long}, "registrationToken"},
		{push.Recipient{RegistrationToken: " \t"}, "registrationToken"},
		{push.Recipient{}, "registrationToken"},
		{push.Recipient{RegistrationToken: "a", Topic: "b"}, "registrationToken"},
		{push.Recipient{Condition: "a", Topic: "b"}, "registrationToken"},
		{push.Recipient{Topic: "news-1_a.b~c%20"}, ""},
		{push.Recipient{Topic: "news/1"}, "topic"},
		{push.Recipient{Topic: "news\n"}, "topic"},
		{push.Recipient{Topic: "/topics/"}, "topic"},
		{push.Recipient{Topic: long[:901]}, "topic"},
		{push.Recipient{Condition: "'a' in topics && 'b' in topics"}, ""},
		{push.Recipient{Condition: "  "}, "condition"},
		{push.Recipient{Condition: long[:1025]}, "condition"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			err := Provider{}.CheckRecipient(&c.r, push.Policy{})
			if c.field == "" && err != nil {
				t.Error(err)
			}
			if c.field != "" {
				wantField(t, err, c.field)
			}
		})
	}
	r := push.Recipient{Topic: "/topics/news"}
	if err := (Provider{}).CheckRecipient(&r, push.Policy{}); err != nil || r.Topic != "news" {
		t.Errorf("the topic is kept as %q, %v", r.Topic, err)
	}
	if (Provider{}).Kind() != push.FCM {
		t.Error("it is another provider")
	}
}
