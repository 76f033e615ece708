package sockudo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/console"
	"github.com/sockudo/caddy-sockudo/realtime"
)

// consoleSite is a hub with a console, and a second app.
func consoleSite(port, words string) string {
	return site(port, "sockudo {\n"+words+"\n"+appBlock+"app other {\nkey other-key\nsecret other-secret\n}\n}")
}

// linkTo makes a link with the admin API.
func linkTo(s *server, query string) console.Link {
	s.t.Helper()
	var l console.Link
	if got := s.call("POST", "/sockudo/hubs/default/console?"+query, &l); got != http.StatusCreated {
		s.t.Fatalf("a link is answered with %d", got)
	}
	return l
}

// looker calls the API of a console with a link.
type looker struct {
	t     *testing.T
	base  string
	token string
}

func lookAt(t *testing.T, port string, l console.Link) *looker {
	path, _, _ := strings.Cut(l.Path, "#")
	return &looker{t, "http://127.0.0.1:" + port + path + "api", l.Token}
}

func (k *looker) do(method, path, body string) *http.Response {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.base+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	resp, err := persist(func() (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) })
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// call expects a status, and reads the answer into v unless it is nil.
func (k *looker) call(method, path, body string, status int, v any) {
	k.t.Helper()
	resp := k.do(method, path, body)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	if resp.StatusCode != status {
		k.t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, text, status)
		return
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			k.t.Errorf("%s %s: %v in %s", method, path, err, text)
		}
	}
}

// stream is an open one.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (k *looker) stream(query string) *stream {
	k.t.Helper()
	resp := k.do("GET", "/stream?"+query, "")
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		k.t.Fatalf("a stream is answered with %d %s", resp.StatusCode, text)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	s := &stream{k.t, lines}
	if s.next().Pulse == nil { // it listens when the first pulse is there
		k.t.Fatal("a stream does not begin with a pulse")
	}
	return s
}

