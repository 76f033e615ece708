// Package pushtest has push services for tests: they run on this machine, check what
// they are sent as strictly as the real ones do, and answer as a test says.
package pushtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
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

// FCMProject is the project that an FCM has from the start.
const FCMProject = "test-project"

// FCM is Firebase Cloud Messaging together with the endpoint for access tokens of its
// service account. What it refuses it answers like the real service, and tells by
// Refusals. It may be used by many goroutines.
type FCM struct {
	// URL is where it listens, such as https://127.0.0.1:40001: the endpoint of the
	// provider's configuration.
	URL string
	// Roots has its certificate, and CAFile the same in PEM.
	Roots  *x509.CertPool
	CAFile string

	server *httptest.Server
	key    *rsa.PrivateKey
	closed chan struct{}

	mu       sync.Mutex
	clock    func() time.Time
	projects []string
	latency  time.Duration
	scripts  map[string][]FCMAnswer
	next     []FCMAnswer
	requests int
	sent     []FCMMessage
	refusals []string
	access   fcmAccess
}

// FCMMessage is a message that has come and was without a fault.
type FCMMessage struct {
	// Project is the one of the request's address.
	Project string
	// Address is the registration token, or topic: or condition: and that.
	Address string
	// Bearer is the access token.
	Bearer string
	// Proto is the protocol, such as HTTP/2.0.
	Proto string
	// Body is the whole request, and Message what is in it.
	Body    []byte
	Message map[string]any
	// Status is what has been answered.
	Status int
}

// FCMAnswer is what is answered to one request. Its zero value is a success.
type FCMAnswer struct {
	// Status is the HTTP status. Zero means 200.
	Status int
	// Header has further headers.
	Header http.Header
	// Body is sent as it is. Empty means the usual one of a success.
	Body string
	// Hang gives no answer until the client goes away.
	Hang bool
	// Cut ends the connection in the middle of the body.
	Cut bool
}

// NewFCM starts one that speaks HTTP/2. It ends with the test.
func NewFCM(t testing.TB) *FCM { return newFCM(t, true) }

// NewFCMHTTP1 starts one that speaks HTTP/1.1 only.
func NewFCMHTTP1(t testing.TB) *FCM { return newFCM(t, false) }

