package retryafter

import (
	"testing"
	"time"
)

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "0", "-1", "99999999999999999999", "86400", "Wed, 21 Oct 2026 07:28:00 GMT", " 5 ", "1.5", "", "Wed"} {
		f.Add(seed)
	}
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if d := Parse(text, now); d < 0 || d > Max {
			t.Fatalf("%q is %v", text, d)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"1": time.Second, "120": 2 * time.Minute, "Wed, 21 Oct 2026 07:28:00 GMT": time.Minute, "Wed, 21 Oct 2026 07:26:00 GMT": 0,
		"99999999999999999999": 0, "9999999999": Max, "-1": 0, "soon": 0, "": 0, "Fri, 31 Dec 2055 23:59:59 GMT": Max,
	} {
		if got := Parse(text, now); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