func (s *stream) next() (l console.Line) {
	s.t.Helper()
	if !s.lines.Scan() {
		s.t.Fatalf("the stream has ended: %v", s.lines.Err())
	}
	if err := json.Unmarshal(s.lines.Bytes(), &l); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// hear waits for something of a kind.
func (s *stream) hear(kind realtime.Kind) realtime.Happening {
	s.t.Helper()
	for {
		for _, h := range s.next().Happened {
			if h.Kind == kind {
				return h
			}
		}
	}
}

// end waits for the end, and returns why.
func (s *stream) end() string {
	s.t.Helper()
	for {
		if why := s.next().End; why != "" {
			if s.lines.Scan() {
				s.t.Errorf("after its end a stream says %s", s.lines.Bytes())
			}
			return why
		}
	}
}

func TestConsole(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", consoleSite(port, "console {\npublish on\n}"))
	k := lookAt(t, port, linkTo(s, "publish=on"))
	live := k.stream("page=1")
	one, two := dial(t, "127.0.0.1:"+port, "/app/demo-key"), dial(t, "127.0.0.1:"+port, "/app/other-key")
	one.subscribe("room")
	two.subscribe("room")
	for {
		if h := live.hear(realtime.Subscribed); h.App == "other" {
			break
		}
	}

	var apps []realtime.AppState
	k.call("GET", "/apps", "", 200, &apps)
	var channels ChannelPage
	k.call("GET", "/channels?app=demo", "", 200, &channels)
	var members ChannelView
	k.call("GET", "/members?app=demo&channel=room", "", 200, &members)
	if len(apps) != 2 || len(channels.Channels) != 1 || len(members.Connections) != 1 || members.Connections[0].SocketID != one.id || members.Channel.Subscriptions != 1 {
		t.Errorf("%+v\n%+v\n%+v", apps, channels, members)
	}
	var conn realtime.ConnState
	k.call("GET", "/connections/"+one.id, "", 200, &conn)
	if conn.App != "demo" {
		t.Errorf("%+v", conn)
	}

	k.call("POST", "/events?app=demo", `{"name":"greeting","channel":"room","data":"{\"a\":1}","socket_id":"1.1"}`, 200, nil)
	one.expect(`"data":"{\"a\":1}"`)
	if h := live.hear(realtime.Published); h.Data == "" || h.Channel != "room" || !h.Here {
		t.Errorf("%+v", h)
	}
	for body, want := range map[string]string{
		`{"name":"","channel":"room"}`:        "Event name is required",
		`{"name":"e","channel":"no such ch"}`: "hannel",
		`{`:                                   "not valid JSON",
	} {
		var r console.Refusal
		k.call("POST", "/events?app=demo", body, 400, &r)
		if !strings.Contains(r.Error, want) {
			t.Errorf("%s is refused with %q", body, r.Error)
		}
	}
	k.call("POST", "/events?app=nobody", `{}`, 404, nil)
	k.call("DELETE", "/connections/"+two.id, "", 204, nil)
	two.expectClose(4009)
	for _, path := range []string{"/state", "/nodes", "/health", "/session"} {
		k.call("GET", path, "", 200, nil)
	}
	for _, path := range []string{"/webhooks", "/push"} {
		var off ConsoleOff
		if k.call("GET", path, "", 200, &off); off.Off == "" {
			t.Errorf("%s does not say that it is off", path)
		}
	}
	k.call("GET", "/nothing", "", 404, nil)
	contains(t, s.logged(), "an event is published by the console", "a connection is closed by the console")
	if strings.Contains(s.logged(), k.token) {
		t.Error("the log has the token of a link")
	}
}

// A link for one app shows nothing of others, and one for looking changes nothing.
func TestConsoleLinksAreNarrow(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", consoleSite(port, "console {\npublish on\n}"))
	k := lookAt(t, port, linkTo(s, "app=demo&publish=on"))
	two := dial(t, "127.0.0.1:"+port, "/app/other-key")
	two.subscribe("room")
	live := k.stream("page=1&app=other")
	one := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	if h := live.hear(realtime.Connected); h.App != "demo" || h.SocketID != one.id {
		t.Errorf("a stream of one app hears %+v", h)
	}
	var apps []realtime.AppState
	k.call("GET", "/apps", "", 200, &apps)
	var conns ConnectionPage
	k.call("GET", "/connections?app=other", "", 200, &conns)
	var channels ChannelPage
	k.call("GET", "/channels?app=other", "", 200, &channels)
	if len(apps) != 1 || apps[0].ID != "demo" || len(conns.Connections) != 1 || conns.Connections[0].App != "demo" || channels.App != "demo" {
		t.Errorf("%+v\n%+v\n%+v", apps, conns, channels)
	}
	k.call("GET", "/connections/"+two.id, "", 404, nil)
	k.call("DELETE", "/connections/"+two.id, "", 404, nil)
	k.call("GET", "/state", "", 403, nil)
	k.call("POST", "/events?app=other", `{"name":"e","channel":"room","data":"x"}`, 200, nil) // to demo
	if h := live.hear(realtime.Published); h.App != "demo" {
		t.Errorf("%+v", h)
	}
	look := lookAt(t, port, linkTo(s, ""))
	look.call("POST", "/events?app=demo", `{"name":"e","channel":"room","data":"x"}`, 403, nil)
	look.call("DELETE", "/connections/"+one.id, "", 403, nil)
	look.call("POST", "/webhooks/dead/x/replay", "", 403, nil)
}

func TestConsoleRefuses(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", consoleSite(port, "console on"))
	for query, want := range map[string]int{
		"publish=on": 409, "ttl=25h": 400, "ttl=0s": 400, "ttl=x": 400, "publish=perhaps": 400, "app=nobody": 404, "ttl=1h&app=demo": 201,
	} {
		if got := s.call("POST", "/sockudo/hubs/default/console?"+query, nil); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	l := linkTo(s, "")
	base := "http://127.0.0.1:" + port + "/_sockudo"
	for header, want := range map[string]int{
		"Bearer " + l.Token: 200, "Bearer x": 403, "Bearer " + l.Token + "A": 403, "Bearer A" + l.Token: 403, "Bearer .": 403, "Bearer ": 401, "Basic x": 401, "": 401,
		"Bearer " + strings.Repeat("A", 4000) + ".AA": 403,
	} {
		if got, body := request(t, "GET", base+"/api/session", http.Header{"Authorization": {header}}); got != want {
			t.Errorf("%.60q: %d %s, want %d", header, got, body, want)
		}
	}
	// The address of the page has no secret, and other paths are for the site.
	if got, body := request(t, "GET", base+"/", nil); got != 200 || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("the page: %d %s", got, body)
	}
	if got, _ := request(t, "GET", base+"/../x", nil); got == 200 {
		t.Error("a path above the console is answered")
	}
	if _, body := request(t, "GET", base+"s", nil); body != "" && strings.Contains(body, "doctype") {
		t.Errorf("a path beside the console is answered: %s", body)
	}
	s.mustLoad("", consoleSite(port, "console off"))
	if got := s.call("POST", "/sockudo/hubs/default/console", nil); got != 409 {
		t.Errorf("a link to a console that is off is answered with %d", got)
	}
	if _, body := request(t, "GET", base+"/", nil); strings.Contains(body, "doctype") {
		t.Error("a console that is off is served")
	}
}

// A reload keeps links, and open pages connect again; off ends them, and so does the exit of
// the process, at once.
func TestConsoleOverReloads(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	load := func(words string) { s.mustLoad("", consoleSite(port, words)) }
	load("console {\nmax_sessions 2\n}")
	k := lookAt(t, port, linkTo(s, ""))
	first := k.stream("page=1")
	k.stream("page=2")
	if got := k.do("GET", "/stream?page=3", "").StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("a page too many is answered with %d", got)
	}
	again := k.stream("page=1")
	if why := first.end(); why != "replaced" {
		t.Errorf("the first stream of a page ends with %q", why)
	}
	load("drain_period 1s\nconsole {\nmax_sessions 2\n}")
	if why := again.end(); why != "reload" {
		t.Errorf("a reload ends streams with %q", why)
	}
	again = k.stream("page=1")
	load("console off")
	if why := again.end(); why != "off" && why != "reload" {
		t.Errorf("off ends streams with %q", why)
	}
	load("console on")
	again = k.stream("page=1")
	if got := s.call("DELETE", "/sockudo/hubs/default/console", nil); got != http.StatusNoContent {
		t.Error(got)
	}
	if why := again.end(); why != "revoked" {
		t.Errorf("a link that is good no more ends with %q", why)
	}
	k.call("GET", "/session", "", 403, nil)
	k = lookAt(t, port, linkTo(s, "ttl=1s"))
	if why := k.stream("page=1").end(); why != "expired" {
		t.Errorf("a link expires with %q", why)
	}
	k = lookAt(t, port, linkTo(s, ""))
	again = k.stream("page=1")
	began := time.Now()
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("an open console has kept Caddy from stopping for %v", took)
	}
	if why := again.end(); why != "reload" && why != "closed" && why != "off" {
		t.Errorf("at the end streams end with %q", why)
	}
}