// fcmKey is the key of all service accounts of a process, since making one takes long.
var fcmKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newFCM(t testing.TB, http2 bool) *FCM {
	t.Helper()
	key, err := fcmKey()
	if err != nil {
		t.Fatal(err)
	}
	f := &FCM{
		key: key, closed: make(chan struct{}), clock: time.Now, projects: []string{FCMProject}, scripts: map[string][]FCMAnswer{},
		access: fcmAccess{lifetime: 3599 * time.Second, given: map[string]time.Time{}},
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /token", f.serveToken)
	routes.HandleFunc("POST /v1/projects/{project}/{method}", f.serve)
	f.server = httptest.NewUnstartedServer(routes)
	f.server.EnableHTTP2 = http2
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0) //nolint:forbidigo // that of a test's server, for clients that go away
	f.server.StartTLS()
	t.Cleanup(func() {
		close(f.closed)
		f.server.Close()
	})
	f.URL, f.Roots = f.server.URL, x509.NewCertPool()
	f.Roots.AddCert(f.server.Certificate())
	f.CAFile = filepath.Join(t.TempDir(), "fcm.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	if err := os.WriteFile(f.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// Script gives the answers to the next messages for an address, one for each; after
// them all is well again. An address is a registration token, or topic: or condition:
// and that. Only messages without a fault use one up.
func (f *FCM) Script(address string, answers ...FCMAnswer) {
	f.with(func() { f.scripts[address] = append(f.scripts[address], answers...) })
}

// ScriptNext gives the answers to the next messages, whoever they are for. They come
// before those of Script.
func (f *FCM) ScriptNext(answers ...FCMAnswer) {
	f.with(func() { f.next = append(f.next, answers...) })
}

// AddProject makes another project known.
func (f *FCM) AddProject(id string) { f.with(func() { f.projects = append(f.projects, id) }) }

// SetLatency makes every answer to a message take a time.
func (f *FCM) SetLatency(d time.Duration) { f.with(func() { f.latency = d }) }

// SetClock sets the clock, by which assertions are checked and access tokens end.
func (f *FCM) SetClock(now func() time.Time) { f.with(func() { f.clock = now }) }

// Sent are the messages so far that were answered with a success, in their order.
func (f *FCM) Sent() (list []FCMMessage) {
	f.with(func() {
		for _, m := range f.sent {
			if m.Status < 300 {
				list = append(list, m)
			}
		}
	})
	return list
}

// Attempts are the messages for an address that were without a fault, whatever has been
// answered.
func (f *FCM) Attempts(address string) (n int) {
	f.with(func() {
		for _, m := range f.sent {
			if m.Address == address {
				n++
			}
		}
	})
	return n
}

// Requests is the number of requests to send, refused ones too.
func (f *FCM) Requests() (n int) {
	f.with(func() { n = f.requests })
	return n
}

// Refusals are what was wrong with requests. A test whose requests ought to be right
// wants none.
func (f *FCM) Refusals() (list []string) {
	f.with(func() { list = slices.Clone(f.refusals) })
	return list
}

// Wait waits until so many messages have been taken, and returns them.
func (f *FCM) Wait(t testing.TB, n int) []FCMMessage {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list := f.Sent()
		if len(list) >= n {
			return list
		}
		if time.Now().After(end) {
			t.Fatalf("FCM has taken %d messages, not %d; it has refused %q", len(list), n, f.Refusals())
		}
	}
}

func (f *FCM) with(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// serve takes a message.
func (f *FCM) serve(w http.ResponseWriter, r *http.Request) {
	var latency time.Duration
	f.with(func() {
		f.requests++
		latency = f.latency
	})
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || !f.pause(r, latency) {
		return
	}
	m := FCMMessage{Project: r.PathValue("project"), Proto: r.Proto, Body: body}
	m.Bearer, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, fault := f.check(r, &m)
	if fault != "" {
		f.with(func() { f.refusals = append(f.refusals, fault) })
	} else {
		a = f.answer(&m)
	}
	f.write(w, r, a)
}

// check is what is answered to a request that has a fault.
func (f *FCM) check(r *http.Request, m *FCMMessage) (a FCMAnswer, fault string) {
	var known bool
	f.with(func() { known = slices.Contains(f.projects, m.Project) })
	switch {
	case r.PathValue("method") != "messages:send":
		return FCMError(404, "NOT_FOUND", "", "no such method"), "the method " + r.PathValue("method")
	case !f.accepts(m.Bearer):
		return FCMUnauthorized(), "an access token that is not good"
	case !known:
		return FCMError(404, "NOT_FOUND", "", "Requested entity was not found."), "the project " + m.Project
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return FCMInvalid("", "Content-Type"), "Content-Type"
	}
	if field, err := m.parse(); err != nil {
		return FCMInvalid(field, err.Error()), field + ": " + err.Error()
	}
	return a, ""
}

// answer takes down a message, and is what is answered to it.
func (f *FCM) answer(m *FCMMessage) (a FCMAnswer) {
	f.with(func() {
		switch {
		case len(f.next) > 0:
			a, f.next = f.next[0], f.next[1:]
		case len(f.scripts[m.Address]) > 0:
			a, f.scripts[m.Address] = f.scripts[m.Address][0], f.scripts[m.Address][1:]
		}
		if a.Status == 0 {
			a.Status = http.StatusOK
		}
		m.Status = a.Status
		if a.Hang {
			m.Status = http.StatusGatewayTimeout // as far as a sender can know
		}
		f.sent = append(f.sent, *m)
		if a.Body == "" && a.Status == http.StatusOK {
			a.Body = fmt.Sprintf(`{"name":"projects/%s/messages/%d"}`, m.Project, len(f.sent))
		}
	})
	return a
}

// pause waits, and reports whether there still is somebody to answer.
func (f *FCM) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-f.closed:
	}
	return false
}

func (f *FCM) write(w http.ResponseWriter, r *http.Request, a FCMAnswer) {
	if a.Hang {
		select {
		case <-r.Context().Done():
		case <-f.closed:
		}
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	maps.Copy(w.Header(), a.Header)
	if a.Cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.Body)+64))
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body)
	if a.Cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// FCMError is an error as the service writes it. code is FCM's own word, or empty, and
// details are further ones in JSON.
func FCMError(status int, word, code, message string, details ...string) FCMAnswer {
	all := []json.RawMessage{}
	if code != "" {
		all = append(all, json.RawMessage(`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"`+code+`"}`))
	}
	for _, d := range details {
		all = append(all, json.RawMessage(d))
	}
	text, err := json.Marshal(map[string]any{"error": map[string]any{"code": status, "message": message, "status": word, "details": all}})
	if err != nil {
		panic(err)
	}
	return FCMAnswer{Status: status, Body: string(text)}
}
