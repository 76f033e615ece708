// Package pushtest has push services for tests: they run on this machine, check what
// they are sent as strictly as the real ones do, and answer as a test says.
package pushtest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// WebPush is a push service for browsers. It has the keys of the browsers too, and so
// reads every message. What it refuses it answers like a real service, and tells by
// Refusals. It may be used by many goroutines. What is asked of an endpoint that it has
// not given panics.
type WebPush struct {
	// URL is where it listens, such as https://127.0.0.1:40001. Its certificate is also good
	// for example.com and *.example.com.
	URL string
	// Roots has its certificate, and CAFile the same in PEM.
	Roots  *x509.CertPool
	CAFile string

	server *httptest.Server

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced when a message comes
	subscriptions map[string]*webPushSubscription
	refusals      []string
	tokens        map[string]int // how often each has been used
	requests      int
	messages      int
	latency       time.Duration
	now           func() time.Time
}

// WebPushSubscription is what a browser would tell its application. The keys are unpadded
// base64url.
type WebPushSubscription struct{ Endpoint, P256dh, Auth string }

// WebPushMessage is a message that has come.
type WebPushMessage struct {
	// Plaintext is what the browser reads.
	Plaintext []byte
	TTL       time.Duration
	// Urgency and Topic are empty if the request had none.
	Urgency, Topic string
	// Token is the JWT, and Subject who it says is to be asked. PublicKey is the key that it
	// was signed with, in unpadded base64url.
	Token, Subject, PublicKey string
	// Body is what the request had in it: Plaintext, encrypted.
	Body []byte
	// Proto is the version of HTTP.
	Proto string
	// Location is the name that the service has given to the message.
	Location string
	// At is when it came, by the service's clock.
	At time.Time
}

// WebPushAnswer is what a service says to a request in place of taking it. Its zero value takes
// the request, as without any answer.
type WebPushAnswer struct {
	// Status is that of HTTP. A request is only checked and kept if that is 2xx or 0, which
	// is 201.
	Status int
	// Header is added, Body is written.
	Header http.Header
	Body   []byte
	// Delay comes before the answer, in addition to the service's latency. It ends early if
	// the client goes.
	Delay time.Duration
	// Hang gives no answer until the client goes.
	Hang bool
	// Reset breaks the connection off after half of the body.
	Reset bool
	// Times is how many requests are answered so: 0 is one, below 0 is all from here on.
	Times int
}

// webPushSubscription is what a service knows of one.
type webPushSubscription struct {
	key      *ecdh.PrivateKey
	auth     []byte
	vapid    string // the only key that may send, unless it is empty
	gone     bool
	script   []WebPushAnswer
	received []WebPushMessage
	attempts int
}

// NewWebPush starts one. It ends with the test.
func NewWebPush(t testing.TB) *WebPush { return newWebPush(t, true) }

// NewWebPushHTTP1 is NewWebPush for a service that does not speak HTTP/2.
func NewWebPushHTTP1(t testing.TB) *WebPush { return newWebPush(t, false) }

