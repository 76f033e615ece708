package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

func topicOf(channel string) protocol.Topic { return protocol.Topic{App: "app", Channel: channel} }

func TestWantsShareOneSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		want(t, a, "first")
		e.set(func() { e.stalled = true })
		ended := make(chan error, 100)
		for i := range 100 {
			go func() {
				ended <- a.Want(t.Context(), topicOf("c"), topicOf("first"), topicOf(fmt.Sprint(i%2)), protocol.Topic{})
			}()
			synctest.Wait()
		}
		select {
		case err := <-ended:
			t.Fatalf("Want returned before the engine answered: %v", err)
		default:
		}
		e.set(func() { e.stalled = false })
		for range 100 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		want(t, a, "c", "0", "1")
		// The first Want goes alone, and those that come while it is under way together.
		if want := []string{"subscribe first", "subscribe c 0", "subscribe 1"}; !slices.Equal(e.asked(), want) {
			t.Errorf("the engine was asked for %q, want %q", e.asked(), want)
		}
	})
}

func TestUnwantLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{})
		defer shut(t, a)
		want(t, a, "back", "gone", "later")
		e.set(func() { e.calls = nil })
		a.Unwant(topicOf("back"), topicOf("gone"), topicOf("unknown"))
		a.Unwant(topicOf("gone"))
		pause(5 * time.Second)
		a.Unwant(topicOf("later"))
		want(t, a, "back")
		a.Unwant(topicOf("back"))
		want(t, a, "back")
		pause(4 * time.Second)
		if len(e.asked()) > 0 {
			t.Errorf("before the time is over: %q", e.asked())
		}
		pause(2 * time.Second)
		want(t, a, "gone")
		pause(time.Minute)
		if want := []string{"unsubscribe gone", "subscribe gone", "unsubscribe later"}; !slices.Equal(e.asked(), want) {
			t.Errorf("the engine was asked to %q, want %q", e.asked(), want)
		}
		if n := a.LinkStats().Topics; n != 4 { // and the two that are always there
			t.Errorf("%d topics", n)
		}
		if len(a.topics.idle) > 0 {
			t.Errorf("%d topics are idle", len(a.topics.idle))
		}
	})
}

// TestUnwantWhileAsking lets go of a topic that the engine is being asked for.
func TestUnwantWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{Linger: time.Second, ProbeInterval: time.Hour, Tuning: Tuning{AnswerTimeout: time.Hour}})
		defer shut(t, a)
		e.set(func() { e.stalled = true })
		ended := make(chan error)
		for range 2 {
			go func() { ended <- a.Want(t.Context(), topicOf("c"), topicOf("d")) }()
			synctest.Wait()
		}
		a.Unwant(topicOf("c"))
		pause(time.Minute)
		e.set(func() { e.stalled = false })
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		pause(time.Minute)
		if want := []string{"subscribe c d", "unsubscribe c"}; !slices.Equal(e.asked(), want) {
			t.Errorf("the engine was asked to %q, want %q", e.asked(), want)
		}
	})
}

func TestWantEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{ProbeInterval: time.Hour, Tuning: Tuning{AnswerTimeout: time.Hour}})
		e.set(func() { e.stalled = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Want(ctx, topicOf("c")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when its time is over: %v", err)
		}
		ended := make(chan error)
		wait := func() {
			go func() { ended <- a.Want(t.Context(), topicOf("c")) }()
			synctest.Wait()
		}
		wait()
		e.set(func() { e.away = true })
		e.cut()
		if err := <-ended; err != nil {
			t.Errorf("when the link is lost: %v", err)
		}
		a.Unwant(topicOf("c"))
		if n := a.LinkStats().Topics; n != 2 {
			t.Errorf("%d topics are kept", n)
		}
		e.set(func() { e.away, e.stalled = false, false })
		pause(time.Minute)
		e.set(func() { e.stalled = true })
		wait()
		go shut(t, a)
		if err := <-ended; !errors.Is(err, storage.ErrClosed) {
			t.Errorf("when the adapter is closed: %v", err)
		}
	})
}

// TestWantWhileSubscribing wants a topic while a new link is asked for the others.
func TestWantWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := openOn(t, e, Options{}), openOn(t, e, Options{})
		defer shut(t, a, b)
		var got box
		join(t, b, got.deliver)
		want(t, b, "c", "let go")
		e.cut()
		e.set(func() { e.stalled = true })
		pause(3 * time.Second)
		want(t, b, "d")
		b.Unwant(topicOf("let go"))
		e.set(func() { e.stalled = false })
		pause(time.Second)
		publish(t, a, "c", "1")
		publish(t, a, "d", "1")
		synctest.Wait()
		if all := got.all(); len(all) != 2 {
			t.Errorf("delivered %q", all)
		}
		pause(time.Minute)
		if n := b.LinkStats().Topics; n != 4 {
			t.Errorf("%d topics, want 4", n)
		}
	})
}

// TestTopicsComeAndGo is for the race detector.
func TestTopicsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := openOn(t, e, Options{Linger: 50 * time.Millisecond})
		defer shut(t, a)
		ended := make(chan error)
		for i := range 8 {
			go func() {
				var err error
				for n := range 200 {
					topic := topicOf(fmt.Sprint((i + n) % 10))
					err = errors.Join(err, a.Want(t.Context(), topic))
					time.Sleep(time.Duration(n%7) * 10 * time.Millisecond)
					a.Unwant(topic)
				}
				ended <- err
			}()
		}
		for range 5 {
			pause(time.Second)
			e.cut()
		}
		for range 8 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		pause(time.Minute)
		left := 0
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, on := range e.links[0].topics {
			if on {
				left++
			}
		}
		if n := a.LinkStats().Topics; n != 2 || left != 2 {
			t.Errorf("%d topics are kept, %d subscribed to", n, left)
		}
	})
}
