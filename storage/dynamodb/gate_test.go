package dynamodb

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// gate stands before the service and may answer in its place. Whatever it lets
// through is answered by the service.
type gate struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	asked []string
	hook  func(operation string, w http.ResponseWriter, r *http.Request, pass func() *answer) bool
}

// answer is what the service says.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func newGate(t *testing.T) *gate {
	g := &gate{t: t}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// let gives the gate a hook, which reports whether it has answered. Nil lets
// everything through.
func (g *gate) let(hook func(operation string, w http.ResponseWriter, r *http.Request, pass func() *answer) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook, g.asked = hook, nil
}

// operations are those that were asked for, each once.
func (g *gate) operations() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := slices.Clone(g.asked)
	slices.Sort(names)
	return slices.Compact(names)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	g.mu.Lock()
	g.asked = append(g.asked, operation)
	hook := g.hook
	g.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	pass := sync.OnceValue(func() *answer { return g.ask(r, body) })
	if hook == nil || !hook(operation, w, r, pass) {
		pass().send(w)
	}
}

// ask passes a request on.
func (g *gate) ask(r *http.Request, body []byte) *answer {
	on, err := http.NewRequestWithContext(r.Context(), r.Method, endpoint()+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		g.t.Error(err)
		return &answer{status: http.StatusBadGateway}
	}
	on.Header = r.Header.Clone()
	on.Header.Del("Accept-Encoding")
	response, err := http.DefaultClient.Do(on)
	if err != nil {
		return &answer{status: http.StatusBadGateway}
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return &answer{response.StatusCode, response.Header, text}
}

// refuse answers as AWS does.
func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#`+code+`","message":"`+message+`"}`)
}
