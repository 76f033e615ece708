package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// adapterCounted checks that equal names share one delivery until the last leave.
// Which of the registered functions gets it is the driver's choice.
func adapterCounted(t *testing.T, a storage.Adapter) {
	app := unique()
	b, other := &inbox{app: app}, &inbox{app: app}
	first := subscribe(t, a, app, b)
	second := subscribe(t, a, app, b)
	third := subscribe(t, a, app, b)
	subscribe(t, a, app+"other", other)

	expect := func(event string, want int) {
		t.Helper()
		publish(t, a, app, "c", event)
		eventually(t, "delivery to the other subscriber", func() bool { return other.count(event) == 1 })
		eventually(t, "delivery", func() bool { return b.count(event) >= want })
		time.Sleep(grace)
		if n := b.count(event); n != want {
			t.Errorf("%s: delivered %d times, want %d", event, n, want)
		}
	}
	expect("three registrations", 1)
	must(t, second(bounded(t)))
	expect("two registrations", 1)
	must(t, first(bounded(t)))
	expect("one registration", 1)
	must(t, third(bounded(t)))
	expect("no registration", 0)
}

func adapterLeaveTwice(t *testing.T, a storage.Adapter) {
	app := unique()
	b := &inbox{app: app}
	first := subscribe(t, a, app, b)
	second := subscribe(t, a, app, b)
	must(t, first(bounded(t)))
	must(t, first(bounded(t))) // counts once
	publish(t, a, app, "c", "e")
	b.await(t, 1)
	must(t, second(bounded(t)))
}

func adapterAgain(t *testing.T, a storage.Adapter) {
	app := unique()
	before, after := &inbox{app: app}, &inbox{app: app}
	leave := subscribe(t, a, app, before)
	publish(t, a, app, "c", "e")
	before.await(t, 1)
	must(t, leave(bounded(t)))
	subscribe(t, a, app, after)
	publish(t, a, app, "c", "e")
	after.await(t, 1)
	if n := len(before.all()); n != 1 {
		t.Errorf("a subscriber that has left got %d envelopes, want 1", n)
	}
}

func adapterLeaveWaits(t *testing.T, a storage.Adapter) {
	const n = 50
	app := unique()
	b := &inbox{app: app, delay: 2 * time.Millisecond}
	first := subscribe(t, a, app, b)
	last := subscribe(t, a, app, b)
	for i, leave := range []func(context.Context) error{first, last} {
		for k := range n {
			publish(t, a, app, strconv.Itoa(k%3), "e")
		}
		must(t, leave(bounded(t)))
		if got := len(b.all()); got != (i+1)*n {
			t.Fatalf("leave %d returned after %d deliveries, want %d", i+1, got, (i+1)*n)
		}
	}
}

func adapterLeaveBusy(t *testing.T, a storage.Adapter) {
	app := unique()
	b, other := &inbox{app: app}, &inbox{app: app, delay: time.Millisecond}
	leave := subscribe(t, a, app, b)
	subscribe(t, a, app+"other", other)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		atOnce(4, func(i int) {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := &protocol.Envelope{App: app, Channel: strconv.Itoa(i), Event: "e"}
				if err := a.Publish(context.Background(), e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}()
	b.await(t, 10)
	err := leave(bounded(t))
	close(stop)
	<-stopped
	must(t, err)
}

func adapterLeaveBounded(t *testing.T, a storage.Adapter) {
	app := unique()
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	leave, err := a.Subscribe(app, func(e *protocol.Envelope) {
		if e.App == app {
			once.Do(func() { close(entered) })
			<-release
		}
	})
	must(t, err)
	published := make(chan error, 1)
	go func() {
		published <- a.Publish(context.Background(), &protocol.Envelope{App: app, Channel: "c", Event: "e"})
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	start := time.Now()
	err = leave(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("leave during a delivery: got error %v, want the context's", err)
	}
	if took := time.Since(start); took > patience/2 {
		t.Errorf("leave with a bound of %v took %v", grace, took)
	}
	close(release)
	must(t, <-published)
}

// adapterChurn checks that every event arrives once while registrations, also of
// the same name, come and go.
func adapterChurn(t *testing.T, a storage.Adapter) {
	const channels, each = 4, 50
	app := unique()
	stays, passing := &inbox{app: app}, &inbox{app: app}
	subscribe(t, a, app, stays)
	churned := make(chan struct{})
	go func() {
		defer close(churned)
		atOnce(4, func(i int) {
			for range 10 {
				name, b := app, stays
				if i%2 == 0 {
					name, b = fmt.Sprint(app, i), passing
				}
				leave, err := a.Subscribe(name, b.deliver)
				if err == nil {
					err = leave(bounded(t))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}()
	publishOrdered(t, a, app, channels, each)
	<-churned
	publish(t, a, app, "last", "0")
	eventually(t, "last delivery", func() bool { return len(stays.all()) >= channels*each+1 })
	seen := map[string]int{}
	for _, e := range stays.all() {
		if seen[e.Channel+"/"+e.Event]++; seen[e.Channel+"/"+e.Event] > 1 {
			t.Errorf("event %s of channel %s was delivered twice", e.Event, e.Channel)
		}
	}
	if len(seen) != channels*each+1 {
		t.Errorf("%d events were delivered, want %d", len(seen), channels*each+1)
	}
}
