package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

const (
	testKey    = "demo-key"
	testSecret = "s3cr3t-canary"
)

// request is what a receiver has got.
type request struct {
	path   string
	header http.Header
	body   []byte
	at     time.Time
}

// envelope is the body of a request.
type envelope struct {
	TimeMS int64 `json:"time_ms"`
	Events []struct {
		Name    string `json:"name"`
		Channel string `json:"channel"`
		ID      string `json:"event_id"`
	} `json:"events"`
}

func (r *request) envelope(t testing.TB) (e envelope) {
	t.Helper()
	if err := json.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("the body is %s: %v", r.body, err)
	}
	return e
}

// receiver is a real server for HTTPS. answer says what it does; without one it
// accepts everything.
type receiver struct {
	*httptest.Server
	roots *x509.CertPool

	mu     sync.Mutex
	got    []request
	answer func(w http.ResponseWriter, r *http.Request, n int)
}

func newReceiver(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int)) *receiver {
	t.Helper()
	return newReceiverOf(t, certtest.New(t), answer)
}

func newReceiverOf(t testing.TB, files certtest.Files, answer func(w http.ResponseWriter, r *http.Request, n int)) *receiver {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{roots: x509.NewCertPool(), answer: answer}
	r.roots.AppendCertsFromPEM(ca)
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = nil
	r.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	r.EnableHTTP2 = true
	r.StartTLS()
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // whoever has sent it was killed amid the request
	}
	r.mu.Lock()
	r.got = append(r.got, request{req.URL.Path, req.Header.Clone(), body, time.Now()})
	n, answer := len(r.got), r.answer
	r.mu.Unlock()
	if answer != nil {
		answer(w, req, n)
	}
}

func (r *receiver) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

func (r *receiver) await(t testing.TB, n int) []request {
	t.Helper()
	until(t, fmt.Sprintf("request %d", n), func() bool { return len(r.all()) >= n })
	return r.all()
}

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !done() {
		if !wait.For(ctx, 2*time.Millisecond) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// rig is a Delivery with what it needs.
type rig struct {
	*Delivery
	queue *memory.Queue
	apps  *apps
	logs  *observer.ObservedLogs
}

// apps is an app manager whose single record can be replaced.
type apps struct {
	mu  sync.Mutex
	app *storage.App
	err error
}

func (a *apps) AppByID(_ context.Context, id string) (*storage.App, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && (a.app == nil || a.app.ID != id) {
		return nil, storage.ErrNotFound
	}
	return a.app, a.err
}

func (a *apps) AppByKey(context.Context, string) (*storage.App, error) {
	return nil, storage.ErrNotFound
}
func (a *apps) Apps(context.Context) ([]*storage.App, error) { return []*storage.App{a.app}, nil }
func (a *apps) Close() error                                 { return nil }

func (a *apps) set(hooks ...storage.Webhook) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.app = &storage.App{ID: "demo", Key: testKey, Secret: testSecret, Enabled: true, Webhooks: hooks}
}

// newRig makes a Delivery that flushes after 20ms and tries again after 20ms, for
// the webhooks of the app demo. It is stopped at the end of the test.
func newRig(t testing.TB, s Settings, hooks ...storage.Webhook) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	g := &rig{queue: memory.NewQueue(memory.QueueOptions{}), apps: new(apps), logs: logs}
	g.apps.set(hooks...)
	s.Apps, s.Log, s.AllowPrivate = g.apps, zap.New(core), true
	// A queue that fails stands before that of the rig, and has to from the start: Start
	// reads it.
	if q, ok := s.Queue.(*faulty); ok {
		q.Queue = g.queue
	} else {
		s.Queue = g.queue
	}
	if s.FlushInterval == 0 {
		s.FlushInterval = 20 * time.Millisecond
	}
	if s.Retry.InitialBackoff == 0 {
		s.Retry.InitialBackoff = 20 * time.Millisecond
	}
	g.Delivery = New(NewBoard(meter.NewRegistry("test")), s)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = g.Stop(ctx)
		_ = g.queue.Close()
	})
	return g
}

// hook is a webhook for a receiver, of all events.
func (r *receiver) hook(path string) storage.Webhook {
	return storage.Webhook{URL: r.URL + path, EventTypes: protocol.WebhookNames()}
}

// tell tells events and waits until they are in the queue.
func (g *rig) tell(t testing.TB, events ...protocol.WebhookEvent) {
	t.Helper()
	settled := make(chan bool, 1)
	g.Tell("demo", events, func(kept bool) { settled <- kept })
	if !<-settled {
		t.Fatal("the events are lost")
	}
}

func occupied(channel string) protocol.WebhookEvent {
	return protocol.WebhookEvent{ID: "id-" + channel, TimeMS: time.Now().UnixMilli(), Name: protocol.WebhookChannelOccupied, Channel: channel}
}

func (g *rig) stats(t testing.TB) storage.QueueStats {
	t.Helper()
	s, err := g.queue.Stats(context.Background(), QueueName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dead waits for dead letters, and are them.
func (g *rig) dead(t testing.TB, n int) []storage.DeadLetter {
	t.Helper()
	until(t, fmt.Sprintf("dead letter %d", n), func() bool { return g.stats(t).Dead >= n })
	letters, err := g.queue.DeadLetters(context.Background(), QueueName, n)
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

func (g *rig) drained(t testing.TB) {
	t.Helper()
	until(t, "end of the jobs", func() bool { return g.stats(t) == storage.QueueStats{} })
}

func status(codes ...int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, n int) {
		if n <= len(codes) {
			w.WriteHeader(codes[n-1])
		}
	}
}

func storageEvents(channel string) []protocol.WebhookEvent {
	return []protocol.WebhookEvent{occupied(channel)}
}
