package sockudo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/rest"
)

// Checklist: configuration 112
func TestAdmin(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", site(port, "sockudo {\nnode_id node-1\ndrain_period 0s\nrate_limiter {\nlimits {\nconnection_per_ip 50\n}\n}\n"+appBlock+"}"))
	one, two := dial(t, "127.0.0.1:"+port, "/app/demo-key"), dial(t, "127.0.0.1:"+port, "/app/demo-key")
	for _, k := range []*socket{one, two} {
		k.subscribe("room-a")
	}
	one.subscribe("room-b")
	one.subscribe("other")

	var state HubState
	s.call("GET", "/sockudo/hubs/default", &state)
	if state.Name != "default" || state.NodeID != "node-1" || state.Sockets != 2 || state.Generation == 0 || state.Configurations != 1 ||
		state.Drivers["adapter"] != "local" || len(state.Drivers) != 4 || state.Limits.ConnectionPerIP != 50 || state.Limits.API.Max != 0 {
		t.Errorf("%+v", state)
	}

	var apps []realtime.AppState
	s.call("GET", "/sockudo/hubs/default/apps", &apps)
	if len(apps) != 1 || apps[0].ID != "demo" || apps[0].Connections != 2 || apps[0].Occupancy.Channels != 3 {
		t.Errorf("%+v", apps)
	}

	var channels ChannelPage
	s.call("GET", "/sockudo/hubs/default/channels?app=demo&prefix=room-&limit=1", &channels)
	if channels.Total != 2 || len(channels.Channels) != 1 || channels.Channels[0] != (realtime.ChannelState{Name: "room-a", Subscriptions: 2}) {
		t.Errorf("%+v", channels)
	}

	var page ConnectionPage
	s.call("GET", "/sockudo/hubs/default/connections?app=demo&limit=1", &page)
	if len(page.Connections) != 1 || page.Next != page.Connections[0].SocketID {
		t.Errorf("%+v", page)
	}
	var rest ConnectionPage
	s.call("GET", "/sockudo/hubs/default/connections?limit=5&after="+page.Next, &rest)
	if len(rest.Connections) != 1 || rest.Next != "" || rest.Connections[0].SocketID == page.Next {
		t.Errorf("%+v", rest)
	}
	s.call("GET", "/sockudo/hubs/default/connections?app=nobody", &rest)
	if len(rest.Connections) != 0 {
		t.Errorf("%+v", rest)
	}

	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/sockudo/hubs/nowhere", 404},
		{"GET", "/sockudo/hubs/nowhere/health/live", 404},
		{"GET", "/sockudo/hubs/default/channels", 400},
		{"GET", "/sockudo/hubs/default/channels?app=nobody", 404},
		{"GET", "/sockudo/hubs/default/connections?limit=0", 400},
		{"GET", "/sockudo/hubs/default/connections?limit=x", 400},
		{"DELETE", "/sockudo/hubs/default/connections/1.2", 404},
		{"POST", "/sockudo/hubs", 405},
		{"GET", "/sockudo/hubs/default/drain", 405},
		{"GET", "/sockudo/hubs/default/health/live", 200},
		{"GET", "/sockudo/hubs/default/health/ready", 200},
		{"GET", "/sockudo/hubs/default/usage", 200},
	} {
		if got := s.call(c.method, c.path, nil); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}

	if got := s.call("DELETE", "/sockudo/hubs/default/connections/"+rest0(t, s), nil); got != http.StatusNoContent {
		t.Error(got)
	}
	testDrain(t, s, port)
}

// rest0 is the socket id of the first connection.
func rest0(t *testing.T, s *server) string {
	t.Helper()
	var page ConnectionPage
	s.call("GET", "/sockudo/hubs/default/connections?limit=1", &page)
	if len(page.Connections) != 1 {
		t.Fatal("no connection")
	}
	return page.Connections[0].SocketID
}

