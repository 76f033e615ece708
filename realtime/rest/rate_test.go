package rest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// limited limits calls to n in a minute per client address.
func limited(n int) func(*realtime.Settings) {
	return func(s *realtime.Settings) { s.Rate.API = realtime.Rate{Max: n, Window: time.Minute} }
}

// soon reports whether a header tells a wait of at most a minute.
func soon(value string) bool {
	wait, err := strconv.Atoi(value)
	return err == nil && wait >= 1 && wait <= 60
}

// Checklist: http-api 13
// Checklist: configuration 96, 97
func TestHTTP013AddressLimit(t *testing.T) {
	n := newNode(t, testApp(), limited(2))
	n.clientIP.Store("203.0.113.7")
	for _, left := range []string{"1", "0"} {
		got := n.get("channels")
		got.is(t, 200, `{"channels":{}}`)
		header := got.header
		if header.Get("x-ratelimit-limit") != "2" || header.Get("x-ratelimit-remaining") != left || !soon(header.Get("x-ratelimit-reset")) || header.Get("Retry-After") != "" {
			t.Errorf("headers of a success: %v", header)
		}
	}
	// Before authentication: an unsigned call is limited too.
	for _, got := range []answer{n.get("channels"), n.do(plain("GET", "/apps/app-id/channels"))} {
		got.is(t, 429, `{"error":"Too Many Requests","message":"Rate limit exceeded. Please try again later."}`)
		if !soon(got.header.Get("Retry-After")) || got.header.Get("x-ratelimit-remaining") != "0" {
			t.Errorf("headers of a refusal: %v", got.header)
		}
	}
	for _, path := range []string{"/up", "/live", "/up/app-id"} {
		if got := n.do(plain("GET", path)); got.status != 200 || got.header.Get("x-ratelimit-limit") != "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	n.clientIP.Store("203.0.113.8")
	n.get("channels").is(t, 200, `{"channels":{}}`)
}

// Headers that name an address are for whoever calls the handler to judge.
// Checklist: configuration 99, 101
func TestConf099AddressKeys(t *testing.T) {
	n := newNode(t, testApp(), limited(2))
	call := func(ip string, spoofed ...string) int {
		n.clientIP.Store(ip)
		header := http.Header{}
		for _, value := range spoofed {
			header.Set("X-Real-Ip", value)
			header.Set("X-Forwarded-For", value)
		}
		return n.do(request{method: "GET", path: "/apps/app-id/channels", header: header}).status
	}
	for i, want := range []int{200, 200, 429} {
		if got := call("203.0.113.7", "198.51.100."+strconv.Itoa(i)); got != want {
			t.Errorf("call %d with a spoofed header: %d", i, got)
		}
	}
	for i, want := range []int{200, 200, 429} {
		if got := call("2001:db8:1:2::" + strconv.Itoa(i)); got != want {
			t.Errorf("call %d of one /64: %d", i, got)
		}
	}
	if got := call("2001:db8:1:3::1"); got != 200 {
		t.Errorf("another /64: %d", got)
	}
}

// Checklist: configuration 100
func TestConf100LimiterDown(t *testing.T) {
	drivers := memoryDrivers(t, testApp(func(a *storage.App) { a.Limits.MaxReadRequestsPerSecond = 1 }))
	drivers.RateLimiter = brokenLimiter{drivers.RateLimiter}
	n := startNode(t, "node-1", drivers)
	n.clientIP.Store("203.0.113.7")
	n.get("channels").is(t, 500, `{"error":"Internal Server Error","message":"Rate limiter backend unavailable."}`)
	if got := gather(t, n.hub)["rate_limit_triggered_total"]; got != 1 {
		t.Errorf("counted %v refusals", got)
	}
	n.clientIP.Store("127.0.0.1") // not limited by address, only the app is
	n.get("channels").fails(t, 500, "internal_error", "Internal server error")
	open := startNode(t, "node-2", drivers, func(s *realtime.Settings) { s.Rate.FailOpen = true })
	open.clientIP.Store("203.0.113.7")
	open.get("channels").is(t, 200, `{"channels":{}}`)
}

// Checklist: configuration 47
func TestConf047AppRates(t *testing.T) {
	drivers := memoryDrivers(t, testApp(func(a *storage.App) { a.Limits.MaxBackendEventsPerSecond, a.Limits.MaxReadRequestsPerSecond = 5, 2 }))
	drivers.RateLimiter = longWindows{drivers.RateLimiter}
	n := startNode(t, "node-1", drivers)
	s := n.connect().subscribe("c")
	one := body("name", "e", "channel", "c")
	batch := `{"batch":[` + strings.Repeat(one+",", 3) + one + `]}`
	n.post("batch_events", batch).is(t, 200, `{}`)
	// A batch counts its events, and one that does not fit takes nothing.
	refused := n.post("batch_events", `{"batch":[`+one+`,`+one+`]}`)
	refused.fails(t, 429, "rate_limited", "Event rate limit")
	if !soon(refused.header.Get("Retry-After")) {
		t.Errorf("Retry-After is %q", refused.header.Get("Retry-After"))
	}
	n.post("events", one).is(t, 200, `{}`)
	n.post("events", one).fails(t, 429, "rate_limited", "Event rate limit")
	if got := len(s.settle("c").events("e")); got != 5 {
		t.Errorf("%d deliveries", got)
	}
	n.get("channels", "info", "cache").is(t, 200, `{"channels":{}}`)
	n.get("channels/x").is(t, 200, `{"occupied":false}`)
	n.get("channels/x").fails(t, 429, "rate_limited", "Read rate limit")
	// Orders to users are neither.
	n.post("users/u/force_reconnect", `{}`).is(t, 200, `{"ok":true}`)

	hub := startNode(t, "node-2", memoryDrivers(t, testApp()), func(s *realtime.Settings) {
		s.Rate.EventsPerSecond = 1
		s.Drivers.RateLimiter = longWindows{s.Drivers.RateLimiter}
	})
	hub.post("events", one).is(t, 200, `{}`)
	hub.post("events", one).fails(t, 429, "rate_limited", "Event rate limit")
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{-time.Second: 1, 0: 1, 1: 1, time.Second: 1, time.Second + 1: 2, time.Minute: 60} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) is %d", d, got)
		}
	}
}
