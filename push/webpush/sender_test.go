package webpush

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// connect makes a sender that reaches the push service of the tests.
func connect(t testing.TB, service *pushtest.WebPush, material json.RawMessage, o push.ConnectOptions) push.Sender {
	t.Helper()
	o.AllowPrivate = true
	if o.Roots == nil {
		o.Roots = service.Roots
	}
	s, err := Provider{}.Connect(material, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// notification is one for a subscription.
func notification(t testing.TB, s pushtest.WebPushSubscription) *push.Notification {
	t.Helper()
	r := push.Recipient{TransportType: "web", Endpoint: s.Endpoint, P256dh: s.P256dh, Auth: s.Auth}
	if err := (Provider{}).CheckRecipient(&r, push.Policy{AllowLocal: true}); err != nil {
		t.Fatal(err)
	}
	payload, err := Provider{}.Render(&push.Content{Title: "T", Body: "B", Data: []byte(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	return &push.Notification{
		App: "app-1", PublishID: "p1", Key: push.Hash("n"), Recipient: r, Payload: payload, TTL: time.Hour, Expires: time.Now().Add(time.Hour),
	}
}

// Checklist: push 60, 101, 102, 104
func TestSend(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	content := push.Content{Title: "Order 1", Body: "Packed", Icon: "https://example.com/i.png", CollapseKey: "order-1", Data: []byte(`{"order":{"id":1}}`)}
	rendered, err := Provider{}.Render(&content)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		payload  string
		override bool
		collapse string
		ttl      time.Duration
		want     pushtest.WebPushMessage
	}{
		"rendered": {
			string(rendered), false, "order-1", 90 * time.Second,
			pushtest.WebPushMessage{Plaintext: []byte(`{"notification":{"title":"Order 1","body":"Packed","image":"https://example.com/i.png"},"data":{"order":{"id":1}}}`), TTL: 90 * time.Second, Urgency: "normal", Topic: "order-1"},
		},
		"without a collapse key": {
			`{"headers":{"urgency":"normal"},"notification":{"title":"T"}}`, false, "", time.Hour,
			pushtest.WebPushMessage{Plaintext: []byte(`{"notification":{"title":"T"}}`), TTL: time.Hour, Urgency: "normal"},
		},
		"an override": {
			`{"title":"mine","headers":{"ttl":"30","urgency":"high","topic":"t"}}`, true, "other", time.Hour,
			pushtest.WebPushMessage{Plaintext: []byte(`{"title":"mine"}`), TTL: 30 * time.Second, Urgency: "high", Topic: "t"},
		},
		"an override without headers": {
			`{"title":"mine"}`, true, "order 1", time.Minute,
			pushtest.WebPushMessage{Plaintext: []byte(`{"title":"mine"}`), TTL: time.Minute, Urgency: "normal", Topic: hashedTopic["order 1"]},
		},
		"the longest": {
			string(sized(MaxPlaintext, `"headers":{"urgency":"low"},`)), false, "", time.Hour,
			pushtest.WebPushMessage{Plaintext: sized(MaxPlaintext, ""), TTL: time.Hour, Urgency: "low", Body: make([]byte, 4096)},
		},
	} {
		s := service.Subscribe(t)
		n := notification(t, s)
		n.Payload, n.Override, n.CollapseKey, n.TTL = json.RawMessage(c.payload), c.override, c.collapse, c.ttl
		result := sender.Send(t.Context(), n)
		got := service.Received(s.Endpoint)
		if len(got) != 1 {
			t.Fatalf("%s: %+v, refused %q", name, result, service.Refusals())
		}
		m := got[0]
		if string(m.Plaintext) != string(c.want.Plaintext) || m.TTL != c.want.TTL || m.Urgency != c.want.Urgency || m.Topic != c.want.Topic || c.want.Body != nil && len(m.Body) != len(c.want.Body) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, m, c.want)
		}
		if want := (push.Result{Outcome: push.Accepted, MessageID: m.Location}); result != want || m.Location == "" || m.Proto != "HTTP/2.0" {
			t.Errorf("%s: %+v over %s, want %+v", name, result, m.Proto, want)
		}
	}
}

// A message takes the place of another of its topic that has not been fetched.
func TestTopics(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	s := service.Subscribe(t)
	for _, text := range []string{`{"n":1,"headers":{"topic":"a"}}`, `{"n":2}`, `{"n":3,"headers":{"topic":"b"}}`, `{"n":4,"headers":{"topic":"a"}}`, `{"n":5,"headers":{"ttl":0}}`} {
		n := notification(t, s)
		n.Payload, n.Override = json.RawMessage(text), true
		if r := sender.Send(t.Context(), n); r.Outcome != push.Accepted {
			t.Fatalf("%s: %+v", text, r)
		}
	}
	var stored []string
	for _, m := range service.Stored(s.Endpoint) {
		stored = append(stored, string(m.Plaintext))
	}
	if got := strings.Join(stored, ""); got != `{"n":2}{"n":3}{"n":4}` {
		t.Errorf("stored are %s", got)
	}
}

// Only 404 and 410 are about the device. What a service says of itself or of the key
// never is.
//
// Checklist: push 83
func TestAnswers(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	after := http.Header{"Retry-After": {"120"}}
	for _, c := range []struct {
		answer pushtest.WebPushAnswer
		want   push.Result
	}{
		{pushtest.WebPushAnswer{Status: 200}, push.Result{Outcome: push.Accepted}},
		{pushtest.WebPushAnswer{Status: 201}, push.Result{Outcome: push.Accepted}},
		{pushtest.WebPushAnswer{Status: 202}, push.Result{Outcome: push.Accepted}},
		{pushtest.WebPushAnswer{Status: 204}, push.Result{Outcome: push.Accepted}},
		{pushtest.WebPushAnswer{Status: 301, Header: http.Header{"Location": {service.URL}}}, push.Result{Outcome: push.Rejected, Class: push.DeviceTransient, Reason: "301: a redirect, which is not followed"}},
		{pushtest.WebPushAnswer{Status: 304}, push.Result{Outcome: push.Rejected, Class: push.DeviceTransient, Reason: "304: a redirect, which is not followed"}},
		{pushtest.WebPushAnswer{Status: 400, Body: []byte(`{"code":400,"errno":111,"error":"Bad Request","message":"secret-of-the-request"}`)}, push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "400 errno 111"}},
		{pushtest.WebPushAnswer{Status: 401}, push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "401"}},
		{pushtest.WebPushAnswer{Status: 403, Body: []byte(`{"reason":"BadJwtToken"}`)}, push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "403 BadJwtToken"}},
		{pushtest.WebPushAnswer{Status: 403, Body: []byte(`{"reason":"secret-of-the-request"}`)}, push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "403"}},
		{pushtest.WebPushAnswer{Status: 404}, push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "404"}},
		{pushtest.WebPushAnswer{Status: 405}, push.Result{Outcome: push.Rejected, Class: push.UnknownFailure, Reason: "405"}},
		{pushtest.WebPushAnswer{Status: 410, Body: []byte("secret-of-the-request")}, push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "410"}},
		{pushtest.WebPushAnswer{Status: 413}, push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "413"}},
		{pushtest.WebPushAnswer{Status: 429}, push.Result{Outcome: push.Retryable, Class: push.ProviderQuota, Reason: "429", DeviceOnly: true}},
		{pushtest.WebPushAnswer{Status: 429, Header: after}, push.Result{Outcome: push.Retryable, Class: push.ProviderQuota, Reason: "429", RetryAfter: 2 * time.Minute, DeviceOnly: true}},
		{pushtest.WebPushAnswer{Status: 500}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "500", DeviceOnly: true}},
		{pushtest.WebPushAnswer{Status: 503, Header: after}, push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "503", RetryAfter: 2 * time.Minute, DeviceOnly: true}},
	} {
		s := service.Subscribe(t)
		service.Script(s.Endpoint, c.answer)
		got := sender.Send(t.Context(), notification(t, s))
		if got.Outcome == push.Accepted {
			c.want.MessageID = service.Received(s.Endpoint)[0].Location
		}
		if got != c.want {
			t.Errorf("%d:\n got %+v\nwant %+v", c.answer.Status, got, c.want)
		}
		if n := service.Attempts(s.Endpoint); n != 1 {
			t.Errorf("%d: %d requests", c.answer.Status, n)
		}
	}
	if refused := service.Refusals(); len(refused) > 0 {
		t.Errorf("refused %q", refused)
	}
}

