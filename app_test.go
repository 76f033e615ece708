package sockudo

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// socket is a client on a site.
type socket struct {
	t *testing.T
	*websocket.Conn
	id string
}

// publish sends an event of the app "a" to the channel "room".
func publish(t *testing.T, port, secret, payload string) (signature string) {
	t.Helper()
	const path = "/apps/a/events"
	body := []byte(`{"name":"e","channel":"room","data":"` + payload + `"}`)
	sum := md5.Sum(body)
	query := fmt.Sprintf("auth_key=a-key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), sum)
	signature = protocol.Sign(secret, "POST\n"+path+"\n"+query)
	resp, err := client.Post("http://127.0.0.1:"+port+path+"?"+query+"&auth_signature="+signature, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return signature
}

func dial(t *testing.T, host, path string) *socket {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	t.Cleanup(func() { _ = c.Close() })
	s := &socket{t: t, Conn: c}
	_, s.id, _ = strings.Cut(s.expect("pusher:connection_established"), `socket_id\":\"`)
	s.id, _, _ = strings.Cut(s.id, `\"`)
	return s
}

// expect reads until a frame has what is expected in it.
func (s *socket) expect(part string) string {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, text, err := s.ReadMessage()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", part, err)
		}
		if strings.Contains(string(text), part) {
			return string(text)
		}
	}
}

func (s *socket) expectClose(code int) {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		_, _, err := s.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			s.t.Errorf("ended by %v, want %d", err, code)
		}
		return
	}
}

