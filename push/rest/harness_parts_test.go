package rest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/storage"
)

// script is a provider whose answers a test decides.
type script struct {
	kind push.Kind
	mu   sync.Mutex
	sent []push.Notification
	// answer, unless it is nil, answers an attempt.
	answer func(push.Notification) push.Result
}

func (s *script) Kind() push.Kind { return s.kind }

func (s *script) CheckRecipient(r *push.Recipient, _ push.Policy) error {
	if s.kind == push.WebPush && !strings.HasPrefix(r.Endpoint, "https://") {
		return push.Fault("endpoint", "it must be an https URL")
	}
	return nil
}

func (s *script) Render(c *push.Content) (json.RawMessage, error) {
	return encode(map[string]any{"title": c.Title, "body": c.Body})
}

func (s *script) CheckPayload(payload json.RawMessage, _ bool) error {
	if len(payload) > 4096 {
		return push.Fault("payload", "it has %d bytes, more than 4096", len(payload))
	}
	return nil
}

func (s *script) CheckMaterial(material json.RawMessage) error {
	var m struct {
		Bad *string `json:"bad"`
	}
	if err := push.Parse(material, &m); err != nil {
		return err
	}
	if m.Bad != nil {
		return push.Fault("bad", "it must not be there")
	}
	return nil
}

func (s *script) Connect(json.RawMessage, push.ConnectOptions) (push.Sender, error) { return s, nil }

func (s *script) Send(_ context.Context, n *push.Notification) push.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, *n)
	if s.answer != nil {
		return s.answer(*n)
	}
	return push.Result{Outcome: push.Accepted, MessageID: "m-" + strconv.Itoa(len(s.sent))}
}

func (s *script) Close() {}

func (s *script) decide(answer func(push.Notification) push.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// notifications are those that have been sent.
func (s *script) notifications() []push.Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// flaky is a store that fails while fail is set.
type flaky struct {
	storage.PushStore
	fail atomic.Bool
}

func (f *flaky) Get(ctx context.Context, keys ...storage.PushKey) ([]storage.PushRecord, error) {
	if f.fail.Load() {
		return nil, errBackend
	}
	return f.PushStore.Get(ctx, keys...)
}

func (f *flaky) List(ctx context.Context, q storage.PushQuery) ([]storage.PushRecord, error) {
	if f.fail.Load() {
		return nil, errBackend
	}
	return f.PushStore.List(ctx, q)
}

func (f *flaky) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if f.fail.Load() {
		return errBackend
	}
	return f.PushStore.Apply(ctx, changes...)
}
