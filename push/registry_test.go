package push

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// anyProvider takes what is not obviously wrong.
type anyProvider struct{ kind Kind }

func (p anyProvider) Kind() Kind { return p.kind }

func (p anyProvider) CheckRecipient(r *Recipient, _ Policy) error {
	if strings.Contains(r.Address(), "refused") {
		return Fault(r.member(), "it is refused")
	}
	return nil
}

func (p anyProvider) Render(*Content) (json.RawMessage, error) { return json.RawMessage(`{}`), nil }

func (p anyProvider) CheckPayload(payload json.RawMessage, _ bool) error {
	if strings.Contains(string(payload), "refused") {
		return Fault("message", "it is refused")
	}
	return nil
}

func (p anyProvider) CheckMaterial(material json.RawMessage) error {
	if strings.Contains(string(material), "refused") {
		return Fault("privateKey", "it is no key")
	}
	return nil
}

func (p anyProvider) Connect(json.RawMessage, ConnectOptions) (Sender, error) {
	return nil, errors.New("nobody connects")
}

// testClock is a clock that a test moves.
type testClock struct{ ms atomic.Int64 }

func (c *testClock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *testClock) forward(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// registryTest is a registry over a store of the test's own.
type registryTest struct {
	*Registry
	store *brittleStore
	clock *testClock
}

// newRegistryTest makes one, with options that are changed.
func newRegistryTest(t *testing.T, change ...func(*RegistryOptions)) *registryTest {
	t.Helper()
	inner := memory.NewPushStore(64 << 20)
	t.Cleanup(func() { _ = inner.Close() })
	return registryOver(t, inner, change...)
}

func registryOver(t *testing.T, inner storage.PushStore, change ...func(*RegistryOptions)) *registryTest {
	t.Helper()
	clock := &testClock{}
	clock.ms.Store(1_779_200_000_000)
	store := &brittleStore{PushStore: inner}
	store.left.Store(-1)
	keys, err := NewKeyring("a key of tests")
	if err != nil {
		t.Fatal(err)
	}
	o := RegistryOptions{Store: store, Keys: keys, Now: clock.now, Providers: map[Kind]Provider{}}
	for _, kind := range Kinds {
		if kind != Realtime {
			o.Providers[kind] = anyProvider{kind}
		}
	}
	for _, one := range change {
		one(&o)
	}
	return &registryTest{Registry: NewRegistry(o), store: store, clock: clock}
}

// errCut is what a store says that has been cut off.
var errCut = errors.New("cut off")

// brittleStore fails changes when it has made as many as are left, and conflicts as
// often as it is told.
type brittleStore struct {
	storage.PushStore
	left      atomic.Int64 // negative: any number
	conflicts atomic.Int64
	before    func() // runs before the next change, once
}

func (s *brittleStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	if s.conflicts.Load() > 0 {
		s.conflicts.Add(-1)
		return storage.ErrConflict
	}
	switch left := s.left.Load(); {
	case left == 0:
		return errCut
	case left > 0:
		s.left.Add(-1)
	}
	return s.PushStore.Apply(ctx, changes...)
}

// records reads a whole table of the app a.
func (r *registryTest) records(t *testing.T, table string) []storage.PushRecord {
	t.Helper()
	all, err := r.store.List(t.Context(), storage.PushQuery{App: "a", Table: table, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// consistent wants the tables of subscriptions to say the same.
func (r *registryTest) consistent(t *testing.T) {
	t.Helper()
	counts := map[string]int64{}
	rows := map[[2]string]string{}
	for _, s := range r.records(t, tableSubscribers) {
		counts[s.Key.Group]++
		rows[[2]string{s.Key.Group, s.Key.Name}] = string(s.Value)
	}
	mirrored := r.records(t, tableInterests)
	for _, s := range mirrored {
		if rows[[2]string{s.Key.Name, s.Key.Group}] != string(s.Value) {
			t.Errorf("device %s and channel %s do not say the same", s.Key.Group, s.Key.Name)
		}
	}
	if len(mirrored) != len(rows) {
		t.Errorf("%d subscriptions by device, %d by channel", len(mirrored), len(rows))
	}
	for _, c := range r.records(t, tableChannels) {
		if c.Counts[0] != counts[c.Key.Name] {
			t.Errorf("channel %s counts %d, has %d", c.Key.Name, c.Counts[0], counts[c.Key.Name])
		}
		delete(counts, c.Key.Name)
	}
	for channel := range counts {
		t.Errorf("channel %s is not counted", channel)
	}
}

// phone is a registration that is right.
func phone(id, token string) *Registration {
	return &Registration{
		ID: id, FormFactor: "phone", Platform: "android", Timezone: "UTC", Locale: "en",
		Push: RegistrationPush{Recipient: Recipient{TransportType: "gcm", RegistrationToken: token}},
	}
}

// mustRegister registers a phone for a client.
func (r *registryTest) mustRegister(t *testing.T, id, clientID string) *Registered {
	t.Helper()
	d := phone(id, "token-of-"+id)
	d.ClientID = clientID
	done, err := r.Register(t.Context(), "a", d, false)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// mustSubscribe subscribes a device to channels.
func (r *registryTest) mustSubscribe(t *testing.T, id string, channels ...string) {
	t.Helper()
	for _, channel := range channels {
		if _, err := r.Subscribe(t.Context(), "a", Subscription{Channel: channel, DeviceID: id}); err != nil {
			t.Fatalf("%s to %s: %v", id, channel, err)
		}
	}
}

// wantFault wants an error that names a member.
func wantFault(t *testing.T, err error, field string) {
	t.Helper()
	var fault *FieldError
	if !errors.As(err, &fault) || fault.Field != field {
		t.Errorf("the error is %v, not a fault of %s", err, field)
	}
}

func TestChangesAreMadeAgain(t *testing.T) {
	r := newRegistryTest(t)
	r.store.conflicts.Store(3)
	r.mustRegister(t, "d", "")
	r.store.conflicts.Store(tries)
	if _, err := r.Register(t.Context(), "a", phone("d", "other"), false); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("after too many conflicts: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.store.conflicts.Store(1000)
	cancel()
	if _, err := r.Register(ctx, "a", phone("d", "other"), false); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
