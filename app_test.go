package sockudo

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

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
