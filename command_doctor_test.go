package sockudo

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/doctor"
	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// examined runs the command and gives its report and the code that it exits with.
func examined(t *testing.T, args ...string) (doctor.Report, int) {
	t.Helper()
	cmd := doctorCommand()
	code := -1
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		code, err = examine(cmd, args[0])
		return err
	}
	out, _, err := run(cmd, "", append(args, "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err, out)
	}
	return r, code
}

// step is a step of a report.
func step(t *testing.T, r doctor.Report, name string) doctor.Step {
	t.Helper()
	i := slices.IndexFunc(r.Steps, func(s doctor.Step) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no step %s in %+v", name, r)
	}
	return r.Steps[i]
}

// ill examines and wants a step to be the first that is broken, with a cause and a fix.
func ill(t *testing.T, name, cause string, args ...string) doctor.Report {
	t.Helper()
	r, code := examined(t, args...)
	i := firstBroken(r.Steps)
	if i < 0 || r.Steps[i].Name != name || !strings.Contains(r.Steps[i].Cause, cause) || r.Steps[i].Fix == "" {
		t.Errorf("%q: want %s, %s; got %+v", args, name, cause, r.Steps)
		return r
	}
	want := exitFound
	if r.Steps[i].Outcome == doctor.Warning {
		want = exitWarnings
	}
	if code != want || r.Outcome != r.Steps[i].Outcome {
		t.Errorf("%s %s: code %d, outcome %s", name, cause, code, r.Outcome)
	}
	return r
}

// patient is a healthy server.
func patient(t *testing.T) (s *server, port string, creds []string) {
	t.Helper()
	s, port = newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+strings.Replace(appBlock, "secret ", "enable_client_messages on\nsecret ", 1)+"}"))
	t.Setenv(secretVariable, "s3cr3t-canary")
	return s, port, []string{"--key", "demo-key", "--app", "demo", "--timeout", "3s"}
}

// A healthy server passes all steps; those that nobody asked for are skipped, and so are
// those without a secret or a key.
func TestDoctorHealthy(t *testing.T) {
	_, port, creds := patient(t)
	r, code := examined(t, append(creds, "http://127.0.0.1:"+port, "--idle", "300ms", "--payload", "100000")...)
	skipped := []string{"tls", "webhook", "push"}
	for _, s := range r.Steps {
		want := doctor.OK
		if slices.Contains(skipped, s.Name) {
			want = doctor.Skipped
		}
		if s.Outcome != want || s.Detail == "" {
			t.Errorf("%+v", s)
		}
	}
	if code != 0 || r.Outcome != doctor.OK || len(r.Steps) != 17 {
		t.Errorf("%d %s, %d steps", code, r.Outcome, len(r.Steps))
	}
	t.Setenv(secretVariable, "")
	r, code = examined(t, append(creds, "http://127.0.0.1:"+port)...)
	if code != 0 || step(t, r, "ping").Outcome != doctor.OK || !strings.Contains(step(t, r, "auth").Detail, "there is no secret") || step(t, r, "presence").Detail != "needs the step auth" {
		t.Errorf("%d %+v", code, r)
	}
	r, _ = examined(t, "http://127.0.0.1:"+port)
	if !strings.Contains(step(t, r, "upgrade").Detail, "there is no key") || step(t, r, "connect").Outcome != doctor.Skipped {
		t.Errorf("%+v", r)
	}
}

// What is written for people names the step, its cause and its fix, and no secret.
func TestDoctorText(t *testing.T) {
	_, port, creds := patient(t)
	t.Setenv(secretVariable, "wrong-canary")
	cmd := doctorCommand()
	out, _, err := run(cmd, "", append(creds, "http://127.0.0.1:"+port)...)
	if err == nil {
		t.Error("no error, so the command would exit with 0")
	}
	contains(t, out, "failed   auth ", "cause: the secret is not that of the app", "fix: Take the secret", "skipped  presence      needs the step auth\n", "The first thing to look at is auth.")
	if strings.Contains(out, "canary") {
		t.Error(out)
	}
	t.Setenv(secretVariable, "s3cr3t-canary")
	if out, _, err = run(doctorCommand(), "", append(creds, "http://127.0.0.1:"+port)...); err != nil {
		t.Error(err)
	}
	contains(t, out, "Everything that was tried works.")
}

