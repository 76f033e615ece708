package webpush

import (
	"crypto/rand"
	"crypto/rsa"
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

// A message arrives with what a block says, and the keys are not in the JSON of a
// configuration that has them elsewhere.
func TestBlock(t *testing.T) {
	public, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	service := pushtest.NewWebPush(t)
	file := filepath.Join(t.TempDir(), "vapid")
	if err := os.WriteFile(file, []byte(private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_VAPID_PRIVATE_KEY", private)
	for _, key := range []string{private, "{env.TEST_VAPID_PRIVATE_KEY}", "{file." + file + "}"} {
		m, err := provisioned("webpush {\n vapid_subject https://example.com/contact\n vapid_public_key " + public + "\n vapid_private_key " + key + "\n ca_file " + service.CAFile + "\n}")
		if err != nil || !m.Enabled() || m.Provider().Kind() != push.WebPush {
			t.Fatalf("%s: %v", key, err)
		}
		shown, err := json.Marshal(m)
		if err != nil || strings.Contains(string(shown), private) != (key == private) {
			t.Errorf("the configuration is %s, %v", shown, err)
		}
		material, err1 := m.Material()
		options, err2 := m.Options()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		s := service.Subscribe(t, public)
		options.AllowPrivate = true
		sender := connect(t, service, material, options)
		if r := sender.Send(t.Context(), notification(t, s)); r.Outcome != push.Accepted || service.Received(s.Endpoint)[0].Subject != "https://example.com/contact" {
			t.Errorf("%s: %+v, refused %q", key, r, service.Refusals())
		}
	}
}

func TestBlockWithoutKeys(t *testing.T) {
	for text, enabled := range map[string]bool{"webpush": true, "webpush {\n enabled\n}": true, "webpush {\n enabled off\n}": false} {
		m, err := provisioned(text)
		if err != nil || m.Enabled() != enabled {
			t.Errorf("%s: %v, %v", text, m.Enabled(), err)
		}
		material, err1 := m.Material()
		options, err2 := m.Options()
		if material != nil || err1 != nil || err2 != nil || options.Roots != nil || options.AllowPrivate {
			t.Errorf("%s: %s, %+v", text, material, options)
		}
	}
}

// Checklist: push 115
func TestBadBlocks(t *testing.T) {
	public, private, err := GenerateKeys()
	other, _, err2 := GenerateKeys()
	rsaKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_VAPID_RSA", pemOf(t, "PRIVATE KEY", rsaKey))
	key := "vapid_private_key " + private
	for _, c := range [][2]string{
		{"x", "wrong argument count"},
		{"{\n vapid_key x\n}", "vapid_key is unknown"},
		{"{\n enabled perhaps\n}", "enabled:"},
		{"{\n endpoint https://push.example.com\n}", "endpoint is unknown"},
		{"{\n vapid_public_key " + other + "\n " + key + "\n}", "vapid_public_key: is not the public key of vapid_private_key"},
		{"{\n vapid_public_key " + public + "\n}", "vapid_private_key: is missing"},
		{"{\n vapid_subject mailto:ops@example.com\n}", "vapid_private_key: is missing"},
		{"{\n vapid_subject ops@example.com\n " + key + "\n}", "vapid_subject: "},
		{"{\n vapid_private_key " + private[1:] + "\n}", "vapid_private_key: "},
		{"{\n vapid_private_key {env.TEST_VAPID_RSA}\n}", "vapid_private_key: is PEM, but not of a key of P-256"},
		{"{\n vapid_private_key {env.TEST_VAPID_UNSET}\n}", "vapid_private_key: "},
		{"{\n vapid_private_key {file." + filepath.Join(dir, "none") + "}\n}", "vapid_private_key: "},
		{"{\n ca_file " + filepath.Join(dir, "none") + "\n}", "ca_file: "},
		{"{\n ca_file " + empty + "\n}", "ca_file: holds no certificate in PEM"},
	} {
		_, err := provisioned("webpush " + c[0])
		if err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("webpush %s\n%v, want %s", c[0], err, c[1])
		}
		if err != nil && (strings.Contains(err.Error(), private[1:]) || strings.Contains(err.Error(), other)) {
			t.Errorf("the error tells a key: %v", err)
		}
	}
}
