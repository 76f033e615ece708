package fcm

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// answered is an answer of the stand-in as the sender sees it.
func answered(a pushtest.FCMAnswer) *answer {
	return &answer{status: a.Status, header: a.Header, body: []byte(a.Body)}
}

// Checklist: push 83, 97
func TestAnswers(t *testing.T) {
	const date = "Wed, 21 Oct 2026 07:28:00 GMT"
	now := time.Date(2026, 10, 21, 7, 26, 30, 0, time.UTC)
	field := `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"Invalid registration token"}]}`
	rejected := func(class push.Class, reason string) push.Result {
		return push.Result{Outcome: push.Rejected, Class: class, Reason: reason}
	}
	retry := func(class push.Class, reason string, after time.Duration, device bool) push.Result {
		return push.Result{Outcome: push.Retryable, Class: class, Reason: reason, RetryAfter: after, DeviceOnly: device}
	}
	for name, c := range map[string]struct {
		a    pushtest.FCMAnswer
		want push.Result
	}{
		"sent":             {pushtest.FCMAnswer{Status: 200, Body: `{"name":"projects/p/messages/1"}`}, push.Result{Outcome: push.Accepted, MessageID: "projects/p/messages/1"}},
		"sent without id":  {pushtest.FCMAnswer{Status: 200, Body: `{}`}, push.Result{Outcome: push.Accepted}},
		"not FCM":          {pushtest.FCMAnswer{Status: 200, Body: `<html>`}, retry(push.UnknownFailure, "the answer is not one of FCM", 0, false)},
		"unregistered":     {pushtest.FCMUnregistered(), rejected(push.DeviceTerminal, "UNREGISTERED")},
		"old words":        {pushtest.FCMError(400, "INVALID_ARGUMENT", "", "messaging/registration-token-not-registered"), rejected(push.DeviceTerminal, notRegistered)},
		"no token":         {pushtest.FCMInvalidToken(), rejected(push.DeviceTerminal, "INVALID_ARGUMENT")},
		"no FcmError":      {pushtest.FCMError(400, "INVALID_ARGUMENT", "", "The registration token is not a valid FCM registration token"), rejected(push.CallerPayload, "INVALID_ARGUMENT")},
		"a field":          {pushtest.FCMError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid registration token", field), rejected(push.CallerPayload, "INVALID_ARGUMENT")},
		"payload":          {pushtest.FCMInvalid("message.data", "x"), rejected(push.CallerPayload, "INVALID_ARGUMENT")},
		"too large":        {pushtest.FCMAnswer{Status: 413}, rejected(push.CallerPayload, "HTTP 413")},
		"sender":           {pushtest.FCMSenderMismatch(), rejected(push.CredentialAuth, "SENDER_ID_MISMATCH")},
		"third party":      {pushtest.FCMThirdParty(), rejected(push.CredentialAuth, "THIRD_PARTY_AUTH_ERROR: the project's own key for APNs or web push is refused, by InvalidProviderToken")},
		"unauthorized":     {pushtest.FCMUnauthorized(), retry(push.CredentialAuth, "UNAUTHENTICATED", 0, false)},
		"forbidden":        {pushtest.FCMError(403, "PERMISSION_DENIED", "", "x"), retry(push.CredentialAuth, "PERMISSION_DENIED", 0, false)},
		"no project":       {pushtest.FCMError(404, "NOT_FOUND", "", "x"), rejected(push.CredentialAuth, "NOT_FOUND")},
		"no page":          {pushtest.FCMAnswer{Status: 404, Body: "<html>"}, rejected(push.CredentialAuth, "HTTP 404")},
		"quota":            {pushtest.FCMQuota(false, ""), retry(push.ProviderQuota, "QUOTA_EXCEEDED", time.Minute, false)},
		"quota, seconds":   {pushtest.FCMQuota(false, "7"), retry(push.ProviderQuota, "QUOTA_EXCEEDED", 7*time.Second, false)},
		"quota, date":      {pushtest.FCMQuota(false, date), retry(push.ProviderQuota, "QUOTA_EXCEEDED", 90*time.Second, false)},
		"quota, nonsense":  {pushtest.FCMQuota(false, "soon"), retry(push.ProviderQuota, "QUOTA_EXCEEDED", time.Minute, false)},
		"quota of device":  {pushtest.FCMQuota(true, ""), retry(push.ProviderQuota, "QUOTA_EXCEEDED", time.Minute, true)},
		"quota, in body":   {pushtest.FCMError(429, "RESOURCE_EXHAUSTED", "", "x", `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}`), retry(push.ProviderQuota, "RESOURCE_EXHAUSTED", 3500*time.Millisecond, false)},
		"unavailable":      {pushtest.FCMUnavailable(""), retry(push.ProviderTransient, "UNAVAILABLE", 10*time.Second, true)},
		"unavailable, 1":   {pushtest.FCMUnavailable("1"), retry(push.ProviderTransient, "UNAVAILABLE", time.Second, false)},
		"internal":         {pushtest.FCMError(500, "INTERNAL", "INTERNAL", "x"), retry(push.ProviderTransient, "INTERNAL", 0, false)},
		"bad gateway":      {pushtest.FCMAnswer{Status: 502}, retry(push.ProviderTransient, "HTTP 502", 0, false)},
		"gateway timeout":  {pushtest.FCMAnswer{Status: 504}, retry(push.ProviderTransient, "HTTP 504", 0, false)},
		"redirect":         {pushtest.FCMAnswer{Status: 302}, retry(push.ProviderTransient, "HTTP 302", 0, false)},
		"something else":   {pushtest.FCMAnswer{Status: 405}, rejected(push.UnknownFailure, "HTTP 405")},
		"words of no form": {pushtest.FCMError(400, "see token abc", "no <b>", "x"), rejected(push.CallerPayload, "HTTP 400")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answered(c.a).result(now, true); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestTopicsAreNoDevices(t *testing.T) {
	for _, a := range []pushtest.FCMAnswer{pushtest.FCMUnregistered(), pushtest.FCMInvalidToken()} {
		if r := answered(a).result(time.Now(), false); r.Class == push.DeviceTerminal || r.Outcome != push.Rejected {
			t.Errorf("%+v", r)
		}
	}
	if r := answered(pushtest.FCMError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Topic message rate exceeded")).result(time.Now(), false); !r.DeviceOnly {
		t.Errorf("the quota of a topic stops all: %+v", r)
	}
}

// TestHalfAnAnswer takes a success for what it is, even if its body has been cut.
func TestHalfAnAnswer(t *testing.T) {
	a := &answer{status: 200, body: []byte(`{"name":"proj`), cut: true}
	if r := a.result(time.Now(), true); r.Outcome != push.Accepted || r.MessageID != "" {
		t.Errorf("%+v", r)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, a := range []pushtest.FCMAnswer{
		pushtest.FCMUnregistered(), pushtest.FCMInvalidToken(), pushtest.FCMInvalid("message.data", "x"), pushtest.FCMThirdParty(), pushtest.FCMQuota(true, "5"),
		{Status: 200, Body: `{"name":"x"}`},
		{Status: 429, Body: `{"error":{"details":[{"@type":"x.RetryInfo","retryDelay":"-3s"},null,7]}}`},
		{Status: 302},
	} {
		f.Add(a.Status, a.Header.Get("Retry-After"), a.Body)
	}
	now := time.Date(2026, 10, 21, 7, 26, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, after, body string) {
		a := &answer{status: status, header: http.Header{"Retry-After": {after}}, body: []byte(body)}
		a.refusesToken()
		r := a.result(now, true)
		switch {
		case (r.Outcome == push.Accepted) != (r.Class == "") || r.Outcome == "":
			t.Fatalf("%+v", r)
		case r.RetryAfter < 0 || r.RetryAfter > 24*time.Hour || r.RetryAfter > 0 && r.Outcome != push.Retryable:
			t.Fatalf("%+v", r)
		case len(r.Reason) > 256 || strings.ContainsAny(r.Reason, "\r\n\x00"):
			t.Fatalf("the reason is %q", r.Reason)
		case len(r.MessageID) > maxMessageID:
			t.Fatal("the id is too long")
		case status == 429 && r.RetryAfter == 0:
			t.Fatal("nobody waits")
		}
		refusedToken(*a, now)
	})
}
