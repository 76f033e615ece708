package push

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
)

const (
	// tokenLife is that of a token whose answer does not tell, and tokenLifeMax bounds one
	// that it tells.
	tokenLife    = time.Hour
	tokenLifeMax = 30 * 24 * time.Hour
)

// ClientCredentials are an identity at an authorization server (RFC 6749, section 4.4).
type ClientCredentials struct {
	// Endpoint is the URL of the server.
	Endpoint string
	// ID and Secret are the client's.
	ID, Secret string
	// Scope is what the token is for, or empty.
	Scope string
}

// Fetch asks for a token. Its errors are those of the connection or a TokenError, whose
// class is credential_auth if the server has refused the credentials.
func (c *ClientCredentials) Fetch(ctx context.Context, client *http.Client, now func() time.Time) (Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}}
	if c.Scope != "" {
		form.Set("scope", c.Scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, &TokenError{Class: CredentialAuth, Reason: "no login: its address is no URL"}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asked := now()
	response, err := client.Do(request) //nolint:bodyclose // ReadAnswer does
	if err != nil {
		return Token{}, err
	}
	body := ReadAnswer(response.Body)
	if response.StatusCode != http.StatusOK {
		return Token{}, refusedToken(response.StatusCode, response.Header, body, now())
	}
	return ParseToken(body, asked)
}

// refusedToken is why a token endpoint gives none.
func refusedToken(status int, header http.Header, body []byte, now time.Time) error {
	e := &TokenError{
		Class: ProviderTransient, Reason: "no login: the service for it answers " + strconv.Itoa(status),
		RetryAfter: retryafter.Parse(header.Get("Retry-After"), now),
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized:
		e.Class, e.Reason = CredentialAuth, "no login: the credentials are refused"
		if word := oauthError(body); word != "" {
			e.Reason += " with " + word
		}
	case http.StatusTooManyRequests:
		e.Class = ProviderQuota
	}
	return e
}

// oauthErrors are words of RFC 6749, section 5.2, which say nothing of the request.
var oauthErrors = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unsupported_grant_type": true, "invalid_scope": true,
}

// oauthError is the error that an answer names: one of the known words, or a number. Any
// other text may have something of the request in it.
func oauthError(body []byte) string {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	if word := strings.Trim(string(answer.Error), `"`); oauthErrors[word] {
		return word
	}
	if n, err := strconv.ParseUint(string(answer.Error), 10, 16); err == nil {
		return "error " + strconv.FormatUint(n, 10)
	}
	return ""
}

// ParseToken reads the answer of a token endpoint to a request made at a time.
func ParseToken(body []byte, asked time.Time) (Token, error) {
	var answer struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // a number, and with some servers a text
	}
	if json.Unmarshal(body, &answer) != nil || !printable(answer.AccessToken) {
		return Token{}, &TokenError{Class: ProviderTransient, Reason: "no login: the answer of the service for it cannot be used"}
	}
	life := tokenLife
	if n, err := strconv.ParseFloat(strings.Trim(string(answer.ExpiresIn), `"`), 64); err == nil && n > 0 {
		life = time.Duration(min(n, tokenLifeMax.Seconds()) * float64(time.Second))
	}
	return Token{Value: answer.AccessToken, Expires: asked.Add(life)}, nil
}

// printable reports whether a text can be in a header.
func printable(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return text != ""
}
