package pushtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// fcmPost posts to the stand-in, and is the status and the body of the answer.
func fcmPost(t *testing.T, f *FCM, path, kind, bearer, body string) (status int, answer string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.Roots, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer "+bearer)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestFCMRefuses wants the stand-in to find what the service would.
func TestFCMRefuses(t *testing.T) {
	f := NewFCM(t)
	f.AcceptToken("good")
	const path = "/v1/projects/" + FCMProject + "/messages:send"
	for _, c := range []struct {
		body   string
		status int
		field  string
	}{
		{`{"message":{"token":"a","data":{"k":"v"},"android":{"ttl":"600s","priority":"high","collapseKey":"x"}}}`, 200, ""},
		{`{"message":{"topic":"news","fcmOptions":{"analytics_label":"x"}}}`, 200, ""},
		{`{"message":{"token":"a","data":{"order":{"id":1}}}}`, 400, "message.data"},
		{`{"message":{"token":"a","data":{"k":5}}}`, 400, "message.data"},
		{`{"message":{"token":"a","data":{"from":"x"}}}`, 400, "message.data"},
		{`{"message":{"token":"a","data":{"google.x":"x"}}}`, 400, "message.data"},
		{`{"message":{"token":"a","notification":{"title":"T","image":null}}}`, 400, "message.notification"},
		{`{"message":{"token":"a","notification":{"icon":"x"}}}`, 400, "message.notification"},
		{`{"message":{"token":"a","android":{"ttl":"600"}}}`, 400, "message.android.ttl"},
		{`{"message":{"token":"a","android":{"ttl":600}}}`, 400, "message.android"},
		{`{"message":{"token":"a","android":{"priority":"urgent"}}}`, 400, "message.android.priority"},
		{`{"message":{"token":"a","apns":{"headers":{"apns-expiration":5}}}}`, 400, "message.apns"},
		{`{"message":{"token":"a","webpush":{"headers":{"Topic":"a b"}}}}`, 400, "message.webpush.headers.Topic"},
		{`{"message":{"token":"a","unknown":"x"}}`, 400, "message.unknown"},
		{`{"message":{"token":"a","topic":"b"}}`, 400, "message"},
		{`{"message":{}}`, 400, "message"},
		{`{"message":{"topic":"a/b"}}`, 400, "message.topic"},
		{`{"message":{"token":"a"},"validate_only":true}`, 400, "validate_only"},
		{`{"message":{"token":"a"}}{`, 400, ""},
		{`{"message":{"token":"a","data":{"k":"` + strings.Repeat("x", 4100) + `"}}}`, 400, "message"},
		{`{"message":{"topic":"a","data":{"k":"` + strings.Repeat("x", 2100) + `"}}}`, 400, "message"},
	} {
		status, answer := fcmPost(t, f, path, "application/json", "good", c.body)
		if status != c.status || status == 400 && !strings.Contains(answer, `"field":"`+c.field+`"`) {
			t.Errorf("%.100s: %d %s", c.body, status, answer)
		}
	}
	const good = `{"message":{"token":"a"}}`
	for name, c := range map[string]struct {
		path, kind, bearer string
		status             int
	}{
		"good":            {path, "application/json", "good", 200},
		"access token":    {path, "application/json", "bad", 401},
		"project":         {"/v1/projects/other/messages:send", "application/json", "good", 404},
		"method":          {"/v1/projects/" + FCMProject + "/messages:receive", "application/json", "good", 404},
		"kind of content": {path, "text/plain", "good", 400},
	} {
		if status, answer := fcmPost(t, f, c.path, c.kind, c.bearer, good); status != c.status {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if len(f.Sent()) != 3 || f.Attempts("a") != 2 || len(f.Refusals()) != 19+4 {
		t.Errorf("%d sent, %d refused", len(f.Sent()), len(f.Refusals()))
	}
}

// TestFCMRefusesAssertions wants no access token for what the service account has not
// signed.
func TestFCMRefusesAssertions(t *testing.T) {
	f := NewFCM(t)
	for _, form := range []url.Values{
		{},
		{"grant_type": {"client_credentials"}},
		{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}},
		{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"e30.e30.e30"}},
		{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"e30.e30.="}},
	} {
		status, answer := fcmPost(t, f, "/token", "application/x-www-form-urlencoded", "", form.Encode())
		if status != 400 || !strings.Contains(answer, "invalid_grant") {
			t.Errorf("%v: %d %s", form, status, answer)
		}
	}
	if f.TokenFetches() != 5 || len(f.Refusals()) != 5 {
		t.Errorf("%d requests, %q", f.TokenFetches(), f.Refusals())
	}
}

// TestFCMScripts wants answers in their order, and faults of the connection.
func TestFCMScripts(t *testing.T) {
	f := NewFCM(t)
	f.AcceptToken("good")
	f.Script("a", FCMUnregistered(), FCMUnavailable("7"))
	f.ScriptNext(FCMQuota(true, ""))
	const path, good = "/v1/projects/" + FCMProject + "/messages:send", `{"message":{"token":"a"}}`
	for _, want := range []int{429, 404, 503, 200} {
		if status, answer := fcmPost(t, f, path, "application/json", "good", good); status != want {
			t.Errorf("%d %s, want %d", status, answer, want)
		}
	}
	f.Script("a", FCMAnswer{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+path, strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer good")
	if response, err := f.server.Client().Do(r); err == nil {
		_ = response.Body.Close()
		t.Error("it has answered")
	}
	f.RevokeTokens()
	if status, _ := fcmPost(t, f, path, "application/json", "good", good); status != 401 {
		t.Errorf("a token that was taken back gets %d", status)
	}
}
