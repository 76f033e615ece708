package sockudo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/storage"
)

// typed is what a command has written, and how it has ended.
type typed struct {
	out, err string
	code     int
}

// outputBuffer is written by a command and read by a test.
type outputBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *outputBuffer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *outputBuffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newTyped is the command caddy sockudo with arguments.
func newTyped(ctx context.Context, out, errs *outputBuffer, args ...string) *cobra.Command {
	cmd := &cobra.Command{Use: "sockudo"}
	addCommands(cmd)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	cmd.SetIn(strings.NewReader(""))
	cmd.SetArgs(args)
	cmd.SetContext(ctx)
	return cmd
}

func typeIn(t *testing.T, in string, args ...string) typed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs outputBuffer
	cmd := newTyped(ctx, &out, &errs, args...)
	cmd.SetIn(strings.NewReader(in))
	err := cmd.Execute()
	return typed{out.String(), errs.String(), exitCode(err)}
}

// typed runs a command about this server.
func (s *server) typed(args ...string) typed {
	s.t.Helper()
	return typeIn(s.t, "", append(args, "--address", s.admin)...)
}

// must runs a command that succeeds.
func (s *server) must(args ...string) string {
	s.t.Helper()
	got := s.typed(args...)
	if got.code != 0 {
		s.t.Errorf("%v ends with %d: %s%s", args, got.code, got.out, got.err)
	}
	return got.out
}

// twoAppsBlock are an app without and one with presence clients.
const twoAppsBlock = "app a {\nkey a-key\nsecret a-secret\nenable_client_messages on\n}\napp b {\nkey b-key\nsecret b-secret\n}\n"

// hostile is a text that would paint a terminal red, and its title.
const hostile = "\x1b[31mred\x1b]0;title\x07\u202egnol\u009b1m"

const hostileShown = `\x1b[31mred\x1b]0;title\a\u202egnol\u009b1m`

func TestChannelCommands(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\n"+twoAppsBlock+"}"))
	if got := s.must("channels", "--app", "a"); got != "No channel is occupied.\n" {
		t.Error(got)
	}
	if got := s.must("connections"); got != "No socket is open.\n" {
		t.Error(got)
	}
	c := dial(t, "127.0.0.1:"+port, "/app/a-key")
	c.subscribe("room-1")
	c.subscribe("room-two")
	if got, want := s.must("channels", "--app", "a"), "CHANNEL   SUBSCRIPTIONS  USERS\nroom-1    1              \nroom-two  1              \n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := s.must("channels", "--app", "a", "--prefix", "room-", "--limit", "1"), "CHANNEL  SUBSCRIPTIONS  USERS\nroom-1   1              \nThese are 1 of 2: see --limit and --prefix.\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := s.must("channels", "--app", "a", "--prefix", "room-t", "--json"), `{"app_id":"a","total":1,"channels":[{"name":"room-two","subscription_count":1,"user_count":0}]}`+"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	contains(t, s.must("connections", "--app", "a"), "SOCKET", c.id, "127.0.0.1", "room-1 room-two")
	var page ConnectionPage
	if err := json.Unmarshal([]byte(s.must("connections", "--json")), &page); err != nil || len(page.Connections) != 1 || page.Connections[0].SocketID != c.id {
		t.Errorf("%+v, %v", page, err)
	}
	if got := s.must("connections", "close", c.id); got != "Socket "+c.id+" is closed.\n" {
		t.Error(got)
	}
	c.expectClose(4009)
	for want, args := range map[int][][]string{
		exitFailed:      {{"channels"}, {"channels", "--app", "a", "--limit", "0"}, {"channels", "x", "--app", "a"}, {"connections", "close"}, {"nonsense"}, {"presence", "room-1", "--app", "a"}},
		exitMissing:     {{"channels", "--app", "none"}, {"connections", "close", "1.1"}, {"presence", "presence-none", "--app", "a"}, {"channels", "--app", "a", "--hub", "none"}},
		exitUnreachable: {{"channels", "--app", "a", "--address", "127.0.0.1:1"}},
	} {
		for _, args := range args {
			if got := typeIn(t, "", append([]string{args[0], "--address", s.admin}, args[1:]...)...); got.code != want || got.err == "" && args[0] != "nonsense" {
				t.Errorf("%v ends with %d, want %d: %s%s", args, got.code, want, got.out, got.err)
			}
		}
	}
}

