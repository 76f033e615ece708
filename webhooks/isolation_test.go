package webhooks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Receivers that hang do not delay one that answers, nor whoever tells events.
//
// Checklist: configuration 134
func TestDeadReceiversDelayNobody(t *testing.T) {
	measure := func(dead int) (told, delivered time.Duration) {
		r := newReceiver(t, nil)
		hang := newReceiver(t, func(_ http.ResponseWriter, req *http.Request, _ int) { <-req.Context().Done() })
		var hooks []storage.Webhook
		for i := range dead {
			h := hang.hook(fmt.Sprint("/canary-dead-", i))
			h.Timeout = time.Second
			hooks = append(hooks, h)
		}
		hooks = append(hooks, r.hook("/"))
		pool := r.roots.Clone()
		pool.AddCert(hang.Certificate())
		g := newRig(t, Settings{Roots: pool, Single: true, Retry: storage.WebhookRetry{InitialBackoff: 100 * time.Millisecond, MaxElapsed: time.Minute}}, hooks...)
		var calls []time.Duration
		const n = 300
		sent := map[string]time.Time{}
		for i := range n {
			channel := fmt.Sprint("c", i)
			start := time.Now()
			sent[channel] = start
			g.Tell("demo", storageEvents(channel), nil)
			calls = append(calls, time.Since(start))
			time.Sleep(2 * time.Millisecond)
		}
		var waits []time.Duration
		for _, one := range r.await(t, n) {
			waits = append(waits, one.at.Sub(sent[one.envelope(t).Events[0].Channel]))
		}
		for _, entry := range g.logs.All() {
			if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "canary") || strings.Contains(text, r.URL) || strings.Contains(text, hang.URL) {
				t.Fatalf("the log shows %s", text)
			}
		}
		slices.Sort(calls)
		slices.Sort(waits)
		return calls[len(calls)*99/100], waits[len(waits)*95/100]
	}
	toldAlone, alone := measure(0)
	toldBeside, beside := measure(3)
	t.Logf("FIGURE webhooks beside three receivers that hang: Tell takes %v at the 99th percentile (alone %v), a healthy receiver gets a request after %v at the 95th (alone %v)",
		toldBeside.Round(time.Microsecond), toldAlone.Round(time.Microsecond), beside.Round(time.Millisecond), alone.Round(time.Millisecond))
	if beside > alone+5*time.Second {
		t.Errorf("a healthy receiver waits %v, and alone %v", beside, alone)
	}
}
