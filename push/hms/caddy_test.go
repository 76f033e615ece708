package hms

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

// provisioned reads a block as Caddy does.
func provisioned(text string) (*Module, error) {
	m := new(Module)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	return m, err
}

func TestBlocks(t *testing.T) {
	t.Setenv("TEST_HMS_SECRET", "hush")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hush2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"hms": "",
		"hms {\n app_id 1\n client_secret {env.TEST_HMS_SECRET}\n}":               `{"hmsAppId":"1","clientSecret":"hush"}`,
		"hms {\n app_id 1\n client_id 2\n client_secret {env.TEST_HMS_SECRET}\n}": `{"hmsAppId":"1","clientId":"2","clientSecret":"hush"}`,
		"hms {\n app_id 1\n provider_token {file." + file + "}\n}":                `{"hmsAppId":"1","providerToken":"hush2"}`,
	} {
		m, err := provisioned(text)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		got, err := m.Material()
		if err != nil || string(got) != want || !m.Enabled() || m.Provider().Kind() != push.HMS {
			t.Errorf("%s\n%s, %v", text, got, err)
		}
		shown, err := json.Marshal(m)
		if err != nil || strings.Contains(string(shown), "hush") {
			t.Errorf("the configuration shows %s, %v", shown, err)
		}
	}
	if m, err := provisioned("hms {\n enabled off\n}"); err != nil || m.Enabled() {
		t.Errorf("off: %v", err)
	}
	if id := new(Module).CaddyModule().ID; id != "sockudo.push_providers.hms" {
		t.Error(id)
	}
}

func TestBadBlocks(t *testing.T) {
	for text, want := range map[string]string{
		"hms x":                             "wrong argument count",
		"hms {\n secret x\n}":               "secret is unknown",
		"hms {\n enabled maybe\n}":          "enabled: ",
		"hms {\n client_secret hush\n}":     "app_id: it is missing",
		"hms {\n app_id 1\n}":               "client_secret: it is missing, and so is provider_token",
		"hms {\n app_id 1\n client_id 2\n}": "client_secret: it is missing",
		"hms {\n app_id 1\n client_secret hush\n provider_token hush\n}": "provider_token: it cannot be there together with client_secret",
		"hms {\n app_id \"hush hush\"\n client_secret hush\n}":           "app_id: ",
		"hms {\n app_id 1\n client_secret {env.TEST_HMS_NONE}\n}":        "client_secret: ",
		"hms {\n endpoint http://a\n}":                                   "endpoint: ",
		"hms {\n endpoint https://a/x\n}":                                "endpoint: ",
		"hms {\n token_endpoint https://u:hush@a/\n}":                    "token_endpoint: ",
		"hms {\n ca_file /no/such/file\n}":                               "ca_file: ",
	} {
		_, err := provisioned(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v; want %s", text, err, want)
		}
	}
}

// What a configuration says is enough to send.
func TestConfiguredSender(t *testing.T) {
	h := pushtest.NewHMS(t)
	t.Setenv("TEST_HMS_SECRET", h.OAuth.Secret)
	m, err := provisioned("hms {\n app_id " + h.AppID + "\n client_secret {env.TEST_HMS_SECRET}\n endpoint " + h.Endpoint() +
		"/\n token_endpoint " + h.TokenEndpoint() + "\n ca_file " + h.CAFile(t) + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	material, err := m.Material()
	if err != nil {
		t.Fatal(err)
	}
	o, err := m.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.AllowPrivate = true
	s, err := m.Provider().Connect(material, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantResult(t, s.Send(t.Context(), to(t, "a")), push.Accepted, "")
	wantNoFaults(t, h)
}
