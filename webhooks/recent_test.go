package webhooks

import (
	"testing"
	"time"
)

// The newest attempts come first, those of an app alone if it is named, and old ones go.
func TestRecentAttempts(t *testing.T) {
	b, _, e := boardAt(t)
	for range maxRecent {
		b.admit("a", e, 4)
		b.settle("a", e, result{verdict: failed, reason: "x"}, time.Second)
	}
	b.settle("b", e, result{}, 2*time.Second)
	b.settle("b", e, result{verdict: aborted}, time.Second)
	all := b.Recent("")
	if len(all) != maxRecent || all[0].App != "b" || all[0].Outcome != "delivered" || all[0].Seconds != 2 || all[1].Outcome != "failed" || all[1].Reason != "x" {
		t.Errorf("%d attempts, which begin with %+v", len(all), all[:2])
	}
	if of := b.Recent("b"); len(of) != 1 || of[0].Place == "" {
		t.Errorf("%+v", of)
	}
}
