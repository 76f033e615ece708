package fcm

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/retryafter"
	"github.com/sockudo/caddy-sockudo/push"
)

const (
	scope       = "https://www.googleapis.com/auth/firebase.messaging"
	grant       = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	lifetime    = time.Hour // of an assertion
	maxLifetime = 24 * time.Hour
)

// fetcher asks the service account's own endpoint for access tokens.
type fetcher struct {
	account *account
	client  *http.Client
	clock   func() time.Time
}

// fetch makes one request. The client bounds it in time.
func (f *fetcher) fetch(ctx context.Context) (*token, *push.Result) {
	now := f.clock()
	assertion, err := f.account.assertion(now)
	if err != nil {
		return nil, &push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "the private key cannot sign"}
	}
	form := url.Values{"grant_type": {grant}, "assertion": {assertion}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.account.TokenURI, strings.NewReader(form))
	if err != nil {
		return nil, &push.Result{Outcome: push.Rejected, Class: push.CredentialAuth, Reason: "token_uri is not an address"}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := ask(f.client, r)
	if a.err != nil {
		failed := unreachable(ctx, a.err)
		failed.Reason = "for an access token: " + failed.Reason
		return nil, &failed
	}
	if a.status != http.StatusOK {
		return nil, refusedToken(a, now)
	}
	var got struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if json.Unmarshal(a.body, &got) != nil || !printable(got.AccessToken) {
		return nil, &push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, Reason: "the endpoint for access tokens has sent none"}
	}
	life := time.Duration(min(max(got.ExpiresIn, 1), maxLifetime.Seconds()) * float64(time.Second))
	return &token{text: got.AccessToken, from: now, renew: now.Add(life - min(ahead, life/2)), until: now.Add(life)}, nil
}

// oauthWord is the form of the words for errors of OAuth.
var oauthWord = regexp.MustCompile(`^[a-z_]{1,64}$`)

// refusedToken is the result of an attempt for which there was no access token.
func refusedToken(a answer, now time.Time) *push.Result {
	r := &push.Result{Outcome: push.Retryable, Class: push.ProviderTransient, RetryAfter: retryafter.Parse(a.header.Get("Retry-After"), now)}
	if a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized {
		r.Class = push.CredentialAuth
	}
	var why struct {
		Error string `json:"error"`
	}
	r.Reason = fmt.Sprintf("for an access token: HTTP %d", a.status)
	if json.Unmarshal(a.body, &why) == nil && oauthWord.MatchString(why.Error) {
		r.Reason += " " + why.Error
	}
	return r
}

// assertion is what proves to be the account: a JWT signed with RS256.
func (a *account) assertion(now time.Time) (string, error) {
	header, err := encode(map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.PrivateKeyID})
	if err != nil {
		return "", err
	}
	claims, err := encode(map[string]any{
		"iss": a.ClientEmail, "scope": scope, "aud": a.TokenURI, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
