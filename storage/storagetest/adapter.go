package storagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// TestAdapter checks one node's adapter against the contract.
func TestAdapter(t *testing.T, open func(t *testing.T) storage.Adapter) {
	t.Attr("contract", "adapter")
	runAll(t, open, []subtest[storage.Adapter]{
		{"envelopes arrive as they are", adapterEnvelopes},
		{"every subscriber", adapterSubscribers},
		{"no subscriber", adapterNoSubscriber},
		{"registrations are counted", adapterCounted},
		{"leaving twice", adapterLeaveTwice},
		{"subscribing again", adapterAgain},
		{"order", adapterOrder},
		{"leave waits", adapterLeaveWaits},
		{"leave waits while others publish", adapterLeaveBusy},
		{"leave is bounded", adapterLeaveBounded},
		{"come and go", adapterChurn},
		{"too large", adapterTooLarge},
		{"ended context", adapterEnded},
		{"closed", adapterClosed},
	})
}

// inbox collects the envelopes of one app, because subtests may share a bus.
type inbox struct {
	app string
	// delay is how long a delivery takes.
	delay time.Duration

	mu  sync.Mutex
	got []*protocol.Envelope
}

func (b *inbox) deliver(e *protocol.Envelope) {
	if e.App != b.app {
		return
	}
	time.Sleep(b.delay)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, e)
}

func (b *inbox) all() []*protocol.Envelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*protocol.Envelope(nil), b.got...)
}

func (b *inbox) count(event string) (n int) {
	for _, e := range b.all() {
		if e.Event == event {
			n++
		}
	}
	return n
}

func (b *inbox) await(t *testing.T, n int) []*protocol.Envelope {
	t.Helper()
	eventually(t, fmt.Sprintf("delivery of %d envelopes", n), func() bool { return len(b.all()) >= n })
	return b.all()
}

func subscribe(t *testing.T, a storage.Adapter, name string, b *inbox) func(context.Context) error {
	t.Helper()
	leave, err := a.Subscribe(name, b.deliver)
	must(t, err)
	return leave
}

func publish(t *testing.T, a storage.Adapter, app, channel, event string) {
	t.Helper()
	must(t, a.Publish(t.Context(), &protocol.Envelope{App: app, Channel: channel, Event: event, Data: json.RawMessage(`"{}"`)}))
}

func someEnvelopes(app string) []*protocol.Envelope {
	return []*protocol.Envelope{
		{App: app, Channel: "c", Event: "plain", Data: json.RawMessage(`"{\"a\":1}"`)},
		{App: app, Channel: "c", Event: "no data"},
		{
			App: app, Channel: "presence-" + weird, Event: "client-" + weird, Except: "123.456", Client: true, UserID: weird,
			Data: json.RawMessage("\"<b>&amp;</b> \\u003c \\/ \\ud83d\\ude00 😀 \u2028 ключ   spaces\""),
		},
		{Kind: protocol.KindUserEvent, App: app, Channel: "#server-to-user-u", Event: "e", User: weird, Data: json.RawMessage(`"x"`)},
		{Kind: protocol.KindCloseUser, App: app, User: "u", Code: 4009, Reason: weird},
		{App: app, Channel: "c", Event: "large", Data: json.RawMessage(`"` + string(bytes.Repeat([]byte("0123456789"), 20000)) + `"`)},
	}
}

func adapterEnvelopes(t *testing.T, a storage.Adapter) {
	b := &inbox{app: unique()}
	subscribe(t, a, unique(), b)
	want := someEnvelopes(b.app)
	for i, e := range want {
		must(t, a.Publish(t.Context(), e))
		// One by one, because the order is kept within a channel only.
		if got := b.await(t, i+1)[i]; !reflect.DeepEqual(got, want[i]) {
			t.Errorf("delivered\n%.500v\nwant\n%.500v", got, want[i])
		}
	}
}

func adapterSubscribers(t *testing.T, a storage.Adapter) {
	app := unique()
	boxes := make([]*inbox, 4)
	for i := range boxes {
		boxes[i] = &inbox{app: app}
		subscribe(t, a, fmt.Sprint(app, i), boxes[i])
	}
	publish(t, a, app, "c", "first")
	publish(t, a, app, "c", "second")
	for i, b := range boxes {
		if got := b.await(t, 2); got[0].Event != "first" || got[1].Event != "second" {
			t.Errorf("subscriber %d got %q, %q", i, got[0].Event, got[1].Event)
		}
	}
	time.Sleep(grace)
	for i, b := range boxes {
		if n := len(b.all()); n != 2 {
			t.Errorf("subscriber %d got %d envelopes, want 2", i, n)
		}
	}
}

