package hms

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func judged(status int, body string) (push.Result, bool) {
	return judge(&answer{
		status: status, header: http.Header{"Retry-After": {"7"}}, body: []byte(body), device: "device", at: time.Now(),
	})
}

// Checklist: push 83, 106
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		outcome push.Outcome
		class   push.Class
		stale   bool
	}{
		{200, `{"code":"80000000","msg":"Success","requestId":"r1"}`, push.Accepted, "", false},
		{200, `{"code":80000000}`, push.Accepted, "", false},
		{200, `{}`, push.Accepted, "", false},
		{204, ``, push.Accepted, "", false},
		{200, `<html>`, push.Retryable, push.ProviderTransient, false},
		{200, `{"code":"80000`, push.Retryable, push.ProviderTransient, false},
		{200, `{"code":"80000001"}`, push.Rejected, push.UnknownFailure, false},
		{200, `{"code":"80100000","msg":"{\"success\":0,\"failure\":1,\"illegal_tokens\":[\"device\"]}"}`, push.Rejected, push.DeviceTerminal, false},
		{200, `{"code":"80100000","msg":"{\"success\":1,\"failure\":1,\"illegal_tokens\":[\"other\"]}"}`, push.Rejected, push.UnknownFailure, false},
		{200, `{"code":"80100000","msg":"{\"success\":1,\"failure\":0,\"illegal_tokens\":[]}"}`, push.Accepted, "", false},
		{200, `{"code":"80100000","msg":"illegal token"}`, push.Rejected, push.UnknownFailure, false},
		{400, `{"code":"80300007","msg":"all tokens are invalid"}`, push.Rejected, push.DeviceTerminal, false},
		{200, `{"code":"80300007"}`, push.Rejected, push.DeviceTerminal, false},
		{400, `{"code":"80100013"}`, push.Rejected, push.CallerPayload, false},
		{400, `{"code":"80300008"}`, push.Rejected, push.CallerPayload, false},
		{400, `{"code":"80300010"}`, push.Rejected, push.CallerPayload, false},
		{400, `{"code":"80300002"}`, push.Rejected, push.CredentialAuth, false},
		{500, `{"code":"81000001"}`, push.Retryable, push.ProviderTransient, false},
		{200, `{"code":"81000001"}`, push.Retryable, push.ProviderTransient, false},
		// DEFECT 31: these speak of an invalid token, and mean the login.
		{400, `{"code":"80200001","msg":"oauth token invalid"}`, push.Retryable, push.CredentialAuth, true},
		{200, `{"code":"80200003","msg":"the token is invalid"}`, push.Retryable, push.CredentialAuth, true},
		{401, `invalid token`, push.Retryable, push.CredentialAuth, true},
		{403, `invalid token`, push.Retryable, push.CredentialAuth, false},
		{400, `invalid token`, push.Rejected, push.CallerPayload, false},
		{413, ``, push.Rejected, push.CallerPayload, false},
		{404, ``, push.Rejected, push.DeviceTerminal, false},
		{410, ``, push.Rejected, push.DeviceTerminal, false},
		{429, ``, push.Retryable, push.ProviderQuota, false},
		{503, ``, push.Retryable, push.ProviderQuota, false},
		{500, ``, push.Retryable, push.ProviderTransient, false},
		{502, `<html>`, push.Retryable, push.ProviderTransient, false},
		{302, ``, push.Rejected, push.UnknownFailure, false},
		{418, `{"code":"90000000"}`, push.Rejected, push.UnknownFailure, false},
	} {
		r, stale := judged(c.status, c.body)
		if r.Outcome != c.outcome || r.Class != c.class || stale != c.stale {
			t.Errorf("%d %s: %+v, stale %v", c.status, c.body, r, stale)
		}
		if wait := r.RetryAfter == 7*time.Second; wait != (r.Outcome == push.Retryable) {
			t.Errorf("%d %s: wait %v", c.status, c.body, r.RetryAfter)
		}
		if r.DeviceOnly || (r.Reason == "") != (r.Outcome == push.Accepted) || strings.Contains(r.Reason, "token") || strings.Contains(r.Reason, "device\"") {
			t.Errorf("%d %s: %+v", c.status, c.body, r)
		}
	}
	if r, _ := judged(200, `{"code":"80000000","requestId":"r1"}`); r.MessageID != "r1" {
		t.Errorf("%+v", r)
	}
	// Without a code it may be the service's address that is wrong.
	if r, _ := judged(404, ""); !r.Suspect {
		t.Errorf("%+v", r)
	}
	if r, _ := judged(400, `{"code":"80300007"}`); r.Suspect {
		t.Errorf("%+v", r)
	}
}

// Only a code, or a status without a code, removes a device, and nothing of the answer
// gets out but codes and the message's name.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"code":"80000000","msg":"Success","requestId":"r1"}`))
	f.Add(200, []byte(`{"code":"80100000","msg":"{\"illegal_tokens\":[\"device\"]}"}`))
	f.Add(401, []byte(`{"code":"80200003","msg":"token invalid"}`))
	f.Add(404, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r, _ := judged(status, string(body))
		terminal := r.Class == push.DeviceTerminal
		named := strings.Contains(string(body), addressInvalid) || strings.Contains(string(body), partial) || strings.Contains(string(body), `\u`)
		if terminal && !named && status != 404 && status != 410 {
			t.Errorf("%d %q removes a device", status, body)
		}
		if (r.Outcome == push.Accepted) != (r.Class == "") || len(r.Reason) > 100 || len(r.MessageID) > 128 {
			t.Errorf("%+v", r)
		}
		if r.Outcome == push.Accepted && status >= 300 && !strings.Contains(string(body), partial) {
			t.Errorf("%d is a success", status)
		}
	})
}
