package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/push"
)

// clock is one that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// connect makes a sender to a stand-in.
func connect(t testing.TB, f *pushtest.FCM, change ...func(*push.ConnectOptions)) push.Sender {
	t.Helper()
	return connectWith(t, f, f.Material(t), change...)
}

func connectWith(t testing.TB, f *pushtest.FCM, material json.RawMessage, change ...func(*push.ConnectOptions)) push.Sender {
	t.Helper()
	o := push.ConnectOptions{Endpoint: f.URL, Roots: f.Roots, AllowPrivate: true}
	for _, c := range change {
		c(&o)
	}
	s, err := Provider{}.Connect(material, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// notice is a notification for a registration token.
func notice(t testing.TB, token string) *push.Notification {
	t.Helper()
	payload, err := Provider{}.Render(&push.Content{Title: "T", Body: "B"})
	if err != nil {
		t.Fatal(err)
	}
	return &push.Notification{
		App: "app-1", PublishID: "p", Recipient: push.Recipient{TransportType: "gcm", RegistrationToken: token},
		Payload: payload, TTL: 10 * time.Minute, Expires: time.Now().Add(10 * time.Minute),
	}
}

// wantField wants a fault of a member.
func wantField(t *testing.T, err error, field string) {
	t.Helper()
	f, ok := errors.AsType[*push.FieldError](err)
	if !ok || f.Field != field {
		t.Errorf("%v is not a fault of %s", err, field)
	}
}

// wantSent wants an accepted message.
func wantSent(t *testing.T, r push.Result) {
	t.Helper()
	if r.Outcome != push.Accepted || r.MessageID == "" || r.Class != "" {
		t.Errorf("the result is %+v", r)
	}
}

// wantClean wants nothing refused by the stand-in.
func wantClean(t *testing.T, f *pushtest.FCM) {
	t.Helper()
	if list := f.Refusals(); len(list) > 0 {
		t.Errorf("FCM has refused: %q", list)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !done() {
		if !wait.For(ctx, 2*time.Millisecond) {
			t.Fatalf("%s did not come", what)
		}
	}
}
