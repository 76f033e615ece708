package relay

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// apart are two channels of different workers.
func apart(t *testing.T, a *Adapter) (one, other string) {
	t.Helper()
	at := func(channel string) *worker {
		return a.inbox.workerOf(&protocol.Envelope{App: "app", Channel: channel})
	}
	for i := range 1000 {
		if other := fmt.Sprint(i); at(other) != at("c") {
			return "c", other
		}
	}
	t.Fatal("all channels have one worker")
	return "", ""
}

// TestSlowChannelHoldsUpNoOther also wants what is too much to be dropped, counted
// and told, once while it lasts.
func TestSlowChannelHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := openOn(t, e, Options{}), openOn(t, e, Options{InboxBytes: 300 << 10, Workers: 2})
		defer shut(t, a, b)
		slow, quick := apart(t, b)
		var got box
		release := make(chan struct{})
		leave := join(t, b, func(e *protocol.Envelope) {
			if e.Channel == slow {
				<-release
			}
			got.deliver(e)
		})
		want(t, b, slow, quick)
		told := linkLog(b)
		data := make([]byte, 10<<10)
		for i := range 30 {
			event := fmt.Sprint(i)
			if err := a.Publish(t.Context(), &protocol.Envelope{App: "app", Channel: slow, Event: event, Data: data}); err != nil {
				t.Fatal(err)
			}
			pause(100 * time.Millisecond)
		}
		publish(t, a, quick, "q")
		if err := a.Publish(t.Context(), &protocol.Envelope{Kind: protocol.KindControl, Event: "control"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if all := got.all(); len(all) != 2 || !slices.Contains(all, quick+"q") || !slices.Contains(all, "control") {
			t.Errorf("beside the slow channel %q were delivered", all)
		}
		if !slices.Equal(*told, []bool{false}) {
			t.Errorf("while envelopes are missed the watcher was told %v", *told)
		}
		s := b.LinkStats()
		if s.Missed != 21 || s.Received != 32 || s.Up {
			t.Errorf("%+v", s)
		}
		pause(5 * time.Second)
		if !slices.Equal(*told, []bool{false, true}) {
			t.Errorf("afterwards the watcher was told %v", *told)
		}
		close(release)
		if err := leave(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		var order []string
		for _, one := range got.all() {
			if one[:1] == "c" && one != "control" {
				order = append(order, one)
			}
		}
		if want := []string{"c0"}; !slices.Equal(order, want) {
			t.Errorf("the slow channel got %q before the leave, want %q", order, want)
		}
	})
}

func TestOneWorkerForOneTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openOn(t, newEngine(), Options{Workers: 8})
		defer shut(t, a)
		workers := map[*worker]bool{}
		for _, e := range []*protocol.Envelope{
			{App: "a", Channel: "#server-to-user-u"},
			{Kind: protocol.KindUserEvent, App: "a", Channel: "other", User: "u"},
			{Kind: protocol.KindCloseUser, App: "a", User: "u"},
		} {
			workers[a.inbox.workerOf(e)] = true
		}
		if len(workers) != 1 {
			t.Errorf("what is of one user has %d workers", len(workers))
		}
		for _, kind := range []protocol.EnvelopeKind{protocol.KindControl, protocol.KindRevoke} {
			if a.inbox.workerOf(&protocol.Envelope{Kind: kind, App: "a"}) != a.inbox.workers[8] {
				t.Errorf("what is for every node is with others: kind %d", kind)
			}
		}
	})
}

func TestPanicOfSubscriberEndsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := openOn(t, e, Options{}), openOn(t, e, Options{})
		defer shut(t, a, b)
		var got box
		join(t, b, func(e *protocol.Envelope) {
			if e.Event == "bad" {
				panic("subscriber")
			}
			got.deliver(e)
		})
		want(t, b, "c")
		for _, event := range []string{"1", "bad", "2"} {
			publish(t, a, "c", event)
		}
		synctest.Wait()
		got.want(t, "c1", "c2")
	})
}

// TestWhatIsSkipped also wants what comes after it.
//
// Checklist: configuration 65
func TestWhatIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		var got box
		join(t, a, got.deliver)
		in := &Inlet{a.session}
		envelope := func(from sender, link uint32, event string) []byte {
			p := Packet{Data: from.envelope(&protocol.Envelope{App: "app", Channel: "c", Event: event})}
			stamp([]Packet{p}, link)
			return p.Data
		}
		good := func(event string) []byte { return envelope(sender{1}, 3, event) }
		long := append(good("long"), 0)
		later := good("later")
		later[0] = 2
		kind := good("kind")
		kind[1] = 2
		inner := good("inner")
		inner[headerSize] = 9
		malformed := [][]byte{nil, {1}, []byte(`{"node_id":"x"}`), long, good("short")[:20], later, kind, inner, append(a.id.probe(1), 0)}
		for i, data := range malformed {
			in.Received(data)
			in.Received(good(fmt.Sprint(i)))
		}
		in.Received(envelope(a.id, 1, "own"))
		in.Received(envelope(sender{1}, 2, "late"))
		in.Received(sender{1}.probe(1)) // another node's
		in.Received(a.id.probe(99))     // nobody waits for it any more
		in.Received(envelope(sender{1}, 4, "new link"))
		in.Received(good("late again"))
		in.Received(envelope(sender{2}, 1, "other"))
		synctest.Wait()
		want := []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "cnew link", "cother"}
		got.want(t, want...)
		if s := a.LinkStats(); s.Malformed != uint64(len(malformed)) || s.Received != uint64(len(want)) || s.Missed != 2 || !s.Up {
			t.Errorf("%+v", s)
		}
		a.session.link.(*fakeLink).in.Event("odd")
		if s := a.LinkStats(); s.Events["odd"] != 1 {
			t.Errorf("events %v", s.Events)
		}
	})
}

func TestLateLinkSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		var got box
		join(t, a, got.deliver)
		old := &Inlet{a.session}
		e.cut()
		pause(10 * time.Second)
		old.Received(sender{1}.envelope(&protocol.Envelope{App: "app"}))
		old.Lost(errors.New("again"))
		synctest.Wait()
		got.want(t)
		if err := a.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

func FuzzReceived(f *testing.F) {
	a, err := Open(f.Context(), newEngine().dial, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sender{1}.envelope(&protocol.Envelope{App: "a", Data: []byte("{}")}))
	f.Add(sender{1}.probe(7))
	f.Add(a.id.probe(7))
	f.Fuzz(func(_ *testing.T, data []byte) { (&Inlet{a.session}).Received(data) })
}

var _ storage.LinkMeter = (*Adapter)(nil)
