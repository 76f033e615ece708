package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// engine stands in for a real one where a test needs faults that no real one has on
// demand. Drivers show the rest against theirs.
type engine struct {
	// silent does not bring nodes what they have sent themselves.
	silent  bool
	maxSize int

	mu    sync.Mutex
	moved sync.Cond
	links []*fakeLink
	// away refuses connections, and stalled answers nothing.
	away, stalled bool
	dials         int
	calls         []string // of Subscribe and Unsubscribe
	flushes       int
	batches       []int // packets of each Send
}

func newEngine() *engine {
	e := &engine{maxSize: 1 << 20}
	e.moved.L = &e.mu
	return e
}

// fakeLink is a connection to an engine.
type fakeLink struct {
	engine *engine
	in     *Inlet
	topics map[protocol.Topic]bool
	closed bool
}

// probingLink is one of an engine that is silent.
type probingLink struct{ *fakeLink }

func (l probingLink) Probe(ctx context.Context) error { return l.Flush(ctx) }

var errAway = errors.New("the engine is away")

func (e *engine) dial(_ context.Context, in *Inlet) (Link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dials++
	if e.away {
		return nil, errAway
	}
	l := &fakeLink{engine: e, in: in, topics: map[protocol.Topic]bool{}}
	e.links = append(e.links, l)
	if e.silent {
		return probingLink{l}, nil
	}
	return l, nil
}

// set changes what the engine does.
func (e *engine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	e.moved.Broadcast()
}

// told is what the engine was asked so far.
func (e *engine) told() (calls []string, dials, flushes int, batches []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls), e.dials, e.flushes, slices.Clone(e.batches)
}

func (e *engine) asked() []string {
	calls, _, _, _ := e.told()
	return calls
}

func (e *engine) dialed() int {
	_, dials, _, _ := e.told()
	return dials
}

func (e *engine) flushed() int {
	_, _, flushes, _ := e.told()
	return flushes
}

// cut ends all connections.
func (e *engine) cut() {
	e.mu.Lock()
	links := e.links
	e.links = nil
	e.mu.Unlock()
	for _, l := range links {
		l.in.Lost(errAway)
	}
}

// answer waits until the engine answers a link, with its lock held.
func (l *fakeLink) answer(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.engine.set(func() {}) })
	defer stop()
	for {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case l.closed || l.engine.away:
			return errAway
		case !l.engine.stalled:
			return nil
		}
		l.engine.moved.Wait()
	}
}

func (l *fakeLink) Send(ctx context.Context, packets []Packet) error {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := l.answer(ctx); err != nil {
		return err
	}
	e.batches = append(e.batches, len(packets))
	for _, p := range packets {
		for _, to := range e.links {
			if to.topics[p.Topic] && (to != l || !e.silent) {
				to.in.Received(slices.Clone(p.Data))
			}
		}
	}
	return nil
}

func (l *fakeLink) Flush(ctx context.Context) error {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.engine.flushes++
	return l.answer(ctx)
}

func (l *fakeLink) change(ctx context.Context, call string, topics []protocol.Topic, on bool) error {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if err := l.answer(ctx); err != nil {
		return err
	}
	for _, topic := range topics {
		l.topics[topic] = on
		call += " " + topic.Channel
	}
	if len(topics) > 0 && topics[0].App != "" {
		l.engine.calls = append(l.engine.calls, call)
	}
	return nil
}

func (l *fakeLink) Subscribe(ctx context.Context, topics []protocol.Topic) error {
	return l.change(ctx, "subscribe", topics, true)
}

func (l *fakeLink) Unsubscribe(ctx context.Context, topics []protocol.Topic) error {
	return l.change(ctx, "unsubscribe", topics, false)
}

func (l *fakeLink) MaxSize() int { return l.engine.maxSize }

func (l *fakeLink) Close() error {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.closed = true
	l.engine.links = slices.DeleteFunc(l.engine.links, func(other *fakeLink) bool { return other == l })
	l.engine.moved.Broadcast()
	return nil
}

func openOn(t *testing.T, e *engine, o Options) *Adapter {
	t.Helper()
	o.Driver, o.Place = "fake", "engine"
	a, err := Open(t.Context(), e.dial, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// box collects what a subscriber gets.
type box struct {
	delay time.Duration
	mu    sync.Mutex
	got   []string
}

func (b *box) deliver(e *protocol.Envelope) {
	time.Sleep(b.delay)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, e.Channel+e.Event)
}

func (b *box) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *box) want(t *testing.T, want ...string) {
	t.Helper()
	if got := b.all(); !slices.Equal(got, want) {
		t.Errorf("delivered %.300q, want %.300q", got, want)
	}
}

func join(t *testing.T, a *Adapter, deliver func(*protocol.Envelope)) func(context.Context) error {
	t.Helper()
	leave, err := a.Subscribe("hub", deliver)
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func want(t *testing.T, a *Adapter, channels ...string) {
	t.Helper()
	for _, channel := range channels {
		if err := a.Want(t.Context(), protocol.Topic{App: "app", Channel: channel}); err != nil {
			t.Fatal(err)
		}
	}
}

func publish(t *testing.T, a *Adapter, channel, event string) {
	t.Helper()
	if err := a.Publish(t.Context(), &protocol.Envelope{App: "app", Channel: channel, Event: event}); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, list ...*Adapter) {
	t.Helper()
	for _, a := range list {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// pause lets time pass, and everything that has to happen by then.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
