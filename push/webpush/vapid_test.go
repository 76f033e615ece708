package webpush

import (
	"container/list"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

func newCache(bound int) *tokenCache {
	return &tokenCache{entries: map[tokenKey]*list.Element{}, bound: bound}
}

func identityOf(t testing.TB) *identity {
	t.Helper()
	i, err := readMaterial(newMaterial(t))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A token lives for hours, and is never older than it may be.
//
// Checklist: push 103
func TestTokens(t *testing.T) {
	c, i, now := newCache(10), identityOf(t), time.Unix(1_800_000_000, 0)
	get := func(i *identity, origin string) string {
		t.Helper()
		text, err := c.get(i, origin, now)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := get(i, "https://a.example.com")
	for range 65 {
		now = now.Add(10 * time.Minute)
		if get(i, "https://a.example.com") != first {
			t.Fatalf("another token after %v", now.Sub(time.Unix(1_800_000_000, 0)))
		}
	}
	now = now.Add(10 * time.Minute)
	second := get(i, "https://a.example.com")
	if second == first {
		t.Error("the same token after 11 hours")
	}
	now = now.Add(-10 * time.Hour)
	if get(i, "https://a.example.com") != second {
		t.Error("a clock that was put back made a new token")
	}
	now = now.Add(-10 * time.Hour)
	if get(i, "https://a.example.com") == second {
		t.Error("the token would be good for more than 24 hours")
	}
	other := *i
	other.subject = "mailto:other@example.com"
	seen := map[string]bool{}
	for _, text := range []string{
		get(i, "https://a.example.com"), get(i, "https://a.example.com:8443"), get(i, "https://b.example.com"), get(&other, "https://a.example.com"),
		get(identityOf(t), "https://a.example.com"),
	} {
		if seen[text] {
			t.Error("one token for two origins, subjects or keys")
		}
		seen[text] = true
	}
}

// Who makes up hosts cannot fill the memory, nor push out what is in use.
func TestTokensAreBounded(t *testing.T) {
	c, i, now := newCache(8), identityOf(t), time.Now()
	used, err := c.get(i, "https://used.example.com", now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if _, err := c.get(i, fmt.Sprintf("https://%d.example.com", n), now); err != nil {
			t.Fatal(err)
		}
		if again, err := c.get(i, "https://used.example.com", now); err != nil || again != used {
			t.Fatalf("the token in use is gone after %d others: %v", n+1, err)
		}
	}
	if len(c.entries) != 8 || c.recent.Len() != 8 {
		t.Errorf("%d and %d tokens are kept", len(c.entries), c.recent.Len())
	}
}

func TestOrigins(t *testing.T) {
	for text, want := range map[string]string{
		"https://push.example.com/a/b?c":       "https://push.example.com",
		"https://push.example.com:443/a":       "https://push.example.com",
		"https://Push.Example.com:8443/a":      "https://push.example.com:8443",
		"https://[2606:4700:4700::1111]:443/a": "https://[2606:4700:4700::1111]",
		"https://push.example.com:4430/a":      "https://push.example.com:4430",
	} {
		u, err := url.Parse(text)
		if err != nil || originOf(u) != want {
			t.Errorf("%s: %s, %v", text, originOf(u), err)
		}
	}
}

// A service sees one token, whoever sends and however many senders there have been. The
// stand-in checks that its port is in it and that the subject is one address.
//
// Checklist: push 103
func TestOneToken(t *testing.T) {
	service := pushtest.NewWebPush(t)
	material := newMaterial(t)
	s := service.Subscribe(t)
	for range 3 {
		sender := connect(t, service, material, push.ConnectOptions{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if r := sender.Send(t.Context(), notification(t, s)); r.Outcome != push.Accepted {
					t.Errorf("%+v", r)
				}
			})
		}
		all.Wait()
		sender.Close()
	}
	if used := service.Tokens(); len(used) != 1 || len(service.Received(s.Endpoint)) != 60 {
		t.Errorf("%d tokens, %d messages, refused %q", len(used), len(service.Received(s.Endpoint)), service.Refusals())
	}
	for _, m := range service.Received(s.Endpoint) {
		if m.Subject != "mailto:ops@example.com" {
			t.Fatalf("the subject is %s", m.Subject)
		}
	}
}

// Over a day there are three tokens, and each is good whenever it is used.
//
// Checklist: push 103
func TestTokensOfADay(t *testing.T) {
	service := pushtest.NewWebPush(t)
	s := service.Subscribe(t)
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	service.SetClock(clock)
	sender := connect(t, service, newMaterial(t), push.ConnectOptions{Now: clock})
	for range 24 * 4 {
		if r := sender.Send(t.Context(), notification(t, s)); r.Outcome != push.Accepted {
			t.Fatalf("%+v, refused %q", r, service.Refusals())
		}
		now = now.Add(15 * time.Minute)
	}
	if used := service.Tokens(); len(used) != 3 {
		t.Errorf("%d tokens in 24 hours", len(used))
	}
}