func adapterNoSubscriber(t *testing.T, a storage.Adapter) {
	app := unique()
	publish(t, a, app, "c", "early")
	b := &inbox{app: app}
	subscribe(t, a, app, b)
	publish(t, a, app, "c", "late")
	eventually(t, "delivery", func() bool { return b.count("late") == 1 })
	if b.count("early") != 0 {
		t.Error("what was published before Subscribe was delivered")
	}
}

func adapterOrder(t *testing.T, a storage.Adapter) {
	const channels, each = 5, 100
	app := unique()
	boxes := []*inbox{{app: app}, {app: app}}
	for i, b := range boxes {
		subscribe(t, a, fmt.Sprint(app, i), b)
	}
	publishOrdered(t, a, app, channels, each)
	for _, b := range boxes {
		wantOrdered(t, b.await(t, channels*each), channels, each)
	}
}

// publishOrdered publishes numbered events on several channels at once, on each
// in order.
func publishOrdered(t *testing.T, a storage.Adapter, app string, channels, each int) {
	t.Helper()
	atOnce(channels, func(channel int) {
		for n := range each {
			e := &protocol.Envelope{App: app, Channel: strconv.Itoa(channel), Event: strconv.Itoa(n)}
			if err := a.Publish(t.Context(), e); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

func wantOrdered(t *testing.T, got []*protocol.Envelope, channels, each int) {
	t.Helper()
	next := map[string]int{}
	for _, e := range got {
		if want := strconv.Itoa(next[e.Channel]); e.Event != want {
			t.Fatalf("channel %s: event %s came where %s should", e.Channel, e.Event, want)
		}
		next[e.Channel]++
	}
	for channel := range channels {
		if n := next[strconv.Itoa(channel)]; n != each {
			t.Errorf("channel %d: %d events came, want %d", channel, n, each)
		}
	}
}

func adapterTooLarge(t *testing.T, a storage.Adapter) {
	limited, ok := a.(SizeLimited)
	if !ok {
		t.Skip("the driver declares no limit")
	}
	b := &inbox{app: unique()}
	subscribe(t, a, unique(), b)
	data := append(bytes.Repeat([]byte("x"), int(limited.MaxSize())), '"')
	data[0] = '"'
	err := a.Publish(t.Context(), &protocol.Envelope{App: b.app, Channel: "c", Event: "large", Data: data})
	wantErr(t, "Publish", err, storage.ErrFull)
	publish(t, a, b.app, "c", "small")
	if got := b.await(t, 1); got[0].Event != "small" {
		t.Errorf("%q was delivered", got[0].Event)
	}
}

func adapterEnded(t *testing.T, a storage.Adapter) {
	b := &inbox{app: unique()}
	leave := subscribe(t, a, unique(), b)
	err := a.Publish(ended(), &protocol.Envelope{App: b.app, Channel: "c", Event: "never"})
	wantErr(t, "Publish with an ended context", err, context.Canceled)
	publish(t, a, b.app, "c", "e")
	if got := b.await(t, 1); got[0].Event != "e" {
		t.Errorf("%q was delivered", got[0].Event)
	}
	_ = leave(ended()) // may have nothing to wait for, but has left
	publish(t, a, b.app, "c", "after")
	time.Sleep(grace)
	if b.count("after") != 0 {
		t.Error("an envelope was delivered after leave")
	}
}

func adapterClosed(t *testing.T, a storage.Adapter) {
	app := unique()
	b := &inbox{app: app}
	leave := subscribe(t, a, app, b)
	testClosed(t, a, []call{
		{"Publish", func(ctx context.Context) error { return a.Publish(ctx, &protocol.Envelope{App: app, Channel: "c"}) }},
		{"Subscribe", func(context.Context) error { _, err := a.Subscribe(app, b.deliver); return err }},
	})
	if err := leave(bounded(t)); err != nil && !errors.Is(err, storage.ErrClosed) {
		t.Errorf("leave after Close: %v", err)
	}
	if n := len(b.all()); n != 0 {
		t.Errorf("%d envelopes were delivered after Close", n)
	}
}
