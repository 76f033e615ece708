package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Sockets over every HTTP version stay open over reloads that change limits,
// under a publisher: nothing lost, repeated or reordered.
//
// Checklist: configuration 111, 117
func TestReloadDropsNothing(t *testing.T) {
	c := start(t, config{})
	var conns []*conn
	for _, transport := range transports {
		for range 5 {
			k := c.dial(transport)
			k.subscribe("numbered")
			conns = append(conns, k)
		}
	}
	p := c.publishNumbered("numbered", time.Millisecond)
	var times []time.Duration
	for i := range 40 {
		took, err := c.load(config{block: fmt.Sprintf("max_connections %d\nactivity_timeout %ds", 1000+i, 60+i), app: fmt.Sprintf("max_connections %d", 500+i)})
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, took)
	}
	total := p.end()
	time.Sleep(200 * time.Millisecond)
	for i, k := range conns {
		lost, repeated, reordered := k.check(total)
		if lost+repeated+reordered > 0 || k.closed() != nil {
			t.Errorf("%s %d: %d lost, %d repeated, %d reordered, ended by %v", transports[i/5], i, lost, repeated, reordered, k.closed())
		}
	}
	slices.Sort(times)
	t.Logf("FIGURE reload: %d sockets over %v, 40 reloads, %d messages each: 0 lost, 0 repeated, 0 reordered, 0 closed; %d publishes repeated after a connection error; load p50 %v, max %v",
		len(conns), transports, total, p.retries, times[len(times)/2], times[len(times)-1])
}

// Adapters that take a while are swapped under a publisher.
func TestAdapterSwap(t *testing.T) {
	broker := func(i int) config {
		return config{block: fmt.Sprintf("adapter e2e_broker {\n\tname b%d\n}", i)}
	}
	c := start(t, broker(0))
	k := c.dial("http")
	k.subscribe("numbered")
	p := c.publishNumbered("numbered", time.Millisecond)
	for i := range 20 {
		c.mustLoad(broker(i % 3))
	}
	c.mustLoad(config{}) // and to the local one
	total := p.end()
	time.Sleep(300 * time.Millisecond)
	lost, repeated, reordered := k.check(total)
	if lost+repeated > 0 || k.closed() != nil {
		t.Errorf("%d lost, %d repeated, ended by %v", lost, repeated, k.closed())
	}
	t.Logf("FIGURE adapter swap: 21 swaps, %d messages: 0 lost, 0 repeated, %d out of order between two brokers", total, reordered)
}