func newWebPush(t testing.TB, http2 bool) *WebPush {
	t.Helper()
	w := &WebPush{
		Roots: x509.NewCertPool(), CAFile: filepath.Join(t.TempDir(), "webpush-ca.pem"), changed: make(chan struct{}),
		subscriptions: map[string]*webPushSubscription{}, tokens: map[string]int{}, now: time.Now,
	}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.server.EnableHTTP2 = http2
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) //nolint:forbidigo // net/http wants one
	w.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	w.server.StartTLS()
	t.Cleanup(func() {
		w.server.CloseClientConnections() // also those that hang
		w.server.Close()
	})
	w.URL = w.server.URL
	w.Roots.AddCert(w.server.Certificate())
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	if err := os.WriteFile(w.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// Subscribe makes a subscription of a new browser, for whoever sends. Given a public
// VAPID key, only that may send.
func (w *WebPush) Subscribe(t testing.TB, vapid ...string) WebPushSubscription {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &webPushSubscription{key: key, auth: make([]byte, 16), vapid: strings.Join(vapid, "")}
	name := make([]byte, 24)
	_, _ = rand.Read(s.auth) // never fails
	_, _ = rand.Read(name)
	path := "/push/" + base64.RawURLEncoding.EncodeToString(name)
	w.mu.Lock()
	w.subscriptions[path] = s
	w.mu.Unlock()
	return WebPushSubscription{
		Endpoint: w.URL + path,
		P256dh:   base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
		Auth:     base64.RawURLEncoding.EncodeToString(s.auth),
	}
}

// Browser is the private key and the secret of a subscription.
func (w *WebPush) Browser(endpoint string) (key *ecdh.PrivateKey, auth []byte) {
	w.with(endpoint, func(s *webPushSubscription) { key, auth = s.key, s.auth })
	return key, auth
}

// Unsubscribe makes a subscription one that is gone: 410.
func (w *WebPush) Unsubscribe(endpoint string) {
	w.with(endpoint, func(s *webPushSubscription) { s.gone = true })
}

// Script says what the next requests to a subscription are answered, in turn. After
// them it takes requests again. A new script takes the place of what is left of one.
func (w *WebPush) Script(endpoint string, answers ...WebPushAnswer) {
	w.with(endpoint, func(s *webPushSubscription) { s.script = slices.Clone(answers) })
}

// SetLatency is the time before every answer. Default: none.
func (w *WebPush) SetLatency(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency = d
}

// SetClock is what tokens and lifetimes are measured by. Default: time.Now.
func (w *WebPush) SetClock(now func() time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// Received are all messages that have been taken for a subscription, in their order.
func (w *WebPush) Received(endpoint string) (messages []WebPushMessage) {
	w.with(endpoint, func(s *webPushSubscription) { messages = slices.Clone(s.received) })
	return messages
}

// Stored are those messages of Received that a browser would get that comes now: of
// each topic the last, and none whose time is over.
func (w *WebPush) Stored(endpoint string) (messages []WebPushMessage) {
	w.with(endpoint, func(s *webPushSubscription) {
		topics := map[string]bool{}
		for _, m := range slices.Backward(s.received) {
			replaced := m.Topic != "" && topics[m.Topic]
			topics[m.Topic] = true
			if !replaced && w.now().Before(m.At.Add(m.TTL)) {
				messages = append(messages, m)
			}
		}
		slices.Reverse(messages)
	})
	return messages
}

// Attempts is how many requests have come for a subscription, whatever their answers.
func (w *WebPush) Attempts(endpoint string) (n int) {
	w.with(endpoint, func(s *webPushSubscription) { n = s.attempts })
	return n
}

// Requests is how many have come in all, also for what is no subscription.
func (w *WebPush) Requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}

// Tokens are how often each JWT has been used.
func (w *WebPush) Tokens() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.tokens)
}

// Refusals say what was wrong with requests that were not as they must be. Those that a
// script has refused are not among them.
func (w *WebPush) Refusals() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.refusals)
}

// Wait waits until n messages have come for a subscription, 20 seconds at most.
func (w *WebPush) Wait(t testing.TB, endpoint string, n int) []WebPushMessage {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		messages := w.Received(endpoint)
		if len(messages) >= n {
			return messages
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%d messages have come and not %d; refused: %q", len(messages), n, w.Refusals())
		}
	}
}

// with calls f with a subscription, while nothing else happens.
func (w *WebPush) with(endpoint string, f func(*webPushSubscription)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.subscriptions[endpoint[max(strings.LastIndex(endpoint, "/push/"), 0):]]
	if s == nil {
		panic(fmt.Sprintf("pushtest: no subscription has the endpoint %s", endpoint))
	}
	f(s)
}

func (w *WebPush) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	w.mu.Lock()
	w.requests++
	s, latency := w.subscriptions[r.URL.Path], w.latency
	answer := WebPushAnswer{}
	if s != nil {
		s.attempts++
		answer = s.next()
	}
	w.mu.Unlock()
	if !pauseWebPush(r, latency+answer.Delay, answer.Hang) {
		return
	}
	if answer.Status == 0 || answer.Status/100 == 2 {
		if refusal := w.take(rw, r, s, body); refusal != nil {
			http.Error(rw, refusal.text, refusal.status)
			return
		}
	}
	writeWebPush(rw, answer)
}

// next is the answer that a script has for a request.
func (s *webPushSubscription) next() WebPushAnswer {
	if len(s.script) == 0 {
		return WebPushAnswer{}
	}
	answer := s.script[0]
	switch s.script[0].Times--; {
	case answer.Times < 0:
		s.script[0].Times = answer.Times
	case answer.Times <= 1:
		s.script = s.script[1:]
	}
	return answer
}

// pauseWebPush waits, and reports whether the client is still there.
func pauseWebPush(r *http.Request, d time.Duration, forever bool) bool {
	if forever {
		<-r.Context().Done()
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func writeWebPush(rw http.ResponseWriter, a WebPushAnswer) {
	maps.Copy(rw.Header(), a.Header)
	if a.Reset {
		rw.Header().Set("Content-Length", fmt.Sprint(2*len(a.Body)+2))
	}
	if a.Status == 0 {
		a.Status = http.StatusCreated
	}
	rw.WriteHeader(a.Status)
	_, _ = io.Copy(rw, bytes.NewReader(a.Body)) // a client may go
	if a.Reset {
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
}