// settle waits until the sockets of the last walk are gone.
func settle(t *testing.T, s *server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		var states []HubState
		s.call("GET", "/sockudo/hubs", &states)
		if len(states) == 1 && states[0].Sockets == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", states)
		}
		wait.For(t.Context(), time.Millisecond)
	}
}

// Faults of the app and its credentials.
func TestDoctorApps(t *testing.T) {
	s, port, creds := patient(t)
	url := "http://127.0.0.1:" + port
	ill(t, "connect", "no app with the key other", "--key", "other", "--app", "demo", url)
	ill(t, "publish", "the key belongs to another app", "--key", "demo-key", "--app", "other", url)
	t.Setenv(secretVariable, "wrong")
	r := ill(t, "auth", "the secret is not that of the app", append(creds, url)...)
	if p := step(t, r, "publish"); p.Outcome != doctor.Failed || !strings.Contains(p.Cause, "the secret is not that of the app") {
		t.Errorf("%+v", p)
	}
	t.Setenv(secretVariable, "s3cr3t-canary")
	with := func(words, hub string) {
		t.Helper()
		s.mustLoad("", site(port, "sockudo {\n"+hub+"\n"+strings.Replace(appBlock, "secret ", words+"\nsecret ", 1)+"}"))
		settle(t, s)
	}
	const unlimited = "rate_limiter {\nenabled off\n}"
	t.Setenv("SOCKUDO_DEFAULT_APP_ENABLED", "false")
	with("", unlimited)
	ill(t, "http", "something that it depends on", append(creds, url)...)
	t.Setenv("SOCKUDO_DEFAULT_APP_ENABLED", "true")
	other := strings.ReplaceAll(appBlock, "demo", "other")
	with("enabled off", unlimited+"\n"+other)
	ill(t, "connect", "the app is disabled", append(creds, url)...)
	with("allowed_origins https://good.example", unlimited)
	ill(t, "connect", "this client has none", append(creds, url)...)
	ill(t, "connect", "does not admit the origin https://bad.example", append(creds, url, "--origin", "https://bad.example")...)
	if _, code := examined(t, append(creds, url, "--origin", "https://good.example")...); code != 0 {
		t.Error(code)
	}
	with("max_connections 1", unlimited)
	ill(t, "presence", "a second socket is not admitted", append(creds, url)...)
	settle(t, s)
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	ill(t, "connect", "as many sockets as it may have", append(creds, url)...)
	_ = k.Close()
	with("max_event_payload_in_kb 1", unlimited)
	ill(t, "payload", "larger than the app may publish", append(creds, url)...)
	with("", unlimited+"\npresence {\ngrace 1m\n}")
	if _, code := examined(t, append(creds, url)...); code != 0 { // who leaves by itself is gone at once
		t.Error(code)
	}
	with("max_backend_events_per_second 1", unlimited)
	ill(t, "delivery", "called too often", append(creds, url)...)
	with("", "max_connections 1\n"+unlimited)
	ill(t, "presence", "a second socket is not admitted", append(creds, url)...)
	with("", unlimited)
	if status := s.call("POST", "/sockudo/hubs/default/drain", nil); status != http.StatusAccepted {
		t.Error(status)
	}
	r = ill(t, "http", "the server is draining", append(creds, url)...)
	if u := step(t, r, "upgrade"); !strings.Contains(u.Cause, "draining") {
		t.Errorf("%+v", u)
	}
}

