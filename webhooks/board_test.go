package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func boardAt(t *testing.T) (*Board, *clock, *endpoint) {
	t.Helper()
	c := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b := NewBoard(meter.NewRegistry("test"))
	b.now = func() time.Time { return c.at }
	e := endpointsOf(&storage.App{ID: "a", Webhooks: []storage.Webhook{{URL: "https://a.example/secret"}}})[0]
	return b, c, e
}

// A receiver that fails gets one request at a time, and one that is down one after
// each pause; a success opens it again.
func TestBreaker(t *testing.T) {
	b, c, e := boardAt(t)
	for range 4 {
		if !b.admit("a", e, 4).granted {
			t.Fatal("an endpoint that is up has no room for four")
		}
	}
	if a := b.admit("a", e, 4); a.granted || a.down || a.wait <= 0 || a.wait > time.Second {
		t.Errorf("the fifth request gets %+v", a)
	}
	for range 4 {
		b.settle("a", e, result{verdict: failed, reason: "x"}, time.Second)
	}
	if !b.admit("a", e, 4).granted || b.admit("a", e, 4).granted {
		t.Error("an endpoint that fails does not get one at a time")
	}
	b.settle("a", e, result{verdict: failed, reason: "x"}, time.Second)
	for want := time.Second; want <= 2*maxBreak; want *= 2 {
		a := b.admit("a", e, 4)
		if pause := min(want, maxBreak); a.granted || !a.down || a.reason != "x" || a.wait < pause || a.wait > pause+maxStep {
			t.Errorf("an endpoint that is down gets %+v, want a pause of %v", a, pause)
		}
		c.at = c.at.Add(min(want, maxBreak))
		if !b.admit("a", e, 4).granted || b.admit("a", e, 4).granted {
			t.Error("after its pause it does not get exactly one")
		}
		b.settle("a", e, result{verdict: failed, reason: "x"}, time.Second)
	}
	c.at = c.at.Add(maxBreak)
	b.admit("a", e, 4)
	b.settle("a", e, result{}, time.Second)
	for range 4 {
		if !b.admit("a", e, 4).granted {
			t.Error("an endpoint that is up again has no room for four")
		}
	}
}

// Jobs that wait are spread over the time, and none waits for long.
func TestTurns(t *testing.T) {
	b, _, e := boardAt(t)
	b.admit("a", e, 1)
	seen := map[time.Duration]int{}
	for range 20000 {
		a := b.admit("a", e, 1)
		seen[a.wait]++
		if a.granted || a.wait <= 0 || a.wait > horizon+maxStep {
			t.Fatalf("a job that waits gets %+v", a)
		}
	}
	if len(seen) < 1000 {
		t.Errorf("20000 jobs have %d turns", len(seen))
	}
}

// The time of attempts counts from the first, and after a restart from what they
// take at least.
func TestBudget(t *testing.T) {
	b, c, _ := boardAt(t)
	s := Settings{}.withDefaults()
	start := c.at
	if got := b.began("j", 1, s.Retry); !got.Equal(start) {
		t.Errorf("a new job began at %v", got)
	}
	c.at = c.at.Add(time.Minute)
	if got := b.began("j", 5, s.Retry); !got.Equal(start) {
		t.Errorf("the job began at %v after a minute", got)
	}
	if got := c.at.Sub(b.began("other", 7, s.Retry)); got != 63*time.Second {
		t.Errorf("a job of seven attempts began %v ago, want 63s", got)
	}
	c.at = c.at.Add(time.Hour)
	if got := b.began("j", 1, s.Retry); !got.Equal(c.at) {
		t.Errorf("a job that comes back after an hour began at %v", got)
	}
	// The schedule of the documents.
	var at []string
	for n := 1; n <= 10; n++ {
		at = append(at, fmt.Sprint(int(scheduled(n, s.Retry).Seconds())))
	}
	if got := strings.Join(at, " "); got != "0 1 3 7 15 31 63 123 183 243" {
		t.Errorf("the attempts come at %s", got)
	}
}

func TestBoardIsBounded(t *testing.T) {
	b, c, e := boardAt(t)
	for i := range maxStates + 100 {
		c.at = c.at.Add(time.Millisecond)
		b.admit(fmt.Sprint(i), e, 1)
		b.settle(fmt.Sprint(i), e, result{}, 0)
	}
	for i := range maxJobs + 100 {
		b.began(fmt.Sprint(i), 1, storage.WebhookRetry{})
	}
	if len(b.states) > maxStates || len(b.jobs) > maxJobs {
		t.Errorf("the board has %d endpoints and %d jobs", len(b.states), len(b.jobs))
	}
}

func TestHeaders(t *testing.T) {
	for _, name := range []string{"", "a b", "a:b", "a\r\nb", "ü", "Host", "content-length", "Transfer-Encoding", "x-pusher-signature", "Proxy-Authorization", "x-sockudo-webhook-id", "Content-Type"} {
		if CheckHeader(name, "x") == nil {
			t.Errorf("header %q is admitted", name)
		}
	}
	if CheckHeader("X-A", "a\r\nX-B: c") == nil || CheckHeader("X-A", "a\x00") == nil {
		t.Error("a value with control characters is admitted")
	}
	if err := CheckHeader("Authorization", "Bearer ü\tx"); err != nil {
		t.Error(err)
	}
}
