package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Windows are the two ways in which a rate limiter counts.
type Windows int

// Windows that start with their first event, and windows that end now.
const (
	FixedWindows Windows = iota
	SlidingWindows
)

// TestRateLimiter checks a rate limiter against its contract, as one with windows of
// the kind that it has.
func TestRateLimiter(t *testing.T, windows Windows, open func(t *testing.T) storage.RateLimiter) {
	t.Attr("contract", "rate_limiter")
	t.Run("windows", func(t *testing.T) {
		runAll(t, open, map[Windows][]subtest[storage.RateLimiter]{
			FixedWindows:   {{"start with the first event", limiterFixed}, {"start again", limiterStartsAgain}},
			SlidingWindows: {{"slide", limiterSlides}, {"are never exceeded", limiterNeverExceeded}},
		}[windows])
	})
	runAll(t, open, []subtest[storage.RateLimiter]{
		{"up to the limit", limiterLimit},
		{"several events", limiterSeveral},
		{"refused calls count nothing", limiterRefused},
		{"keys are separate", limiterKeys},
		{"limit per call", limiterLimitPerCall},
		{"window", limiterWindow},
		{"reset", limiterReset},
		{"senseless windows", limiterSenseless},
		{"many callers", limiterRace},
		{"slots", slots},
		{"slots by holder", slotsByHolder},
		{"slots by key", slotsByKey},
		{"slot limit per call", slotsLimitPerCall},
		{"many take slots", slotsRace},
		{"many take and give slots", slotsChurn},
		{"ended context", limiterEnded},
		{"closed", limiterClosed},
	})
}

// allow asks in a window that does not end during a test.
func allow(t *testing.T, l storage.RateLimiter, key string, n, limit int) storage.RateDecision {
	t.Helper()
	d, err := l.Allow(t.Context(), key, n, limit, time.Hour)
	must(t, err)
	if d.Limit != limit {
		t.Errorf("Limit = %d, want %d", d.Limit, limit)
	}
	if d.Reset < 0 || d.Reset > time.Hour+rounding {
		t.Errorf("Reset = %v, want at most an hour", d.Reset)
	}
	return d
}

func wantAllowed(t *testing.T, d storage.RateDecision, allowed bool, remaining int) {
	t.Helper()
	if d.Allowed != allowed || d.Remaining != remaining {
		t.Errorf("got allowed %v with %d remaining, want %v with %d", d.Allowed, d.Remaining, allowed, remaining)
	}
}

func limiterLimit(t *testing.T, l storage.RateLimiter) {
	key := unique()
	for i := range 5 {
		d := allow(t, l, key, 1, 5)
		wantAllowed(t, d, true, 4-i)
		if d.Reset < time.Hour-patience {
			t.Errorf("Reset = %v, want about an hour", d.Reset)
		}
	}
	for range 3 {
		wantAllowed(t, allow(t, l, key, 1, 5), false, 0)
	}
	wantAllowed(t, allow(t, l, unique(), 1, 0), false, 0)
}

func limiterSeveral(t *testing.T, l storage.RateLimiter) {
	key := unique()
	wantAllowed(t, allow(t, l, key, 7, 10), true, 3)
	wantAllowed(t, allow(t, l, key, 3, 10), true, 0)
	wantAllowed(t, allow(t, l, key, 1, 10), false, 0)
	wantAllowed(t, allow(t, l, unique(), 10, 10), true, 0)
}

func limiterRefused(t *testing.T, l storage.RateLimiter) {
	key := unique()
	wantAllowed(t, allow(t, l, key, 11, 10), false, 10)
	wantAllowed(t, allow(t, l, key, 8, 10), true, 2)
	wantAllowed(t, allow(t, l, key, 3, 10), false, 2)
	wantAllowed(t, allow(t, l, key, 2, 10), true, 0)
}

func limiterKeys(t *testing.T, l storage.RateLimiter) {
	key := unique()
	for _, k := range []string{key, key + "a", key + "A", key + " ", "x" + key} {
		wantAllowed(t, allow(t, l, k, 1, 1), true, 0)
		wantAllowed(t, allow(t, l, k, 1, 1), false, 0)
	}
}

