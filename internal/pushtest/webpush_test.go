package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	library "github.com/SherClockHolmes/webpush-go"
)

// webPushChange is a client that changes requests before it sends them.
type webPushChange struct {
	change func(*http.Request)
	next   http.RoundTripper
}

func (c webPushChange) RoundTrip(r *http.Request) (*http.Response, error) {
	c.change(r)
	return c.next.RoundTrip(r)
}

// webPushBench is a service, a browser and an application that sends with webpush-go.
type webPushBench struct {
	service *WebPush
	sub     WebPushSubscription
	key     *ecdsa.PrivateKey
	public  string
	client  *http.Transport
}

func newWebPushBench(t *testing.T) *webPushBench {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b := &webPushBench{service: NewWebPush(t), key: key, public: base64.RawURLEncoding.EncodeToString(public)}
	b.sub = b.service.Subscribe(t, b.public)
	b.client = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.service.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

// token signs claims. der signs in the form that JWS does not have.
func (b *webPushBench) token(t *testing.T, claims map[string]any, der bool) string {
	t.Helper()
	all := map[string]any{"aud": b.service.URL, "exp": time.Now().Add(time.Hour).Unix(), "sub": "mailto:ops@example.com"}
	maps.Copy(all, claims)
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err1 := ecdsa.SignASN1(rand.Reader, b.key, sum[:])
	if !der {
		r, s, err2 := ecdsa.Sign(rand.Reader, b.key, sum[:])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// send posts a message that has been changed, and is its status.
func (b *webPushBench) send(t *testing.T, to WebPushSubscription, change func(*http.Request)) int {
	t.Helper()
	private, err := b.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := library.SendNotification([]byte("hi"), &library.Subscription{Endpoint: to.Endpoint, Keys: library.Keys{P256dh: to.P256dh, Auth: to.Auth}}, &library.Options{
		HTTPClient: &http.Client{Transport: webPushChange{change, b.client}}, Subscriber: "ops@example.com", TTL: 60,
		VAPIDPublicKey: b.public, VAPIDPrivateKey: base64.RawURLEncoding.EncodeToString(private),
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// The service is as strict as the real ones: it takes a message that is as it must be,
// and the same with one thing changed no more.
func TestWebPushRefuses(t *testing.T) {
	b := newWebPushBench(t)
	other, _, err := library.GenerateVAPIDKeys()
	if err != nil {
		t.Fatal(err)
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del(name)
			if value != "" {
				r.Header.Set(name, value)
			}
		}
	}
	signed := func(claims map[string]any) func(*http.Request) {
		return header("Authorization", "vapid t="+b.token(t, claims, false)+", k="+b.public)
	}
	body := func(f func([]byte) []byte) func(*http.Request) {
		return func(r *http.Request) {
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			changed := string(f(text))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
		}
	}
	flip := func(at int) func(*http.Request) {
		return body(func(text []byte) []byte {
			text[at] ^= 1
			return text
		})
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"nothing":            {func(*http.Request) {}, 201},
		"a token of ours":    {signed(nil), 201},
		"the end of a token": {signed(map[string]any{"exp": time.Now().Add(24*time.Hour - time.Minute).Unix()}), 201},
		"no TTL":             {header("TTL", ""), 400},
		"a bad TTL":          {header("TTL", "-1"), 400},
		"no encoding":        {header("Content-Encoding", ""), 400},
		"an old encoding":    {header("Content-Encoding", "aesgcm"), 400},
		"a bad urgency":      {header("Urgency", "urgent"), 400},
		"a bad topic":        {header("Topic", "a b"), 400},
		"a long topic":       {header("Topic", strings.Repeat("t", 33)), 400},
		"no token":           {header("Authorization", ""), 401},
		"another scheme":     {header("Authorization", "WebPush "+b.token(t, nil, false)), 401},
		"another key":        {header("Authorization", "vapid t="+b.token(t, nil, false)+", k="+other), 401},
		"a DER signature":    {header("Authorization", "vapid t="+b.token(t, nil, true)+", k="+b.public), 401},
		"no port in aud":     {signed(map[string]any{"aud": "https://127.0.0.1"}), 403},
		"expired":            {signed(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), 403},
		"good for too long":  {signed(map[string]any{"exp": time.Now().Add(25 * time.Hour).Unix()}), 403},
		"a doubled subject":  {signed(map[string]any{"sub": "mailto:mailto:ops@example.com"}), 403},
		"no subject":         {signed(map[string]any{"sub": ""}), 403},
		"a changed salt":     {flip(0), 400},
		"a changed key":      {flip(40), 400},
		"a changed message":  {flip(200), 400},
		"an empty body":      {body(func([]byte) []byte { return nil }), 400},
		"a record too long":  {body(func(text []byte) []byte { copy(text[16:20], []byte{0, 0, 0, 100}); return text }), 400},
		"a long body":        {body(func(text []byte) []byte { return make([]byte, 4097) }), 413},
	} {
		before := len(b.service.Refusals())
		if got := b.send(t, b.sub, c.change); got != c.status {
			t.Errorf("%s: %d, want %d; refused %q", name, got, c.status, b.service.Refusals())
		}
		if refused := len(b.service.Refusals()) - before; (refused == 1) != (c.status != 201) {
			t.Errorf("%s: %d are said to be refused", name, refused)
		}
	}
	if got := b.service.Received(b.sub.Endpoint); len(got) != 3 || string(got[0].Plaintext) != "hi" || b.service.Attempts(b.sub.Endpoint) != 25 {
		t.Errorf("%d messages of %d requests", len(got), b.service.Attempts(b.sub.Endpoint))
	}
	bound := b.service.Subscribe(t, other)
	if got := b.send(t, bound, func(*http.Request) {}); got != 403 {
		t.Errorf("a key that a subscription is not for: %d", got)
	}
}

// A script answers as many requests as it says, and then the service takes them again.
func TestWebPushScript(t *testing.T) {
	b := newWebPushBench(t)
	as := func(*http.Request) {}
	b.service.Script(b.sub.Endpoint, WebPushAnswer{Status: 500}, WebPushAnswer{Status: 429, Times: 2}, WebPushAnswer{}, WebPushAnswer{Status: 202}, WebPushAnswer{Status: 404, Times: -1})
	for i, want := range []int{500, 429, 429, 201, 202, 404, 404, 404} {
		if got := b.send(t, b.sub, as); got != want {
			t.Errorf("request %d: %d, want %d", i+1, got, want)
		}
	}
	b.service.Script(b.sub.Endpoint)
	if got := b.send(t, b.sub, as); got != 201 || len(b.service.Wait(t, b.sub.Endpoint, 3)) != 3 {
		t.Errorf("after the script: %d", got)
	}
	b.service.Unsubscribe(b.sub.Endpoint)
	if got := b.send(t, b.sub, as); got != 410 {
		t.Errorf("gone: %d", got)
	}
}