func (s *socket) send(frame string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) subscribe(channel string) {
	s.t.Helper()
	s.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`)
	s.expect("subscription_succeeded")
}

// site is a site on 127.0.0.1 with a directive.
func site(port, directive string) string {
	return "http://127.0.0.1:" + port + " {\n" + directive + "\nhandle {\nrespond static\n}\n}\n"
}

// Two hubs do not share anything; two sites that name one hub share all of it.
//
// Checklist: configuration 124
func TestHubsAndSites(t *testing.T) {
	s := newServer(t)
	a, b, c := freePort(t), freePort(t), freePort(t)
	hub := func(name string) string {
		return "sockudo " + name + " {\nrate_limiter {\nenabled off\n}\n" + appBlock + "}"
	}
	s.mustLoad("", site(a, hub("one"))+site(b, hub("one"))+site(c, hub("two")))
	first, second, third := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key/"), dial(t, "127.0.0.1:"+c, "/app/demo-key")
	for _, k := range []*socket{first, second, third} {
		k.subscribe("room")
	}
	var states []HubState
	s.call("GET", "/sockudo/hubs", &states)
	if len(states) != 2 || states[0].Name != "one" || states[0].Sockets != 2 || states[1].Name != "two" || states[1].Sockets != 1 {
		t.Errorf("%+v", states)
	}
	err := s.load("", site(a, hub("one"))+site(b, strings.Replace(hub("one"), "enabled off", "enabled on", 1)))
	if err == nil || !strings.Contains(err.Error(), "hub one: is defined twice, and differently") || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	// One hub goes, the other stays as it is.
	s.mustLoad("", site(a, hub("one")))
	third.expect(`"code":4200`)
	third.expectClose(4200)
	first.send(`{"event":"pusher:ping","data":{}}`)
	first.expect("pusher:pong")
	second.send(`{"event":"pusher:ping","data":{}}`)
	second.expect("pusher:pong")
}

// A definition may stand in the global options, in another site, before or after
// those who refer to it. One that is nowhere is an error.
func TestReferences(t *testing.T) {
	s := newServer(t)
	a, b := freePort(t), freePort(t)
	block := "{\n" + appBlock + "}\n"
	for name, c := range map[string][2]string{
		"global":         {"sockudo " + block, site(a, "sockudo") + site(b, "sockudo default")},
		"global, named":  {"sockudo chat " + block, site(a, "sockudo chat") + site(b, "sockudo {\nname chat\n}")},
		"another site":   {"", site(a, "sockudo "+block) + site(b, "sockudo")},
		"a site after":   {"", site(a, "sockudo") + site(b, "sockudo "+block)},
		"with a matcher": {"sockudo " + block, site(a, "@any path /*\nsockudo @any") + site(b, "sockudo /* default")},
		"under a prefix": {"sockudo " + block, site(a, "handle_path /rt/* {\nsockudo\n}\nsockudo") + site(b, "sockudo")},
		"both alike":     {"sockudo " + block, site(a, "sockudo "+block) + site(b, "sockudo "+block)},
	} {
		if err := s.load(c[0], c[1]); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		dial(t, "127.0.0.1:"+a, "/app/demo-key").Close()
		dial(t, "127.0.0.1:"+b, "/app/demo-key").Close()
		if name == "under a prefix" {
			dial(t, "127.0.0.1:"+a, "/rt/app/demo-key").Close()
		}
	}
	err := s.load("", site(a, "sockudo nowhere"))
	if err == nil || !strings.Contains(err.Error(), "hub nowhere is not defined: no sockudo block in this configuration says what it is") {
		t.Error(err)
	}
}

func TestGlobalOptionRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"sockudo":                            "sockudo default needs a block here, which says what the hub is",
		"sockudo a b {\n}":                   `sockudo takes one name, not ["a" "b"]`,
		"sockudo {\n}\nsockudo default {\n}": "sockudo default is defined twice",
		"sockudo {\nname x\n}":               "name is unknown",
	} {
		_, _, err := adapt("{\n" + text + "\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := parse("name other")
	if err != nil {
		t.Error(err)
	}
	h := new(Handler)
	err = h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("sockudo one {\nname two\n}"))
	if err == nil || !strings.Contains(err.Error(), "the hub has two names, one and two") {
		t.Error(err)
	}
}

// Nothing that Caddy shows or logs has a secret that was a placeholder, even with
// tracing, which logs each handler, nor what clients send. What was applied of the
// environment is logged by name. Caddy's access log has the query of each request;
// it is left out here, and the documentation says how to filter it.
//
// Checklist: configuration 13, 18, 134
func TestSecretsStayHidden(t *testing.T) {
	const canary = "s3cr3t-canary"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOCKUDO_TEST_SECRET", canary)
	t.Setenv("SOCKUDO_MAX_CONNECTIONS", "4321")
	t.Setenv("METRICS_PROMETHEUS_PREFIX", "canary_prefix_")
	s := newServer(t)
	port := freePort(t)
	sites := site(port, "sockudo {\napp a {\nkey a-key\nsecret {env.SOCKUDO_TEST_SECRET}\n}\napp b {\nkey b-key\nsecret {file."+file+"}\n}\n}")
	s.mustLoad("servers {\ntrace\n}\nmetrics", sites)
	k := dial(t, "127.0.0.1:"+port, "/app/a-key")
	k.subscribe("room")
	proof := protocol.Sign(canary, k.id+":private-room")
	k.send(`{"event":"pusher:subscribe","data":{"channel":"private-room","auth":"a-key:` + proof + `"}}`)
	k.expect(`"channel":"private-room"`)
	k.send(`{"event":"client-x","channel":"private-room","data":"payload-canary"}`) // refused
	k.expect("4301")
	signature := publish(t, port, canary, "payload-canary")
	k.expect("payload-canary")
	request(t, "POST", "http://127.0.0.1:"+port+"/apps/a/events?auth_key=a-key&auth_signature=bad-canary", nil)
	s.mustLoad("servers {\ntrace\n}", sites)
	shown := ""
	for _, path := range []string{"/config/", "/sockudo/hubs", "/sockudo/hubs/default/apps", "/sockudo/hubs/default/usage", "/sockudo/hubs/default/connections", "/sockudo/hubs/default/health/ready"} {
		status, body := request(t, "GET", "http://"+s.admin+path, nil)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
		shown += body
	}
	log := s.logged()
	for _, hidden := range []string{canary, "payload-canary", "bad-canary", proof, signature} {
		if strings.Contains(shown, hidden) || strings.Contains(log, hidden) {
			t.Errorf("%s was shown", hidden)
		}
	}
	contains(t, shown, "{env.SOCKUDO_TEST_SECRET}", "{file."+file+"}")
	contains(t, log, `"msg":"the adapter is local: events reach the clients of this node only"`)
	contains(t, s.logged(), `"msg":"environment variables applied"`, `"variables":["METRICS_PROMETHEUS_PREFIX","SOCKUDO_MAX_CONNECTIONS"]`)
	if strings.Contains(s.logged(), "4321") {
		t.Error("the log has a value of the environment")
	}
}

// Checklist: configuration 126, 127, 129, 133
func TestMetrics(t *testing.T) {
	s := newServer(t)
	port, other := freePort(t), freePort(t)
	block := func(hub, metrics string) string {
		return "sockudo " + hub + " {\n" + appBlock + metrics + "\n}"
	}
	s.mustLoad("", site(port, block("one", "metrics {\nprefix rt_\n}"))+site(other, block("two", "")))
	dial(t, "127.0.0.1:"+port, "/app/demo-key")
	dial(t, "127.0.0.1:"+other, "/app/demo-key").subscribe("room-canary")
	status, body := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	if status != http.StatusOK {
		t.Error(status)
	}
	if strings.Contains(body, "room-canary") {
		t.Error("metrics name a channel")
	}
	contains(t, body, `rt_connected{app_id="demo",hub="one"} 1`, `sockudo_connected{app_id="demo",hub="two"} 1`)
	s.mustLoad("", site(port, block("one", "metrics {\nenabled off\n}"))+site(other, "handle /metrics {\nmetrics\n}\n"+block("two", "")))
	_, body = request(t, "GET", "http://"+s.admin+"/metrics", nil)
	if strings.Contains(body, `hub="one"`) {
		t.Error("there are metrics of a hub without")
	}
	contains(t, body, `sockudo_connected{app_id="demo",hub="two"} 1`)
	resp, err := client.Get("http://127.0.0.1:" + other + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4; charset=utf-8") {
		t.Error(got)
	}
}

// Only Caddy says who a client is.
//
// Checklist: configuration 97, 98, 99
func TestClientAddress(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	sites := site(port, "sockudo {\n"+appBlock+"rate_limiter {\napi 1 60s\nupgrades 1 60s\n}\n}")
	call := func(path string, header http.Header) int {
		t.Helper()
		status, _ := request(t, "GET", "http://127.0.0.1:"+port+path, header)
		return status
	}
	from := func(name, ip string) http.Header { return http.Header{name: {ip}} }
	const channels = "/apps/demo/channels"
	s.mustLoad("", sites)
	for i, header := range []http.Header{nil, from("X-Forwarded-For", "203.0.113.1"), from("X-Real-Ip", "203.0.113.2")} {
		want := http.StatusTooManyRequests
		if i == 0 {
			want = http.StatusBadRequest // counted, and then not signed
		}
		if got := call(channels, header); got != want {
			t.Errorf("call %d: %d, want %d", i, got, want)
		}
	}
	for range 5 {
		if call("/up", nil) != http.StatusOK || call("/live", nil) != http.StatusOK {
			t.Error("a health check is limited")
		}
	}
	// From a proxy that is trusted, the header counts; X-Real-IP never does.
	s.mustLoad("servers {\ntrusted_proxies static 127.0.0.1/32\n}", sites)
	for i, c := range []struct {
		header http.Header
		want   int
	}{
		{from("X-Forwarded-For", "203.0.113.1"), http.StatusBadRequest},
		{from("X-Forwarded-For", "203.0.113.1"), http.StatusTooManyRequests},
		{from("X-Forwarded-For", "203.0.113.2"), http.StatusBadRequest},
		{from("X-Real-Ip", "203.0.113.3"), http.StatusTooManyRequests},
	} {
		if got := call(channels, c.header); got != c.want {
			t.Errorf("call %d by a proxy: %d, want %d", i, got, c.want)
		}
	}
}

// failing is a module that refuses a configuration, at the given moment, and one
// whose queue counts what it is given.
type failing struct {
	At string `json:"at,omitempty"`
}

func init() {
	caddy.RegisterModule(new(failing))
	caddy.RegisterModule(new(countedQueue))
	httpcaddyfile.RegisterGlobalOption("failing", func(d *caddyfile.Dispenser, _ any) (any, error) {
		f := new(failing)
		d.Next()
		d.Args(&f.At)
		return httpcaddyfile.App{Name: "failing", Value: caddyconfig.JSON(f, nil)}, nil
	})
}

func (*failing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "failing", New: func() caddy.Module { return new(failing) }}
}

var errFailing = errors.New("this app fails")

func (f *failing) fail(at string) error {
	if f.At == at {
		return errFailing
	}
	return nil
}

func (f *failing) Provision(caddy.Context) error { return f.fail("provision") }
func (f *failing) Start() error                  { return f.fail("start") }
func (*failing) Stop() error                     { return nil }

// Checklist: configuration 118
func TestFailedLoad(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	block := func(limit string) string {
		return site(port, "sockudo {\nrate_limiter {\nenabled off\n}\nmax_connections "+limit+"\ncache memory {\nmax_entries "+limit+"\n}\n"+appBlock+"}")
	}
	s.mustLoad("", block("10"))
	kept := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	for range 5 { // apps come in random order
		for _, at := range []string{"provision", "start"} {
			if err := s.load("failing "+at, block("1")); err == nil || !strings.Contains(err.Error(), errFailing.Error()) {
				t.Fatal(err)
			}
			dial(t, "127.0.0.1:"+port, "/app/demo-key").Close()
			var state HubState
			s.call("GET", "/sockudo/hubs/default", &state)
			if state.Limits.MaxConnections != 10 || state.Configurations != 1 {
				t.Errorf("%+v", state)
			}
		}
	}
	kept.send(`{"event":"pusher:ping","data":{}}`)
	kept.expect("pusher:pong")
}

// countedQueue is a queue in memory that is another one for each name.
type countedQueue struct {
	Name string `json:"name,omitempty"`
}

func (*countedQueue) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.counted", New: func() caddy.Module { return new(countedQueue) }}
}

func (q *countedQueue) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "name" || !d.AllArgs(&q.Name) {
			return d.ArgErr()
		}
	}
	return nil
}

func (*countedQueue) Driver() string { return "counted" }
func (q *countedQueue) Key() string  { return q.Name }

func (*countedQueue) Open(context.Context) (storage.Queue, error) {
	return memory.NewQueue(memory.QueueOptions{}), nil
}

// Jobs that wait in a queue which is replaced move into the new one.
func TestQueueHandover(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	load := func(queue string) storage.Queue {
		t.Helper()
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"queue "+queue+"\n}"))
		live, err := findHub("default").Live()
		if err != nil {
			t.Fatal(err)
		}
		defer live.Release()
		return live.Settings.Drivers.Queue
	}
	old := load("counted {\nname a\n}")
	for range 3 {
		if err := old.Push(t.Context(), storage.Job{Queue: "webhooks", Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if load("counted {\nname a\n}") != old {
		t.Error("the same queue was opened again")
	}
	replaced := load("memory")
	if replaced == old {
		t.Fatal("the queue was not replaced")
	}
	var mu sync.Mutex
	done := 0
	stop, err := replaced.Work("webhooks", 1, func(context.Context, storage.Job) error {
		mu.Lock()
		defer mu.Unlock()
		done++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		mu.Lock()
		n := done
		mu.Unlock()
		if n == 3 {
			break
		}
	}
	if err := stop(t.Context()); err != nil || done != 3 {
		t.Errorf("%d jobs done, %v", done, err)
	}
	contains(t, s.logged(), `"msg":"queue replaced"`, `"jobs_moved":3`)
	if err := old.Push(t.Context(), storage.Job{Queue: "webhooks"}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("the old queue says %v", err)
	}
}

// The tuning of a driver that keeps running is that of the current configuration.
func TestTuning(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	load := func(global, bytes string) (storage.Cache, error) {
		t.Helper()
		err := s.load(global, site(port, "sockudo {\n"+appBlock+"cache memory {\nmax_bytes "+bytes+"\n}\n}"))
		live, e := findHub("default").Live()
		if e != nil {
			t.Fatal(e)
		}
		defer live.Release()
		return live.Settings.Drivers.Cache, err
	}
	cache, err := load("", "1000")
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 { return cache.(*memory.Cache).MaxSize() }
	for _, step := range []struct {
		global, bytes string
		want          int64
	}{{"", "2000", 2000}, {"failing start", "3000", 2000}, {"failing provision", "3000", 2000}, {"", "500", 500}} {
		again, err := load(step.global, step.bytes)
		if (err != nil) != (step.global != "") {
			t.Error(err)
		}
		if again != cache {
			t.Error("the cache was opened again")
		}
		if size() != step.want {
			t.Errorf("%v: %d bytes, want %d", step, size(), step.want)
		}
	}
}