// Below a prefix the console works too.
func TestConsoleBelowAPrefix(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", site(port, "handle_path /rt/* {\nsockudo {\nconsole {\npath /debug/console/\n}\n"+appBlock+"}\n}"))
	l := linkTo(s, "")
	base := "http://127.0.0.1:" + port + "/rt/debug/console"
	resp, err := client.Get(base)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !bytes.Contains(body, []byte("doctype")) || resp.Request.URL.Path != "/rt/debug/console/" {
		t.Errorf("%s: %s", resp.Request.URL, body)
	}
	k := &looker{t, base + "/api", l.Token}
	k.stream("page=1")
	k.call("GET", "/channels?app=demo", "", 200, nil)
}

func TestConsoleWords(t *testing.T) {
	for block, want := range map[string]string{
		"console {\npath /\n}":                "console.path: \"/\" is not a path such as /_sockudo",
		"console {\npath debug\n}":            "console.path: \"debug\" is not a path such as /_sockudo",
		"console {\npath /a/../b\n}":          "console.path: \"/a/../b\" is not a path such as /_sockudo",
		"console {\npath /app/x\n}":           "console.path: \"/app/x\" is among the paths that the hub itself serves",
		"console {\nenabled off\npath /up\n}": "console.path: \"/up\" is among the paths that the hub itself serves",
	} {
		_, err := resolve(&mustParse(t, block+"\n"+appBlock).HubConfig, nil)
		expectError(t, err, want)
	}
	for block, want := range map[string]*console.Settings{
		"": nil, "console off": nil, "console": {Path: "/_sockudo", MaxSessions: 5}, "console on": {Path: "/_sockudo", MaxSessions: 5},
		"console {\npath /x/\npublish\nmax_sessions 7\n}": {Path: "/x", Publish: true, MaxSessions: 7},
	} {
		got := mustResolve(t, &mustParse(t, block+"\n"+appBlock).HubConfig, nil).console
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %+v, want %+v", block, got, want)
		}
	}
}

func TestConsoleCommand(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", consoleSite(port, "console {\npublish on\n}"))
	run := func(args ...string) (string, error) {
		cmd, out := consoleCommand(), new(bytes.Buffer)
		cmd.SetOut(out)
		cmd.SetArgs(append(args, "--address", s.admin))
		err := cmd.Execute()
		return out.String(), err
	}
	text, err := run("--site", "http://127.0.0.1:"+port+"/", "--publish", "--app", "demo", "--ttl", "1h")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, text, "may look at and publish to app demo until ")
	line, _, _ := strings.Cut(text, "\n")
	u, err := url.Parse(line)
	if err != nil || u.Path != "/_sockudo/" {
		t.Fatal(line, err)
	}
	k := lookAt(t, port, console.Link{Path: u.Path, Token: u.Fragment})
	var session console.Session
	k.call("GET", "/session", "", 200, &session)
	if session.App != "demo" || !session.Publish || session.Hub != "default" {
		t.Errorf("%+v", session)
	}
	if _, err := run("revoke"); err != nil {
		t.Error(err)
	}
	k.call("GET", "/session", "", 403, nil)
	if _, err := run("--site", "localhost"); err == nil {
		t.Error("a site without a scheme is no error")
	}
	s.mustLoad("", consoleSite(port, ""))
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "write console on") {
		t.Errorf("where the console is off, the command says %v", err)
	}
}
