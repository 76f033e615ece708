package sockudo

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/gorilla/websocket"
	"github.com/pusher/pusher-http-go/v5"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/migrate"
)

// imported reads files of testdata.
func imported(t *testing.T, site string, names ...string) *Imported {
	t.Helper()
	var files []migrate.File
	for _, name := range names {
		text, err := os.ReadFile("testdata/import/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, migrate.File{Name: name, Text: text})
	}
	i, err := importFiles("", site, files)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// importFixtures are the files that are read together.
var importFixtures = [][]string{
	{"soketi.env"},
	{"soketi.json"},
	{"soketi-stores.json", "soketi-stores.env"},
	{"soketi-cluster.json"},
	{"reverb.env"},
	{"reverb.json"},
	{"pusher.env"},
	{"pusher-url.env"},
	{"pusher-host.env"},
	{"sockudo.env"},
	{"sockudo.toml"},
}

// TestImportGoldens compares Caddyfiles and reports with what is expected, and looks for
// secrets in them.
func TestImportGoldens(t *testing.T) {
	for _, names := range importFixtures {
		t.Run(names[0], func(t *testing.T) {
			i := imported(t, "", names...)
			got := i.Caddyfile + goldenSeparator + i.describe()
			golden := "testdata/import/" + names[0] + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if len(i.secrets) == 0 {
				t.Error("there is no secret")
			}
			whole, err := json.Marshal(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range i.secrets {
				if s.Value == "" || strings.Contains(string(whole)+got, s.Value) {
					t.Errorf("the secret %s is shown, or empty", s.Name)
				}
				contains(t, i.Caddyfile, "{env."+s.Name+"}")
			}
		})
	}
}

// runImported serves an import, with the secrets in the environment and ports that are
// free, and returns the port.
func runImported(t *testing.T, edit func(string) string, names ...string) (port string) {
	t.Helper()
	port = freePort(t)
	i := imported(t, "http://127.0.0.1:"+port, names...)
	for _, s := range i.secrets {
		t.Setenv(s.Name, s.Value)
	}
	s := newServer(t)
	options := "{\n\tadmin " + s.admin + "\n\tpersist_config off\n"
	text := i.Caddyfile
	if strings.Contains(text, "\n{\n") {
		text = strings.Replace(text, "\n{\n", "\n"+options, 1)
	} else {
		text = options + "}\n" + text
	}
	text = regexp.MustCompile(`(?m)^:96\d\d \{`).ReplaceAllStringFunc(text, func(string) string { return "http://127.0.0.1:" + freePort(t) + " {" })
	s.mustRun(edit(text))
	return port
}

// mustRun runs a whole Caddyfile.
func (s *server) mustRun(text string) {
	s.t.Helper()
	config, _, err := adapt(text)
	if err != nil {
		s.t.Fatalf("%v in\n%s", err, text)
	}
	if err := caddy.Load(config, true); err != nil {
		s.t.Fatalf("%v in\n%s", err, text)
	}
}

// backend is what the app had before: it publishes with the credentials of then.
func backend(port, id, key, secret string) *pusher.Client {
	return &pusher.Client{AppID: id, Key: key, Secret: secret, Host: "127.0.0.1:" + port, HTTPClient: client}
}

// TestImportsServe runs an import of each server: a client connects with the key that it
// had, and gets an event which the backend publishes with the credentials that it had.
func TestImportsServe(t *testing.T) {
	redis, nats := redistest.Start(t), natstest.Start(t, "")
	servers := func(text string) string {
		_, port, _ := strings.Cut(redis.Addr(), ":")
		text = strings.ReplaceAll(text, "127.0.0.1:4222", nats.Addr())
		return strings.ReplaceAll(text, "port 6379", "port "+port)
	}
	for _, c := range []struct {
		file, id, key, secret, prefix string
	}{
		{"soketi.env", "1234", "shop-key", "shop secret", "/ws"},
		{"soketi.json", "first", "first-key", "first {secret} of two", ""},
		{"reverb.env", "256980", "laravel-key", "laravel-secret", ""},
		{"pusher.env", "987654", "pusher-key", "pusher-secret", ""},
		{"pusher-url.env", "4321", "url-key", "url-secret", ""},
		{"sockudo.env", "sockudo-app", "sockudo-key", "sockudo-secret", ""},
		{"sockudo.toml", "toml-app", "toml-key", "toml-secret", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			port := runImported(t, servers, c.file)
			live := dialFrom(t, "https://shop.example.com", "ws://127.0.0.1:"+port+c.prefix+"/app/"+c.key+"?protocol=7&client=js&version=8.4.0")
			live.subscribe("orders")
			b := backend(port, c.id, c.key, c.secret)
			if c.prefix != "" {
				b.Host += c.prefix
			}
			if err := b.Trigger("orders", "paid", map[string]int{"id": 7}); err != nil {
				t.Fatal(err)
			}
			contains(t, live.expect(`"paid"`), `{\"id\":7}`)
			auth, err := b.AuthorizePrivateChannel([]byte("channel_name=private-orders&socket_id=" + live.id))
			if err != nil {
				t.Fatal(err)
			}
			live.send(`{"event":"pusher:subscribe","data":{"channel":"private-orders",` + string(auth[1:len(auth)-1]) + `}}`)
			live.expect("subscription_succeeded")
		})
	}
}

// dialFrom connects as a page of an origin does.
func dialFrom(t *testing.T, origin, url string) *socket {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {origin}})
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

// TestImportErrors wants the file and the line in each error, and no secret.
func TestImportErrors(t *testing.T) {
	for _, c := range []struct{ name, text, from, want string }{
		{".env", "A=1\nSOKETI_PORT=no\n", "", `.env:2: SOKETI_PORT: "no" is not a whole number`},
		{".env", "SOKETI_DEBUG=maybe", "", `.env:1: SOKETI_DEBUG: "maybe" is neither true nor false`},
		{".env", "SOKETI_ADAPTER_DRIVER=pigeon", "", `.env:1: SOKETI_ADAPTER_DRIVER: soketi has no adapter "pigeon"`},
		{".env", "\n\nSOKETI_DEFAULT_APP_WEBHOOKS=[{]", "", ".env:3: invalid character ']' looking for beginning of object key string in SOKETI_DEFAULT_APP_WEBHOOKS"},
		{"a.json", "{\n\"port\": 1,\n\"port\": 2}", "soketi", "a.json:3: port is written twice"},
		{"a.json", "{\n\"port\": {\"a\": 1}}", "soketi", ""},
		{"a.json", "{\n\"port\": }", "soketi", "a.json:2: invalid character '}' looking for beginning of value"},
		{"a.json", "{\"debug\": true,\n\"presence\": {\n\"maxMembersPerChannel\": 0}}", "", "a.json:3: presence.maxMembersPerChannel: 0 has to be at least 1"},
		{"a.json", "[]", "soketi", "a.json:1: the file has to be one object"},
		{"reverb.php", "<?php return [];", "", `php artisan tinker --execute='echo json_encode(config("reverb"));' > reverb.json`},
		{".env", "REVERB_HOST=a", "", "there is no app: an id, a key and a secret are needed"},
		{".env", "REVERB_APP_ID=1\nREVERB_APP_KEY=k\nREVERB_APP_SECRET=hush\nREVERB_APP_ACCEPT_CLIENT_EVENTS_FROM=some", "", ".env:4: REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM: \"some\" is none of members, all and none, which Reverb knows"},
		{".env", "PUSHER_APP_ID=1\nPUSHER_APP_KEY=k", "", "there is no PUSHER_APP_SECRET, and no PUSHER_URL that says it"},
		{".env", "PUSHER_URL=https://k:hush@api.pusher.com/", "", ".env:1: PUSHER_URL: it has to be like https://KEY:SECRET@HOST/apps/ID"},
		{".env", "PUSHER_URL=https://k:hush@%zz/", "", ".env:1: PUSHER_URL: "},
		{"p.json", "{}", "pusher", "p.json: Pusher Channels has no configuration of its own"},
		{".env", "A=1", "", "nothing in .env shows which server it is of; say so with --from soketi|reverb|pusher|sockudo"},
		{".env", "A=1", "mercure", `"mercure" is no server whose settings are read here`},
		{".env", "A='1", "", ".env:1: A: the closing ' is missing"},
		{".env", "SOCKUDO_DEFAULT_APP_ID=1", "", ".env:1: SOCKUDO_DEFAULT_APP_ID: is set without SOCKUDO_DEFAULT_APP_KEY and SOCKUDO_DEFAULT_APP_SECRET"},
		{"s.toml", "port = 1\nprot = 2", "", "s.toml"},
	} {
		_, err := importFiles(c.from, "", []migrate.File{{Name: c.name, Text: []byte(c.text)}})
		switch {
		case err == nil && c.want != "":
			t.Errorf("%s: no error, want %s", c.text, c.want)
		case err != nil && c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("a secret is shown: %v", err)
		}
	}
	two := []migrate.File{{Name: "a.env", Text: []byte("SOKETI_PORT=1")}, {Name: "b.env", Text: []byte("REVERB_APP_ID=1")}}
	if _, err := importFiles("", "", two); err == nil || !strings.Contains(err.Error(), "of several servers, soketi and reverb") {
		t.Error(err)
	}
	for _, site := range []string{"{", "a\nb", "a {$HOME}"} {
		if _, err := importFiles("pusher", site, []migrate.File{{Name: ".env", Text: []byte("PUSHER_URL=https://k:hush@a/apps/1")}}); err == nil {
			t.Errorf("the site %q is taken", site)
		}
	}
}

// runImport runs the command, and returns what it writes and its code.
func runImport(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := importCommand()
	var out, report strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&report)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return out.String(), report.String(), err
}

