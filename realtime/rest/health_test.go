package rest

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// up asks for the health and checks that the header repeats the word.
func (n *node) up(path string, status int, word string) {
	n.t.Helper()
	got := n.do(plain("GET", path))
	got.is(n.t, status, word)
	if got.header.Get("X-Health-Check") != word {
		n.t.Errorf("%s: X-Health-Check is %q", path, got.header.Get("X-Health-Check"))
	}
}

// fine and broken are outcomes of a driver's check.
func fine(context.Context) error   { return nil }
func broken(context.Context) error { return errBackend }

// checked wraps the drivers of a node so that their checks end as given.
func checked(t *testing.T, apps, adapter, cache, queue func(context.Context) error) realtime.Drivers {
	d := memoryDrivers(t, testApp(), &storage.App{ID: "off", Key: "off-key", Secret: "off-secret"})
	d.Apps = checkedApps{d.Apps, apps}
	d.Adapter = checkedAdapter{d.Adapter, adapter}
	d.Cache = checkedCache{d.Cache, cache}
	d.Queue = checkedQueue{d.Queue, queue}
	return d
}

// Checklist: http-api 164
// Checklist: configuration 113, 114
func TestHTTP164Health(t *testing.T) {
	n := startNode(t, "fine", checked(t, fine, fine, fine, fine))
	n.up("/up", 200, "OK")
	n.up("/up/app-id", 200, "OK")
	n.up("/up/%61pp-id", 200, "OK")
	n.up("/up/unknown", 404, "NOT_FOUND")
	n.up("/up/off", 503, "ERROR")
	n.do(plain("GET", "/live")).is(t, 200, "")
	n.do(plain("HEAD", "/up")).is(t, 200, "")

	startNode(t, "queue", checked(t, fine, fine, fine, broken)).up("/up", 200, "DEGRADED")
	startNode(t, "adapter", checked(t, fine, broken, fine, fine)).up("/up", 503, "ERROR")
	startNode(t, "cache", checked(t, fine, fine, broken, broken)).up("/up/app-id", 503, "ERROR")
	store := startNode(t, "store", checked(t, broken, fine, fine, fine))
	store.up("/up", 503, "ERROR")
	store.up("/up/app-id", 503, "ERROR")
	failing := checked(t, fine, fine, fine, fine)
	failing.Apps = brokenApps{failing.Apps}
	startNode(t, "lookup", failing).up("/up/app-id", 503, "ERROR")
	startNode(t, "panics", checked(t, fine, func(context.Context) error { panic("x") }, fine, fine)).up("/up", 503, "ERROR")

	without := memoryDrivers(t, testApp())
	without.Queue = nil
	startNode(t, "no-queue", without).up("/up", 200, "OK")
	startNode(t, "no-apps", memoryDrivers(t)).up("/up", 503, "ERROR")
}

// Checklist: configuration 112
func TestConf112Draining(t *testing.T) {
	n := newNode(t, testApp())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n.hub.Drain(ctx)
	n.do(plain("GET", "/live")).is(t, 200, "")
	n.up("/up", 503, "DRAINING")
	n.up("/up/app-id", 503, "DRAINING")
	if got := Health(ctx, n.hub); got.Status != StatusDraining || !got.Dependencies["cache"].OK {
		t.Errorf("report %+v", got)
	}
	n.hub.Resume()
	n.up("/up", 200, "OK")
}

// Checklist: configuration 115
func TestConf115Hang(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var runs atomic.Int32
	hang := func(context.Context) error { // heeds nothing
		runs.Add(1)
		<-release
		return nil
	}
	drivers := checked(t, fine, hang, hang, fine)
	n := startNode(t, "hangs", drivers, func(s *realtime.Settings) { s.HealthTimeout = 100 * time.Millisecond })
	before := runtime.NumGoroutine()
	for range 5 {
		start := time.Now()
		n.up("/up", 503, "ERROR")
		if took := time.Since(start); took < 90*time.Millisecond || took > time.Second {
			t.Errorf("/up took %v", took)
		}
	}
	// A check that hangs is not started again.
	if got := runs.Load(); got != 2 {
		t.Errorf("%d checks of two drivers", got)
	}
	if grown := runtime.NumGoroutine() - before; grown > 20 {
		t.Errorf("%d goroutines more", grown)
	}
	close(release)
	for deadline := time.Now().Add(5 * time.Second); n.handler.probes.report(context.Background(), n.hub, "").Status != StatusOK; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the check that hung has ended, and /up has not noticed")
		}
	}
}

