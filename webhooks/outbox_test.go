package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// faulty is a queue whose Push fails.
type faulty struct {
	storage.Queue
	fail  atomic.Pointer[error]
	tries atomic.Int64
}

func (q *faulty) Push(ctx context.Context, jobs ...storage.Job) error {
	q.tries.Add(1)
	if err := q.fail.Load(); err != nil {
		return *err
	}
	return q.Queue.Push(ctx, jobs...)
}

func (q *faulty) set(err error) {
	if err == nil {
		q.fail.Store(nil)
		return
	}
	q.fail.Store(&err)
}

// kept is what Tell says has become of events, which has to be said once.
func (g *rig) kept(t *testing.T, events ...protocol.WebhookEvent) <-chan bool {
	t.Helper()
	said := make(chan bool, 2)
	g.Tell("demo", events, func(kept bool) { said <- kept })
	return said
}

// A queue that refuses for a moment is asked again, and one that is closed is not:
// the caller tells the next one.
func TestQueueRefuses(t *testing.T) {
	r := newReceiver(t, nil)
	q := new(faulty)
	g := newRig(t, Settings{Queue: q, Roots: r.roots, Single: true}, r.hook("/"))
	q.set(storage.ErrFull)
	said := g.kept(t, occupied("a"))
	until(t, "a second try", func() bool { return q.tries.Load() >= 2 })
	q.set(nil)
	if !<-said {
		t.Error("the events are lost although the queue has taken them")
	}
	r.await(t, 1)
	for _, err := range []error{storage.ErrClosed, storage.ErrTooLarge, fmt.Errorf("wrapped: %w", storage.ErrConflict)} {
		q.set(err)
		before := q.tries.Load()
		if <-g.kept(t, occupied("b")) || q.tries.Load() != before+1 {
			t.Errorf("%v: the events are kept, or it was tried %d times", err, q.tries.Load()-before)
		}
	}
	// A stop does not wait for an outage to end.
	q.set(errors.New("the queue is away"))
	said = g.kept(t, occupied("c"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop says %v", err)
	}
	if <-said {
		t.Error("events are kept that no queue has")
	}
	if <-g.kept(t, occupied("d")) {
		t.Error("events are kept after Stop")
	}
}

// What waits is bounded in bytes, and over the bound the caller hears at once.
func TestOutboxIsBounded(t *testing.T) {
	q := new(faulty)
	g := newRig(t, Settings{Queue: q, FlushInterval: time.Hour, MaxBatch: 1 << 20}, storage.Webhook{URL: "https://127.0.0.1:1/", EventTypes: []string{"client_event"}})
	q.set(storage.ErrFull)
	event := protocol.WebhookEvent{Name: protocol.WebhookClientEvent, Channel: "c", Event: "client-e", Data: strings.Repeat("x", 1<<20)}
	refused := 0
	for range 40 {
		select {
		case kept := <-g.kept(t, event):
			if kept {
				t.Error("an event is kept that no queue has")
			}
			refused++
		default:
		}
	}
	g.outbox.mu.Lock()
	held := g.outbox.bytes
	g.outbox.mu.Unlock()
	if refused < 20 || held > maxPending {
		t.Errorf("%d of 40 MiB are refused, and %d bytes held", refused, held)
	}
	q.set(nil)
}

// Nobody asks for the events, or there is no app: that is no loss.
func TestNobodyAsks(t *testing.T) {
	g := newRig(t, Settings{})
	for _, said := range []<-chan bool{g.kept(t), g.kept(t, occupied("a"))} {
		if !<-said {
			t.Error("events that nobody asks for are lost")
		}
	}
	said := make(chan bool, 1)
	g.Tell("unknown", []protocol.WebhookEvent{occupied("a")}, func(kept bool) { said <- kept })
	if !<-said {
		t.Error("events of an unknown app are lost")
	}
	g.Tell("demo", []protocol.WebhookEvent{occupied("a")}, func(bool) { panic("of a caller") })
	until(t, "the panic in the log", func() bool { return g.logs.FilterMessage("recovered from a panic").Len() == 1 })
}

// Stop puts what waits into the queue, and lets another Delivery send it.
func TestStopKeepsEvents(t *testing.T) {
	r := newReceiver(t, nil)
	g := newRig(t, Settings{Roots: r.roots, FlushInterval: time.Hour}, r.hook("/"))
	said := g.kept(t, occupied("a"), occupied("b"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil || !<-said {
		t.Fatalf("Stop says %v", err)
	}
	s := g.settings
	next := New(g.board, s)
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Stop(ctx) }()
	until(t, "the request", func() bool { return len(r.all()) > 0 })
	if e := r.all()[0].envelope(t); len(e.Events) != 2 {
		t.Errorf("the request is %s", r.all()[0].body)
	}
}

// A store of apps that is down costs neither events nor attempts.
func TestStoreIsDown(t *testing.T) {
	r := newReceiver(t, nil)
	g := newRig(t, Settings{Roots: r.roots}, r.hook("/"))
	g.apps.mu.Lock()
	g.apps.err = errors.New("the store is down")
	g.apps.mu.Unlock()
	said := g.kept(t, occupied("a"))
	time.Sleep(100 * time.Millisecond) // it is asked meanwhile
	g.apps.mu.Lock()
	g.apps.err = nil
	g.apps.mu.Unlock()
	if !<-said {
		t.Error("the events are lost")
	}
	r.await(t, 1)
}
