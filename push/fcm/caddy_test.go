package fcm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// load reads a block, and provisions and validates it like Caddy.
func load(block string) (*Module, error) {
	m := new(Module)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(block)); err != nil {
		return nil, err
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		return nil, err
	}
	return m, m.Validate()
}

func mustLoad(t *testing.T, block string) *Module {
	t.Helper()
	m, err := load(block)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// wantSends wants a configuration to reach the stand-in, for a project.
func wantSends(t *testing.T, f *pushtest.FCM, m *Module, project string) {
	t.Helper()
	o, err := m.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.AllowPrivate = true
	text, err := m.Material()
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Provider().Connect(text, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantSent(t, s.Send(t.Context(), notice(t, "a")))
	sent := f.Sent()
	if got := sent[len(sent)-1].Project; got != project {
		t.Errorf("sent for %s", got)
	}
}

// Checklist: push 114
func TestConfiguration(t *testing.T) {
	f := pushtest.NewFCM(t)
	f.AddProject("another")
	f.AcceptToken("given")
	at := "\nendpoint " + f.URL + "/\nca_file " + f.CAFile + "\n}"
	t.Setenv("FCM_TEST_JSON", string(f.ServiceAccount(t)))
	t.Setenv("FCM_TEST_TOKEN", "given")
	path := f.ServiceAccountFile(t)
	wantSends(t, f, mustLoad(t, "fcm {\ncredentials_path "+path+at), pushtest.FCMProject)
	wantSends(t, f, mustLoad(t, "fcm {\ncredentials_path "+path+"\nproject_id another"+at), "another")
	wantSends(t, f, mustLoad(t, "fcm {\ncredentials_json {env.FCM_TEST_JSON}"+at), pushtest.FCMProject)
	wantSends(t, f, mustLoad(t, "fcm {\ncredentials_json {file."+path+"}"+at), pushtest.FCMProject)
	wantSends(t, f, mustLoad(t, "fcm {\ncredentials_json `"+string(f.ServiceAccount(t))+"`"+at), pushtest.FCMProject)
	wantSends(t, f, mustLoad(t, "fcm {\nprovider_token {env.FCM_TEST_TOKEN}\nproject_id another"+at), "another")
	wantClean(t, f)
}

func TestConfigurationWithoutCredentials(t *testing.T) {
	for _, block := range []string{"fcm", "fcm {\nenabled\n}", "fcm {\nenabled on\n}"} {
		m := mustLoad(t, block)
		text, err := m.Material()
		o, wrong := m.Options()
		if !m.Enabled() || text != nil || err != nil || wrong != nil || o.Endpoint != "" || o.Roots != nil {
			t.Errorf("%s: %v, %s, %+v", block, m.Enabled(), text, o)
		}
	}
	if m := mustLoad(t, "fcm {\nenabled off\ncredentials_path /nowhere\n}"); m.Enabled() {
		t.Error("it is on")
	}
}

// TestConfigurationShowsNoSecret wants the JSON of the configuration to have placeholders
// after they have been expanded.
func TestConfigurationShowsNoSecret(t *testing.T) {
	f := pushtest.NewFCM(t)
	t.Setenv("FCM_TEST_JSON", string(f.ServiceAccount(t)))
	text, err := json.Marshal(mustLoad(t, "fcm {\ncredentials_json {env.FCM_TEST_JSON}\n}"))
	if err != nil || string(text) != `{"credentials_json":"{env.FCM_TEST_JSON}"}` {
		t.Errorf("%s, %v", text, err)
	}
}

// Checklist: push 114, 115
func TestConfigurationRefuses(t *testing.T) {
	f := pushtest.NewFCM(t)
	account := string(f.ServiceAccount(t))
	secret := file(t, `{"type":"service_account","client_email":"a","project_id":"p","private_key":"hidden"}`)
	t.Setenv("FCM_TEST_BROKEN", "{hidden")
	for _, c := range []struct{ block, want string }{
		{"fcm {\ncredentials_path /nowhere/x.json\n}", "credentials_path: open /nowhere/x.json"},
		{"fcm {\ncredentials_path " + secret + "\n}", "credentials_path: private_key: is not a key in PEM"},
		{"fcm {\ncredentials_path " + file(t, "hidden") + "\n}", "credentials_path: not JSON"},
		{"fcm {\ncredentials_path " + file(t, `{"type":"hidden"}`) + "\n}", `credentials_path: type: must be "service_account"`},
		{"fcm {\ncredentials_path " + file(t, `[]`) + "\n}", "credentials_path: must be the JSON object of a service account"},
		{"fcm {\ncredentials_json {env.FCM_TEST_UNSET}\n}", "credentials_json: neither JSON nor"},
		{"fcm {\ncredentials_json {env.FCM_TEST_BROKEN}\n}", "credentials_json: not JSON"},
		{"fcm {\ncredentials_json {hidden.hidden}\n}", "credentials_json: neither JSON nor"},
		{"fcm {\ncredentials_json `" + account + "`\ncredentials_path " + secret + "\n}", "credentials_path and credentials_json"},
		{"fcm {\ncredentials_json `" + account + "`\nprovider_token hidden\n}", "provider_token: must not be written together"},
		{"fcm {\nprovider_token hidden\n}", "project_id: is missing, which provider_token needs"},
		{"fcm {\nprovider_token \"hid den\"\nproject_id p\n}", "provider_token: must be a text without spaces"},
		{"fcm {\nprovider_token hidden\nproject_id a/b\n}", "project_id: is not the id of a project"},
		{"fcm {\nproject_id {hidden.hidden}\n}", "project_id: "},
		{"fcm {\nendpoint fcm.googleapis.com\n}", "endpoint: must be like"},
		{"fcm {\nendpoint https://fcm.googleapis.com/v1\n}", "endpoint: must be like"},
		{"fcm {\nca_file /nowhere\n}", "ca_file: open /nowhere"},
		{"fcm {\nca_file " + file(t, "hidden") + "\n}", "ca_file: holds no certificate"},
		{"fcm {\ntoken hidden\n}", "token is unknown"},
		{"fcm x", "wrong argument count"},
	} {
		_, err := load(c.block)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.want)) {
			t.Errorf("%s: %v, want %q", c.block, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") && !strings.Contains(c.block, "hidden.hidden") {
			t.Errorf("the error shows the content: %v", err)
		}
	}
}

func TestModule(t *testing.T) {
	info := new(Module).CaddyModule()
	if info.ID != "sockudo.push_providers.fcm" {
		t.Errorf("the module is %s", info.ID)
	}
	if _, ok := info.New().(*Module); !ok {
		t.Error("it makes something else")
	}
	if _, err := caddy.GetModule(string(info.ID)); err != nil {
		t.Error(err)
	}
}
