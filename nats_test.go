package sockudo

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// natsHub is a directive for a hub that NATS joins with others.
func natsHub(name, servers, more string) string {
	return "sockudo " + name + " {\nhealth_timeout 500ms\ncluster_health {\nheartbeat 200ms\nnode_timeout 1s\ncleanup 100ms\n}\nidempotency {\nenabled off\n}\nrate_limiter {\nenabled off\n}\n" + appBlock + "adapter nats {\nservers " + servers + "\nprefix test\n" + more + "\n}\n}"
}

// publishDemo publishes an event of the app "demo" to the channel "room".
func publishDemo(t *testing.T, port, name, data, except string) int {
	t.Helper()
	const path = "/apps/demo/events"
	text, err := json.Marshal(map[string]string{"name": name, "channel": "room", "data": data, "socket_id": except})
	if err != nil {
		t.Fatal(err)
	}
	if except == "" {
		text = []byte(strings.Replace(string(text), `,"socket_id":""`, "", 1))
	}
	query := fmt.Sprintf("auth_key=demo-key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), md5.Sum(text))
	query += "&auth_signature=" + protocol.Sign("s3cr3t-canary", "POST\n"+path+"\n"+query)
	resp, err := persist(func() (*http.Response, error) {
		return client.Post("http://127.0.0.1:"+port+path+"?"+query, "application/json", bytes.NewReader(text))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// events are the data of the next n events, sorted.
func (s *socket) events(n int) (list []string) {
	s.t.Helper()
	for range n {
		var frame struct{ Data string }
		if err := json.Unmarshal([]byte(s.expect(`"event":"e"`)), &frame); err != nil {
			s.t.Fatal(err)
		}
		list = append(list, frame.Data)
	}
	slices.Sort(list)
	return list
}

// soon repeats a look until it is satisfied.
func soon(t *testing.T, what string, look func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !look(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// Two hubs are as two nodes. Each has a connection of its own.
//
// Checklist: configuration 49, 51
func TestNATSJoinsNodes(t *testing.T) {
	server := natstest.Start(t, "max_payload: 65536")
	s, a, b := newServer(t), freePort(t), freePort(t)
	s.mustLoad("", site(a, natsHub("a", server.Addr(), ""))+site(b, natsHub("b", server.Addr(), "")))
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	// The first event right after the subscriptions comes, and each comes once.
	for i, port := range []string{a, b, a} {
		if status := publishDemo(t, port, "e", fmt.Sprint("event ", i), ""); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	for _, k := range []*socket{one, other} {
		if got := k.events(3); !slices.Equal(got, []string{"event 0", "event 1", "event 2"}) { // of two nodes, and so in any order
			t.Errorf("got %q", got)
		}
	}
	publishDemo(t, a, "e", "not for the other", other.id)
	publishDemo(t, a, "e", "for all", "")
	one.expect("not for the other")
	if frame := other.expect(`"event":"e"`); !strings.Contains(frame, "for all") {
		t.Errorf("the socket that is excepted got %s", frame)
	}
	if status := publishDemo(t, a, "e", strings.Repeat("x", 65536), ""); status != http.StatusRequestEntityTooLarge {
		t.Errorf("an event that NATS does not take: %d", status)
	}
	publishDemo(t, a, "e", "the last", "")
	if got := one.events(2); !slices.Equal(got, []string{"for all", "the last"}) {
		t.Errorf("got %.200q", got)
	}
	if got := other.events(1); !slices.Equal(got, []string{"the last"}) {
		t.Errorf("the other node got %.200q", got)
	}
	var state HubState
	if s.call("GET", "/sockudo/hubs/a", &state); state.Drivers[kindAdapter] != "nats" {
		t.Errorf("the adapter is %s", state.Drivers[kindAdapter])
	}
}

// joinPresence joins a user to the channel "presence-room".
func (s *socket) joinPresence(user string) {
	s.t.Helper()
	member := `{"user_id":"` + user + `"}`
	data, err := json.Marshal(map[string]string{
		"channel": "presence-room", "channel_data": member,
		"auth": "demo-key:" + protocol.Sign("s3cr3t-canary", s.id+":presence-room:"+member),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(`{"event":"pusher:subscribe","data":` + string(data) + `}`)
	s.expect("subscription_succeeded")
}

// members are the users who are present, as a node knows them.
func members(t *testing.T, port string) []string {
	t.Helper()
	const path = "/apps/demo/channels/presence-room/users"
	query := fmt.Sprintf("auth_key=demo-key&auth_timestamp=%d&auth_version=1.0", time.Now().Unix())
	status, body := request(t, "GET", "http://127.0.0.1:"+port+path+"?"+query+"&auth_signature="+protocol.Sign("s3cr3t-canary", "GET\n"+path+"\n"+query), nil)
	var answer struct {
		Users []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v: %s", status, err, body)
	}
	var ids []string
	for _, u := range answer.Users {
		ids = append(ids, u.ID)
	}
	slices.Sort(ids)
	return ids
}

// The outage lasts until the nodes have given each other up.
//
// Checklist: configuration 40, 54, 63, 64, 71
func TestNATSOutage(t *testing.T) {
	server := natstest.Start(t, "authorization { user: u, password: hush }")
	s, a, b := newServer(t), freePort(t), freePort(t)
	t.Setenv("TEST_NATS_RIGHT", "hush")
	t.Setenv("TEST_NATS_WRONG", "hushhush")
	const login = "username u\npassword {env.TEST_NATS_RIGHT}"
	sites := func(servers, login string) string {
		return site(a, natsHub("a", servers, login)) + site(b, natsHub("b", servers, login)) + "http://127.0.0.1:" + freePort(t) + " {\nmetrics\n}\n"
	}
	if err := s.load("", sites("127.0.0.1:1", login)); err == nil || !strings.Contains(err.Error(), "adapter: opening nats: nats 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("a server that is not there: %v", err)
	}
	if err := s.load("", sites(server.Addr(), strings.Replace(login, "RIGHT", "WRONG", 1))); err == nil || !strings.Contains(err.Error(), "nats: Authorization Violation") || strings.Contains(err.Error(), "hush") {
		t.Errorf("a wrong password: %v", err)
	}
	s.mustLoad("", sites(server.Addr(), login))
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	up := func(port string) int {
		status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil)
		return status
	}
	if status := up(a); status != http.StatusOK {
		t.Errorf("/up: %d", status)
	}
	one.joinPresence("one")
	other.joinPresence("other")
	present := func(port string, want ...string) func() bool {
		return func() bool { return slices.Equal(members(t, port), want) }
	}
	soon(t, "both members on the first node", present(a, "one", "other"))
	soon(t, "both members on the other node", present(b, "one", "other"))
	server.Kill()
	soon(t, "503 of /up in the outage", func() bool { return up(a) == http.StatusServiceUnavailable && up(b) == http.StatusServiceUnavailable })
	if status := publishDemo(t, a, "e", "alone", ""); status != http.StatusOK {
		t.Errorf("publishing in the outage: %d", status)
	}
	one.expect("alone")
	soon(t, "end of the member that cannot be reached", present(a, "one"))
	late := dial(t, "127.0.0.1:"+b, "/app/demo-key")
	late.joinPresence("late")
	soon(t, "end of the other member that cannot be reached", present(b, "late", "other"))
	server.Restart()
	soon(t, "200 of /up after the outage", func() bool { return up(a) == http.StatusOK && up(b) == http.StatusOK })
	soon(t, "all members on the first node", present(a, "late", "one", "other"))
	soon(t, "all members on the other node", present(b, "late", "one", "other"))
	publishDemo(t, a, "e", "together", "")
	one.expect("together")
	if frame := other.expect(`"event":"e"`); !strings.Contains(frame, "together") {
		t.Errorf("the other node got %s", frame)
	}
	for line := range strings.Lines(s.logged()) {
		if strings.Contains(line, "hush") {
			t.Errorf("the log shows the password: %s", line)
		}
	}
	contains(t, s.logged(), "connection lost", "connected again")
}

// natsConnections asks a server for the number of its clients.
func natsConnections(t *testing.T, server *natstest.Server) int {
	t.Helper()
	status, body := request(t, "GET", fmt.Sprintf("http://127.0.0.1:%d/connz", server.ClusterPort), nil)
	var answer struct {
		Count int `json:"num_connections"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v: %s", status, err, body)
	}
	return answer.Count
}

// Reloads keep the connection or replace it, lose nothing, and leave nothing behind.
//
// Checklist: configuration 121
func TestNATSReloads(t *testing.T) {
	server := natstest.Start(t, "http: \"127.0.0.1:CLUSTER\"")
	s, a, b := newServer(t), freePort(t), freePort(t)
	load := func(tuning string) {
		s.mustLoad("", site(a, natsHub("a", server.Addr(), tuning))+site(b, natsHub("b", server.Addr(), "")))
	}
	load("")
	one, other := dial(t, "127.0.0.1:"+a, "/app/demo-key"), dial(t, "127.0.0.1:"+b, "/app/demo-key")
	for _, k := range []*socket{one, other} {
		k.subscribe("room")
	}
	var want []string
	for i := range 12 {
		load([]string{"", "request_timeout 7s", "no_echo off", "connection_timeout 3s"}[i%4])
		for k, port := range []string{a, b} {
			text := fmt.Sprint("after reload ", i, " by ", k)
			want = append(want, text)
			if status := publishDemo(t, port, "e", text, ""); status != http.StatusOK {
				t.Fatal(status)
			}
		}
	}
	for _, k := range []*socket{one, other} {
		got := k.events(len(want))
		if sorted := slices.Sorted(slices.Values(want)); !reflect.DeepEqual(got, sorted) {
			t.Errorf("got %q, want %q", got, sorted)
		}
	}
	// Each hub keeps the connection it had until it has heard the other through the new one.
	soon(t, "one connection for each hub", func() bool { return natsConnections(t, server) == 2 })
	s.mustLoad("", "")
	soon(t, "end of all connections", func() bool { return natsConnections(t, server) == 0 })
}

func TestNATSVariables(t *testing.T) {
	type object = map[string]any
	login := "username u\npassword p"
	for _, c := range []struct {
		block string
		env   map[string]string
		want  object
	}{
		{"adapter nats", map[string]string{"NATS_SERVERS": "a:1, tls://b", "NATS_PREFIX": "x", "NATS_USERNAME": "u", "NATS_PASSWORD": "a{b"}, object{
			"driver": "nats", "servers": []any{"a:1", "tls://b"}, "prefix": "x", "username": "u", "password": `a\{b`,
		}},
		{"adapter nats {\n" + login + "\nconnection_timeout 1s\n}", map[string]string{
			"NATS_TOKEN": "t", "NATS_CONNECTION_TIMEOUT_MS": "2000", "NATS_REQUEST_TIMEOUT_MS": "3000", "NATS_SUBSCRIPTION_CAPACITY": "4", "NATS_MAX_RECONNECTS": "5", "NATS_NO_ECHO": "off",
		}, object{
			"driver": "nats", "token": "t", "connection_timeout": "2000ms", "request_timeout": "3000ms", "subscription_capacity": 4.0, "max_reconnects": 5.0, "no_echo": false,
		}},
		{"adapter nats {\ntoken t\n}", map[string]string{"NATS_USERNAME": "u", "NATS_PASSWORD": "p"}, object{"driver": "nats", "username": "u", "password": "p"}},
		{"adapter local", map[string]string{"NATS_SERVERS": "a"}, object{"driver": "local"}},
		{"", map[string]string{"ADAPTER_DRIVER": "nats", "NATS_SERVERS": "a"}, object{"driver": "nats", "servers": []any{"a"}}},
	} {
		got, o, err := overridden(t, c.block, c.env)
		if err != nil {
			t.Errorf("%s with %v: %v", c.block, c.env, err)
			continue
		}
		var adapter object
		if err := json.Unmarshal(got.AdapterRaw, &adapter); err != nil || !reflect.DeepEqual(adapter, c.want) {
			t.Errorf("%s with %v: %v, %v, want %v", c.block, c.env, adapter, err, c.want)
		}
		if applied := slices.Contains(o.names, "NATS_SERVERS"); applied != (c.env["NATS_SERVERS"] != "" && c.want["driver"] == "nats") {
			t.Errorf("applied are %q", o.names)
		}
	}
	for want, env := range map[string]map[string]string{
		`environment variable NATS_USERNAME: NATS_TOKEN is set too, and there is one login`:                     {"NATS_TOKEN": "t", "NATS_USERNAME": "u"},
		`environment variable NATS_MAX_RECONNECTS: "x" is not a whole number`:                                   {"NATS_MAX_RECONNECTS": "x"},
		`environment variable NATS_REQUEST_TIMEOUT_MS: "5s" is not a whole number`:                              {"NATS_REQUEST_TIMEOUT_MS": "5s"},
		`environment variable NATS_NO_ECHO: "maybe" is no boolean; write true, 1, yes, on, false, 0, no or off`: {"NATS_NO_ECHO": "maybe"},
	} {
		_, _, err := overridden(t, "adapter nats", env)
		expectError(t, err, want)
	}
}