// Faults of the site in front of the hub.
func TestDoctorSite(t *testing.T) {
	s, port, creds := patient(t)
	url := "http://127.0.0.1:" + port
	args := append(creds, url)
	hub := "sockudo {\nrate_limiter {\nenabled off\n}\n" + appBlock + "}"
	load := func(body string) {
		t.Helper()
		s.mustLoad("", "http://127.0.0.1:"+port+" {\n"+body+"\n}\n")
	}
	page := t.TempDir()
	if err := os.WriteFile(page+"/index.html", []byte("<!doctype html><title>x</title>"), 0o600); err != nil {
		t.Fatal(err)
	}
	load("root " + page + "\ntry_files {path} /index.html\n" + hub + "\nfile_server")
	ill(t, "http", "another route answers first", args...)
	load("handle_path /rt/* {\n" + hub + "\n}\nhandle {\nroot " + page + "\nfile_server\n}")
	ill(t, "http", "no sockudo directive", args...)
	if r, code := examined(t, append(slices.Clone(creds), url+"/rt/")...); code != 0 {
		t.Errorf("%+v", r)
	}
	load("redir https://elsewhere.example{uri} 301\n" + hub)
	ill(t, "http", "the address redirects", args...)
	load("@in path /app/*\nroute @in {\nrespond 403\n}\nroute {\n" + hub + "\n}")
	ill(t, "upgrade", "asks for credentials or blocks", args...)
	load("route {\nrespond /up 401\n" + hub + "\n}")
	ill(t, "http", "asks for credentials or blocks", args...)
	load("route {\nrespond /app/* hello 200\n" + hub + "\n}")
	ill(t, "upgrade", "another route answers the path of sockets", args...)
	load("route {\nrespond /apps/* 404\n" + hub + "\n}")
	ill(t, "publish", "no sockudo directive", args...)
	load("reverse_proxy 127.0.0.1:" + freePort(t))
	ill(t, "http", "the proxy in front does not reach the server", args...)
	load("request_body {\nmax_size 5000\n}\n" + hub)
	ill(t, "payload", "admits smaller bodies", args...)
	load("sockudo {\nrate_limiter {\nupgrades 1 1m\n}\n" + appBlock + "}")
	ill(t, "presence", "a second socket is not admitted", args...)
	ill(t, "upgrade", "opened too many sockets", args...)
}

// What the server needs, and what it can do without, is away.
func TestDoctorHealth(t *testing.T) {
	s, port := newServer(t), freePort(t)
	t.Setenv(secretVariable, "s3cr3t-canary")
	historyOut.Store(true)
	defer historyOut.Store(false)
	for words, cause := range map[string]string{"": "something that it depends on does not", "on_failure deliver": "something that the server can do without"} {
		s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+"history counted {\n"+words+"\n}\n}"))
		ill(t, "http", cause, "--key", "demo-key", "--app", "demo", "--timeout", "3s", "http://127.0.0.1:"+port)
	}
}

