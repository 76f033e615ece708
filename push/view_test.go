package push

import (
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Lanes tell of their breaker, and those of an app alone if it is named.
func TestLanes(t *testing.T) {
	b := NewBoard(meter.NewRegistry("test"))
	s := &Settings{Now: time.Now, Breaker: BreakerSettings{}.withDefaults()}
	s.Quotas.InFlight = 50
	failing := b.laneOf(FCM, "b", "link", s)
	b.laneOf(APNs, "a", "link", s)
	for range s.Breaker.Failures {
		failing.breaker.heard(time.Now(), &Result{Outcome: Retryable, Class: ProviderTransient})
	}
	all := b.Lanes("")
	if len(all) != 2 || all[0].App != "a" || all[0].Breaker != "closed" || all[0].Limit != 50 || all[0].OpenUntil != nil {
		t.Fatalf("%+v", all)
	}
	if all[1].Breaker != "open" || all[1].OpenUntil == nil || all[1].OpenUntil.Before(time.Now()) {
		t.Errorf("%+v", all[1])
	}
	if of := b.Lanes("b"); len(of) != 1 || of[0].Provider != FCM {
		t.Errorf("%+v", of)
	}
}