func limiterLimitPerCall(t *testing.T, l storage.RateLimiter) {
	key := unique()
	wantAllowed(t, allow(t, l, key, 5, 5), true, 0)
	wantAllowed(t, allow(t, l, key, 1, 8), true, 2) // raised
	wantAllowed(t, allow(t, l, key, 1, 3), false, 0)
	wantAllowed(t, allow(t, l, key, 2, 8), true, 0)
}

func limiterWindow(t *testing.T, l storage.RateLimiter) {
	const window = 500 * time.Millisecond
	key, start := unique(), time.Now()
	for range 2 {
		if _, err := l.Allow(t.Context(), key, 1, 2, window); err != nil {
			t.Fatal(err)
		}
	}
	var d storage.RateDecision
	eventually(t, "second window", func() bool {
		var err error
		d, err = l.Allow(t.Context(), key, 1, 2, window)
		must(t, err)
		if d.Reset < 0 || d.Reset > window+rounding {
			t.Errorf("Reset = %v, want at most %v", d.Reset, window)
		}
		return d.Allowed
	})
	if took := time.Since(start); took < window-rounding || took > window+patience/2 {
		t.Errorf("a new window began after %v, want %v", took, window)
	}
	if d.Reset < window/2 { // there is an event that has just come
		t.Errorf("Reset of the new window = %v, want about %v", d.Reset, window)
	}
}

// limiterReset checks that Reset tells when a call is allowed again.
func limiterReset(t *testing.T, l storage.RateLimiter) {
	const window = 400 * time.Millisecond
	for round := range 3 {
		key := fmt.Sprint(unique(), round)
		if d, err := l.Allow(t.Context(), key, 3, 4, window); !d.Allowed || err != nil {
			t.Fatalf("%+v, %v", d, err)
		}
		time.Sleep(window / 4)
		refused, err := l.Allow(t.Context(), key, 3, 4, window)
		must(t, err)
		if refused.Allowed {
			continue // the machine is slow, and the window over
		}
		if refused.Reset <= 0 || refused.Reset > 3*window/4+rounding {
			t.Errorf("Reset = %v after a quarter of %v", refused.Reset, window)
		}
		time.Sleep(refused.Reset + rounding)
		if d, err := l.Allow(t.Context(), key, 3, 4, window); !d.Allowed || err != nil {
			t.Errorf("%v after a refused call, which is Reset: %+v, %v", refused.Reset, d, err)
		}
	}
}

// limiterFixed checks that later events do not prolong a window, and that none of
// them is left over when it ends.
func limiterFixed(t *testing.T, l storage.RateLimiter) {
	const window = time.Second
	key, start := unique(), time.Now()
	reset := window + rounding
	for time.Since(start) < window/2 {
		d, err := l.Allow(t.Context(), key, 1, 1000000, window)
		must(t, err)
		if time.Since(start) > window-rounding {
			t.Skip("the machine is too slow to tell")
		}
		if d.Reset > reset {
			t.Fatalf("Reset grew from %v to %v", reset, d.Reset)
		}
		reset = d.Reset
		time.Sleep(20 * time.Millisecond)
	}
	eventually(t, "end of the window", func() bool {
		d, err := l.Allow(t.Context(), key, 1, 1000000, window)
		must(t, err)
		return d.Remaining == 1000000-1
	})
	if took := time.Since(start); took < window-rounding || took > window+patience/2 {
		t.Errorf("the window ended after %v, want %v", took, window)
	}
}

// limiterStartsAgain checks that a new window counts from one.
func limiterStartsAgain(t *testing.T, l storage.RateLimiter) {
	const window = 300 * time.Millisecond
	key := unique()
	for range 2 {
		if _, err := l.Allow(t.Context(), key, 1, 2, window); err != nil {
			t.Fatal(err)
		}
		time.Sleep(window / 3)
	}
	eventually(t, "second window", func() bool {
		d, err := l.Allow(t.Context(), key, 1, 2, window)
		must(t, err)
		if d.Allowed {
			wantAllowed(t, d, true, 1)
		}
		return d.Allowed
	})
}

