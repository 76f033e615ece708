// Package pushtest has push services for tests: they run on this machine, check what
// they are sent as strictly as the real ones do, and answer as a test says.
package pushtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// APNsOptions are what a stand-in for APNs has to be from its beginning on.
type APNsOptions struct {
	// MaxStreams is how many requests one connection may have at a time. Default: 100.
	MaxStreams int
	// ClientCAs are the authorities of client certificates. If it is set one is demanded,
	// and provider tokens are refused.
	ClientCAs *x509.CertPool
	// HTTP1 has the server speak HTTP/1.1 only, which APNs never does.
	HTTP1 bool
	// Now is the clock by which tokens are old. Default: time.Now.
	Now func() time.Time
}

// APNs stands in for the provider API of APNs: a server with HTTP/2 and TLS that checks
// each request as APNs does, with the reasons of APNs, and then answers as its script for
// the device says, or else 200.
type APNs struct {
	// URL is its address, for the endpoint of a provider.
	URL string
	// CAFile has the authority of its certificate in PEM, and Roots has it too.
	CAFile string
	Roots  *x509.CertPool

	options APNsOptions

	mu          sync.Mutex
	keys        map[string]*APNsKey // by key id
	scripts     map[string][]APNsAnswer
	requests    []APNsRequest
	tokens      map[string]apnsToken
	latency     time.Duration
	connections int // all that have been
	open        int
	inFlight    int
	most        int // in flight at a time
	farewells   int // calls of GoAway
	gather      int // how many requests wait for each other, or 0
	gathered    chan struct{}
	end         chan struct{}
}

// APNsRequest is a request and what has become of it.
type APNsRequest struct {
	// Token is the device's.
	Token string
	// Header has the fields of the request, without the authorization.
	Header http.Header
	Body   []byte
	// Status and Reason are the answer's.
	Status int
	Reason string
}

// NewAPNs starts a stand-in that ends with the test.
func NewAPNs(t testing.TB) *APNs {
	t.Helper()
	return NewAPNsWith(t, APNsOptions{})
}

// NewAPNsWith is NewAPNs with options.
func NewAPNsWith(t testing.TB, o APNsOptions) *APNs {
	t.Helper()
	if o.MaxStreams == 0 {
		o.MaxStreams = 100
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	pair, authority := apnsCertificate(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &APNs{
		URL: "https://" + listener.Addr().String(), CAFile: filepath.Join(t.TempDir(), "ca.pem"), Roots: x509.NewCertPool(), options: o,
		keys: map[string]*APNsKey{}, scripts: map[string][]APNsAnswer{}, tokens: map[string]apnsToken{}, end: make(chan struct{}),
	}
	a.Roots.AppendCertsFromPEM(authority)
	if err := os.WriteFile(a.CAFile, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	a.serve(t, listener, pair)
	return a
}

// apnsCertificate is one for 127.0.0.1 that nobody else has signed, and itself in PEM.
func apnsCertificate(t testing.TB) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in for APNs"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return pair, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// apnsConn is a connection, and the key of it in contexts.
type apnsConn struct {
	farewells int  // when it began
	used      bool // there has been a request
}

// serve runs the server until the test ends.
func (a *APNs) serve(t testing.TB, listener net.Listener, pair tls.Certificate) {
	t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if a.options.ClientCAs != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.options.ClientCAs
	}
	s := &http.Server{
		Handler: a, TLSConfig: config, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: a.options.MaxStreams},
		Protocols: new(http.Protocols),
		ConnState: a.count,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			a.mu.Lock()
			defer a.mu.Unlock()
			return context.WithValue(ctx, apnsConn{}, &apnsConn{farewells: a.farewells})
		},
	}
	s.Protocols.SetHTTP2(!a.options.HTTP1)
	s.Protocols.SetHTTP1(a.options.HTTP1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = s.ServeTLS(listener, "", "") // until it is closed
	}()
	t.Cleanup(func() {
		close(a.end)
		_ = s.Close()
		<-over
	})
}

func (a *APNs) count(_ net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch state {
	case http.StateNew:
		a.connections++
		a.open++
	case http.StateClosed, http.StateHijacked:
		a.open--
	case http.StateActive, http.StateIdle:
	}
}

// SetLatency has each answer take a while.
func (a *APNs) SetLatency(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latency = d
}

// GoAway has each connection that is open now end with its next answer, by a frame GOAWAY:
// requests that come after that one are left undone.
func (a *APNs) GoAway() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.farewells++
}

// Gather has requests wait until there are n of them, from then on until there have been
// that many once. The first on each connection does not wait.
func (a *APNs) Gather(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gather, a.gathered = n, make(chan struct{})
}

// Requests are all requests that have had an answer, in that order.
func (a *APNs) Requests() []APNsRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]APNsRequest(nil), a.requests...)
}

// Sent are the requests that have been accepted.
func (a *APNs) Sent() (sent []APNsRequest) {
	for _, r := range a.Requests() {
		if r.Status == http.StatusOK {
			sent = append(sent, r)
		}
	}
	return sent
}

// Tokens is how many provider tokens there have been.
func (a *APNs) Tokens() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tokens)
}

// Connections is how many connections there have been.
func (a *APNs) Connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.connections
}

// Open is how many connections there are.
func (a *APNs) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// InFlight is how many requests are waiting for their answers, and how many that have
// been at most.
func (a *APNs) InFlight() (now, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inFlight, a.most
}
