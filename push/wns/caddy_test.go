package wns

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
	t.Setenv("TEST_WNS_SECRET", "hush")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hush2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"wns": "",
		"wns {\n package_sid ms-app://s-1\n client_secret {env.TEST_WNS_SECRET}\n}": `{"packageSid":"ms-app://s-1","clientSecret":"hush"}`,
		"wns {\n provider_token {file." + file + "}\n}":                             `{"providerToken":"hush2"}`,
	} {
		m, err := provisioned(text)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		got, err := m.Material()
		if err != nil || string(got) != want || !m.Enabled() || m.Provider().Kind() != push.WNS {
			t.Errorf("%s\n%s, %v", text, got, err)
		}
		shown, err := json.Marshal(m)
		if err != nil || strings.Contains(string(shown), "hush") {
			t.Errorf("the configuration shows %s, %v", shown, err)
		}
	}
	if m, err := provisioned("wns {\n enabled off\n}"); err != nil || m.Enabled() {
		t.Errorf("off: %v", err)
	}
	if id := new(Module).CaddyModule().ID; id != "sockudo.push_providers.wns" {
		t.Error(id)
	}
}

func TestBadBlocks(t *testing.T) {
	for text, want := range map[string]string{
		"wns x":                         "wrong argument count",
		"wns {\n secret x\n}":           "secret is unknown",
		"wns {\n client_secret hush\n}": "package_sid: it is missing, and so is provider_token",
		"wns {\n package_sid s\n}":      "client_secret: it is missing",
		"wns {\n package_sid \"hush hush\"\n client_secret hush\n}":    "package_sid: ",
		"wns {\n package_sid s\n provider_token hush\n}":               "provider_token: it cannot be there together with package_sid and client_secret",
		"wns {\n package_sid s\n client_secret {env.TEST_WNS_NONE}\n}": "client_secret: ",
		"wns {\n endpoint https://a/x\n}":                              "endpoint: ",
		"wns {\n token_endpoint http://a/\n}":                          "token_endpoint: ",
		"wns {\n ca_file /no/such/file\n}":                             "ca_file: ",
	} {
		_, err := provisioned(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v; want %s", text, err, want)
		}
	}
}

// What a configuration says is enough to send.
func TestConfiguredSender(t *testing.T) {
	w := pushtest.NewWNS(t)
	t.Setenv("TEST_WNS_SECRET", w.OAuth.Secret)
	m, err := provisioned("wns {\n package_sid " + w.OAuth.ID + "\n client_secret {env.TEST_WNS_SECRET}\n endpoint " + w.Endpoint() +
		"/\n token_endpoint " + w.TokenEndpoint() + "\n ca_file " + w.CAFile(t) + "\n}")
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
	wantResult(t, s.Send(t.Context(), to(t, w, "a")), push.Accepted, "")
	wantNoFaults(t, w)
}