// limiterSlides checks that events leave a window as they came, one after the other,
// and not all at once when it ends.
func limiterSlides(t *testing.T, l storage.RateLimiter) {
	const window = time.Second
	key, start := unique(), time.Now()
	ask := func(n int) storage.RateDecision {
		d, err := l.Allow(t.Context(), key, n, 4, window)
		must(t, err)
		return d
	}
	wantAllowed(t, ask(2), true, 2)
	time.Sleep(window / 2)
	second := time.Now()
	d := ask(2)
	if time.Since(start) > window-rounding {
		t.Skip("the machine is too slow to tell")
	}
	wantAllowed(t, d, true, 0)
	if d.Reset < window-rounding || d.Reset > window+rounding {
		t.Errorf("Reset = %v with an event that has just come", d.Reset)
	}
	d = ask(2)
	if wantAllowed(t, d, false, 0); d.Reset > window/2+rounding {
		t.Errorf("Reset = %v when the first events leave after half a window", d.Reset)
	}
	if d = ask(5); d.Allowed || d.Reset < window/2+rounding {
		t.Errorf("more than the limit: %+v", d)
	}
	eventually(t, "leaving of the first events", func() bool {
		d = ask(1)
		return d.Allowed
	})
	if took := time.Since(start); took < window-rounding {
		t.Errorf("the first events left after %v", took)
	}
	if time.Since(second) > window-rounding {
		t.Skip("the machine is too slow to tell")
	}
	wantAllowed(t, d, true, 1) // those in the middle are still counted
	wantAllowed(t, ask(2), false, 1)
}

// limiterNeverExceeded asks without a pause, and looks at any time as long as a window
// for more events than the limit.
func limiterNeverExceeded(t *testing.T, l storage.RateLimiter) {
	const window, limit = 300 * time.Millisecond, 5
	key := unique()
	type span struct{ asked, answered time.Time }
	var allowed []span
	ask := func() {
		asked := time.Now()
		d, err := l.Allow(t.Context(), key, 1, limit, window)
		must(t, err)
		if d.Allowed {
			allowed = append(allowed, span{asked, time.Now()})
		}
	}
	ask()
	time.Sleep(window * 3 / 4) // most of what is allowed comes when a fixed window would end
	for start := time.Now(); time.Since(start) < 5*window; time.Sleep(time.Millisecond) {
		ask()
	}
	for i := limit; i < len(allowed); i++ {
		if took := allowed[i].answered.Sub(allowed[i-limit].asked); took < window {
			t.Errorf("%d events in %v, of which %d may come in %v", limit+1, took, limit, window)
		}
	}
	if len(allowed) < 3*limit {
		t.Errorf("%d events in 5 windows of %d", len(allowed), limit)
	}
}

func limiterSenseless(t *testing.T, l storage.RateLimiter) {
	for _, window := range []time.Duration{0, -time.Second} {
		if d, err := l.Allow(t.Context(), unique(), 1, 1, window); err == nil || d.Allowed {
			t.Errorf("Allow in a window of %v = %+v, %v; want an error", window, d, err)
		}
	}
	if d, err := l.Allow(t.Context(), unique(), -1, 1, time.Hour); err == nil || d.Allowed {
		t.Errorf("Allow of -1 events = %+v, %v; want an error", d, err)
	}
}

