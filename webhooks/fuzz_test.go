package webhooks

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(`{"app":"a","endpoint":"e","target":"t","time_ms":1,"count":1,"events":[{"name":"x"}]}`))
	f.Add([]byte(`{"app":"a","endpoint":"e","events":[ ]}`))
	f.Add([]byte(`{"app":"a","endpoint":"e","events":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		j, err := decodeJob(payload)
		if err != nil {
			return
		}
		if !json.Valid(j.body()) {
			t.Fatalf("the body is %s", j.body())
		}
		again, err := decodeJob(j.encode())
		if err != nil {
			t.Fatalf("reading %s: %v", j.encode(), err)
		}
		if again.App != j.App || again.Endpoint != j.Endpoint || again.Target != j.Target || again.TimeMS != j.TimeMS || again.Count != j.Count || !bytes.Equal(again.Events, j.Events) {
			t.Fatalf("%+v became %+v", j, again)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "0", "-1", "99999999999999999999", "86400", "Wed, 21 Oct 2026 07:28:00 GMT", " 5 ", "1.5", "", "Wed"} {
		f.Add(seed)
	}
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if d := parseRetryAfter(text, now); d < 0 || d > maxRetryAfter {
			t.Fatalf("%q is %v", text, d)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"1": time.Second, "120": 2 * time.Minute, "Wed, 21 Oct 2026 07:28:00 GMT": time.Minute, "Wed, 21 Oct 2026 07:26:00 GMT": 0,
		"99999999999999999999": 0, "9999999999": maxRetryAfter, "-1": 0, "soon": 0, "": 0, "Fri, 31 Dec 2055 23:59:59 GMT": maxRetryAfter,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func FuzzIsPublic(f *testing.F) {
	for _, seed := range []string{"::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "8.8.8.8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := netip.ParseAddr(text)
		if err == nil && IsPublic(a) && (a.Unmap().IsPrivate() || a.Unmap().IsLoopback() || a.Unmap().IsLinkLocalUnicast()) {
			t.Fatalf("%s is public", a)
		}
	})
}
