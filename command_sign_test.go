package sockudo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs a command with some standard input, and gives what it has written.
func run(cmd *cobra.Command, input string, args ...string) (out, errors string, err error) {
	var stdout, stderr bytes.Buffer
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

func mustRun(t *testing.T, cmd *cobra.Command, input string, args ...string) string {
	t.Helper()
	out, _, err := run(cmd, input, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out
}

func runJSON[T any](t *testing.T, cmd *cobra.Command, input string, args ...string) (v T) {
	t.Helper()
	out := mustRun(t, cmd, input, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return v
}

// signSite is a site with an app whose secret is a placeholder.
func signSite(t *testing.T) (s *server, port string) {
	t.Helper()
	t.Setenv("SOCKUDO_TEST_SECRET", "s3cr3t-canary")
	s, port = newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\napp demo {\nkey demo-key\nsecret {env.SOCKUDO_TEST_SECRET}\nenable_user_authentication on\n}\n}"))
	return s, port
}

// What sign makes is taken by a real server, from whichever place the secret comes: for
// private and presence channels, sign-ins and HTTP calls.
func TestSign(t *testing.T) {
	s, port := signSite(t)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cr3t-canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	frame := func(event string, data any) {
		t.Helper()
		text, err := json.Marshal(map[string]any{"event": event, "data": data})
		if err != nil {
			t.Fatal(err)
		}
		k.send(string(text))
	}
	type subscribe struct {
		Channel string `json:"channel"`
		SocketAuth
	}
	a := runJSON[SocketAuth](t, signCommand(), "s3cr3t-canary\n", "--key", "demo-key", "--secret", "-", "--channel", "private-room", "--socket", k.id)
	frame("pusher:subscribe", subscribe{"private-room", a})
	k.expect(`"channel":"private-room"`)

	a = runJSON[SocketAuth](t, signCommand(), "", "--key", "demo-key", "--secret-file", file, "--channel", "presence-room", "--socket", k.id, "--user-data", `{"user_id":"u1","user_info":{"name":"Ü"}}`)
	frame("pusher:subscribe", subscribe{"presence-room", a})
	k.expect(`\"ids\":[\"u1\"]`)

	a = runJSON[SocketAuth](t, signCommand(), "", "--app", "demo", "--address", s.admin, "--signin", "--socket", k.id, "--user-data", `{"id":"u1"}`)
	frame("pusher:signin", a)
	k.expect("signin_success")

	t.Setenv(secretVariable, "s3cr3t-canary")
	call := runJSON[SignedCall](t, signCommand(), "", "--key", "demo-key", "--path", "/apps/demo/events?info=subscription_count",
		"--body", `{"name":"e","channel":"private-room","data":"it's here"}`, "--url", "http://127.0.0.1:"+port)
	resp, err := client.Post(call.URL, "application/json", strings.NewReader(call.Body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	k.expect("it's here")
	if status, body := request(t, "GET", strings.TrimSpace(mustRun(t, signCommand(), "", "--key", "demo-key", "--path", "/apps/demo/channels", "--url", "http://127.0.0.1:"+port+"/")), nil); status != http.StatusOK || !strings.Contains(body, "presence-room") {
		t.Errorf("%d %s", status, body)
	}
	text := mustRun(t, signCommand(), "", "--key", "demo-key", "--channel", "private-room", "--socket", k.id)
	if !strings.HasPrefix(text, "auth: demo-key:") || strings.Contains(text, "canary") {
		t.Error(text)
	}
}

// The line for the shell does what it says, quotes and all.
func TestSignCurl(t *testing.T) {
	_, port := signSite(t)
	t.Setenv(secretVariable, "s3cr3t-canary")
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	k.subscribe("room")
	line := mustRun(t, signCommand(), `{"name":"e","channel":"room","data":"it's $HOME"}`, "--key", "demo-key", "--path", "/apps/demo/events", "--body", "-", "--url", "http://127.0.0.1:"+port, "--curl")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v %s", line, err, out)
	}
	k.expect("it's $HOME")
}

// A secret must not stand on the command line, and what cannot be signed is refused
// before any secret is looked for.
func TestSignRefusals(t *testing.T) {
	t.Setenv(secretVariable, "")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ofSocket := []string{"--key", "k", "--channel", "private-x", "--socket", "1.2"}
	with := func(more ...string) []string { return append(append([]string{}, ofSocket...), more...) }
	for want, args := range map[string][]string{
		"say what to sign":                   {"--key", "k"},
		"--channel and --path are both":      with("--path", "/x"),
		"--body means nothing with":          with("--body", "x"),
		"--socket means nothing":             {"--key", "k", "--path", "/x", "--socket", "1.2"},
		"a secret on the command line":       with("--secret", "hunter2"),
		"--secret and --secret-file":         with("--secret", "-", "--secret-file", empty),
		"--secret -: is empty":               with("--secret", "-"),
		"--secret-file " + empty + ": is em": with("--secret-file", empty),
		"there is no secret: set SOCKUDO_AP": ofSocket,
		"there is no key":                    {"--channel", "private-x", "--socket", "1.2"},
		"is a public channel":                {"--key", "k", "--channel", "x", "--socket", "1.2", "--secret-file", "command.go"},
		"--channel: Channel name":            {"--key", "k", "--channel", "private-ä", "--socket", "1.2", "--secret-file", "command.go"},
		`--socket "x" is not a socket id`:    {"--key", "k", "--channel", "private-x", "--socket", "x", "--secret-file", "command.go"},
		"--user-data of a presence channel":  {"--key", "k", "--channel", "presence-x", "--socket", "1.2", "--secret-file", "command.go"},
		"--user-data of a sign-in":           {"--key", "k", "--signin", "--socket", "1.2", "--secret-file", "command.go"},
		`--path "x" does not begin`:          {"--key", "k", "--path", "x", "--secret-file", "command.go"},
		"--method TRACE is not one of":       {"--key", "k", "--path", "/x", "--method", "trace", "--secret-file", "command.go"},
		"only POST signs one":                {"--key", "k", "--path", "/x", "--method", "put", "--body", "x", "--secret-file", "command.go"},
		"--curl needs --url":                 {"--key", "k", "--path", "/x", "--curl", "--secret-file", "command.go"},
		`--url "ws://x" is not an address`:   {"--key", "k", "--path", "/x", "--url", "ws://x", "--secret-file", "command.go"},
		"the standard input has the secret":  {"--key", "k", "--path", "/x", "--body", "-", "--secret", "-"},
		"--body: open nowhere":               {"--key", "k", "--path", "/x", "--body", "@nowhere", "--secret-file", "command.go"},
		"--key and the secret":               {"--app", "unknown", "--path", "/x"},
		"--key other is not the key of app":  {"--app", "demo", "--key", "other", "--path", "/x"},
	} {
		input := ""
		if strings.Contains(want, "standard input") {
			input = "secret"
		}
		if args[0] == "--app" {
			s, _ := signSite(t)
			args = append(args, "--address", s.admin)
		}
		_, _, err := run(signCommand(), input, args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
	t.Setenv(secretVariable, "x")
	_, warning, err := run(signCommand(), "", "--key", "k", "--channel", "private-encrypted-x", "--socket", "1.2")
	if err != nil || !strings.Contains(warning, "shared_secret") {
		t.Error(warning, err)
	}
}

// An app is found in a global option and under a handler of its hub, and nowhere else.
func TestRunningApp(t *testing.T) {
	s, a, b := newServer(t), freePort(t), freePort(t)
	one := strings.ReplaceAll(appBlock, "demo-key", "one-key")
	s.mustLoad("sockudo one {\n"+one+"}", site(a, "sockudo one")+site(b, "handle_path /rt/* {\nsockudo two {\n"+appBlock+"}\n}"))
	for hub, key := range map[string]string{"one": "one-key", "two": "demo-key"} {
		out := mustRun(t, signCommand(), "", "--app", "demo", "--hub", hub, "--address", s.admin, "--path", "/apps/demo/channels")
		if !strings.Contains(out, "auth_key="+key+"&") {
			t.Errorf("hub %s: %s", hub, out)
		}
	}
	if err := runCommand(signCommand(), "--app", "demo", "--address", s.admin, "--path", "/apps/demo/channels"); err == nil {
		t.Error("an app of another hub is taken")
	}
}