// The report for operators names what has failed; /up does not.
func TestHealthReport(t *testing.T) {
	n := startNode(t, "report", checked(t, fine, fine, broken, broken))
	got := Health(context.Background(), n.hub)
	if got.Status != StatusError || len(got.Dependencies) != 4 {
		t.Fatalf("report %+v", got)
	}
	for name, want := range map[string]Dependency{
		"app_manager": {OK: true, Critical: true}, "adapter": {OK: true, Critical: true},
		"cache": {Critical: true, Error: errBackend.Error()}, "queue": {Error: errBackend.Error()},
	} {
		d := got.Dependencies[name]
		d.DurationMS = 0
		if d != want {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if body := n.do(plain("GET", "/up")).body; strings.Contains(body, errBackend.Error()) {
		t.Errorf("/up tells the cause: %s", body)
	}
}

// A rate limiter whose store is down keeps everybody out, unless it fails open.
func TestHealthOfTheRateLimiter(t *testing.T) {
	for name, c := range map[string]struct {
		rate   realtime.RateSettings
		code   int
		status string
		checks int
	}{
		"limits":     {realtime.RateSettings{ConnectionsPerIP: 5}, 503, "ERROR", 5},
		"fails open": {realtime.RateSettings{ConnectionsPerIP: 5, FailOpen: true}, 200, "DEGRADED", 5},
		"no limits":  {realtime.RateSettings{}, 200, "OK", 4},
	} {
		drivers := checked(t, fine, fine, fine, fine)
		drivers.RateLimiter = checkedLimiter{drivers.RateLimiter}
		n := startNode(t, "limiter-"+name, drivers, func(s *realtime.Settings) { s.Rate = c.rate })
		n.up("/up", c.code, c.status)
		if got := Health(context.Background(), n.hub); len(got.Dependencies) != c.checks {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestUsage(t *testing.T) {
	hidden := newNode(t, testApp())
	for _, path := range []string{"/usage", "/stats", "/operator/stats"} {
		hidden.do(plain("GET", path)).is(t, 404, "404 NOT FOUND")
	}
	drivers := memoryDrivers(t, testApp(), &storage.App{ID: "b", Key: "bk", Secret: "bs", Enabled: true})
	n := startNode(t, "shown", drivers, func(s *realtime.Settings) { s.HTTP.Usage = true })
	n.connect().signin("u").subscribe("c").subscribe("presence-p", "u")
	n.connect().subscribe("c")
	var usage struct{ Memory Memory }
	if err := json.Unmarshal([]byte(n.do(plain("GET", "/usage")).body), &usage); err != nil {
		t.Fatal(err)
	}
	if m := usage.Memory; m.Total == 0 || m.Used+m.Free != m.Total || m.Percent <= 0 || m.Percent > 100 || m.Total > 1<<50 {
		t.Errorf("memory %+v", m)
	}
	for _, path := range []string{"/stats", "/operator/stats"} {
		got := n.do(plain("GET", path))
		var stats Stats
		if err := json.Unmarshal([]byte(got.body), &stats); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		want := realtime.Occupancy{Channels: 2, Subscriptions: 3, PresenceChannels: 1, PresenceSubscriptions: 1, PresenceMembers: 1}
		if stats.Totals != (Totals{2, 2, 1, 1, 0, want}) || len(stats.Apps) != 2 || stats.Apps[0].Occupancy != want || stats.Apps[1].ID != "b" || stats.History.Backend != "disabled" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	drivers.Apps = brokenApps{drivers.Apps}
	down := startNode(t, "down", drivers, func(s *realtime.Settings) { s.HTTP.Usage = true })
	down.do(plain("GET", "/stats")).fails(t, 503, "service_unavailable", "")
}

func TestMeminfo(t *testing.T) {
	m, ok := parseMeminfo([]byte("MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     250 kB\nHugePages_Total:       0\nodd line\n"))
	if !ok || m != (Memory{Free: 250 << 10, Used: 750 << 10, Total: 1000 << 10, Percent: 75}) {
		t.Errorf("%+v %v", m, ok)
	}
	if _, ok := parseMeminfo([]byte("MemTotal: 5 kB\n")); ok {
		t.Error("accepted without MemAvailable")
	}
	if m := memoryOf(10, 20); m.Used != 0 {
		t.Errorf("%+v", m)
	}
}