func limiterRace(t *testing.T, l storage.RateLimiter) {
	const limit = 100
	key := unique()
	var allowed atomic.Int64
	atOnce(16, func(int) {
		for range 10 {
			d, err := l.Allow(t.Context(), key, 1, limit, time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			if d.Allowed {
				allowed.Add(1)
			}
		}
	})
	if n := allowed.Load(); n != limit {
		t.Errorf("%d of 160 events were allowed, want %d", n, limit)
	}
}

func wantSlot(t *testing.T, l storage.RateLimiter, key, holder string, limit int, want bool) {
	t.Helper()
	ok, err := l.Acquire(t.Context(), key, holder, limit)
	if ok != want || err != nil {
		t.Errorf("Acquire(%q, %q, %d) = %v, %v; want %v", key, holder, limit, ok, err, want)
	}
}

func slots(t *testing.T, l storage.RateLimiter) {
	key := unique()
	wantSlot(t, l, key, "a", 0, false)
	wantSlot(t, l, key, "a", 2, true)
	wantSlot(t, l, key, "b", 2, true)
	wantSlot(t, l, key, "c", 2, false)
	wantSlot(t, l, key, "c", 2, false)
	must(t, l.Release(t.Context(), key, "a"))
	wantSlot(t, l, key, "c", 2, true)
	wantSlot(t, l, key, "a", 2, false)
}

func slotsByHolder(t *testing.T, l storage.RateLimiter) {
	key, holder := unique(), unique()
	for range 3 {
		wantSlot(t, l, key, holder, 2, true) // takes one slot, not three
	}
	wantSlot(t, l, key, "b", 2, true)
	wantSlot(t, l, key, holder, 2, true) // it has one, though all are taken
	// Unknown holders, and one who has given back already, change nothing.
	must(t, l.Release(t.Context(), key, "unknown"))
	must(t, l.Release(t.Context(), unique(), holder))
	wantSlot(t, l, key, "c", 2, false)
	must(t, l.Release(t.Context(), key, holder))
	must(t, l.Release(t.Context(), key, holder))
	wantSlot(t, l, key, "c", 2, true)
	wantSlot(t, l, key, "d", 2, false)
}

func slotsByKey(t *testing.T, l storage.RateLimiter) {
	key := unique()
	for _, k := range []string{key, key + "a", key + "A"} {
		wantSlot(t, l, k, "a", 1, true)
		wantSlot(t, l, k, "b", 1, false)
		// Slots and windows of one key have nothing to do with each other.
		wantAllowed(t, allow(t, l, k, 1, 1), true, 0)
		wantSlot(t, l, k, "b", 1, false)
	}
}

func slotsLimitPerCall(t *testing.T, l storage.RateLimiter) {
	key := unique()
	for i := range 4 {
		wantSlot(t, l, key, fmt.Sprint(i), 4, true)
	}
	wantSlot(t, l, key, "new", 2, false)
	wantSlot(t, l, key, "0", 2, true) // holders above a lowered limit keep theirs
	wantSlot(t, l, key, "new", 5, true)
}

func slotsRace(t *testing.T, l storage.RateLimiter) {
	key := unique()
	var taken atomic.Int64
	atOnce(40, func(i int) {
		ok, err := l.Acquire(t.Context(), key, fmt.Sprint(i), 10)
		if err != nil {
			t.Error(err)
		}
		if ok {
			taken.Add(1)
		}
	})
	if n := taken.Load(); n != 10 {
		t.Errorf("%d holders have one of 10 slots", n)
	}
}

func slotsChurn(t *testing.T, l storage.RateLimiter) {
	const limit = 3
	key := unique()
	var holding atomic.Int64
	atOnce(12, func(i int) {
		for range 10 {
			ok, err := l.Acquire(t.Context(), key, fmt.Sprint(i), limit)
			if err != nil {
				t.Error(err)
				return
			}
			if !ok {
				continue
			}
			if n := holding.Add(1); n > limit {
				t.Errorf("%d hold one of %d slots at once", n, limit)
			}
			holding.Add(-1)
			if err := l.Release(t.Context(), key, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range limit {
		wantSlot(t, l, key, fmt.Sprint("after", i), limit, true)
	}
	wantSlot(t, l, key, "one more", limit, false)
}

func limiterEnded(t *testing.T, l storage.RateLimiter) {
	key := unique()
	testEnded(t, []call{
		{"Allow", func(ctx context.Context) error { _, err := l.Allow(ctx, key, 1, 1, time.Hour); return err }},
		{"Acquire", func(ctx context.Context) error { _, err := l.Acquire(ctx, key, "a", 1); return err }},
	})
	wantAllowed(t, allow(t, l, key, 1, 1), true, 0)
	wantSlot(t, l, key, "b", 1, true)
}

func limiterClosed(t *testing.T, l storage.RateLimiter) {
	key := unique()
	testClosed(t, l, []call{
		{"Allow", func(ctx context.Context) error { _, err := l.Allow(ctx, key, 1, 1, time.Hour); return err }},
		{"Acquire", func(ctx context.Context) error { _, err := l.Acquire(ctx, key, "a", 1); return err }},
		{"Release", func(ctx context.Context) error { return l.Release(ctx, key, "a") }},
	})
}
