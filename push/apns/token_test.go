package apns_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// clocked is a stand-in and options with the same clock.
func clocked(t testing.TB) (*pushtest.APNs, push.ConnectOptions, *clock) {
	t.Helper()
	c := newClock()
	a := pushtest.NewAPNsWith(t, pushtest.APNsOptions{Now: c.Now})
	o := optionsFor(a)
	o.Now = c.Now
	return a, o, c
}

// Checklist: push 98
// Checklist: configuration 143
func TestATokenIsSharedForMostOfAnHour(t *testing.T) {
	a, o, c := clocked(t)
	s := connect(t, a.Key(t).Material(), o)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			if r := s.Send(t.Context(), notification(t, n)); r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	all.Wait()
	if n := a.Tokens(); n != 1 {
		t.Errorf("%d tokens for 100 at a time", n)
	}
	for range 59 {
		c.turn(time.Minute)
		accepted(t, s.Send(t.Context(), notification(t, 0)))
	}
	if n := a.Tokens(); n < 2 || n > 3 {
		t.Errorf("%d tokens in an hour", n)
	}
	c.turn(10 * time.Hour)
	accepted(t, s.Send(t.Context(), notification(t, 0)))
}

func TestATokenOutlivesItsSender(t *testing.T) {
	a, o, c := clocked(t)
	material := a.Key(t).Material()
	for range 5 { // as with reloads of the configuration
		s := connect(t, material, o)
		accepted(t, s.Send(t.Context(), notification(t, 0)))
		s.Close()
		c.turn(time.Minute)
	}
	if n := a.Tokens(); n != 1 {
		t.Errorf("%d tokens", n)
	}
	other := connect(t, a.Key(t).Material(), o)
	accepted(t, other.Send(t.Context(), notification(t, 0)))
	if n := a.Tokens(); n != 2 {
		t.Errorf("%d tokens of two keys", n)
	}
}

// Checklist: push 99
func TestAnExpiredTokenIsReplacedOnce(t *testing.T) {
	a, o, c := clocked(t)
	s := connect(t, a.Key(t).Material(), o)
	expired := pushtest.APNsAnswer{Status: 403, Reason: "ExpiredProviderToken"}
	a.Script(device(0), expired)
	accepted(t, s.Send(t.Context(), notification(t, 0)))
	if n := a.Tokens(); n != 2 {
		t.Errorf("%d tokens", n)
	}
	// The next one is refused soon after, which new tokens do not help against.
	for i := 1; i < 5; i++ {
		a.Script(device(i), expired, expired)
		if r := s.Send(t.Context(), notification(t, i)); r.Outcome != push.Retryable || r.Class != push.CredentialAuth {
			t.Errorf("%+v", r)
		}
	}
	if n := a.Tokens(); n != 2 {
		t.Errorf("%d tokens though the last is new", n)
	}
	c.turn(20 * time.Minute)
	a.Script(device(9), expired, expired)
	if r := s.Send(t.Context(), notification(t, 9)); r.Outcome != push.Retryable || r.Class != push.CredentialAuth {
		t.Errorf("%+v", r)
	}
	if n := a.Tokens(); n != 3 {
		t.Errorf("%d tokens after a while", n)
	}
}

func TestManyExpiredAtOnceMakeOneToken(t *testing.T) {
	a, o, c := clocked(t)
	s := connect(t, a.Key(t).Material(), o)
	accepted(t, s.Send(t.Context(), notification(t, 0)))
	c.turn(30 * time.Minute)
	a.SetLatency(20 * time.Millisecond) // so that all have the first token
	var all sync.WaitGroup
	for n := range 50 {
		a.Script(device(n), pushtest.APNsAnswer{Status: 403, Reason: "ExpiredProviderToken"})
		all.Go(func() {
			r := s.Send(t.Context(), notification(t, n))
			if r.Outcome != push.Accepted && (r.Outcome != push.Retryable || r.Class != push.CredentialAuth) {
				t.Errorf("%+v", r)
			}
		})
	}
	all.Wait()
	if n := a.Tokens(); n != 2 {
		t.Errorf("%d tokens", n)
	}
}

func TestATokenOfSomebodyElseIsSentAsItIs(t *testing.T) {
	a := pushtest.NewAPNs(t)
	text := "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJUIn0.AAAA"
	material := json.RawMessage(fmt.Sprintf(`{"providerToken":%q,"topic":"com.example.app"}`, text))
	s := connect(t, material, optionsFor(a))
	if r := s.Send(t.Context(), notification(t, 0)); r.Class != push.CredentialAuth || r.Outcome != push.Rejected {
		t.Errorf("%+v", r)
	}
	if n := a.Tokens(); n != 1 {
		t.Errorf("%d tokens", n)
	}
}
