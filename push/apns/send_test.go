package apns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/apns"
)

// clock is one that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_790_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// device is the n-th device token.
func device(n int) string { return fmt.Sprintf("%064x", n+1) }

func optionsFor(a *pushtest.APNs) push.ConnectOptions {
	return push.ConnectOptions{Endpoint: a.URL, Roots: a.Roots, AllowPrivate: true, Timeout: 20 * time.Second}
}

// connect makes a sender that the test ends.
func connect(t testing.TB, material json.RawMessage, o push.ConnectOptions) push.Sender {
	t.Helper()
	s, err := apns.Provider{}.Connect(material, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// notification is one for the n-th device.
func notification(t testing.TB, n int) *push.Notification {
	t.Helper()
	payload, err := apns.Provider{}.Render(&push.Content{Title: "T", Body: "B"})
	if err != nil {
		t.Fatal(err)
	}
	return &push.Notification{
		Key: push.Hash(fmt.Sprint("key", n)), Recipient: push.Recipient{TransportType: "apns", DeviceToken: device(n), Environment: "production"},
		Payload: payload, Expires: time.Unix(1_790_003_600, 500), TTL: time.Hour,
	}
}

// override is a notification whose payload somebody has written.
func override(t testing.TB, payload string) *push.Notification {
	t.Helper()
	n := notification(t, 0)
	if err := (apns.Provider{}).CheckPayload(json.RawMessage(payload), true); err != nil {
		t.Fatal(err)
	}
	n.Payload, n.Override = json.RawMessage(payload), true
	return n
}

func accepted(t testing.TB, r push.Result) {
	t.Helper()
	if r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
}

func TestSendsWhatIsRendered(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	n := notification(t, 0)
	n.Payload, _ = apns.Provider{}.Render(&push.Content{
		Title: "a<b & c", Body: "B", Sound: "ding.caf", CollapseKey: "order", Data: json.RawMessage(`{"n":12345678901234567890}`),
	})
	r := s.Send(t.Context(), n)
	accepted(t, r)
	sent := a.Sent()[0]
	if got, want := string(sent.Body), `{"aps":{"alert":{"title":"a<b & c","body":"B"},"sound":"ding.caf"},"data":{"n":12345678901234567890}}`; got != want {
		t.Errorf("the body is %s", got)
	}
	for name, want := range map[string]string{
		"apns-push-type": "alert", "apns-priority": "10", "apns-collapse-id": "order", "apns-topic": "com.example.app",
		"apns-expiration": "1790003600", "apns-id": r.MessageID, "content-type": "application/json; charset=utf-8",
	} {
		if got := sent.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if again := s.Send(t.Context(), n); again.MessageID != r.MessageID || len(r.MessageID) != 36 || r.MessageID[14] != '5' {
		t.Errorf("the messages are %q and %q", r.MessageID, again.MessageID)
	}
}

// Checklist: push 60, 100
func TestSendsWhatAnOverrideAsksFor(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	for _, c := range []struct {
		payload, body string
		header        map[string]string
	}{
		{
			`{"headers":{"apns-push-type":"background","apns-priority":"10"},"aps":{"content-available":1},"order":{"id":7},"tag":null}`,
			`{"aps":{"content-available":1},"order":{"id":7},"tag":null}`,
			map[string]string{"apns-push-type": "background", "apns-priority": "5"},
		},
		{
			`{"headers":{"apns-expiration":0,"apns-priority":1,"apns-collapse-id":"` + strings.Repeat("k", 65) + `"},"aps":{}}`,
			`{"aps":{}}`,
			map[string]string{"apns-expiration": "0", "apns-priority": "1", "apns-collapse-id": push.Hash(strings.Repeat("k", 65))},
		},
		{`{"headers":{"apns-expiration":"1790000001"},"aps":{}}`, `{"aps":{}}`, map[string]string{"apns-expiration": "1790000001"}},
		{`{"headers":{"apns-expiration":1999999999},"aps":{}}`, `{"aps":{}}`, map[string]string{"apns-expiration": "1790003600"}},
		{`{"headers":{"apns-push-type":"voip"},"x":1}`, `{"x":1}`, map[string]string{"apns-topic": "com.example.app.voip"}},
		{
			`{"headers":{"apns-push-type":"liveactivity","apns-topic":"com.example.app.push-type.liveactivity"},"aps":{}}`,
			`{"aps":{}}`,
			map[string]string{"apns-topic": "com.example.app.push-type.liveactivity"},
		},
	} {
		accepted(t, s.Send(t.Context(), override(t, c.payload)))
		sent := a.Sent()
		last := sent[len(sent)-1]
		if string(last.Body) != c.body {
			t.Errorf("%s is sent as %s", c.payload, last.Body)
		}
		for name, want := range c.header {
			if got := last.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", c.payload, name, got, want)
			}
		}
	}
	n := override(t, `{"headers":{"apns-topic":"com.example.application"},"aps":{}}`)
	if r := s.Send(t.Context(), n); r.Outcome != push.Rejected || r.Class != push.CallerPayload || strings.Contains(r.Reason, "application") {
		t.Errorf("the topic of another app: %+v", r)
	}
}

// Checklist: push 83
func TestAnswersMeanWhatTheyMean(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	since := time.UnixMilli(1_789_999_999_123)
	for i, c := range []struct {
		status int
		reason string
		want   push.Result
	}{
		{400, "BadDeviceToken", push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, InvalidSince: since}},
		{410, "Unregistered", push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, InvalidSince: since}},
		{410, "ExpiredToken", push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, InvalidSince: since}},
		{410, "", push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal}},
		{400, "BadTopic", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{400, "DeviceTokenNotForTopic", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{403, "BadCertificateEnvironment", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{400, "BadCertificateEnvironment", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{400, "MissingTopic", push.Result{Outcome: push.Rejected, Class: push.CallerPayload}},
		{400, "SomethingNew", push.Result{Outcome: push.Rejected, Class: push.CallerPayload}},
		{400, "IdleTimeout", push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, RetryAfter: 7 * time.Second}},
		{403, "InvalidProviderToken", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{403, "TooManyProviderTokenUpdates", push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, RetryAfter: 7 * time.Second}},
		{429, "TooManyProviderTokenUpdates", push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, RetryAfter: 7 * time.Second}},
		{429, "TooManyRequests", push.Result{Outcome: push.Retryable, Class: push.ProviderQuota, RetryAfter: 7 * time.Second, DeviceOnly: true}},
		{404, "BadPath", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{405, "MethodNotAllowed", push.Result{Outcome: push.Rejected, Class: push.CredentialAuth}},
		{413, "PayloadTooLarge", push.Result{Outcome: push.Rejected, Class: push.CallerPayload}},
		{500, "InternalServerError", push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, RetryAfter: 7 * time.Second}},
		{503, "ServiceUnavailable", push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, RetryAfter: 7 * time.Second}},
		{502, "", push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, RetryAfter: 7 * time.Second}},
	} {
		answer := pushtest.APNsAnswer{Status: c.status, Reason: c.reason, Header: http.Header{"Retry-After": {"7"}}}
		if c.reason != "" {
			answer.Timestamp = since
		}
		a.Script(device(i), answer)
		n := notification(t, i)
		r := s.Send(t.Context(), n)
		if c.reason != "" && r.Reason != c.reason || r.Reason == "" {
			t.Errorf("%d %s: the reason is %q", c.status, c.reason, r.Reason)
		}
		r.Reason, r.MessageID = "", ""
		if r != c.want {
			t.Errorf("%d %s: %+v", c.status, c.reason, r)
		}
	}
}