// Faults of the network before any HTTP.
func TestDoctorNetwork(t *testing.T) {
	ill(t, "dns", "no such name", "https://nowhere.invalid")
	ill(t, "tcp", "nothing listens", "http://127.0.0.1:"+freePort(t))
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ill(t, "http", "no answer comes", "http://"+silent.Addr().String(), "--timeout", "300ms")
	ill(t, "tcp", "a firewall drops what comes in", "http://"+deafPort(t), "--timeout", "300ms")
	for want, args := range map[string][]string{
		"is none such as":                    {"ftp://example.com"},
		"has more in it than":                {"https://example.com/?x=1"},
		"--webhook needs --app":              {"https://example.com", "--webhook"},
		"--webhook-listen needs the key":     {"https://example.com", "--webhook-listen", ":0"},
		"must not be negative":               {"https://example.com", "--timeout", "-1s"},
		"--ca: open nowhere":                 {"https://example.com", "--ca", "nowhere"},
		"--ca: command.go has no certificat": {"https://example.com", "--ca", "command.go"},
	} {
		t.Setenv(secretVariable, "")
		if err := runCommand(doctorCommand(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}

// Faults of certificates, and of those who end TLS.
func TestDoctorTLS(t *testing.T) {
	s, port := newServer(t), freePort(t)
	t.Setenv(secretVariable, "s3cr3t-canary")
	load := func(host string, files certtest.Files, global string) {
		t.Helper()
		port = freePort(t) // so that nobody answers from the configuration before
		s.mustLoad("auto_https off\n"+global, "https://"+host+":"+port+" {\ntls "+files.Cert+" "+files.Key+"\nsockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+"}\n}\n")
	}
	good, expired := certtest.New(t), certtest.Expired(t)
	args := func(files certtest.Files, host string) []string {
		return []string{"https://" + host + ":" + port, "--ca", files.CA, "--key", "demo-key", "--app", "demo", "--timeout", "3s"}
	}
	load("127.0.0.1", good, "")
	if r, code := examined(t, args(good, "127.0.0.1")...); code != 0 || step(t, r, "tls").Outcome != doctor.OK {
		t.Errorf("%+v", r)
	}
	ill(t, "tls", "signed by nobody whom this machine trusts", args(good, "127.0.0.1")[0])
	load("127.0.0.1", expired, "")
	ill(t, "tls", "has expired", args(expired, "127.0.0.1")...)
	expiring := certtest.Expiring(t)
	load("127.0.0.1", expiring, "")
	ill(t, "tls", "should have been renewed", args(expiring, "127.0.0.1")...)
	load("localhost", good, "default_sni localhost")
	ill(t, "tls", "is for another name", args(good, "localhost")...)
	load("127.0.0.1", good, "servers {\nprotocols h2\n}")
	ill(t, "tls", "HTTP/2 only", args(good, "127.0.0.1")...)
	port = freePort(t)
	s.mustLoad("auto_https off", "http://127.0.0.1:"+port+" {\nsockudo {\n"+appBlock+"}\n}\n")
	ill(t, "tls", "does not speak TLS", args(good, "127.0.0.1")...)
}

// Faults of whatever stands before Caddy, each made by a proxy that has it.
func TestDoctorProxies(t *testing.T) {
	_, port, creds := patient(t)
	for _, c := range doctorProxies() {
		t.Run(c.name, func(t *testing.T) {
			front := c.front(t, "127.0.0.1:"+port)
			ill(t, c.step, c.cause, append(slices.Clone(creds), append(c.args, "http://"+front)...)...)
		})
	}
}

// A call that gets no answer is reported without its signature.
func TestDoctorHidesSignatures(t *testing.T) {
	_, port, creds := patient(t)
	front := overTCP(func(client, server net.Conn, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = io.Copy(client, server)
		}
	})(t, "127.0.0.1:"+port)
	r := ill(t, "publish", "no answer comes", append(creds, "http://"+front)...)
	if text := fmt.Sprint(r); strings.Contains(text, "auth_signature") {
		t.Error(text)
	}
}

// Webhooks: delivered, refused, none, heard by the command itself; and push that is off.
func TestDoctorWebhooks(t *testing.T) {
	s, port := newServer(t), freePort(t)
	t.Setenv(secretVariable, "s3cr3t-canary")
	status := http.StatusOK
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer receiver.Close()
	load := func(url string) {
		t.Helper()
		hook := ""
		if url != "" {
			hook = "webhook " + url + " {\nevents channel_occupied\n}\n"
		}
		s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\nqueue memory\nwebhooks {\nallow_private on\nallow_lossy_queue on\nflush_interval 10ms\nretry {\ninitial_backoff 10ms\nmax_attempts 2\n}\n}\n"+strings.Replace(appBlock, "secret ", hook+"secret ", 1)+"}"))
	}
	args := []string{"--key", "demo-key", "--app", "demo", "--timeout", "5s", "--address", s.admin, "--push", "http://127.0.0.1:" + port}
	load(receiver.URL)
	r, code := examined(t, append(args, "--webhook")...)
	if code != 0 || step(t, r, "webhook").Outcome != doctor.OK || step(t, r, "push").Detail != "push notifications are off" {
		t.Errorf("%d %+v", code, r)
	}
	ill(t, "webhook", "the admin API does not say", append(args, "--webhook", "--address", "127.0.0.1:"+freePort(t))...)
	load("http://127.0.0.1:" + freePort(t))
	ill(t, "webhook", "a receiver does not accept", append(args, "--webhook")...)
	listen := "127.0.0.1:" + freePort(t)
	load("http://" + listen)
	if r, code := examined(t, append(args, "--webhook-listen", listen)...); code != 0 || step(t, r, "webhook").Outcome != doctor.OK {
		t.Errorf("%d %+v", code, r)
	}
	ill(t, "webhook", "does not reach this address", append(args, "--webhook-listen", "127.0.0.1:"+freePort(t), "--timeout", "1s")...)
	load("")
	r, _ = examined(t, append(args, "--webhook", "--timeout", "1s")...)
	if w := step(t, r, "webhook"); w.Outcome != doctor.Skipped && w.Outcome != doctor.Warning {
		t.Errorf("%+v", w)
	}
}

// The walk ends at once when it is told to.
func TestDoctorEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := contextWithEnd(t)
	o := doctor.Options{URL: "http://" + silent.Addr().String(), Timeout: time.Hour, Progress: func(s doctor.Step) {
		if s.Name == "tls" {
			cancel()
		}
	}}
	if _, err := doctor.Run(ctx, o); err == nil {
		t.Error("no error")
	}
}