// What clients name and send is shown, and not obeyed.
func TestHostileNames(t *testing.T) {
	for text, want := range map[string]string{
		"plain ä 日本 \\n": "plain ä 日本 \\n", hostile: hostileShown, "a\nb\tc\r": `a\nb\tc\r`, "bad\xff\xc3": `bad\xff\xc3`, "\u2028\x7f": `\u2028\x7f`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\n"+twoAppsBlock+"}"))
	var out, errs outputBuffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	cmd := newTyped(ctx, &out, &errs, "tail", "--address", s.admin, "--kind", "received,connected")
	go func() { done <- cmd.Execute() }()
	eventually(t, "somebody who listens", func() bool { return findHub(defaultHub).tails.Load() == 1 })
	c := dial(t, "127.0.0.1:"+port, "/app/a-key")
	frame, err := json.Marshal(map[string]any{"event": "client-" + hostile, "channel": hostile, "data": hostile})
	if err != nil {
		t.Fatal(err)
	}
	c.send(string(frame))
	eventually(t, "the frame", func() bool { return strings.Contains(out.String(), "received") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	contains(t, out.String(), "channel="+hostileShown, "event=client-"+hostileShown, "app=a")
	if strings.ContainsAny(out.String()+errs.String(), "\x1b\x07\u202e\u009b") {
		t.Errorf("a terminal would obey %q", out.String()+errs.String())
	}
}

func TestAppsCommand(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\napp_manager sqlite {\npath "+filepath.Join(t.TempDir(), "apps.db")+"\n}\n}"))
	if got := s.must("apps"); got != "There is no app.\n" {
		t.Error(got)
	}
	file := filepath.Join(t.TempDir(), "app.json")
	if err := os.WriteFile(file, []byte(`{"max_connections": 7, "webhooks": [{"url": "http://hook:pass-canary@example.com/", "events": ["channel_occupied"], "headers": {"x-one": "header-canary"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	made := s.must("apps", "put", "chat", file)
	contains(t, made, "app          chat\n", "(shown this once)", `"max_connections":7`)
	secret := secretIn(t, made)
	if got, want := s.must("apps"), "APP   ENABLED  SOCKETS  USERS  CHANNELS  SUBSCRIPTIONS  MEMBERS\nchat  yes      0        0      0         0              0\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	shown := s.must("apps", "show", "chat")
	if strings.Contains(shown, secret) || strings.Contains(shown, "canary") {
		t.Error(shown)
	}
	rotated := s.must("apps", "rotate-secret", "chat", "--overlap", "1h")
	contains(t, rotated, "old secrets  1 still good\n", `"max_connections":7`)
	if again := secretIn(t, rotated); again == secret {
		t.Error("the secret is the old one")
	}
	var record AppRecord
	if err := json.Unmarshal([]byte(s.must("apps", "show", "chat", "--json")), &record); err != nil || !strings.Contains(string(record.Policy), "x-one") {
		t.Errorf("%v, %+v", err, record)
	}
	app := storedApp(t, "chat")
	if app.Webhooks[0].Headers["x-one"] != "header-canary" || !strings.Contains(app.Webhooks[0].URL, "pass-canary") || app.Limits.MaxConnections != 7 {
		t.Errorf("the new secret has cost the app %+v", app)
	}
	contains(t, typeIn(t, `{"max_connections": 8}`, "apps", "put", "chat", "-", "--address", s.admin).out, `"max_connections":8`)
	for want, args := range map[int][][]string{
		exitFailed: {
			{"apps", "put", "chat", "/nowhere"},
			{"apps", "put"},
			{"apps", "delete", "chat", "--version", "other"},
			{"apps", "rotate-secret", "chat", "--overlap", "soon"},
			{"apps", "rotate-secret", "chat", "--version", "other"},
		},
		exitMissing: {{"apps", "show", "none"}, {"apps", "delete", "none"}, {"apps", "rotate-secret", "none"}},
	} {
		for _, args := range args {
			if got := s.typed(args...); got.code != want {
				t.Errorf("%v ends with %d, want %d: %s", args, got.code, want, got.err)
			}
		}
	}
	if got := s.must("apps", "delete", "chat"); got != "App chat is removed.\n" {
		t.Error(got)
	}
	if got := s.typed("apps", "show", "chat"); got.code != exitMissing {
		t.Errorf("a removed app: %+v", got)
	}
}

// secretIn is the secret that a command has shown.
func secretIn(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "secret       ")
	secret, _, ok2 := strings.Cut(rest, "  (shown this once)")
	if !ok || !ok2 || len(secret) != 64 {
		t.Fatalf("no secret in %s", text)
	}
	return secret
}

func storedApp(t *testing.T, id string) *storage.App {
	t.Helper()
	live, err := findHub(defaultHub).Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	app, err := live.Settings.Drivers.Apps.AppByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// With one hub nobody has to name it.
func TestHubFlag(t *testing.T) {
	s, one, two := newServer(t), freePort(t), freePort(t)
	if got := s.typed("apps", "--address", "127.0.0.1:1"); got.code != exitUnreachable {
		t.Errorf("nobody there: %+v", got)
	}
	s.mustLoad("", ":"+one+" {\nrespond ok\n}\n")
	if got := s.typed("apps"); got.code != exitMissing || !strings.Contains(got.err, "no hub is running") {
		t.Errorf("no hub: %+v", got)
	}
	s.mustLoad("", site(one, "sockudo red {\n"+appBlock+"}")+site(two, "sockudo blue {\n"+appBlock+"}"))
	for _, args := range [][]string{{"apps"}, {"channels", "--app", "demo"}, {"connections"}, {"drain"}, {"tail"}, {"webhooks"}, {"push"}} {
		if got := s.typed(args...); got.code != exitFailed || !strings.Contains(got.err, "--hub: blue, red") {
			t.Errorf("%v of two hubs: %+v", args, got)
		}
	}
	contains(t, s.must("apps", "--hub", "red"), "demo")
	status := s.must("status", "--rates")
	contains(t, status, "hub                     blue\n", "hub                     red\n", "health                  OK\n", "rates                   0.0 connections, 0.0 messages received, 0.0 sent, 0.0 HTTP calls a second\n")
	var reports []HubReport
	if err := json.Unmarshal([]byte(s.must("status", "--json")), &reports); err != nil || len(reports) != 2 || reports[1].Health == nil || reports[1].Health.Status != "OK" {
		t.Errorf("%+v, %v", reports, err)
	}
}

// The help names every command, in the words of the shell.
func TestHelpListsCommands(t *testing.T) {
	help := typeIn(t, "", "help").out
	for _, name := range []string{"status", "apps", "channels", "connections", "presence", "tail", "publish", "subscribe", "drain", "webhooks", "push", "vapid-keys"} {
		if !strings.Contains(help, "\n  "+name+" ") {
			t.Errorf("%s is not in\n%s", name, help)
		}
		if got := typeIn(t, "", name, "--help"); got.code != 0 || !strings.Contains(got.out, "--json") {
			t.Errorf("the help of %s: %+v", name, got)
		}
	}
}