// Checklist: push 84
func TestABadTokenOfNoKnownEnvironmentIsASuspicion(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	for environment, suspect := range map[string]bool{"": true, "production": false, "sandbox": false} {
		n := notification(t, 0)
		n.Recipient.Environment = environment
		a.Script(device(0), pushtest.APNsAnswer{Status: 400, Reason: "BadDeviceToken"})
		if r := s.Send(t.Context(), n); r.Suspect != suspect || r.Class != push.DeviceTerminal {
			t.Errorf("%q: %+v", environment, r)
		}
	}
	a.Script(device(0), pushtest.APNsAnswer{Status: 410, Reason: "Unregistered", Timestamp: time.UnixMilli(5000)})
	n := notification(t, 0)
	n.Recipient.Environment = ""
	if r := s.Send(t.Context(), n); r.Suspect || r.InvalidSince != time.UnixMilli(5000) {
		t.Errorf("an unregistered one: %+v", r)
	}
}

func TestTooManyTokensRestTheCredentials(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	a.Script(device(0), pushtest.APNsAnswer{Status: 429, Reason: "TooManyProviderTokenUpdates"})
	if r := s.Send(t.Context(), notification(t, 0)); r.RetryAfter < time.Minute || r.DeviceOnly {
		t.Errorf("%+v", r)
	}
}

func TestSendsNothingThatCannotBeRight(t *testing.T) {
	a := pushtest.NewAPNs(t)
	key := a.Key(t)
	s := connect(t, key.Material(), optionsFor(a))
	for name, change := range map[string]func(*push.Notification){
		"a path":         func(n *push.Notification) { n.Recipient.DeviceToken = "../" + device(0)[3:] },
		"no payload":     func(n *push.Notification) { n.Payload = nil },
		"an environment": func(n *push.Notification) { n.Recipient.Environment = "staging" },
	} {
		n := notification(t, 0)
		change(n)
		if r := s.Send(t.Context(), n); r.Outcome != push.Rejected || r.Class != push.CallerPayload {
			t.Errorf("%s: %+v", name, r)
		}
	}
	key.BundleID = ""
	s = connect(t, key.Material(), optionsFor(a))
	if r := s.Send(t.Context(), notification(t, 0)); r.Class != push.CredentialAuth {
		t.Errorf("without a bundle id: %+v", r)
	}
	if n := len(a.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAStoppedWorkerCancels(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	a.Script(device(0), pushtest.APNsAnswer{Hang: true})
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan push.Result)
	go func() { got <- s.Send(ctx, notification(t, 0)) }()
	until(t, func() bool { now, _ := a.InFlight(); return now == 1 })
	cancel(errors.New("stopped"))
	if r := <-got; r.Outcome != push.Cancelled {
		t.Errorf("%+v", r)
	}
}

// until waits for a condition.
func until(t testing.TB, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come in 20 s")
		}
	}
}
