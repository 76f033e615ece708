package pushtest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Scripted is what a stand-in answers to one request, after it has checked it.
type Scripted struct {
	// Status is the HTTP status. Zero means the stand-in's usual answer of success.
	Status int
	// Header has further headers.
	Header http.Header
	// Body is sent as it is.
	Body string
	// Hang gives no answer until the client goes away.
	Hang bool
	// Cut ends the connection in the middle of the body.
	Cut bool
}

// stand is what the stand-ins of services with one request for each message have in
// common: a server with TLS, replies by the address, and what has come.
type stand[M any] struct {
	server *httptest.Server

	mu       sync.Mutex
	replies  map[string][]Scripted
	latency  time.Duration
	requests int
	got      []M
	faults   []string
}

func (s *stand[M]) start(t testing.TB, handler http.Handler) {
	t.Helper()
	s.replies = map[string][]Scripted{}
	s.server = httptest.NewUnstartedServer(handler)
	s.server.EnableHTTP2 = true
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // clients that go away
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
}

// Endpoint is the scheme and host of the stand-in.
func (s *stand[M]) Endpoint() string { return s.server.URL }

// Roots trust the certificate of the stand-in.
func (s *stand[M]) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.server.Certificate())
	return roots
}

// CAFile writes the stand-in's certificate into a file in PEM, and names it.
func (s *stand[M]) CAFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Script gives the replies to the next messages for an address, one for each; after
// them all is well again. Only messages that the stand-in has found without a fault
// use one up.
func (s *stand[M]) Script(address string, replies ...Scripted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies[address] = append(s.replies[address], replies...)
}

// SetLatency makes every answer to a message take a time.
func (s *stand[M]) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// Requests is the number of requests to send, refused ones too.
func (s *stand[M]) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Messages are the messages accepted so far, in their order.
func (s *stand[M]) Messages() []M {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]M(nil), s.got...)
}

// Faults are what the stand-in has found wrong with requests, apart from access tokens
// that it does not know. A test whose requests ought to be right wants none.
func (s *stand[M]) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.faults...)
}

// begin counts a request, and waits as long as answers take. It reports whether the
// client is still there.
func (s *stand[M]) begin(r *http.Request) bool {
	s.mu.Lock()
	s.requests++
	latency := s.latency
	s.mu.Unlock()
	return standPause(r, latency)
}

func (s *stand[M]) fault(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, text)
}

// reply is the scripted one, or false.
func (s *stand[M]) reply(address string) (Scripted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.replies[address]
	if len(list) == 0 {
		return Scripted{}, false
	}
	s.replies[address] = list[1:]
	return list[0], list[0].Status != 0 || list[0].Hang || list[0].Cut
}

func (s *stand[M]) accept(m M) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
}

// write answers as scripted.
func (r *Scripted) write(w http.ResponseWriter, request *http.Request) {
	switch {
	case r.Hang:
		<-request.Context().Done()
	case r.Cut:
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(max(r.Status, http.StatusOK))
		_, _ = w.Write([]byte(r.Body))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		standAnswer(w, r.Status, r.Header, r.Body)
	}
}

func standAnswer(w http.ResponseWriter, status int, header http.Header, body string) {
	w.Header().Set("Content-Type", "application/json")
	for name, values := range header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client may be gone
}

// standPause waits, and reports whether the client is still there.
func standPause(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
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

func standID() string { return rand.Text() }

func standJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
