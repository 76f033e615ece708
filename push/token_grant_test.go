package push

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

func TestClientCredentials(t *testing.T) {
	server := &pushtest.ClientOAuth{ID: "ms-app://s&1", Secret: "hush+/=", Scope: "s", Life: 2 * time.Hour}
	s := httptest.NewServer(server)
	defer s.Close()
	c := &ClientCredentials{Endpoint: s.URL, ID: server.ID, Secret: server.Secret, Scope: "s"}
	d := newTokenClock()
	token, err := c.Fetch(t.Context(), s.Client(), d.now)
	if err != nil || !token.Expires.Equal(d.now().Add(2*time.Hour)) {
		t.Fatalf("%v, %v", token.Expires, err)
	}
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	request.Header.Set("Authorization", "Bearer "+token.Value)
	if !server.Accepts(request) {
		t.Error("the token is not the server's")
	}
	c.Secret = "hush"
	wantTokenError(t, c, s, TokenError{Class: CredentialAuth, Reason: "no login: the credentials are refused with invalid_client"})
	c.Secret = server.Secret
	for _, f := range []struct {
		status int
		body   string
		want   TokenError
	}{
		{400, `{"sub_error":20041,"error":1101}`, TokenError{Class: CredentialAuth, Reason: "no login: the credentials are refused with error 1101"}},
		{400, `{"error":"hush+/="}`, TokenError{Class: CredentialAuth, Reason: "no login: the credentials are refused"}},
		{401, "hush", TokenError{Class: CredentialAuth, Reason: "no login: the credentials are refused"}},
		{429, "", TokenError{Class: ProviderQuota, Reason: "no login: the service for it answers 429", RetryAfter: 7 * time.Second}},
		{500, "hush", TokenError{Class: ProviderTransient, Reason: "no login: the service for it answers 500", RetryAfter: 7 * time.Second}},
		{302, "", TokenError{Class: ProviderTransient, Reason: "no login: the service for it answers 302", RetryAfter: 7 * time.Second}},
		{200, "<html>", TokenError{Class: ProviderTransient, Reason: "no login: the answer of the service for it cannot be used"}},
	} {
		header := http.Header{}
		if f.want.RetryAfter > 0 {
			header.Set("Retry-After", "7")
		}
		server.FailWith(f.status, header, f.body)
		wantTokenError(t, c, s, f.want)
	}
	s.Close()
	var refused *TokenError
	if _, err := c.Fetch(t.Context(), s.Client(), d.now); err == nil || errors.As(err, &refused) {
		t.Errorf("without a server: %v", err)
	}
	c.Endpoint = "://"
	wantTokenError(t, c, s, TokenError{Class: CredentialAuth, Reason: "no login: its address is no URL"})
}

func wantTokenError(t *testing.T, c *ClientCredentials, s *httptest.Server, want TokenError) {
	t.Helper()
	_, err := c.Fetch(t.Context(), s.Client(), time.Now)
	var refused *TokenError
	if !errors.As(err, &refused) || *refused != want || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestParseToken(t *testing.T) {
	asked := newTokenClock().now()
	for body, life := range map[string]time.Duration{
		`{"access_token":"a","expires_in":3600}`:        time.Hour,
		`{"access_token":"a","expires_in":"86400"}`:     24 * time.Hour,
		`{"access_token":"a"}`:                          time.Hour,
		`{"access_token":"a","expires_in":null}`:        time.Hour,
		`{"access_token":"a","expires_in":-1}`:          time.Hour,
		`{"access_token":"a","expires_in":1e300}`:       30 * 24 * time.Hour,
		`{"access_token":"a","expires_in":"NaN"}`:       time.Hour,
		`{"access_token":"CgB6\/+=","expires_in":10.5}`: 10500 * time.Millisecond,
	} {
		if token, err := ParseToken([]byte(body), asked); err != nil || token.Expires.Sub(asked) != life {
			t.Errorf("%s: %v, %v", body, token.Expires.Sub(asked), err)
		}
	}
	for _, body := range []string{"", "{}", "[]", `{"access_token":""}`, `{"access_token":"a\nb"}`, `{"access_token":"ä"}`, `{"access_token":7}`} {
		if _, err := ParseToken([]byte(body), asked); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func FuzzAccessToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","expires_in":3600}`))
	f.Add([]byte(`{"access_token":"a","expires_in":"1e400"}`))
	f.Add([]byte(`{"error":1101}`))
	asked := newTokenClock().now()
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := ParseToken(body, asked)
		life := token.Expires.Sub(asked)
		if err == nil && (life < 0 || life > tokenLifeMax || !printable(token.Value)) {
			t.Errorf("%q lives for %v", token.Value, life)
		}
		if word := oauthError(body); len(word) > 32 {
			t.Errorf("the error is %q", word)
		}
	})
}
