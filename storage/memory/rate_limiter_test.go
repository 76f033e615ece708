package memory

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func allow(t *testing.T, l *RateLimiter, key string, n, limit int, window time.Duration) storage.RateDecision {
	t.Helper()
	d, err := l.Allow(t.Context(), key, n, limit, window)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func windows(l *RateLimiter) (n int) {
	for i := range l.shards {
		n += len(l.shards[i].windows)
		if l.shards[i].ends.Len() != len(l.shards[i].windows) {
			panic("a window has no end")
		}
	}
	return n
}

// One step of the clock before the end of a window is inside, the end is outside.
func TestRateLimiterWindowIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewRateLimiter(RateLimiterOptions{})
		want := func(got, want storage.RateDecision) {
			t.Helper()
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		want(allow(t, l, "k", 3, 2, time.Second), storage.RateDecision{Limit: 2, Remaining: 2, Reset: time.Second})
		time.Sleep(300 * time.Millisecond) // the refused call has started no window
		want(allow(t, l, "k", 1, 2, time.Second), storage.RateDecision{Allowed: true, Limit: 2, Remaining: 1, Reset: time.Second})
		time.Sleep(600 * time.Millisecond)
		want(allow(t, l, "k", 1, 2, time.Second), storage.RateDecision{Allowed: true, Limit: 2, Reset: 400 * time.Millisecond})
		time.Sleep(400*time.Millisecond - 1)
		want(allow(t, l, "k", 1, 2, time.Second), storage.RateDecision{Limit: 2, Reset: 1})
		want(allow(t, l, "k", 0, 2, time.Second), storage.RateDecision{Allowed: true, Limit: 2, Reset: 1})
		time.Sleep(1 * time.Nanosecond)
		want(allow(t, l, "k", 0, 2, time.Second), storage.RateDecision{Allowed: true, Limit: 2, Remaining: 2, Reset: time.Second})
		want(allow(t, l, "k", 2, 2, time.Second), storage.RateDecision{Allowed: true, Limit: 2, Reset: time.Second})
	})
}

func TestRateLimiterForgetsSoonest(t *testing.T) {
	l := NewRateLimiter(RateLimiterOptions{MaxKeys: 64}) // two for each shard
	var keys []string                                    // of one shard
	for i := 0; len(keys) < 3; i++ {
		if key := fmt.Sprint(i); l.shard(key) == &l.shards[0] {
			keys = append(keys, key)
		}
	}
	allow(t, l, keys[0], 1, 1, time.Hour)
	allow(t, l, keys[1], 1, 1, time.Minute)
	allow(t, l, keys[2], 1, 1, time.Second)
	if windows(l) != 2 {
		t.Errorf("%d windows, want 2", windows(l))
	}
	if allow(t, l, keys[0], 1, 1, time.Hour).Allowed {
		t.Error("the window that ends last was forgotten")
	}
	if allow(t, l, keys[2], 1, 1, time.Hour).Allowed {
		t.Error("the newest window was forgotten")
	}
}

func TestRateLimiterIsBounded(t *testing.T) {
	l := NewRateLimiter(RateLimiterOptions{MaxKeys: 1000})
	for i := range 20000 {
		allow(t, l, fmt.Sprint(i), 1, 1, time.Hour)
	}
	if n := windows(l); n > 1024 || n < 900 {
		t.Errorf("%d windows, want about 1000", n)
	}
	l.SetOptions(RateLimiterOptions{MaxKeys: 32})
	for i := range 2000 {
		allow(t, l, fmt.Sprint("x", i), 1, 1, time.Hour)
	}
	if n := windows(l); n != 32 {
		t.Errorf("%d windows after lowering the bound, want 32", n)
	}
}

func TestRateLimiterSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewRateLimiter(RateLimiterOptions{})
		for i := range 10000 {
			allow(t, l, fmt.Sprint(i), 1, 1, time.Second)
		}
		time.Sleep(time.Second)
		for i := range 1500 {
			allow(t, l, fmt.Sprint("new", i), 1, 1, time.Hour)
		}
		if n := windows(l); n != 1500 {
			t.Errorf("%d windows, want 1500", n)
		}
	})
}

func TestRateLimiterSlotsLeaveNothing(t *testing.T) {
	l := NewRateLimiter(RateLimiterOptions{})
	for i := range 100 {
		if ok, err := l.Acquire(t.Context(), fmt.Sprint(i%7), fmt.Sprint(i), 100); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 100 {
		if err := l.Release(ended, fmt.Sprint(i%7), fmt.Sprint(i)); err != nil {
			t.Errorf("Release with an ended context: %v", err)
		}
	}
	for i := range l.shards {
		if s := &l.shards[i]; len(s.slots)+len(s.counts) != 0 {
			t.Errorf("%d slots and %d counts are left", len(s.slots), len(s.counts))
		}
	}
}

func BenchmarkRateLimiterAllow(b *testing.B) {
	l := NewRateLimiter(RateLimiterOptions{})
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprint("api:", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, _ = l.Allow(context.Background(), keys[i%len(keys)], 1, 1<<40, time.Minute)
		}
	})
}
