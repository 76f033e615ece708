package apns_test

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/apns"
)

// load reads a block as Caddy does: into JSON, and from there.
func load(t *testing.T, block string) (*apns.Module, error) {
	t.Helper()
	read := new(apns.Module)
	if err := read.UnmarshalCaddyfile(caddyfile.NewTestDispenser(block)); err != nil {
		return nil, err
	}
	text, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	m := new(apns.Module)
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		return nil, err
	}
	after, err := json.Marshal(m)
	if err != nil || string(after) != string(text) {
		t.Errorf("the configuration has changed to %s, %v", after, err)
	}
	return m, nil
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// arrives sends by way of a module.
func arrives(t *testing.T, m *apns.Module) push.Result {
	t.Helper()
	text, err := m.Material()
	if err != nil {
		t.Fatal(err)
	}
	o, err := m.Options()
	if err != nil {
		t.Fatal(err)
	}
	o.AllowPrivate = true
	s, err := m.Provider().Connect(text, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Send(t.Context(), notification(t, 0))
}

func TestTheConfigurationSends(t *testing.T) {
	a := pushtest.NewAPNs(t)
	key := a.Key(t)
	t.Setenv("TEST_APNS_KEY", key.PEM)
	ids := "team_id " + key.TeamID + "\nkey_id " + key.KeyID + "\nbundle_id " + key.BundleID + "\nendpoint " + a.URL + "\nca_file " + a.CAFile + "\n"
	for name, secret := range map[string]string{
		"a file": "private_key_path " + file(t, "key.p8", key.PEM), "a variable": "private_key {env.TEST_APNS_KEY}",
		"a file by placeholder": "private_key {file." + file(t, "key.p8", key.PEM) + "}",
	} {
		m, err := load(t, "apns {\n"+ids+secret+"\n}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r := arrives(t, m); !m.Enabled() || r.Outcome != push.Accepted {
			t.Errorf("%s: %+v", name, r)
		}
	}
	m, err := load(t, "apns {\nbundle_id "+key.BundleID+"\n}")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := m.Material(); text != nil || err != nil {
		t.Errorf("it has credentials: %v", err)
	}
	if _, ok := m.Provider().(apns.Provider); !ok || m.Provider().(apns.Provider).BundleID != key.BundleID {
		t.Errorf("the provider is %+v", m.Provider())
	}
	if m, err = load(t, "apns {\nenabled off\nprivate_key_path /nonexistent\n}"); err != nil || m.Enabled() {
		t.Errorf("switched off: %v", err)
	}
}

func TestCertificatesOfTheConfiguration(t *testing.T) {
	text, _ := certificatePEM(t, "com.example.certified", time.Now().Add(time.Hour))
	for _, block := range []string{
		"certificate_path " + file(t, "both.pem", text), "certificate_path testdata/older.p12\ncertificate_password open",
		"environment sandbox\nprovider_token a.b.c\nbundle_id com.example.app",
	} {
		m, err := load(t, "apns {\n"+block+"\n}")
		if err != nil {
			t.Errorf("%s: %v", block, err)
			continue
		}
		if text, err := m.Material(); err != nil || m.Provider().CheckMaterial(text) != nil {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// Checklist: push 115
func TestWrongSettingsAreNamedAndNotShown(t *testing.T) {
	good := keyPEM(t, ellipticKey(t, elliptic.P256()))
	t.Setenv("TEST_APNS_KEY", good)
	path := file(t, "key.p8", good)
	for _, c := range []struct{ setting, block string }{
		{"private_key_path", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key_path /nonexistent/key.p8"},
		{"private_key_path", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key_path " + file(t, "empty.p8", "")},
		{"private_key_path", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key_path " + file(t, "rsa.p8", rsaPEM(t))},
		{"private_key_path", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key {env.TEST_APNS_KEY}\nprivate_key_path " + path},
		{"private_key", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key secret"},
		{"private_key", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key {env.TEST_APNS_NONE}"},
		{"private_key", "team_id T\nkey_id K\nbundle_id a.b"},
		{"team_id", "key_id K\nbundle_id a.b\nprivate_key_path " + path},
		{"key_id", "team_id T\nbundle_id a.b\nprivate_key_path " + path},
		{"bundle_id", "team_id T\nkey_id K\nprivate_key_path " + path},
		{"bundle_id", "bundle_id secret/app"},
		{"environment", "environment secret"},
		{"environment", "team_id T\nkey_id K\nbundle_id a.b\nenvironment secret\nprivate_key_path " + path},
		{"certificate_path", "certificate_path /nonexistent/both.pem"},
		{"certificate_path", "certificate_path " + file(t, "empty.pem", "")},
		{"certificate_path", "certificate_path " + path},
		{"certificate_path", "certificate_path testdata/older.p12\ncertificate_password secret"},
		{"certificate_password", "certificate_password secret"},
		{"provider_token", "bundle_id a.b\nprovider_token secret"},
		{"provider_token", "team_id T\nkey_id K\nbundle_id a.b\nprivate_key_path " + path + "\nprovider_token a.b.c"},
		{"endpoint", "endpoint http://example.com"},
		{"ca_file", "ca_file /nonexistent/ca.pem"},
		{"ca_file", "ca_file " + path},
		{"enabled", "enabled perhaps"},
		{"colour", "colour blue"},
	} {
		_, err := load(t, "apns {\n"+c.block+"\n}")
		if err == nil || !strings.Contains(err.Error(), c.setting) {
			t.Errorf("%s: %v", c.block, err)
			continue
		}
		if fault, ok := errors.AsType[*push.FieldError](err); ok && fault.Field != c.setting {
			t.Errorf("%s: %v", c.block, err)
		}
		for _, secret := range []string{"secret", "MII", "MIG"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: it shows what it is about: %v", c.setting, err)
			}
		}
	}
}
