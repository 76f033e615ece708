package pushtest

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	fcmAccount = "tests@test-project.iam.gserviceaccount.com"
	fcmKeyID   = "0123456789abcdef"
)

// fcmAccess are the access tokens.
type fcmAccess struct {
	lifetime time.Duration
	latency  time.Duration
	fetches  int
	failures []FCMAnswer
	given    map[string]time.Time // until when
}

// ServiceAccount is the file of the service account that it knows.
func (f *FCM) ServiceAccount(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": FCMProject, "private_key_id": fcmKeyID, "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": fcmAccount, "token_uri": f.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ServiceAccountFile writes the file, and names it.
func (f *FCM) ServiceAccountFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "service-account.json")
	if err := os.WriteFile(name, f.ServiceAccount(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Material is the service account as credentials of the provider.
func (f *FCM) Material(t testing.TB) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(map[string]json.RawMessage{"serviceAccountJson": f.ServiceAccount(t)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TokenFetches is the number of requests for access tokens, refused ones too.
func (f *FCM) TokenFetches() (n int) {
	f.with(func() { n = f.access.fetches })
	return n
}

// RevokeTokens makes all access tokens that it has given useless.
func (f *FCM) RevokeTokens() { f.with(func() { clear(f.access.given) }) }

// AcceptToken makes a token good that nobody has asked for.
func (f *FCM) AcceptToken(text string) {
	f.with(func() { f.access.given[text] = f.clock().Add(time.Hour) })
}

// FailTokens gives the answers to the next requests for access tokens.
func (f *FCM) FailTokens(answers ...FCMAnswer) {
	f.with(func() { f.access.failures = append(f.access.failures, answers...) })
}

// SetTokenLifetime sets how long access tokens are good, at first 3599 seconds.
func (f *FCM) SetTokenLifetime(d time.Duration) { f.with(func() { f.access.lifetime = d }) }

// SetTokenLatency makes every answer with an access token take a time.
func (f *FCM) SetTokenLatency(d time.Duration) { f.with(func() { f.access.latency = d }) }

// accepts reports whether an access token is good.
func (f *FCM) accepts(bearer string) (good bool) {
	f.with(func() {
		until, known := f.access.given[bearer]
		good = known && f.clock().Before(until)
	})
	return good
}

// serveToken gives an access token for an assertion of the service account.
func (f *FCM) serveToken(w http.ResponseWriter, r *http.Request) {
	var (
		failure *FCMAnswer
		number  int
		latency time.Duration
	)
	f.with(func() {
		f.access.fetches++
		number, latency = f.access.fetches, f.access.latency
		if len(f.access.failures) > 0 {
			failure, f.access.failures = &f.access.failures[0], f.access.failures[1:]
		}
	})
	if !f.pause(r, latency) {
		return
	}
	if failure != nil {
		a := *failure
		a.Status = cmp.Or(a.Status, http.StatusOK)
		f.write(w, r, a)
		return
	}
	if err := f.checkAssertion(r); err != nil {
		f.with(func() { f.refusals = append(f.refusals, "/token: "+err.Error()) })
		f.write(w, r, FCMAnswer{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`})
		return
	}
	text := fmt.Sprintf("access-%d", number)
	var lifetime time.Duration
	f.with(func() {
		lifetime = f.access.lifetime
		f.access.given[text] = f.clock().Add(lifetime)
	})
	f.write(w, r, FCMAnswer{Status: http.StatusOK, Body: fmt.Sprintf(
		`{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, text, int64(lifetime/time.Second))})
}

// checkAssertion verifies a request for an access token.
func (f *FCM) checkAssertion(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errors.New("no form")
	}
	if got := r.PostForm.Get("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return fmt.Errorf("grant_type is %q", got)
	}
	parts := strings.Split(r.PostForm.Get("assertion"), ".")
	if len(parts) != 3 {
		return errors.New("the assertion is no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return errors.New("the signature is not base64url without padding")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return errors.New("the signature is not that of the service account")
	}
	var header struct{ Alg, Typ, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if err := errors.Join(fcmPart(parts[0], &header), fcmPart(parts[1], &claims)); err != nil {
		return err
	}
	var now time.Time
	f.with(func() { now = f.clock() })
	switch {
	case header.Alg != "RS256" || header.Typ != "JWT" || header.Kid != fcmKeyID:
		return fmt.Errorf("the header is %+v", header)
	case claims.Iss != fcmAccount || claims.Aud != f.URL+"/token" || claims.Scope != "https://www.googleapis.com/auth/firebase.messaging":
		return fmt.Errorf("the claims are %+v", claims)
	case claims.Exp-claims.Iat > 3600 || claims.Exp <= now.Unix() || claims.Iat > now.Add(time.Minute).Unix():
		return fmt.Errorf("from %d to %d is not now, or too long", claims.Iat, claims.Exp)
	}
	return nil
}

func fcmPart(text string, to any) error {
	part, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return errors.New("a part is not base64url without padding")
	}
	return json.Unmarshal(part, to)
}
