package apns_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// flood sends many at a time, each of which has to arrive, and calls after for each.
func flood(t *testing.T, s push.Sender, atATime, all int, after ...func()) {
	t.Helper()
	numbers := make(chan int)
	var senders sync.WaitGroup
	for range atATime {
		senders.Go(func() {
			for n := range numbers {
				if r := s.Send(t.Context(), notification(t, n)); r.Outcome != push.Accepted {
					t.Errorf("notification %d: %+v", n, r)
				}
				for _, call := range after {
					call()
				}
			}
		})
	}
	for n := range all {
		numbers <- n
	}
	close(numbers)
	senders.Wait()
}

// once checks that each of so many has arrived once.
func once(t *testing.T, a *pushtest.APNs, all int) {
	t.Helper()
	times := map[string]int{}
	for _, r := range a.Sent() {
		times[r.Token]++
	}
	for n := range all {
		if times[device(n)] != 1 {
			t.Fatalf("notification %d has arrived %d times", n, times[device(n)])
		}
	}
}

// Checklist: push 98
func TestAThousandAtATimeNeedADozenConnections(t *testing.T) {
	const atATime, all = 1000, 1500
	a := pushtest.NewAPNs(t)
	a.Gather(900)
	o := optionsFor(a)
	o.Timeout = time.Minute // for machines with much else to do
	s := connect(t, a.Key(t).Material(), o)
	flood(t, s, atATime, all)
	once(t, a, all)
	if n := a.Connections(); n > 14 {
		t.Errorf("%d connections", n)
	}
	if n := a.Tokens(); n != 1 {
		t.Errorf("%d tokens", n)
	}
	if _, most := a.InFlight(); most < 900 {
		t.Errorf("only %d were under way at a time", most)
	}
	s.Close()
	until(t, func() bool { return a.Open() == 0 })
}

func TestAFewAtATimeNeedOneConnection(t *testing.T) {
	const atATime, all = 50, 400
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	flood(t, s, atATime, all)
	once(t, a, all)
	if n := a.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	const atATime, all, most = 100, 400, 3
	a := pushtest.NewAPNsWith(t, pushtest.APNsOptions{MaxStreams: 4}) // fewer than a client takes for granted at first
	a.SetLatency(2 * time.Millisecond)
	o := optionsFor(a)
	o.Connections = most
	s := connect(t, a.Key(t).Material(), o)
	flood(t, s, atATime, all)
	once(t, a, all)
	if n := a.Connections(); n > most {
		t.Errorf("%d connections", n)
	}
}

// Checklist: push 98
func TestConnectionsThatGoAwayLoseNothing(t *testing.T) {
	const atATime, all = 150, 1000
	a := pushtest.NewAPNs(t)
	a.SetLatency(time.Millisecond)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	var sent atomic.Int64
	flood(t, s, atATime, all, func() {
		if sent.Add(1)%200 == 0 {
			a.GoAway()
		}
	})
	once(t, a, all)
	if n := a.Connections(); n < 3 {
		t.Errorf("only %d connections: none has gone away", n)
	}
}

func TestAServiceThatShutsDownIsConnectedToAnew(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	for i, reason := range []string{"Shutdown", "IdleTimeout"} {
		for _, goAway := range []bool{true, false} {
			before := a.Connections()
			a.Script(device(i), pushtest.APNsAnswer{Status: 503, Reason: reason, GoAway: goAway})
			if r := s.Send(t.Context(), notification(t, i)); r.Outcome != push.Retryable || r.Class != push.ProviderTransient {
				t.Errorf("%+v", r)
			}
			accepted(t, s.Send(t.Context(), notification(t, i)))
			if n := a.Connections(); i == 0 && goAway && n != 2 || n < before+1 && before > 0 {
				t.Errorf("%d connections after %d", n, before)
			}
		}
	}
	until(t, func() bool { return a.Open() == 1 })
}

func TestWhatIsUnderWayIsFinishedAfterClose(t *testing.T) {
	a := pushtest.NewAPNs(t)
	s := connect(t, a.Key(t).Material(), optionsFor(a))
	accepted(t, s.Send(t.Context(), notification(t, 0)))
	a.Gather(6)
	got := make(chan push.Result)
	for n := range 5 {
		go func() { got <- s.Send(t.Context(), notification(t, n)) }()
	}
	until(t, func() bool { now, _ := a.InFlight(); return now == 5 })
	s.Close()
	go func() { got <- s.Send(t.Context(), notification(t, 5)) }() // late, and the one that they wait for
	for range 6 {
		accepted(t, <-got)
	}
	until(t, func() bool { return a.Open() == 0 })
}