// A load that fails, at whatever point, changes nothing, and no client ever sees
// its settings.
//
// Checklist: configuration 118
// Checklist: configuration 119
func TestFailedLoadsChangeNothing(t *testing.T) {
	c := start(t, config{})
	k := c.dial("http")
	k.subscribe("numbered")
	p := c.publishNumbered("numbered", time.Millisecond)
	taken, err := net.Listen("tcp", ":0") // without SO_REUSEPORT, so nobody can share it
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	limit := "max_connections 1" // would refuse the dials below
	bad := map[string]config{
		"provision":   {global: "e2e_fail provision", block: limit},
		"start":       {global: "e2e_fail start", block: limit},
		"unreachable": {block: limit + "\nadapter e2e_broker {\n\tname down\n\tdown\n}"},
		"misspelt":    {block: limit + "\nmax_conections 5"},
		"bad value":   {block: "max_connections many"},
		"port in use": {block: limit, sites: fmt.Sprintf("http://127.0.0.1:%d {\n\trespond x\n}", taken.Addr().(*net.TCPAddr).Port)},
	}
	stop, dialed := make(chan struct{}), make(chan int)
	go func() { // clients come all the time
		n := 0
		for {
			select {
			case <-stop:
				dialed <- n
				return
			default:
			}
			d, err := c.tryDial("http", path)
			if err == nil {
				n++
				_ = d.w.rw.Close()
			} else if strings.Contains(err.Error(), "4100") {
				t.Error("a client saw the settings of a failed load:", err)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for range 5 { // the order of apps is random
		for name, cfg := range bad {
			if _, err := c.load(cfg); err == nil {
				t.Errorf("%s: the load succeeded", name)
			}
			var hubs []struct{ Generation int }
			if err := json.Unmarshal([]byte(c.get("/sockudo/hubs")), &hubs); err != nil || len(hubs) != 1 {
				t.Fatalf("%s: admin state right after: %v %v", name, hubs, err)
			}
		}
	}
	close(stop)
	n := <-dialed
	total := p.end()
	time.Sleep(200 * time.Millisecond)
	if lost, repeated, reordered := k.check(total); lost+repeated+reordered > 0 || k.closed() != nil {
		t.Errorf("%d lost, %d repeated, %d reordered, ended by %v", lost, repeated, reordered, k.closed())
	}
	t.Logf("FIGURE failed loads: 30 loads, %d new clients and %d messages meanwhile: none noticed", n, total)
}

// Three hundred reloads leave no goroutine, no driver and no hub behind.
//
// Checklist: configuration 121
func TestManyReloadsLeaveNothing(t *testing.T) {
	c := start(t, config{})
	var conns []*conn
	for range 100 {
		k := c.dial("http")
		k.subscribe("numbered")
		conns = append(conns, k)
	}
	c.mustLoad(config{block: "max_connections 999"})
	time.Sleep(500 * time.Millisecond)
	before, descriptors := c.goroutines(), c.descriptors()
	began := time.Now()
	for i := range 300 {
		c.mustLoad(config{block: fmt.Sprintf("max_connections %d", 1000+i)})
	}
	took := time.Since(began)
	after := 0
	for range 50 {
		if after = c.goroutines(); after <= before+10 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if now := c.descriptors(); now > descriptors+10 {
		t.Errorf("descriptors grew from %d to %d", descriptors, now)
	}
	if after > before+10 {
		t.Errorf("goroutines grew from %d to %d\n%s", before, after, c.get("/debug/pprof/goroutine?debug=1")[:4000])
	}
	for i, k := range conns {
		if err := k.closed(); err != nil {
			t.Errorf("socket %d was closed: %v", i, err)
		}
	}
	t.Logf("FIGURE 300 reloads with 100 sockets in %v: goroutines %d before, %d after, 0 sockets closed", took.Round(time.Millisecond), before, after)
}

// Limits change for open sockets, and a partial change through the admin API is
// a reload like any other.
func TestLimitsChangeLive(t *testing.T) {
	c := start(t, config{})
	k := c.dial("http")
	k.subscribe("private-room")
	k.send(`{"event":"client-x","channel":"private-room","data":1}`)
	c.mustLoad(config{app: "max_connections 1\n\t\t\tmax_event_payload_in_kb 1"})
	k.send(`{"event":"client-x","channel":"private-room","data":"` + strings.Repeat("x", 2000) + `"}`)
	k.expect(`"code":4301`)
	if d, err := c.open("http", path); err == nil {
		if _, err := newWire(d).read(); err != nil {
			t.Error(err)
		}
		_ = d.Close()
	}
	port := freePort(t)
	c.mustLoad(config{noHub: true, global: sharedHub("default", ""), sites: "http://127.0.0.1:" + port + " {\n\tsockudo\n}\n"})
	c.port = port
	const where = "/config/apps/sockudo/hubs/default/max_connections"
	if _, err := c.adminCall("PUT", where, "application/json", "1"); err != nil {
		t.Fatal(err)
	}
	if got := c.get(where); strings.TrimSpace(got) != "1" {
		t.Error(got)
	}
	if _, err := c.tryDial("http", path); err == nil || !strings.Contains(err.Error(), "4100") {
		t.Error("the new limit does not count:", err)
	}
	if k.closed() != nil {
		t.Error(k.closed())
	}
}

// sharedHub is a global option that defines a hub for several sites.
func sharedHub(name, more string) string {
	return "sockudo " + name + ` {
		rate_limiter {
			enabled off
		}
		` + more + `
		app app-id {
			key app-key
			secret app-secret
			enable_client_messages on
		}
	}`
}

// An open socket does not care where its site has moved.
func TestSiteMoves(t *testing.T) {
	c := start(t, config{})
	k := c.dial("http")
	k.subscribe("numbered")
	old, moved := c.port, freePort(t)
	c.mustLoad(config{port: moved})
	c.port = moved
	if err := c.publish("numbered", "numbered", "0", ""); err != nil {
		t.Fatal(err)
	}
	k.expect(`"data":"0"`)
	c.waitFor("the old port to close", func() bool { return refuses(old) })
}

// Without the directive the hub ends, and its sockets with it.
//
// Checklist: configuration 116
// Checklist: configuration 123
func TestRemovalCloses(t *testing.T) {
	c := start(t, config{})
	var conns []*conn
	for _, transport := range transports {
		conns = append(conns, c.dial(transport))
	}
	c.mustLoad(config{noHub: true})
	for _, k := range conns {
		k.expect(`"code":4200`)
		k.expectClose(4200)
	}
	if hubs := c.get("/sockudo/hubs"); strings.TrimSpace(hubs) != "[]" {
		t.Error(hubs)
	}
	c.mustLoad(config{})
	c.dial("http")
}

// Two sites share a hub by name; unequal definitions are refused.
func TestTwoSites(t *testing.T) {
	c := start(t, config{})
	global := sharedHub("shared", "")
	other, again := freePort(t), freePort(t)
	sites := "http://127.0.0.1:" + other + " {\n\tsockudo shared\n}\nhttp://127.0.0.1:" + again + " {\n\tsockudo shared\n}\n"
	c.mustLoad(config{global: global, noHub: true, sites: sites})
	first := *c
	first.port = other
	k := first.dial("http")
	k.subscribe("numbered")
	second := *c
	second.port = again
	if err := second.publish("numbered", "numbered", "0", ""); err != nil {
		t.Fatal(err)
	}
	k.expect(`"data":"0"`)
	_, err := c.load(config{global: global, noHub: true, sites: sites + "http://127.0.0.1:" + freePort(t) + ` {
	sockudo shared {
		max_connections 5
		app app-id {
			key app-key
			secret app-secret
		}
	}
}`})
	if err == nil || !strings.Contains(err.Error(), "shared") {
		t.Error("unequal definitions of one hub:", err)
	}
	if strings.Contains(fmt.Sprint(err), "app-secret") {
		t.Error("the error shows the secret:", err)
	}
	if k.closed() != nil {
		t.Error(k.closed())
	}
}

// Metrics keep their values over a reload.
//
// Checklist: configuration 128
// Checklist: http-api 165
func TestMetricsSurvive(t *testing.T) {
	c := start(t, config{})
	k := c.dial("http")
	k.subscribe("numbered")
	for range 5 {
		if err := c.publish("numbered", "e", "x", ""); err != nil {
			t.Fatal(err)
		}
		k.expect(`"x"`)
	}
	const sent, open = `sockudo_ws_messages_sent_total{app_id="app-id",hub="default"}`, `sockudo_connected{app_id="app-id",hub="default"}`
	for range 3 {
		if got := c.metric(sent); got != "5" {
			t.Errorf("%s %q", sent, got)
		}
		if got := c.metric(open); got != "1" {
			t.Errorf("%s %q", open, got)
		}
		c.mustLoad(config{block: "max_connections 99"})
		c.mustLoad(config{})
	}
	for _, transport := range transports[1:] {
		_ = c.dial(transport).w.rw.Close() // abruptly
	}
	_ = k.w.rw.Close()
	c.waitFor("connected to be 0", func() bool { return c.metric(open) == "0" })
}

// Paths that are not ours go to the rest of the site.
func TestStaticSiteBeside(t *testing.T) {
	c := start(t, config{})
	for where, want := range map[string]string{"/": "static site", "/index.html": "static site", "/application": "static site", "/app": "static site", "/upper": "static site", "/up": "OK", "/live": ""} {
		resp, err := http.Get("http://127.0.0.1:" + c.port + where)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != want {
			t.Errorf("%s: %d %q", where, resp.StatusCode, body)
		}
	}
}

// Under a path prefix everything works, whether a publisher signs the path with
// the prefix or without.
func TestMountedUnderAPrefix(t *testing.T) {
	c := start(t, config{})
	port := freePort(t)
	c.mustLoad(config{noHub: true, global: sharedHub("default", ""), sites: "http://127.0.0.1:" + port + " {\n\thandle_path /rt/* {\n\t\tsockudo\n\t}\n}\n"})
	c.port = port
	k, err := c.tryDial("http", "/rt"+path)
	if err != nil {
		t.Fatal(err)
	}
	k.subscribe("orders")
	body := []byte(`{"name":"e","channel":"orders","data":"x"}`)
	for _, target := range []string{"/rt" + signed("POST", "/apps/app-id/events", body), signed("POST", "/rt/apps/app-id/events", body)} {
		resp, err := publishClient.Post("http://127.0.0.1:"+port+target, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", target, resp.Status)
		}
		k.expect(`"data":"x"`)
	}
}

// SIGTERM closes sockets of every HTTP version with 4200, and the process ends.
//
// Checklist: protocol 24
// Checklist: configuration 116
func TestTerminate(t *testing.T) {
	for _, grace := range []string{"", "grace_period 2s"} {
		c := start(t, config{global: grace, block: "drain_period 1s"})
		var conns []*conn
		for _, transport := range transports {
			for range 5 {
				conns = append(conns, c.dial(transport))
			}
		}
		began := time.Now()
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for _, k := range conns {
			k.expect(`"code":4200`)
			k.expectClose(4200)
		}
		closed := time.Since(began)
		select {
		case <-c.exited:
		case <-time.After(15 * time.Second):
			t.Fatal("the process did not end")
		}
		t.Logf("FIGURE SIGTERM (%q) with %d sockets over %v: all closed with 4200 in %v, process ended in %v", grace, len(conns), transports, closed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
}

// Idle sockets outlive the idle limits below them: thirty seconds of QUIC, and
// those of the HTTP server.
func TestIdleStreams(t *testing.T) {
	c := start(t, config{global: "servers {\n\t\ttimeouts {\n\t\t\tread_body_idle 1s\n\t\t\twrite_idle 1s\n\t\t\tidle 10s\n\t\t}\n\t}"})
	var conns []*conn
	for _, transport := range transports {
		conns = append(conns, c.dial(transport))
	}
	time.Sleep(35 * time.Second)
	for i, k := range conns {
		if err := k.closed(); err != nil {
			t.Errorf("%s ended: %v", transports[i], err)
			continue
		}
		k.send(`{"event":"pusher:ping"}`)
		k.expect("pong")
	}
}
