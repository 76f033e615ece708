package hms

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// connect is a sender to a stand-in.
func connect(t *testing.T, h *pushtest.HMS, change ...func(*push.ConnectOptions)) push.Sender {
	t.Helper()
	o := push.ConnectOptions{Endpoint: h.Endpoint(), TokenEndpoint: h.TokenEndpoint(), Roots: h.Roots(), AllowPrivate: true}
	for _, f := range change {
		f(&o)
	}
	s, err := Provider{}.Connect(h.Material(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// to is a notification for a device.
func to(t *testing.T, device string) *push.Notification {
	t.Helper()
	payload, err := Provider{}.Render(&push.Content{
		Title: "T", Body: "B", CollapseKey: "7", Data: json.RawMessage(`{"order":{"id":"ord_123"},"n":1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &push.Notification{
		Recipient: push.Recipient{TransportType: "hms", RegistrationToken: device}, Payload: payload, TTL: 10 * time.Minute,
	}
}

func wantResult(t *testing.T, r push.Result, outcome push.Outcome, class push.Class) {
	t.Helper()
	if r.Outcome != outcome || r.Class != class {
		t.Errorf("%+v; want %s %s", r, outcome, class)
	}
}

func wantNoFaults(t *testing.T, h *pushtest.HMS) {
	t.Helper()
	if faults := h.Faults(); len(faults) > 0 {
		t.Errorf("the service finds fault: %q", faults)
	}
}

// Checklist: push 60, 106
func TestSend(t *testing.T) {
	h := pushtest.NewHMS(t)
	r := connect(t, h).Send(t.Context(), to(t, "a"))
	wantResult(t, r, push.Accepted, "")
	wantNoFaults(t, h)
	got := h.Messages()
	if len(got) != 1 || r.MessageID == "" {
		t.Fatalf("%+v, %+v", got, r)
	}
	m := got[0]
	if m.Token != "a" || m.Title != "T" || m.Body != "B" || m.TTL != "600s" || m.CollapseKey == nil || *m.CollapseKey != 7 || m.Data != `{"order":{"id":"ord_123"},"n":1}` {
		t.Errorf("%+v", m)
	}
}

// Checklist: push 106
func TestOneLoginForAll(t *testing.T) {
	h := pushtest.NewHMS(t)
	var now atomic.Int64
	now.Store(time.Now().Unix())
	s := connect(t, h, func(o *push.ConnectOptions) { o.Now = func() time.Time { return time.Unix(now.Load(), 0) } })
	sendAll := func() {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { wantResult(t, s.Send(t.Context(), to(t, "a")), push.Accepted, "") })
		}
		all.Wait()
	}
	sendAll()
	if n := h.OAuth.Fetches(); n != 1 || len(h.Messages()) != 100 {
		t.Errorf("%d logins, %d messages", n, len(h.Messages()))
	}
	now.Add(int64(56 * time.Minute / time.Second)) // the hour is nearly over
	sendAll()
	if n := h.OAuth.Fetches(); n != 2 {
		t.Errorf("%d logins", n)
	}
	h.OAuth.Revoke()
	sendAll()
	if n := h.OAuth.Fetches(); n != 3 {
		t.Errorf("%d logins", n)
	}
	wantNoFaults(t, h)
}

// Checklist: push 106
func TestRefusedLogin(t *testing.T) {
	for _, code := range []string{pushtest.HMSAuthError, pushtest.HMSTokenExpired} {
		h := pushtest.NewHMS(t)
		s := connect(t, h)
		h.Script("a", pushtest.HMSReply(code))
		wantResult(t, s.Send(t.Context(), to(t, "a")), push.Accepted, "")
		if n := h.OAuth.Fetches(); n != 2 || h.Requests() != 2 {
			t.Errorf("%d logins, %d requests", n, h.Requests())
		}
		h.Script("a", pushtest.HMSReply(code), pushtest.HMSReply(code))
		wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.CredentialAuth)
		if h.Requests() != 4 {
			t.Errorf("%d requests", h.Requests())
		}
	}
}

// Checklist: push 83, 106
func TestRefusedDevice(t *testing.T) {
	h := pushtest.NewHMS(t)
	s := connect(t, h)
	h.Script("a", pushtest.HMSReply(pushtest.HMSTokenInvalid), pushtest.HMSIllegal("a"), pushtest.HMSReply(pushtest.HMSNoPermission),
		pushtest.HMSReply(pushtest.HMSTooLarge), pushtest.HMSReply(pushtest.HMSInternal), pushtest.Scripted{Status: 503})
	for _, want := range []push.Result{
		{Outcome: push.Rejected, Class: push.DeviceTerminal},
		{Outcome: push.Rejected, Class: push.DeviceTerminal},
		{Outcome: push.Rejected, Class: push.CredentialAuth},
		{Outcome: push.Rejected, Class: push.CallerPayload},
		{Outcome: push.Retryable, Class: push.ProviderTransient},
		{Outcome: push.Retryable, Class: push.ProviderQuota},
		{Outcome: push.Accepted},
	} {
		wantResult(t, s.Send(t.Context(), to(t, "a")), want.Outcome, want.Class)
	}
	wantNoFaults(t, h)
}

func TestNoLogin(t *testing.T) {
	h := pushtest.NewHMS(t)
	for status, class := range map[int]push.Class{
		500: push.ProviderTransient, 503: push.ProviderTransient, 401: push.CredentialAuth, 400: push.CredentialAuth, 429: push.ProviderQuota,
	} {
		h.OAuth.Fail(status)
		r := connect(t, h).Send(t.Context(), to(t, "a"))
		wantResult(t, r, push.Retryable, class)
		if strings.Contains(r.Reason, h.OAuth.Secret) || r.Reason == "" {
			t.Errorf("the reason is %q", r.Reason)
		}
	}
	h.OAuth.Secret = "another"
	material := h.Material()
	h.OAuth.Secret = "hush"
	s, err := Provider{}.Connect(material, push.ConnectOptions{Endpoint: h.Endpoint(), TokenEndpoint: h.TokenEndpoint(), Roots: h.Roots(), AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.CredentialAuth)
	if h.Requests() != 0 {
		t.Errorf("%d messages without a login", h.Requests())
	}
}

func TestProviderToken(t *testing.T) {
	h := pushtest.NewHMS(t)
	s, err := Provider{}.Connect(json.RawMessage(`{"hmsAppId":"104729","providerToken":"old"}`), push.ConnectOptions{
		Endpoint: h.Endpoint(), TokenEndpoint: h.TokenEndpoint(), Roots: h.Roots(), AllowPrivate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Retryable, push.CredentialAuth)
	if h.Requests() != 1 || h.OAuth.Fetches() != 0 {
		t.Errorf("%d requests, %d logins", h.Requests(), h.OAuth.Fetches())
	}
}

func TestOverrideIsSent(t *testing.T) {
	h := pushtest.NewHMS(t)
	n := to(t, "a")
	n.Payload, n.Override = json.RawMessage(`{"message":{"data":"d","android":{"urgency":"HIGH","ttl":"60s"}}}`), true
	s := connect(t, h)
	wantResult(t, s.Send(t.Context(), n), push.Accepted, "")
	if m := h.Messages()[0]; m.Data != "d" || m.TTL != "60s" || !strings.Contains(string(m.Message), `"urgency":"HIGH"`) {
		t.Errorf("%+v", m)
	}
	n.Payload = json.RawMessage(`{}`)
	wantResult(t, s.Send(t.Context(), n), push.Rejected, push.CallerPayload)
}

func TestCancelled(t *testing.T) {
	h := pushtest.NewHMS(t)
	h.OAuth.SetLatency(time.Minute)
	s := connect(t, h, short) // the login goes on without the one who wanted it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantResult(t, s.Send(ctx, to(t, "a")), push.Cancelled, push.NetworkTransport)
}