// The service itself refuses what is gone, unknown or for another key.
//
// Checklist: push 83
func TestRefusals(t *testing.T) {
	service := pushtest.NewWebPush(t)
	material := newMaterial(t)
	i, err := readMaterial(material)
	if err != nil {
		t.Fatal(err)
	}
	sender := connect(t, service, material, push.ConnectOptions{})
	mine, gone, bound := service.Subscribe(t, i.public), service.Subscribe(t), service.Subscribe(t, identityOf(t).public)
	service.Unsubscribe(gone.Endpoint)
	unknown := mine
	unknown.Endpoint += "x"
	swapped := mine
	swapped.P256dh = gone.P256dh
	for name, c := range map[string]struct {
		to   pushtest.WebPushSubscription
		want push.Result
	}{
		"mine":        {mine, push.Result{Outcome: push.Accepted}},
		"gone":        {gone, push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "410"}},
		"unknown":     {unknown, push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "404"}},
		"another key": {bound, push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "403"}},
		"swapped":     {swapped, push.Result{Outcome: push.Rejected, Class: push.CallerPayload, Reason: "400"}},
	} {
		got := sender.Send(t.Context(), notification(t, c.to))
		got.MessageID = ""
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// A record that is broken is no reason to remove a device, and sends nothing.
func TestBrokenRecords(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	s := service.Subscribe(t)
	for name, c := range map[string]struct {
		change func(*push.Notification)
		class  push.Class
	}{
		"endpoint": {func(n *push.Notification) { n.Recipient.Endpoint = "https://\x00" }, push.DeviceTransient},
		"scheme":   {func(n *push.Notification) { n.Recipient.Endpoint = "http" + n.Recipient.Endpoint[5:] }, push.DeviceTransient},
		"p256dh":   {func(n *push.Notification) { n.Recipient.P256dh = n.Recipient.P256dh[:80] }, push.DeviceTransient},
		"auth":     {func(n *push.Notification) { n.Recipient.Auth = "AAAA" }, push.DeviceTransient},
		"payload":  {func(n *push.Notification) { n.Payload = sized(MaxPlaintext+1, "") }, push.CallerPayload},
		"headers":  {func(n *push.Notification) { n.Payload = json.RawMessage(`{"headers":{"ttl":"x"}}`) }, push.CallerPayload},
	} {
		n := notification(t, s)
		c.change(n)
		r := sender.Send(t.Context(), n)
		if r.Outcome != push.Rejected || r.Class != c.class || r.Reason == "" {
			t.Errorf("%s: %+v", name, r)
		}
		for _, secret := range []string{s.Endpoint, s.P256dh, s.Auth} {
			if strings.Contains(r.Reason, secret) {
				t.Errorf("%s: the reason tells it: %s", name, r.Reason)
			}
		}
	}
	if service.Requests() != 0 {
		t.Errorf("%d requests have come", service.Requests())
	}
}

func TestCancelled(t *testing.T) {
	service := pushtest.NewWebPush(t)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{})
	s := service.Subscribe(t)
	service.Script(s.Endpoint, pushtest.WebPushAnswer{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for service.Attempts(s.Endpoint) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if r := sender.Send(ctx, notification(t, s)); r.Outcome != push.Cancelled {
		t.Errorf("%+v", r)
	}
}
