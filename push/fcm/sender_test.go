package fcm

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 60, 96
func TestSend(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	n := notice(t, "fcm-token-A")
	var err error
	n.Payload, err = Provider{}.Render(&push.Content{Title: "T", Body: "B", CollapseKey: "order", Data: json.RawMessage(`{"order":{"id":"ord_123"},"n":5,"s":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	wantSent(t, s.Send(t.Context(), n))
	wantClean(t, f)
	m := f.Wait(t, 1)[0]
	if m.Address != "fcm-token-A" || m.Project != pushtest.FCMProject || m.Proto != "HTTP/2.0" || m.Bearer != "access-1" {
		t.Errorf("sent %+v", m)
	}
	for path, want := range map[string]string{
		"data order": `{"id":"ord_123"}`, "data n": "5", "data s": "x", "android ttl": "600s", "webpush headers TTL": "600",
		"apns headers apns-expiration": fmt.Sprint(n.Expires.Unix()), "apns headers apns-collapse-id": "order",
	} {
		if got := m.At(strings.Fields(path)...); got != want {
			t.Errorf("%s is %v, want %s", path, got, want)
		}
	}
	if want, err := complete(n); err != nil || string(m.Body) != string(want) {
		t.Errorf("sent %s, not %s", m.Body, want)
	}
}

// TestSendKeepsWhatTheLibraryDoesNotKnow sends members that no type of the library has.
func TestSendKeepsWhatTheLibraryDoesNotKnow(t *testing.T) {
	f := pushtest.NewFCM(t)
	n := notice(t, "a")
	n.Override, n.Payload = true, json.RawMessage(`{"message":{"apns":{"live_activity_token":"x"},"data":{"a":"<&>"}}}`)
	wantSent(t, connect(t, f).Send(t.Context(), n))
	if m := f.Wait(t, 1)[0]; m.At("apns", "live_activity_token") != "x" || !strings.Contains(string(m.Body), `"<&>"`) {
		t.Errorf("sent %s", m.Body)
	}
}

func TestSendToTopics(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	for _, r := range []push.Recipient{{TransportType: "gcm", Topic: "news"}, {TransportType: "gcm", Condition: "'a' in topics"}} {
		n := notice(t, "")
		n.Recipient = r
		wantSent(t, s.Send(t.Context(), n))
	}
	if got := f.Wait(t, 2); got[0].Address != "topic:news" || got[1].Address != "condition:'a' in topics" {
		t.Errorf("sent %+v", got)
	}
	wantClean(t, f)
}

func TestSendRefusesPayloads(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	for _, payload := range []string{`{}`, `{"message":{"token":"b"}}`, `{"message":{"android":1}}`, ``, `{"message":{"data":{"k":"` + strings.Repeat("x", 2100) + `"}}}`} {
		n := notice(t, "")
		n.Recipient.Topic = "news"
		n.Payload = json.RawMessage(payload)
		if r := s.Send(t.Context(), n); r.Outcome != push.Rejected || r.Class != push.CallerPayload || r.Reason == "" {
			t.Errorf("%.40s: %+v", payload, r)
		}
	}
	n := notice(t, "")
	n.Recipient.Topic = "a/b" // which the library would not send
	if r := s.Send(t.Context(), n); r.Outcome != push.Rejected || r.Class != push.CallerPayload {
		t.Errorf("%+v", r)
	}
	if f.Requests() != 0 {
		t.Errorf("%d requests", f.Requests())
	}
}

// TestOneAttemptIsOneRequest shows that the library does not try again: on its own it
// makes five requests of these.
//
// Checklist: push 97
func TestOneAttemptIsOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		a    pushtest.FCMAnswer
		want push.Result
	}{
		"503 with Retry-After": {pushtest.FCMUnavailable("1"), push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "UNAVAILABLE", RetryAfter: time.Second}},
		"503 without":          {pushtest.FCMUnavailable(""), push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "UNAVAILABLE", RetryAfter: 10 * time.Second, DeviceOnly: true}},
		"429":                  {pushtest.FCMQuota(false, ""), push.Result{Outcome: push.Retryable, Class: push.ProviderQuota, Reason: "QUOTA_EXCEEDED", RetryAfter: time.Minute}},
		"500":                  {pushtest.FCMError(500, "INTERNAL", "INTERNAL", "x"), push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "INTERNAL"}},
		"404":                  {pushtest.FCMUnregistered(), push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "UNREGISTERED"}},
		"cut off": {
			pushtest.FCMAnswer{Status: 503, Body: `{"error":`, Cut: true},
			push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "HTTP 503", RetryAfter: 10 * time.Second, DeviceOnly: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := pushtest.NewFCM(t)
			s := connect(t, f)
			f.Script("a", c.a, c.a, c.a, c.a, c.a)
			if r := s.Send(t.Context(), notice(t, "a")); r != c.want {
				t.Errorf("%+v, want %+v", r, c.want)
			}
			if f.Requests() != 1 || f.TokenFetches() != 1 {
				t.Errorf("%d requests, %d for access tokens", f.Requests(), f.TokenFetches())
			}
		})
	}
}

// Checklist: push 96
func TestOneTokenForManySends(t *testing.T) {
	f := pushtest.NewFCM(t)
	f.SetTokenLatency(50 * time.Millisecond)
	s := connect(t, f)
	var group sync.WaitGroup
	for i := range 100 {
		n := notice(t, fmt.Sprint("token-", i))
		group.Go(func() { wantSent(t, s.Send(t.Context(), n)) })
	}
	group.Wait()
	if f.TokenFetches() != 1 || len(f.Sent()) != 100 {
		t.Errorf("%d requests for access tokens, %d messages", f.TokenFetches(), len(f.Sent()))
	}
	wantClean(t, f)
}

// Checklist: push 96
func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
	f.RevokeTokens()
	f.SetTokenLatency(20 * time.Millisecond)
	var group sync.WaitGroup
	for i := range 20 {
		n := notice(t, fmt.Sprint("token-", i))
		group.Go(func() { wantSent(t, s.Send(t.Context(), n)) })
	}
	group.Wait()
	if f.TokenFetches() != 2 {
		t.Errorf("%d requests for access tokens", f.TokenFetches())
	}
	if sent := f.Sent(); len(sent) != 21 || sent[20].Bearer != "access-2" {
		t.Errorf("%d messages", len(sent))
	}
}

// TestRefusalsEnd stops after one refresh, and does not fetch a token for each
// notification of an account that has no rights.
func TestRefusalsEnd(t *testing.T) {
	for _, status := range []int{401, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f, at := pushtest.NewFCM(t), newClock()
			f.SetClock(at.Now)
			s := connect(t, f, func(o *push.ConnectOptions) { o.Now = at.Now })
			no := pushtest.FCMError(status, "NO_RIGHTS", "", "x")
			f.Script("a", no, no, no, no, no)
			want := push.Result{Outcome: push.Retryable, Class: push.CredentialAuth, Reason: "NO_RIGHTS"}
			for i, c := range []struct{ requests, fetches int }{{2, 2}, {3, 2}} {
				if r := s.Send(t.Context(), notice(t, "a")); r != want {
					t.Errorf("%d: %+v", i, r)
				}
				if f.Requests() != c.requests || f.TokenFetches() != c.fetches {
					t.Errorf("%d: %d requests, %d for access tokens", i, f.Requests(), f.TokenFetches())
				}
			}
			at.advance(patience)
			if r := s.Send(t.Context(), notice(t, "a")); r != want || f.TokenFetches() != 3 {
				t.Errorf("later: %+v, %d", r, f.TokenFetches())
			}
		})
	}
}

// TestRefusalsThatNoTokenHelps leaves the token alone.
func TestRefusalsThatNoTokenHelps(t *testing.T) {
	f := pushtest.NewFCM(t)
	s := connect(t, f)
	f.Script("a", pushtest.FCMThirdParty(), pushtest.FCMSenderMismatch())
	for range 2 {
		if r := s.Send(t.Context(), notice(t, "a")); r.Outcome != push.Rejected || r.Class != push.CredentialAuth {
			t.Errorf("%+v", r)
		}
	}
	if f.Requests() != 2 || f.TokenFetches() != 1 {
		t.Errorf("%d requests, %d for access tokens", f.Requests(), f.TokenFetches())
	}
}

// Checklist: push 114
func TestProviderToken(t *testing.T) {
	f := pushtest.NewFCM(t)
	f.AcceptToken("given")
	s := connectWith(t, f, json.RawMessage(`{"providerToken":"given","projectId":"`+pushtest.FCMProject+`"}`))
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
	f.RevokeTokens()
	if r := s.Send(t.Context(), notice(t, "a")); r.Outcome != push.Retryable || r.Class != push.CredentialAuth || r.Reason != "UNAUTHENTICATED" {
		t.Errorf("%+v", r)
	}
	if f.Requests() != 2 || f.TokenFetches() != 0 {
		t.Errorf("%d requests, %d for access tokens", f.Requests(), f.TokenFetches())
	}
}

// Checklist: push 114
func TestProjectOfTheConfiguration(t *testing.T) {
	f := pushtest.NewFCM(t)
	f.AddProject("another")
	material, err := json.Marshal(material{ServiceAccount: f.ServiceAccount(t), ProjectID: "another"})
	if err != nil {
		t.Fatal(err)
	}
	wantSent(t, connectWith(t, f, material).Send(t.Context(), notice(t, "a")))
	if got := f.Wait(t, 1)[0].Project; got != "another" {
		t.Errorf("sent for %s", got)
	}
}