func TestImportCommand(t *testing.T) {
	const file = "testdata/import/pusher-url.env"
	stdout, stderr, err := runImport(t, file)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, stdout, "app 4321 {", "secret {env.PUSHER_APP_SECRET}")
	contains(t, stderr, "Settings of pusher, since "+file+" has PUSHER_URL.", "Nearly the same", "Caddy needs these environment variables: PUSHER_APP_SECRET.")

	dir := t.TempDir()
	caddyfile, secrets := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, "secrets.env")
	args := []string{file, "--site", "ws.example.com", "--output", caddyfile, "--secrets", secrets, "--json"}
	if stdout, _, err = runImport(t, args...); err != nil {
		t.Fatal(err)
	}
	var i Imported
	if err := json.Unmarshal([]byte(stdout), &i); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(caddyfile)
	if err != nil || string(text) != i.Caddyfile || !strings.Contains(i.Caddyfile, "\nws.example.com {") {
		t.Errorf("%v, %s", err, text)
	}
	lines, err := os.ReadFile(secrets)
	info, statErr := os.Stat(secrets)
	if err != nil || statErr != nil || string(lines) != "PUSHER_APP_SECRET=url-secret\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v %s", err, statErr, lines)
	}
	if _, _, err := runImport(t, args...); err == nil {
		t.Error("a file that is there is written over")
	}
	_, stderr, err = runImport(t, "--from", "pusher", "testdata/import/pusher.env")
	if err == nil || !strings.Contains(err.Error(), "5") || strings.Contains(stderr, ", since ") {
		t.Errorf("a report with something that has no equivalent ends with %v", err)
	}
	contains(t, stderr, "No equivalent: this is for you to do (2)")
	if _, _, err = runImport(t, "no-such-file"); err == nil {
		t.Error("a file that is not there is read")
	}
}

// Values that caddy run --envfile cannot read are not written for it.
func TestImportSecretsFile(t *testing.T) {
	for value, want := range map[string]bool{"hush b$c=\"d\"": true, "hush#b": false, "hush\nb": false, " hush": false, `"hush`: false} {
		if _, err := secretsFile([]migrate.Secret{{Name: "A", Value: value}}); (err == nil) != want {
			t.Errorf("%q: %v", value, err)
		} else if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
}
