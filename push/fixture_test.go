package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// service is a push service in memory. Every recipient accepts what it gets unless the
// test says otherwise.
type service struct {
	kind Kind

	mu      sync.Mutex
	answers map[string][]Result // by address, of which the last one stays
	always  *Result
	got     map[string][]*Notification
	flying  int
	most    int // requests that were under way at once
	hold    chan struct{}
	opened  int
}

func newService(kind Kind) *service {
	return &service{kind: kind, answers: map[string][]Result{}, got: map[string][]*Notification{}}
}

func (s *service) Kind() Kind { return s.kind }

func (s *service) CheckRecipient(r *Recipient, _ Policy) error {
	if r.Address() == "" {
		return Fault("registrationToken", "must not be empty")
	}
	return nil
}

func (s *service) Render(c *Content) (json.RawMessage, error) {
	return raw(map[string]any{"title": c.Title, "body": c.Body, "data": c.Data}), nil
}

func (s *service) CheckPayload(payload json.RawMessage, _ bool) error {
	if len(payload) > 4000 {
		return Fault("payload", "is too large")
	}
	return nil
}

func (s *service) CheckMaterial(material json.RawMessage) error {
	if bytes.Contains(material, []byte("bad")) {
		return Fault("key", "cannot be used")
	}
	return nil
}

func (s *service) Connect(json.RawMessage, ConnectOptions) (Sender, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return s, nil
}

func (s *service) Close() {}

func (s *service) Send(ctx context.Context, n *Notification) Result {
	s.mu.Lock()
	address := n.Recipient.Address()
	s.got[address] = append(s.got[address], n)
	s.flying++
	s.most = max(s.most, s.flying)
	hold := s.hold
	answer := Result{Outcome: Accepted, MessageID: "m-" + address}
	if s.always != nil {
		answer = *s.always
	}
	if all := s.answers[address]; len(all) > 0 {
		answer = all[0]
		if len(all) > 1 {
			s.answers[address] = all[1:]
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.flying--
		s.mu.Unlock()
	}()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Unreachable(ctx, ctx.Err())
		}
	}
	return answer
}

func (s *service) script(address string, answers ...Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[address] = answers
}

func (s *service) all(r *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = r
}

// times is how often an address was sent to.
func (s *service) times(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got[address])
}

// total is how many addresses were sent to, and how many requests there were.
func (s *service) total() (addresses, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range s.got {
		requests += len(all)
	}
	return len(s.got), requests
}

// rig is a pipeline on stores in memory.
type rig struct {
	*Pipeline
	t     *testing.T
	fcm   *service
	store storage.PushStore
	queue *memory.Queue
	reg   *Registry
}

const testApp = "app-1"

// newRig starts a pipeline. change, unless it is nil, changes its settings.
func newRig(t *testing.T, change func(*Settings)) *rig {
	g := &rig{t: t, fcm: newService(FCM), store: memory.NewPushStore(0), queue: memory.NewQueue(memory.QueueOptions{})}
	g.Pipeline = g.open(change)
	t.Cleanup(func() {
		g.stop()
		_ = g.queue.Close()
	})
	return g
}

// open starts a pipeline on the stores of the rig.
func (g *rig) open(change func(*Settings)) *Pipeline {
	g.t.Helper()
	codecs := map[Kind]Provider{FCM: g.fcm, HMS: newService(HMS)}
	g.reg = NewRegistry(RegistryOptions{Store: g.store, Providers: codecs})
	s := Settings{
		Store: g.store, Queue: g.queue, Limiter: memory.NewRateLimiter(memory.RateLimiterOptions{}), Registry: g.reg,
		Codecs: codecs, Setups: map[Kind]Setup{FCM: {Material: json.RawMessage(`{"key":"good"}`)}},
		Retry: Retry{InitialBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond},
		Tick:  20 * time.Millisecond, RepairEvery: 20 * time.Millisecond, RepairAge: 200 * time.Millisecond, CleanEvery: -1,
		Quotas: Quotas{AcceptanceRPS: -1}, Log: zaptest.NewLogger(g.t, zaptest.Level(zap.ErrorLevel)),
	}
	if change != nil {
		change(&s)
	}
	p := New(NewBoard(meter.NewRegistry("test")), s)
	if err := p.Start(); err != nil {
		g.t.Fatal(err)
	}
	return p
}

func (g *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		g.t.Error("stopping the pipeline:", err)
	}
}

// device registers one of a client, with its id as its token.
func (g *rig) device(id, client string) {
	g.t.Helper()
	_, err := g.reg.Register(g.t.Context(), testApp, registration(id, client, id), false)
	if err != nil {
		g.t.Fatal(err)
	}
}

func registration(id, client, token string) *Registration {
	r := new(Registration)
	text := fmt.Sprintf(`{"id":%q,"clientId":%q,"formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","push":{"recipient":{"transportType":"gcm","registrationToken":%q}}}`, id, client, token)
	if client == "" {
		text = fmt.Sprintf(`{"id":%q,"formFactor":"phone","platform":"android","timezone":"UTC","locale":"en","push":{"recipient":{"transportType":"gcm","registrationToken":%q}}}`, id, token)
	}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		panic(err)
	}
	return r
}

// subscribe registers devices and subscribes them to a channel.
func (g *rig) subscribe(channel string, ids ...string) {
	g.t.Helper()
	for _, id := range ids {
		g.device(id, "")
		if _, err := g.reg.Subscribe(g.t.Context(), testApp, Subscription{Channel: channel, DeviceID: id}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// request reads one as it comes over HTTP.
func request(t *testing.T, text string) *Request {
	t.Helper()
	r := new(Request)
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func toChannel(channel, id string) string {
	return fmt.Sprintf(`{"publishId":%q,"recipients":[{"type":"channel","channel":%q}],"payload":{"title":"T","body":"B"}}`, id, channel)
}

// publish accepts a publish.
func (g *rig) publish(text string) *Acceptance {
	g.t.Helper()
	a, err := g.Accept(g.t.Context(), testApp, request(g.t, text), AcceptOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// ended waits until a publish has come to an end.
func (g *rig) ended(id string) *Status {
	g.t.Helper()
	var last *Status
	until(g.t, "the end of "+id, func() bool {
		s, err := g.Status(context.Background(), testApp, id)
		if err != nil {
			if !errors.Is(err, storage.ErrNotFound) {
				g.t.Fatal(err)
			}
			return false
		}
		last = s
		return ended(s.State)
	})
	return last
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal("there was no", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// value is that of a counter.
func value(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	m := new(dto.Metric)
	if err := c.Write(m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// notes is a text that goroutines share.
type notes struct {
	mu   sync.Mutex
	text string
}

func (n *notes) set(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = text
}

func (n *notes) is(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text == text
}