func testDrain(t *testing.T, s *server, port string) {
	t.Helper()
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	var state HubState
	if got := s.call("POST", "/sockudo/hubs/default/drain", &state); got != http.StatusAccepted || !state.Draining {
		t.Errorf("%d %+v", got, state)
	}
	k.expect(`"code":4200`)
	k.expectClose(4200)
	up := func() (int, string, string) {
		resp, err := client.Get("http://127.0.0.1:" + port + "/up")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		live, _ := request(t, "GET", "http://127.0.0.1:"+port+"/live", nil)
		if live != http.StatusOK {
			t.Errorf("/live: %d", live)
		}
		ready, _ := request(t, "GET", "http://"+s.admin+"/sockudo/hubs/default/health/ready", nil)
		return resp.StatusCode, resp.Header.Get("X-Health-Check"), http.StatusText(ready)
	}
	if status, word, ready := up(); status != 503 || word != string(rest.StatusDraining) || ready != "Service Unavailable" {
		t.Errorf("while draining: %d %s %s", status, word, ready)
	}
	if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/app/demo-key", http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}); status != http.StatusServiceUnavailable {
		t.Errorf("a handshake while draining: %d", status)
	}
	if got := s.call("DELETE", "/sockudo/hubs/default/drain", &state); got != http.StatusOK || state.Draining {
		t.Errorf("%d %+v", got, state)
	}
	if status, word, ready := up(); status != 200 || word != string(rest.StatusOK) || ready != "OK" {
		t.Errorf("after that: %d %s %s", status, word, ready)
	}
	dial(t, "127.0.0.1:"+port, "/app/demo-key")
}

// The routes of the admin API hold nothing, and name no id in their patterns.
func TestAdminRoutes(t *testing.T) {
	for _, r := range new(adminAPI).Routes() {
		method, path, ok := strings.Cut(r.Pattern, " ")
		if !ok || !strings.HasPrefix(path, "/sockudo/hubs") || !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, method) {
			t.Error(r.Pattern)
		}
	}
}

func TestStatusCommand(t *testing.T) {
	states := []HubState{
		{
			Name: "default", Generation: 7, NodeID: "node-1", Sockets: 12, Drivers: map[string]string{"cache": "memory", "adapter": "local"},
			Limits: LimitState{MaxConnections: 100, API: RateState{100, 60}, ActivityTimeoutSeconds: 120, MaxPayloadBytes: 65536, MaxBodyBytes: 1, EventPayloadBytes: 2, QueueMessages: 1000},
		},
		{Name: "other", Draining: true, Limits: LimitState{PrivateAddresses: true}},
	}
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sockudo/hubs" {
			http.NotFound(w, r)
			return
		}
		_ = answer(w, http.StatusOK, states)
	}))
	defer admin.Close()
	address := strings.TrimPrefix(admin.URL, "http://")
	run := func(args ...string) (string, error) {
		var out strings.Builder
		cmd := &cobra.Command{Use: "sockudo", SilenceErrors: true}
		cmd.AddCommand(statusCommand())
		cmd.SetArgs(append([]string{"status"}, args...))
		cmd.SetOut(&out)
		err := cmd.Execute()
		return out.String(), err
	}
	out, err := run("--address", address)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "hub                     default\n", "sockets                 12 of 100\n", "drivers                 adapter local, cache memory\n",
		"HTTP calls per address  100 in 60s\n", "handshakes per address  unlimited\n", "outbound queue          1000 frames, unlimited bytes\n",
		"\nhub                     other\n", "state                   draining\n", "private addresses       limited like others\n")
	out, err = run("--address", address, "--json")
	var again []HubState
	if err != nil || json.Unmarshal([]byte(out), &again) != nil || len(again) != 2 || again[0].Limits != states[0].Limits {
		t.Errorf("%v %s", err, out)
	}
	states = []HubState{}
	if out, err = run("--address", address); err != nil || out != "There is no hub.\n" {
		t.Errorf("%v %q", err, out)
	}
	admin.Close()
	if _, err = run("--address", address); err == nil || !strings.HasPrefix(err.Error(), "asking the admin API: ") {
		t.Error(err)
	}
	if _, err = run("--config", "/nowhere/Caddyfile"); err == nil {
		t.Error("a configuration that is not there is good enough")
	}
}

// What hangs in a driver does not hold up the configuration.
func TestAwait(t *testing.T) {
	if err := await(t.Context(), "x", func() error { return errFailing }); err != errFailing { //nolint:errorlint // the very error
		t.Error(err)
	}
	if err := await(t.Context(), "x", func() error { panic("on purpose") }); err == nil || err.Error() != "x: panic: on purpose" {
		t.Error(err)
	}
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	cancel()
	began := time.Now()
	if err := await(ctx, "x", func() error { <-release; return nil }); err == nil || time.Since(began) > 5*time.Second {
		t.Error(err)
	}
}
